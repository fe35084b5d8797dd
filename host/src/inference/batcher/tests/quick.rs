//! Calls that are known to be quick run on the thread of whoever makes them, if the device is idle.

use std::sync::Arc;
use std::thread;
use std::time::Duration;

use futures_util::future::join_all;
use tokio::runtime::Handle;

use super::super::testing::{AddOne, plan, rows_of};
use super::{Bench, bytes};

/// How often a call is made until a run of it was quick: another program may have the core in the
/// middle of one, but not of each.
const TRIES: usize = 10_000;

impl Bench {
    /// Whether a call with rows of such a width ran on this thread.
    async fn runs_here(&self, width: usize) -> bool {
        self.queue.infer(rows_of(&[1], width)).await.unwrap();
        self.model.thread() == thread::current().id()
    }

    /// Makes calls until one has run on this thread.
    async fn is_known(&self, width: usize) {
        for _ in 0..TRIES {
            if self.runs_here(width).await {
                return;
            }
        }
        panic!("no call was run by who made it");
    }
}

#[tokio::test]
async fn a_call_that_is_known_to_be_quick_runs_on_the_thread_of_its_caller() {
    let bench = Bench::new(AddOne::new(), plan(8));
    assert!(!bench.runs_here(2).await, "nobody knows it yet");
    bench.is_known(2).await;
    let known = bench.queue.infer(rows_of(&[7], 2)).await;
    assert_eq!(bytes(&known), [8, 8]);
}

#[tokio::test]
async fn of_other_shapes_nothing_is_known() {
    let bench = Bench::new(AddOne::new(), plan(8));
    bench.is_known(2).await;
    assert!(!bench.runs_here(3).await);
    bench.is_known(3).await;
    let rows = bench.queue.infer(rows_of(&[1, 2], 3)).await;
    assert_eq!(bytes(&rows), [2, 2, 2, 3, 3, 3]);
    assert_ne!(bench.model.thread(), thread::current().id(), "more rows");
}

#[tokio::test]
async fn a_slow_call_never_runs_on_the_thread_of_its_caller() {
    let slow = AddOne {
        takes: Duration::from_millis(2),
        ..AddOne::new()
    };
    let bench = Bench::new(slow, plan(8));
    for _ in 0..20 {
        assert!(!bench.runs_here(2).await);
    }
}

#[tokio::test]
async fn on_a_device_that_may_hang_no_call_runs_on_the_thread_of_its_caller() {
    let bench = Bench::on("cuda:0", AddOne::new(), plan(8));
    for _ in 0..20 {
        assert!(!bench.runs_here(2).await);
    }
}

#[tokio::test]
async fn while_a_quick_call_runs_others_gather_for_the_lane() {
    let bench = Bench::new(AddOne::new(), plan(8));
    bench.is_known(2).await;
    let before = bench.model.ran().len();
    bench.model.allow(0);
    let (queue, here) = (bench.queue.clone(), Handle::current());
    let other = thread::spawn(move || {
        let answer = here.block_on(queue.infer(rows_of(&[1], 2)));
        (answer, thread::current().id())
    });
    bench.model.has_begun(before + 1);
    let mut calls = Vec::new();
    for row in [10, 20, 30] {
        calls.push(bench.ask(&[row]).await);
    }
    assert_eq!(bench.model.ran().len(), before + 1, "one at a time");
    bench.go_on();
    let (first, caller) = other.join().unwrap();
    assert_eq!(bytes(&first), [2, 2]);
    let answers = join_all(calls).await;
    assert!(answers.iter().all(|answer| answer.is_ok()));
    assert_eq!(bench.model.ran()[before..], [vec![1], vec![10, 20, 30]]);
    let threads = bench.model.threads.lock().unwrap()[before..].to_vec();
    assert_eq!(threads[0], caller);
    assert!(![caller, thread::current().id()].contains(&threads[1]));
    assert_eq!(bench.model.most_at_once(), 1);
}

#[tokio::test]
async fn callers_of_quick_calls_on_many_threads_never_run_two_at_once() {
    const CALLERS: u8 = 8;
    const CALLS: usize = 500;
    let bench = Arc::new(Bench::new(AddOne::new(), plan(8)));
    bench.is_known(2).await;
    let callers: Vec<_> = (0..CALLERS)
        .map(|caller| {
            let (bench, here) = (bench.clone(), Handle::current());
            thread::spawn(move || {
                for _ in 0..CALLS {
                    let answer = here.block_on(bench.queue.infer(rows_of(&[caller], 2)));
                    assert_eq!(bytes(&answer), [caller + 1; 2]);
                }
            })
        })
        .collect();
    for caller in callers {
        caller.join().unwrap();
    }
    assert_eq!(bench.model.most_at_once(), 1);
}
