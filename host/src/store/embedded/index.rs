//! What waits, in memory: only numbers, since a hundred thousand jobs may wait.

use std::collections::{BTreeMap, BTreeSet, HashMap, VecDeque};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use crate::job::{JobId, Namespace, NewJob, Priority};
use crate::store::CLAIMS_PER_YIELD;

use super::key::Key;
use super::shared::NamespaceInfo;

/// Where a job stands among those that wait: its priority, and whether it names
/// no function and so waits for one to be deployed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Rank {
    priority: Priority,
    runs_all: bool,
}

impl Rank {
    const RUNS_ALL: u8 = 1 << 7;

    /// The rank of a job.
    pub(super) fn of(job: &NewJob) -> Self {
        Self {
            priority: job.priority,
            runs_all: job.functions.is_empty(),
        }
    }

    /// As it is stored.
    pub(super) fn to_byte(self) -> u8 {
        u8::from(self.priority) | if self.runs_all { Self::RUNS_ALL } else { 0 }
    }

    /// From what is stored.
    pub(super) fn from_byte(byte: u8) -> Option<Self> {
        let priority = Priority::new(byte & !Self::RUNS_ALL)?;
        Some(Self {
            priority,
            runs_all: byte & Self::RUNS_ALL != 0,
        })
    }
}

/// The jobs of one priority that are due, by id: the order of their acceptance,
/// also for those that come back.
#[derive(Default)]
struct Lane {
    named: BTreeSet<JobId>,
    unnamed: BTreeSet<JobId>,
}

impl Lane {
    fn set(&mut self, rank: Rank) -> &mut BTreeSet<JobId> {
        if rank.runs_all {
            &mut self.unnamed
        } else {
            &mut self.named
        }
    }

    /// Takes the first job that can run.
    fn pop(&mut self, has_functions: bool) -> Option<JobId> {
        let unnamed = if has_functions {
            self.unnamed.first()
        } else {
            None
        };
        match (self.named.first(), unnamed) {
            (Some(named), Some(unnamed)) if unnamed < named => self.unnamed.pop_first(),
            (None, Some(_)) => self.unnamed.pop_first(),
            _ => self.named.pop_first(),
        }
    }
}

/// A namespace's waiting jobs.
pub(super) struct Queue {
    /// What others may know of the namespace.
    pub(super) info: Arc<NamespaceInfo>,
    /// The id of the next job.
    pub(super) next_id: u64,
    lanes: [Lane; Priority::COUNT],
    has_functions: bool,
    claims: u64,
    in_turn: bool,
}

impl Queue {
    fn pop(&mut self) -> Option<JobId> {
        let has_functions = self.has_functions;
        let lowest_first = (self.claims + 1).is_multiple_of(CLAIMS_PER_YIELD);
        let id = if lowest_first {
            self.lanes
                .iter_mut()
                .rev()
                .find_map(|lane| lane.pop(has_functions))
        } else {
            self.lanes
                .iter_mut()
                .find_map(|lane| lane.pop(has_functions))
        };
        self.claims += u64::from(id.is_some());
        id
    }

    fn may_pop(&self) -> bool {
        let lane = |l: &Lane| !l.named.is_empty() || (self.has_functions && !l.unnamed.is_empty());
        self.lanes.iter().any(lane)
    }
}

/// All that waits.
#[derive(Default)]
pub(super) struct Index {
    queues: Vec<Queue>,
    numbers: HashMap<Namespace, u32>,
    /// The namespaces that may have something to take, in turn.
    turns: VecDeque<u32>,
    due: BTreeMap<(u64, Key), Rank>,
    /// How many attempts a waiting or running job has behind it, if any.
    attempts: HashMap<Key, u32>,
}

impl Index {
    /// Adds a namespace; its number is how many there were.
    pub(super) fn add_namespace(&mut self, info: Arc<NamespaceInfo>, next_id: u64) {
        info.waiting.store(0, Ordering::Relaxed);
        self.numbers.insert(info.name.clone(), info.number);
        self.queues.push(Queue {
            has_functions: !info.functions().is_empty(),
            info,
            next_id,
            lanes: Default::default(),
            claims: 0,
            in_turn: false,
        });
    }

    /// How many namespaces there are.
    pub(super) fn namespaces(&self) -> usize {
        self.queues.len()
    }

    /// The number of a namespace.
    pub(super) fn number(&self, namespace: &Namespace) -> Option<u32> {
        self.numbers.get(namespace).copied()
    }

