//! The threads of one device, and whose calls they run next. On an idle CPU a call that is known
//! to be quick runs on the thread of whoever makes it: to wake one for it would take longer.
//!
//! The next batch is of the namespace that has had the least of the device's time; in it, of
//! the call that has waited longest, together with those that may share its batch. What a
//! namespace has had is counted as the queue of jobs counts it (`store::fair`).

mod state;

use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use super::bounds::Load;
use super::call::{Call, Key};
use super::queue::Live;
use super::run::{Runner, Work};
use crate::inference::engine::CPU;
use crate::job::Namespace;
use state::{Pick, State};

/// The threads that run batches on one device. They end once no queue needs them.
#[derive(Debug)]
pub struct Lane {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    state: Mutex<State>,
    work: Condvar,
    load: Arc<Load>,
    /// How many batches run at once.
    most: usize,
    /// Whether quick calls run where they are made. Another device than a CPU may hang, and
    /// would hold a thread that others need.
    is_cpu: bool,
}

/// A queue's place in its lane.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct QueueId(u64);

impl Lane {
    /// Starts so many threads for a device, each of which runs one batch at a time.
    ///
    /// On a CPU one, whose engine takes all cores for a run, was found to be best (two cores,
    /// rten, calls/s of one, four and 64 callers): a small MLP in batches 8,200, 10,200 and
    /// 50,300, with two threads of one core each 8,300, 11,400 and 50,800; a CNN 780, 830 and
    /// 910, with two threads 420, 900 and 950. So a single caller of a large model waits half as
    /// long, and what is lost where many call is little. A GPU runs one batch at a time anyway.
    ///
    /// # Errors
    ///
    /// When the system has no thread left.
    pub fn start(device: &str, threads: usize) -> std::io::Result<Arc<Self>> {
        let most = threads.max(1);
        let lane = Arc::new(Self {
            shared: Arc::new(Shared {
                state: Mutex::default(),
                work: Condvar::new(),
                load: Load::of_lane(),
                most,
                is_cpu: device == CPU,
            }),
        });
        for _ in 0..most {
            let shared = lane.shared.clone();
            std::thread::Builder::new()
                .name(format!("infer-{device}"))
                .spawn(move || shared.serve())?;
        }
        Ok(lane)
    }

    /// Adds a model's queue: its place, and the load of its namespace and of the lane.
    pub(super) fn add(
        &self,
        namespace: &Namespace,
        runner: Runner,
        live: Arc<Live>,
    ) -> (QueueId, Arc<Load>, Arc<Load>) {
        let (id, load) = self.shared.lock().add(namespace, runner, live);
        (QueueId(id), load, self.shared.load.clone())
    }

    /// Removes a queue. What waits in it is dropped, and so told.
    pub(super) fn remove(&self, namespace: &Namespace, id: QueueId) {
        let removed = self.shared.lock().remove(namespace, id.0);
        // A model takes a while to let go of its memory.
        drop(removed);
    }

    /// Lets a call wait for its turn; one that is quick and whose turn it is runs here.
    pub(super) fn push(&self, namespace: &Namespace, id: QueueId, key: Option<Key>, call: Call) {
        let mut state = self.shared.lock();
        let is_idle = self.shared.is_cpu && state.running == 0 && state.is_empty();
        let runs_here = is_idle && state.is_quick(namespace, id.0, &call);
        state.push(namespace, id.0, key, call);
        if state.running >= self.shared.most {
            // Whoever runs looks again at the end.
            return;
        }
        if runs_here && let Pick::Work(namespace, work) = state.pick(Instant::now()) {
            drop(self.shared.run(state, &namespace, work));
            return;
        }
        drop(state);
        self.shared.work.notify_one();
    }

    /// Forgets the calls of a queue whose callers have gone.
    pub(super) fn prune(&self, namespace: &Namespace, id: QueueId) {
        self.shared.lock().prune(namespace, id.0);
    }

    /// Looks at the queues again: fewer may join now.
    pub(super) fn look_again(&self) {
        // Taken, so that no thread is between its look and its wait.
        drop(self.shared.lock());
        self.shared.work.notify_all();
    }
}

impl Drop for Lane {
    fn drop(&mut self) {
        self.shared.lock().stopped = true;
        self.shared.work.notify_all();
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What each of the threads does, until the lane is dropped.
    fn serve(&self) {
        let mut state = self.lock();
        while !state.stopped {
            let poisoned = PoisonError::into_inner;
            if state.running >= self.most {
                state = self.work.wait(state).unwrap_or_else(poisoned);
                continue;
            }
            match state.pick(Instant::now()) {
                Pick::Nothing => state = self.work.wait(state).unwrap_or_else(poisoned),
                Pick::Later(at) => {
                    let wait = at.saturating_duration_since(Instant::now());
                    let woken = self.work.wait_timeout(state, wait);
                    state = woken
                        .map(|(state, _)| state)
                        .unwrap_or_else(|poisoned| poisoned.into_inner().0);
                }
                Pick::Work(namespace, work) => state = self.run(state, &namespace, work),
            }
        }
    }

    /// Runs a batch.
    fn run<'a>(
        &'a self,
        mut state: MutexGuard<'a, State>,
        namespace: &Namespace,
        work: Work,
    ) -> MutexGuard<'a, State> {
        state.running += 1;
        let is_free = state.running < self.most && !state.is_empty();
        drop(state);
        if is_free {
            // What is left may be another thread's to run, or to run in time.
            self.work.notify_one();
        }
        let began = Instant::now();
        work.run();
        let took = began.elapsed();
        let mut state = self.lock();
        state.running -= 1;
        state.ran(namespace, took);
        if !state.is_empty() {
            self.work.notify_one();
        }
        state
    }
}
