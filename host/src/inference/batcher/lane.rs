//! The threads of one device, and whose calls they run next.
//!
//! The next batch is of the namespace that has had the least of the device's time; in it, of
//! the call that has waited longest, together with those that may share its batch. What a
//! namespace has had is counted as the queue of jobs counts it (`store::fair`).

use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use super::bounds::Load;
use super::call::{Call, Key};
use super::queue::Live;
use super::run::{Runner, Work};
use crate::job::Namespace;
use crate::store::fair::Share;

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
}

#[derive(Debug, Default)]
struct State {
    spaces: HashMap<Namespace, Space>,
    /// Where the namespace stood that was served last: nobody begins before it.
    clock: u64,
    /// Calls and queues are numbered as they come.
    next: u64,
    stopped: bool,
}

#[derive(Debug)]
struct Space {
    share: Share,
    load: Arc<Load>,
    queues: HashMap<u64, Queue>,
    waiting: usize,
}

/// The calls that wait for one model.
struct Queue {
    runner: Arc<Runner>,
    live: Arc<Live>,
    groups: HashMap<GroupKey, Group>,
    waiting: usize,
}

impl std::fmt::Debug for Queue {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Queue")
            .field("waiting", &self.waiting)
            .finish_non_exhaustive()
    }
}

#[derive(Clone, PartialEq, Eq, Hash)]
enum GroupKey {
    Shared(Key),
    /// The number of a call that shares no batch.
    Alone(u64),
}

/// Calls of one key, with their numbers, in their order.
#[derive(Default)]
struct Group {
    calls: VecDeque<(u64, Call)>,
    rows: u64,
}

/// The batch that is next, of all that a look at the queues has found.
struct Next {
    namespace: Namespace,
    queue: u64,
    key: GroupKey,
    /// What its namespace has had, and the number of its first call.
    order: (u64, u64),
}

enum Pick {
    Work(Namespace, Work),
    /// Some wait for others to join them, until then at most.
    Later(Instant),
    Nothing,
}

/// A queue's place in its lane.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct QueueId(u64);

impl Lane {
    /// Starts so many threads, each of which runs one batch at a time.
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
    pub fn start(name: &str, threads: usize) -> std::io::Result<Arc<Self>> {
        let lane = Arc::new(Self {
            shared: Arc::new(Shared {
                state: Mutex::default(),
                work: Condvar::new(),
                load: Load::of_lane(),
            }),
        });
        for _ in 0..threads.max(1) {
            let shared = lane.shared.clone();
            std::thread::Builder::new()
                .name(format!("infer-{name}"))
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
        let mut state = self.shared.lock();
        let id = state.number();
        let space = state.spaces.entry(namespace.clone());
        let space = space.or_insert_with(|| Space {
            share: Share::default(),
            load: Load::of_namespace(),
            queues: HashMap::new(),
            waiting: 0,
        });
        let queue = Queue {
            runner: Arc::new(runner),
            live,
            groups: HashMap::new(),
            waiting: 0,
        };
        space.queues.insert(id, queue);
        (QueueId(id), space.load.clone(), self.shared.load.clone())
    }

    /// Removes a queue. What waits in it is dropped, and so told.
    pub(super) fn remove(&self, namespace: &Namespace, id: QueueId) {
        let mut state = self.shared.lock();
        let Some(space) = state.spaces.get_mut(namespace) else {
            return;
        };
        let removed = space.queues.remove(&id.0);
        space.waiting -= removed.as_ref().map_or(0, |queue| queue.waiting);
        if space.queues.is_empty() {
            state.spaces.remove(namespace);
        }
        drop(state);
        // A model takes a while to let go of its memory.
        drop(removed);
    }

    /// Lets a call wait for its turn.
    pub(super) fn push(&self, namespace: &Namespace, id: QueueId, key: Option<Key>, call: Call) {
        let mut state = self.shared.lock();
        let (number, clock) = (state.number(), state.clock);
        let Some(space) = state.spaces.get_mut(namespace) else {
            return;
        };
        let Some(queue) = space.queues.get_mut(&id.0) else {
            return;
        };
        if space.waiting == 0 {
            space.share.come_back(clock);
        }
        space.waiting += 1;
        queue.waiting += 1;
        let key = key.map_or(GroupKey::Alone(number), GroupKey::Shared);
        let group = queue.groups.entry(key).or_default();
        group.rows += u64::from(call.size.rows);
        group.calls.push_back((number, call));
        drop(state);
        self.shared.work.notify_one();
    }

    /// Forgets the calls of a queue whose callers have gone.
    pub(super) fn prune(&self, namespace: &Namespace, id: QueueId) {
        let mut state = self.shared.lock();
        let Some(space) = state.spaces.get_mut(namespace) else {
            return;
        };
        let Some(queue) = space.queues.get_mut(&id.0) else {
            return;
        };
        let before = queue.waiting;
        queue.groups.retain(|_, group| {
            group.calls.retain(|(_, call)| !call.is_dropped());
            group.count();
            !group.calls.is_empty()
        });
        queue.waiting = queue.groups.values().map(|group| group.calls.len()).sum();
        space.waiting -= before - queue.waiting;
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
            match state.pick(Instant::now()) {
                Pick::Nothing => state = self.work.wait(state).unwrap_or_else(poisoned),
                Pick::Later(at) => {
                    let wait = at.saturating_duration_since(Instant::now());
                    let woken = self.work.wait_timeout(state, wait);
                    state = woken
                        .map(|(state, _)| state)
                        .unwrap_or_else(|poisoned| poisoned.into_inner().0);
                }
                Pick::Work(namespace, work) => {
                    drop(state);
                    // What is left may be another thread's to run, or to run in time.
                    self.work.notify_one();
                    let began = Instant::now();
                    work.run();
                    let took = began.elapsed();
                    state = self.lock();
                    state.ran(&namespace, took);
                }
            }
        }
    }
}

