//! What waits, in memory: only numbers, since a hundred thousand jobs may wait.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::sync::Arc;

use uuid::Uuid;

use crate::job::Namespace;
#[cfg(doc)]
use crate::store::CLAIMS_PER_YIELD;

use super::key::Key;
use super::queue::{Queue, Rank, Saved};
use super::shared::NamespaceInfo;

/// All that waits.
#[derive(Default)]
pub(super) struct Index {
    queues: Vec<Queue>,
    numbers: HashMap<Namespace, u32>,
    unsaved: Vec<u32>,
    /// The namespaces that may have something to take, in turn.
    turns: VecDeque<u32>,
    due: BTreeMap<(u64, Key), Rank>,
    /// How many attempts a waiting or running job has behind it, if any.
    attempts: HashMap<Key, u32>,
}

impl Index {
    /// Adds a namespace; its number is how many there were.
    pub(super) fn add_namespace(&mut self, info: Arc<NamespaceInfo>, saved: Saved) {
        self.numbers.insert(info.name.clone(), info.number);
        self.queues.push(Queue::new(info, saved));
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

    /// Notes whether a namespace is paused.
    pub(super) fn set_paused(&mut self, namespace: u32, paused: bool) {
        self.change(namespace, |saved| saved.paused = paused);
        if let Some(queue) = self.queue(namespace) {
            queue.in_turn = false;
        }
        self.turns.retain(|other| *other != namespace);
        self.take_turns(namespace);
    }

    /// Adds a job that waits, until `due` if that is not 0.
    pub(super) fn add(&mut self, key: Key, rank: Rank, due: u64) {
        if due == 0 {
            return self.add_ready(key, rank);
        }
        self.due.insert((due, key), rank);
        if let Some(queue) = self.queue(key.namespace()) {
            queue.scheduled += 1;
        }
    }

    fn add_ready(&mut self, key: Key, rank: Rank) {
        if let Some(queue) = self.queue(key.namespace()) {
            queue.add(rank, key.id());
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

    /// Notes that a mover holds a job, which does not wait here any more.
    pub(super) fn set_held(&mut self, key: Key, mover: Uuid) {
        if let Some(queue) = self.queue(key.namespace()) {
            queue.held.insert(key.id(), mover);
        }
    }

    /// Changes what is kept of a namespace beside its jobs.
    pub(super) fn change(&mut self, namespace: u32, change: impl FnOnce(&mut Saved)) {
        if let Some(queue) = self.queue(namespace) {
            change(&mut queue.saved);
            if !std::mem::replace(&mut queue.unsaved, true) {
                self.unsaved.push(namespace);
            }
        }
    }

    /// The queues that were changed since they were last written.
    pub(super) fn take_unsaved(&mut self) -> Vec<(u32, Saved)> {
        let unsaved = std::mem::take(&mut self.unsaved);
        let taken = unsaved.into_iter().filter_map(|namespace| {
            let queue = self.queue(namespace)?;
            queue.unsaved = false;
            Some((namespace, queue.saved))
        });
        taken.collect()
    }

    /// Takes a waiting job out; `due` as it was added.
    pub(super) fn remove(&mut self, key: Key, rank: Rank, due: u64) {
        let scheduled = self.due.remove(&(due, key)).is_some();
        if let Some(queue) = self.queue(key.namespace()) {
            if scheduled {
                queue.scheduled -= 1;
            } else {
                queue.remove(rank, key.id());
            }
        }
    }

    /// Moves what is due to the queues.
    pub(super) fn promote(&mut self, now_ms: u64) {
        while let Some(entry) = self.due.first_entry().filter(|e| e.key().0 <= now_ms) {
            let ((_, key), rank) = entry.remove_entry();
            if let Some(queue) = self.queue(key.namespace()) {
                queue.scheduled -= 1;
            }
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
        queue.is_some_and(|queue| queue.is_ready(key.id()))
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
