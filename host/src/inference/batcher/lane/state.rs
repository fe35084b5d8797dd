//! The calls that wait for one device, by namespace, model and key; and which batch is next.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::inference::batcher::bounds::Load;
use crate::inference::batcher::call::{Call, Key};
use crate::inference::batcher::queue::Live;
use crate::inference::batcher::run::{Runner, Work};
use crate::job::Namespace;
use crate::store::fair::Share;

/// What waits, and what runs.
#[derive(Debug, Default)]
pub(super) struct State {
    spaces: HashMap<Namespace, Space>,
    /// How many batches run.
    pub(super) running: usize,
    /// Where the namespace stood that was served last: nobody begins before it.
    clock: u64,
    /// Calls and queues are numbered as they come.
    next: u64,
    pub(super) stopped: bool,
}

#[derive(Debug)]
struct Space {
    share: Share,
    load: Arc<Load>,
    queues: HashMap<u64, Queue>,
    waiting: usize,
}

/// The calls that wait for one model.
pub(super) struct Queue {
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

/// What is next.
pub(super) enum Pick {
    Work(Namespace, Work),
    /// Some wait for others to join them, until then at most.
    Later(Instant),
    Nothing,
}

impl State {
    /// Whether no call waits.
    pub(super) fn is_empty(&self) -> bool {
        self.spaces.values().all(|space| space.waiting == 0)
    }

    /// Adds a model's queue: its number, and the load of its namespace.
    pub(super) fn add(
        &mut self,
        namespace: &Namespace,
        runner: Runner,
        live: Arc<Live>,
    ) -> (u64, Arc<Load>) {
        let id = self.number();
        let space = self.spaces.entry(namespace.clone());
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
        (id, space.load.clone())
    }

    /// Removes a queue, with the calls that wait in it.
    pub(super) fn remove(&mut self, namespace: &Namespace, id: u64) -> Option<Queue> {
        let space = self.spaces.get_mut(namespace)?;
        let removed = space.queues.remove(&id)?;
        space.waiting -= removed.waiting;
        if space.queues.is_empty() {
            self.spaces.remove(namespace);
        }
        Some(removed)
    }

    /// Whether a call of a queue probably runs for less than a millisecond, by itself.
    pub(super) fn is_quick(&self, namespace: &Namespace, id: u64, call: &Call) -> bool {
        let space = self.spaces.get(namespace);
        let queue = space.and_then(|space| space.queues.get(&id));
        queue.is_some_and(|queue| queue.runner.is_quick(&call.inputs))
    }

    /// Lets a call wait. One whose queue was removed is dropped, and so told.
    pub(super) fn push(&mut self, namespace: &Namespace, id: u64, key: Option<Key>, call: Call) {
        let (number, clock) = (self.number(), self.clock);
        let Some(space) = self.spaces.get_mut(namespace) else {
            return;
        };
        let Some(queue) = space.queues.get_mut(&id) else {
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
    }

    /// Forgets the calls of a queue whose callers have gone.
    pub(super) fn prune(&mut self, namespace: &Namespace, id: u64) {
        let Some(space) = self.spaces.get_mut(namespace) else {
            return;
        };
        let Some(queue) = space.queues.get_mut(&id) else {
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

    fn number(&mut self) -> u64 {
        self.next += 1;
        self.next
    }

    /// Takes the batch that is next.
    pub(super) fn pick(&mut self, now: Instant) -> Pick {
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
    pub(super) fn ran(&mut self, namespace: &Namespace, took: Duration) {
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
