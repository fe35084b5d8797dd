//! The batcher as its callers see it.

mod equality;
mod models;
mod quick;

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use futures_util::future::join_all;
use futures_util::poll;

use super::testing::{AddOne, LOST, PANIC, POISON, meter, namespace, plan, rows_of};
use super::*;
use crate::inference::InferError;
use crate::inference::engine::CPU;

type Asked<'a> = Pin<Box<dyn Future<Output = Result<Inferred, InferError>> + 'a>>;

/// A queue on a lane of its own, which runs one batch at a time.
struct Bench {
    model: Arc<AddOne>,
    queue: Arc<ModelQueue>,
}

impl Bench {
    fn new(model: AddOne, plan: BatchPlan) -> Self {
        Self::on(CPU, model, plan)
    }

    fn on(device: &str, model: AddOne, plan: BatchPlan) -> Self {
        let model = Arc::new(model);
        let lane = Lane::start(device, 1).unwrap();
        let queue = ModelQueue::new(&lane, namespace("a"), model.clone(), plan, meter());
        Self { model, queue }
    }

    /// A call that has been made: it waits or runs.
    async fn ask(&self, rows: &[u8]) -> Asked<'_> {
        asked(&self.queue, rows).await
    }

    /// A call that runs, and holds up those that follow until the model is allowed to go on.
    async fn occupy(&self) -> Asked<'_> {
        self.model.allow(0);
        let call = self.ask(&[1]).await;
        self.model.has_begun(1);
        call
    }

    fn go_on(&self) {
        self.model.allow(usize::MAX);
    }
}

async fn asked<'a>(queue: &'a ModelQueue, rows: &[u8]) -> Asked<'a> {
    let mut call: Asked<'a> = Box::pin(queue.infer(rows_of(rows, 2)));
    // Where it runs at once, it is ready perhaps: then it would be polled once too often.
    assert!(poll!(&mut call).is_pending(), "it was answered too early");
    call
}

fn bytes(inferred: &Result<Inferred, InferError>) -> Vec<u8> {
    let inferred = inferred.as_ref().unwrap();
    inferred.outputs[0].value.data().to_vec()
}

#[tokio::test]
async fn what_waits_while_the_device_is_busy_runs_in_one_batch() {
    let bench = Bench::new(AddOne::new(), plan(8));
    let first = bench.occupy().await;
    let mut calls = Vec::new();
    for row in [10, 20, 30] {
        calls.push(bench.ask(&[row]).await);
    }
    calls.push(bench.ask(&[40, 50]).await);
    bench.go_on();
    assert_eq!(first.await.unwrap().rows_in_batch, 1);
    let answers = join_all(calls).await;
    assert_eq!(bench.model.ran(), [vec![1], vec![10, 20, 30, 40, 50]]);
    assert!(
        answers
            .iter()
            .all(|answer| answer.as_ref().unwrap().rows_in_batch == 5)
    );
    let all: Vec<_> = answers.iter().map(bytes).collect();
    assert_eq!(
        all,
        [
            vec![11, 11],
            vec![21, 21],
            vec![31, 31],
            vec![41, 41, 51, 51]
        ]
    );
}

#[tokio::test]
async fn a_call_is_never_cut_apart_and_a_batch_has_no_more_rows_than_planned() {
    let bench = Bench::new(AddOne::new(), plan(4));
    let first = bench.occupy().await;
    let calls = [
        bench.ask(&[1, 2, 3]).await,
        bench.ask(&[4, 5]).await,
        bench.ask(&[6, 7]).await,
        bench.ask(&[8, 9, 10, 11, 12]).await,
    ];
    bench.go_on();
    let answers = join_all(calls).await;
    assert!(answers.iter().all(Result::is_ok));
    let batches = [
        vec![1],
        vec![1, 2, 3],
        vec![4, 5, 6, 7],
        vec![8, 9, 10, 11, 12],
    ];
    assert_eq!(bench.model.ran(), batches);
    first.await.unwrap();
}