    /// A namespace's queue.
    pub(super) fn queue(&mut self, namespace: u32) -> Option<&mut Queue> {
        self.queues.get_mut(usize::try_from(namespace).ok()?)
    }

    /// Notes whether a namespace has functions.
    pub(super) fn set_has_functions(&mut self, namespace: u32, has: bool) {
        if let Some(queue) = self.queue(namespace) {
            queue.has_functions = has;
        }
        self.take_turns(namespace);
    }

    /// Adds a job that waits, until `due` if that is not 0.
    pub(super) fn add(&mut self, key: Key, rank: Rank, due: u64) {
        if let Some(queue) = self.queue(key.namespace()) {
            queue.info.waiting.fetch_add(1, Ordering::Relaxed);
        }
        if due == 0 {
            self.add_ready(key, rank);
        } else {
            self.due.insert((due, key), rank);
        }
    }

    fn add_ready(&mut self, key: Key, rank: Rank) {
        if let Some(queue) = self.queue(key.namespace())
            && let Some(lane) = queue.lanes.get_mut(rank.priority.index())
        {
            lane.set(rank).insert(key.id());
        }
        self.take_turns(key.namespace());
    }

    fn take_turns(&mut self, namespace: u32) {
        if let Some(queue) = self.queue(namespace)
            && !queue.in_turn
            && queue.may_pop()
        {
            queue.in_turn = true;
            self.turns.push_back(namespace);
        }
    }

    /// Takes a waiting job out; `due` as it was added.
    pub(super) fn remove(&mut self, key: Key, rank: Rank, due: u64) {
        let scheduled = self.due.remove(&(due, key)).is_some();
        if let Some(queue) = self.queue(key.namespace()) {
            let lane = queue.lanes.get_mut(rank.priority.index());
            if scheduled || lane.is_some_and(|lane| lane.set(rank).remove(&key.id())) {
                queue.info.waiting.fetch_sub(1, Ordering::Relaxed);
            }
        }
    }

    /// Moves what is due to the queues.
    pub(super) fn promote(&mut self, now_ms: u64) {
        while let Some(entry) = self.due.first_entry().filter(|e| e.key().0 <= now_ms) {
            let ((_, key), rank) = entry.remove_entry();
            self.add_ready(key, rank);
        }
    }

    /// Takes the next job: from the namespace whose turn it is, by the rule of
    /// [`CLAIMS_PER_YIELD`].
    pub(super) fn pop(&mut self) -> Option<Key> {
        loop {
            let namespace = self.turns.pop_front()?;
            let queue = self.queue(namespace)?;
            queue.in_turn = false;
            let Some(id) = queue.pop() else { continue };
            queue.info.waiting.fetch_sub(1, Ordering::Relaxed);
            self.take_turns(namespace);
            return Key::new(namespace, id);
        }
    }

    /// Whether [`Index::pop`] may find something.
    pub(super) fn may_pop(&self) -> bool {
        !self.turns.is_empty()
    }

    /// Whether a job waits in its queue and is due.
    pub(super) fn is_ready(&self, key: Key) -> bool {
        let queue = usize::try_from(key.namespace())
            .ok()
            .and_then(|n| self.queues.get(n));
        let waits = |l: &Lane| l.named.contains(&key.id()) || l.unnamed.contains(&key.id());
        queue.is_some_and(|queue| queue.lanes.iter().any(waits))
    }

    /// When the next scheduled job is due.
    pub(super) fn next_due(&self) -> Option<u64> {
        self.due.first_key_value().map(|((due, _), _)| *due)
    }

    /// How many attempts a job has behind it.
    pub(super) fn attempts(&self, key: Key) -> u32 {
        // Most jobs end in their first attempt, and then the map is empty.
        if self.attempts.is_empty() {
            0
        } else {
            self.attempts.get(&key).copied().unwrap_or(0)
        }
    }

    /// Notes how many attempts a job has behind it.
    pub(super) fn set_attempts(&mut self, key: Key, attempts: u32) {
        if attempts > 0 {
            self.attempts.insert(key, attempts);
        }
    }

    /// Forgets a job that ended.
    pub(super) fn forget(&mut self, key: Key) {
        self.attempts.remove(&key);
    }
}

/// The number of a namespace's waiting jobs, which others read at any time.
pub(super) type Waiting = AtomicU64;