impl State {
    fn number(&mut self) -> u64 {
        self.next += 1;
        self.next
    }

    /// Takes the batch that is next.
    fn pick(&mut self, now: Instant) -> Pick {
        let mut later: Option<Instant> = None;
        let mut next: Option<Next> = None;
        for (namespace, space) in self
            .spaces
            .iter_mut()
            .filter(|(_, space)| space.waiting > 0)
        {
            let had = space.share.virtual_time();
            for (id, queue) in space
                .queues
                .iter_mut()
                .filter(|(_, queue)| queue.waiting > 0)
            {
                for (key, group) in &queue.groups {
                    let Some((number, first)) = group.calls.front() else {
                        continue;
                    };
                    let order = (had, *number);
                    if next.as_ref().is_some_and(|next| next.order <= order) {
                        continue;
                    }
                    match queue.waits_until(group, first, now) {
                        Some(at) => later = Some(later.map_or(at, |later| later.min(at))),
                        None => {
                            next = Some(Next {
                                namespace: namespace.clone(),
                                queue: *id,
                                key: key.clone(),
                                order,
                            });
                        }
                    }
                }
            }
        }
        let Some(next) = next else {
            return later.map_or(Pick::Nothing, Pick::Later);
        };
        self.take(next)
    }

    fn take(&mut self, next: Next) -> Pick {
        let Some(space) = self.spaces.get_mut(&next.namespace) else {
            return Pick::Nothing;
        };
        let Some(queue) = space.queues.get_mut(&next.queue) else {
            return Pick::Nothing;
        };
        let before = queue.waiting;
        let calls = queue.take(&next.key);
        space.waiting -= before - queue.waiting;
        space.share.took();
        self.clock = self.clock.max(space.share.used());
        let runner = queue.runner.clone();
        Pick::Work(next.namespace, Work { runner, calls })
    }

    /// A batch of a namespace is over.
    fn ran(&mut self, namespace: &Namespace, took: Duration) {
        if let Some(space) = self.spaces.get_mut(namespace) {
            space.share.left();
            let us = u64::try_from(took.as_micros()).unwrap_or(u64::MAX);
            space.share.ran(us);
        }
    }
}

impl Queue {
    /// Until when a group's first call waits for others; none if it is ready.
    fn waits_until(&self, group: &Group, first: &Call, now: Instant) -> Option<Instant> {
        let plan = &self.runner.plan;
        let at = first.since.checked_add(plan.max_delay)?;
        if plan.max_delay.is_zero() || plan.layout.is_none() || at <= now {
            return None;
        }
        let is_full = group.rows >= u64::from(plan.max_rows);
        // Each sandbox that lives waits in one call at most: then no other can join.
        if is_full || self.open() >= self.live.count() {
            return None;
        }
        Some(at)
    }

    fn open(&self) -> usize {
        let calls = self.groups.values().flat_map(|group| &group.calls);
        calls.filter(|(_, call)| !call.is_dropped()).count()
    }

    /// Takes the first calls of a group that fit one batch, and leaves out those whose callers
    /// have gone.
    fn take(&mut self, key: &GroupKey) -> Vec<Call> {
        let Some(group) = self.groups.get_mut(key) else {
            return Vec::new();
        };
        let most = u64::from(self.runner.plan.max_rows.max(1));
        let (mut rows, mut taken) = (0, Vec::new());
        while let Some((_, call)) = group.calls.front() {
            let more = u64::from(call.size.rows);
            let fits = taken.is_empty() || rows + more <= most;
            if !fits && !call.is_dropped() {
                break;
            }
            let Some((_, call)) = group.calls.pop_front() else {
                break;
            };
            group.rows -= more;
            self.waiting -= 1;
            if !call.is_dropped() {
                rows += more;
                taken.push(call);
            }
        }
        if group.calls.is_empty() {
            self.groups.remove(key);
        }
        taken
    }
}

impl Group {
    fn count(&mut self) {
        let rows = self.calls.iter().map(|(_, call)| u64::from(call.size.rows));
        self.rows = rows.sum();
    }
}