#[tokio::test]
async fn shapes_that_differ_share_no_batch_and_the_oldest_is_next() {
    let bench = Bench::new(AddOne::new(), plan(8));
    let first = bench.occupy().await;
    let mut calls: Vec<Asked<'_>> = Vec::new();
    for (row, width) in [(1, 3), (2, 4), (3, 3), (4, 4)] {
        let mut call: Asked<'_> = Box::pin(bench.queue.infer(rows_of(&[row], width)));
        assert!(poll!(&mut call).is_pending());
        calls.push(call);
    }
    bench.go_on();
    assert!(join_all(calls).await.iter().all(Result::is_ok));
    assert_eq!(bench.model.ran(), [vec![1], vec![1, 3], vec![2, 4]]);
    first.await.unwrap();
}

#[tokio::test]
async fn a_bad_row_hurts_its_own_call_alone() {
    for (row, why) in [(POISON, "a poisoned row"), (PANIC, "a row to panic at")] {
        let bench = Bench::new(AddOne::new(), plan(8));
        let first = bench.occupy().await;
        let calls = [
            bench.ask(&[10]).await,
            bench.ask(&[row]).await,
            bench.ask(&[30]).await,
        ];
        bench.go_on();
        let answers = join_all(calls).await;
        assert_eq!(
            (bytes(&answers[0]), bytes(&answers[2])),
            (vec![11, 11], vec![31, 31])
        );
        let failed = answers[1].as_ref().unwrap_err();
        assert!(
            matches!(failed, InferError::Engine(text) if text.contains(why)),
            "{failed}"
        );
        let runs = [vec![1], vec![10, row, 30], vec![10], vec![row], vec![30]];
        assert_eq!(bench.model.ran(), runs);
        first.await.unwrap();
    }
}

#[tokio::test]
async fn without_memory_a_batch_is_halved_and_a_single_row_is_told() {
    let few = AddOne {
        fits: 2,
        ..AddOne::new()
    };
    let bench = Bench::new(few, plan(8));
    let first = bench.occupy().await;
    let calls = [
        bench.ask(&[1]).await,
        bench.ask(&[2]).await,
        bench.ask(&[3]).await,
        bench.ask(&[4]).await,
        bench.ask(&[5, 6, 7]).await,
    ];
    bench.go_on();
    let answers = join_all(calls).await;
    assert!(answers[..4].iter().all(Result::is_ok));
    let halves = [
        vec![1],
        vec![1, 2, 3, 4, 5, 6, 7],
        vec![1, 2],
        vec![3, 4, 5, 6, 7],
        vec![3],
        vec![4, 5, 6, 7],
        vec![4],
        vec![5, 6, 7],
    ];
    assert_eq!(bench.model.ran(), halves);
    let busy = answers[4].as_ref().unwrap_err();
    assert!(
        matches!(busy, InferError::Busy(text) if text.contains("it is full")),
        "{busy}"
    );
    first.await.unwrap();
}

#[tokio::test]
async fn a_device_that_fails_is_told_and_the_lane_goes_on() {
    let bench = Bench::new(AddOne::new(), plan(8));
    let failed = bench.queue.infer(rows_of(&[LOST], 2)).await.unwrap_err();
    assert!(
        matches!(&failed, InferError::Busy(text) if text.contains("off the bus")),
        "{failed}"
    );
    assert_eq!(bytes(&bench.queue.infer(rows_of(&[7], 2)).await), [8, 8]);
}

#[tokio::test]
async fn a_model_whose_first_axis_is_not_its_rows_gives_each_call_its_own() {
    let time = AddOne {
        surplus: 1,
        ..AddOne::new()
    };
    let bench = Bench::new(time, plan(8));
    let first = bench.occupy().await;
    let calls = [bench.ask(&[10]).await, bench.ask(&[20]).await];
    bench.go_on();
    let answers = join_all(calls).await;
    assert_eq!(bytes(&answers[0]), [11, 11, 0, 0]);
    assert_eq!(bytes(&answers[1]), [21, 21, 0, 0]);
    first.await.unwrap();
}

#[tokio::test]
async fn rows_whose_sandbox_died_do_not_run() {
    let bench = Bench::new(AddOne::new(), plan(8));
    let first = bench.occupy().await;
    let (dead, alive) = (bench.ask(&[10]).await, bench.ask(&[20]).await);
    drop(dead);
    bench.go_on();
    assert_eq!(bytes(&alive.await), [21, 21]);
    assert_eq!(bench.model.ran(), [vec![1], vec![20]]);
    first.await.unwrap();
}

#[tokio::test]
async fn an_output_beyond_the_limit_is_refused_to_that_call_alone() {
    let mut plan = plan(8);
    plan.max_output_bytes = 4;
    let bench = Bench::new(AddOne::new(), plan);
    let first = bench.occupy().await;
    let calls = [bench.ask(&[10, 20]).await, bench.ask(&[30, 40, 50]).await];
    bench.go_on();
    let answers = join_all(calls).await;
    assert_eq!(bytes(&answers[0]), [11, 11, 21, 21]);
    let large = answers[1].as_ref().unwrap_err();
    assert!(
        matches!(large, InferError::TooLarge(text) if text.contains("6 bytes")),
        "{large}"
    );
    assert_eq!(bench.model.ran().len(), 2, "they shared a batch");
    first.await.unwrap();
}

#[tokio::test]
async fn rows_of_other_lengths_are_padded_and_cut_again_where_the_plan_says_so() {
    let mut plan = plan(8);
    for name in ["x", "y"] {
        let pad = crate::model::Pad {
            axis: 1,
            value: 9.0,
        };
        plan.pad.insert(name.to_owned(), pad);
    }
    let bench = Bench::new(AddOne::new(), plan);
    let first = bench.occupy().await;
    let mut calls: Vec<Asked<'_>> = Vec::new();
    for (row, width) in [(1, 5), (2, 8), (3, 6)] {
        let mut call: Asked<'_> = Box::pin(bench.queue.infer(rows_of(&[row], width)));
        assert!(poll!(&mut call).is_pending());
        calls.push(call);
    }
    bench.go_on();
    let answers = join_all(calls).await;
    assert_eq!(bench.model.ran(), [vec![1], vec![1, 2, 3]]);
    let all: Vec<_> = answers.iter().map(bytes).collect();
    assert_eq!(all, [vec![2; 5], vec![3; 8], vec![4; 6]]);
    first.await.unwrap();
}

#[tokio::test]
async fn engine_time_is_shared_by_rows() {
    let slow = AddOne {
        takes: Duration::from_millis(4),
        ..AddOne::new()
    };
    let bench = Bench::new(slow, plan(8));
    let first = bench.occupy().await;
    let calls = [bench.ask(&[1]).await, bench.ask(&[2, 3, 4]).await];
    bench.go_on();
    let answers = join_all(calls).await;
    let us = |at: usize| answers[at].as_ref().unwrap().engine_us;
    assert!(us(0) >= 1000, "a quarter of 4 ms: {}", us(0));
    assert!(us(1).abs_diff(3 * us(0)) <= 3, "{} of {}", us(1), us(0));
    assert!(first.await.unwrap().engine_us >= 4000);
}

#[tokio::test]
async fn a_namespace_that_floods_the_device_does_not_hold_up_another() {
    let slow = || AddOne {
        // So long that none is run by the thread that asks, which this test holds up.
        takes: Duration::from_millis(2),
        ..AddOne::new()
    };
    let (flooded, other) = (Arc::new(slow()), Arc::new(slow()));
    let lane = Lane::start("test", 1).unwrap();
    let queue = |name, model: &Arc<AddOne>| {
        ModelQueue::new(&lane, namespace(name), model.clone(), plan(1), meter())
    };
    let (flood, few) = (queue("flood", &flooded), queue("few", &other));
    // It has had the device to itself for a while, which nobody owes the other.
    for _ in 0..20 {
        flood.infer(rows_of(&[1], 2)).await.unwrap();
    }
    flooded.allow(0);
    let mut calls = Vec::new();
    for _ in 0..400 {
        calls.push(asked(&flood, &[1]).await);
    }
    flooded.has_begun(21);
    let mut fews = Vec::new();
    for _ in 0..10 {
        fews.push(asked(&few, &[1]).await);
    }
    flooded.allow(usize::MAX);
    assert!(join_all(fews).await.iter().all(Result::is_ok));
    // By turns, were all runs as long; a run may be cut short by another program's turn.
    let before = flooded.ran().len() - 20;
    assert!(
        before < 150,
        "{before} of the flood ran before ten of another"
    );
    assert!(join_all(calls).await.iter().all(Result::is_ok));
}

#[tokio::test]
async fn a_wait_for_others_ends_when_no_other_can_join() {
    let mut plan = plan(8);
    plan.max_delay = Duration::from_secs(3600);
    let bench = Bench::new(AddOne::new(), plan);
    let mut joiners: Vec<Joiner> = (0..3).map(|_| bench.queue.enter()).collect();

    // All that live have joined.
    let calls = [bench.ask(&[1]).await, bench.ask(&[2]).await];
    let (waited, last) = tokio::join!(join_all(calls), bench.queue.infer(rows_of(&[3], 2)));
    assert!(waited.iter().all(Result::is_ok));
    assert_eq!(last.unwrap().rows_in_batch, 3);

    // One that lives dies instead of joining.
    let calls = [bench.ask(&[5]).await, bench.ask(&[6]).await];
    drop(joiners.pop());
    assert!(join_all(calls).await.iter().all(Result::is_ok));
    assert_eq!(bench.model.ran(), [vec![1, 2, 3], vec![5, 6]]);
}

#[tokio::test]
async fn a_full_batch_does_not_wait_and_a_delay_ends() {
    let mut waiting = plan(2);
    waiting.max_delay = Duration::from_secs(3600);
    let bench = Bench::new(AddOne::new(), waiting);
    let _joiners: Vec<Joiner> = (0..9).map(|_| bench.queue.enter()).collect();
    let full = bench.queue.infer(rows_of(&[1, 2], 2)).await;
    assert_eq!(bytes(&full), [2, 2, 3, 3]);

    let mut soon = plan(2);
    soon.max_delay = Duration::from_millis(2);
    let bench = Bench::new(AddOne::new(), soon);
    let _joiners: Vec<Joiner> = (0..9).map(|_| bench.queue.enter()).collect();
    let alone = bench.queue.infer(rows_of(&[1], 2)).await.unwrap();
    assert!(alone.queued_us >= 2000, "{}", alone.queued_us);
}

#[tokio::test]
async fn a_thousand_callers_at_once_are_all_answered_in_few_batches() {
    let bench = Bench::new(AddOne::new(), plan(64));
    let first = bench.occupy().await;
    let mut calls = Vec::new();
    for caller in 0..1000 {
        calls.push(bench.ask(&[(caller % 100) as u8]).await);
    }
    bench.go_on();
    for (caller, answer) in join_all(calls).await.iter().enumerate() {
        assert_eq!(bytes(answer), [(caller % 100) as u8 + 1; 2]);
    }
    assert_eq!(bench.model.ran().len(), 1 + 1000_usize.div_ceil(64));
    first.await.unwrap();
}

#[tokio::test]
async fn what_is_under_way_is_bounded_and_the_dead_make_room() {
    let bench = Bench::new(AddOne::new(), plan(64));
    let first = bench.occupy().await;
    let mut calls = Vec::new();
    for _ in 1..MAX_CALLS_OF_MODEL {
        calls.push(bench.ask(&[1]).await);
    }
    let busy = bench.queue.infer(rows_of(&[1], 2)).await.unwrap_err();
    assert!(
        matches!(&busy, InferError::Busy(text) if text.contains("2048 calls")),
        "{busy}"
    );
    drop(calls.pop());
    calls.push(bench.ask(&[2]).await);
    bench.go_on();
    assert!(join_all(calls).await.iter().all(Result::is_ok));
    first.await.unwrap();
    // All places were given back.
    bench.queue.infer(rows_of(&[1], 2)).await.unwrap();
}

#[tokio::test]
async fn a_call_that_waits_holds_its_bytes() {
    let bench = Bench::new(AddOne::new(), plan(64));
    let first = bench.occupy().await;
    let half = || rows_of(&[1], (MAX_BYTES_OF_MODEL / 2) as usize);
    let mut large: Asked<'_> = Box::pin(bench.queue.infer(half()));
    assert!(poll!(&mut large).is_pending());
    let busy = bench.queue.infer(half()).await.unwrap_err();
    assert!(
        matches!(&busy, InferError::Busy(text) if text.contains("bytes")),
        "{busy}"
    );
    drop(large);
    bench.go_on();
    first.await.unwrap();
}

#[tokio::test]
async fn several_threads_run_several_batches() {
    let model = Arc::new(AddOne::new());
    let lane = Lane::start("test", 2).unwrap();
    let queue = ModelQueue::new(&lane, namespace("a"), model.clone(), plan(1), meter());
    model.allow(0);
    let calls = [asked(&queue, &[1]).await, asked(&queue, &[2]).await];
    model.has_begun(2);
    model.allow(usize::MAX);
    assert!(join_all(calls).await.iter().all(Result::is_ok));
}
