//! What waits, in memory: only numbers, and of those that follow each other the first and
//! the last, since millions of jobs may wait.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::num::NonZeroU32;
use std::sync::Arc;

use uuid::Uuid;

use crate::job::{Namespace, NewJob};
#[cfg(doc)]
use crate::store::CLAIMS_PER_YIELD;
use crate::store::Functions;

use super::key::Key;
use super::queue::{Queue, Rank, Saved};
use super::shared::NamespaceInfo;

/// All that waits.
#[derive(Default)]
pub(super) struct Index {
    queues: Vec<Queue>,
    numbers: HashMap<Namespace, u32>,
    unsaved: Vec<u32>,
    /// The namespaces that may have something to take, by their virtual time.
    turns: BTreeSet<(u64, u32)>,
    /// The most that a namespace had used when it left the turns.
    clock: u64,
    /// The namespaces that a cap bounds.
    capped: BTreeSet<u32>,
    due: BTreeMap<(u64, Key), Rank>,
    /// How many attempts a waiting or running job has behind it, if any.
    attempts: HashMap<Key, u32>,
}

fn at(queues: &mut [Queue], namespace: u32) -> Option<&mut Queue> {
    queues.get_mut(usize::try_from(namespace).ok()?)
}

impl Index {
    /// Adds a namespace; its number is how many there were.
    pub(super) fn add_namespace(&mut self, info: Arc<NamespaceInfo>, saved: Saved) {
        let number = info.number;
        self.numbers.insert(info.name.clone(), number);
        self.queues.push(Queue::new(info, saved));
        self.note_caps(number);
    }

    /// How many namespaces there are.
    pub(super) fn namespaces(&self) -> usize {
        self.queues.len()
    }

    /// The numbers of the first `n` namespaces, and their names.
    pub(super) fn names(&self, n: usize) -> Vec<(u32, Namespace)> {
        let named = self.queues.iter().take(n);
        named
            .map(|queue| (queue.info.number, queue.info.name.clone()))
            .collect()
    }

    /// The number of a namespace.
    pub(super) fn number(&self, namespace: &Namespace) -> Option<u32> {
        self.numbers.get(namespace).copied()
    }

    /// A namespace's queue.
    pub(super) fn queue(&mut self, namespace: u32) -> Option<&mut Queue> {
        at(&mut self.queues, namespace)
    }

    /// Notes which functions a namespace has.
    pub(super) fn set_functions(&mut self, namespace: u32, functions: &Functions) {
        if let Some(queue) = self.queue(namespace) {
            queue.set_functions(functions);
        }
        self.note_caps(namespace);
        self.take_turns(namespace);
    }

    /// Notes how many jobs of a namespace may run at once.
    pub(super) fn set_concurrency(&mut self, namespace: u32, limit: Option<NonZeroU32>) {
        self.change(namespace, |saved| saved.concurrency = limit);
        self.note_caps(namespace);
        self.take_turns(namespace);
    }

    fn note_caps(&mut self, namespace: u32) {
        let Some(queue) = self.queue(namespace) else {
            return;
        };
        queue.gates().outdate();
        if queue.is_capped() {
            self.capped.insert(namespace);
        } else {
            self.capped.remove(&namespace);
        }
    }

    /// Whether a cap bounds any namespace.
    pub(super) fn is_capped(&self) -> bool {
        !self.capped.is_empty()
    }

    /// Notes that any job may have been parked.
    pub(super) fn outdate_counts(&mut self) {
        for namespace in self.capped.clone() {
            if let Some(queue) = self.queue(namespace) {
                queue.gates().outdate();
            }
            self.take_turns(namespace);
        }
    }

    /// Counts what runs in the namespaces that a cap bounds, and opens their gates.
    pub(super) fn count<'a>(&mut self, running: impl Iterator<Item = (Key, &'a NewJob)>) {
        for namespace in &self.capped {
            if let Some(queue) = at(&mut self.queues, *namespace) {
                queue.gates().begin_count();
            }
        }
        for (key, job) in running {
            if self.capped.contains(&key.namespace())
                && let Some(queue) = at(&mut self.queues, key.namespace())
            {
                queue.gates().count(job);
            }
        }
        for namespace in self.capped.clone() {
            if let Some(queue) = self.queue(namespace) {
                queue.open_gates();
                if !queue.may_pop() {
                    self.leave_turns(namespace);
                }
            }
        }
    }

    /// Notes whether a namespace is paused.
    pub(super) fn set_paused(&mut self, namespace: u32, paused: bool) {
        self.change(namespace, |saved| saved.paused = paused);
        self.leave_turns(namespace);
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

    /// Lets a namespace have its share, if it has something to take. One that was away
    /// begins where the one that is next stands.
    pub(super) fn take_turns(&mut self, namespace: u32) {
        let next = self.turns.first().map(|(_, next)| *next);
        let next = next.and_then(|next| at(&mut self.queues, next));
        let first = next.map_or(self.clock, |queue| queue.share.used());
        if let Some(queue) = at(&mut self.queues, namespace)
            && queue.in_turn.is_none()
            && queue.may_pop()
        {
            queue.share.come_back(first);
            self.go_on(namespace);
        }
    }

    /// Takes a namespace out that has nothing to take.
    fn leave_turns(&mut self, namespace: u32) {
        if let Some(queue) = at(&mut self.queues, namespace)
            && let Some(time) = queue.in_turn.take()
        {
            self.turns.remove(&(time, namespace));
            self.clock = self.clock.max(queue.share.used());
        }
    }

    /// Puts a namespace in its place after its virtual time has changed.
    fn move_turn(&mut self, namespace: u32) {
        if let Some(queue) = at(&mut self.queues, namespace)
            && let Some(time) = &mut queue.in_turn
        {
            self.turns.remove(&(*time, namespace));
            *time = queue.share.virtual_time();
            self.turns.insert((*time, namespace));
        }
    }

    /// Lets a namespace take no turn until [`Index::go_on`].
    pub(super) fn skip_turns(&mut self, namespace: u32) {
        self.leave_turns(namespace);
    }

    /// Lets a namespace take turns again where it stood.
    pub(super) fn go_on(&mut self, namespace: u32) {
        if let Some(queue) = at(&mut self.queues, namespace)
            && queue.in_turn.is_none()
            && queue.may_pop()
        {
            let time = queue.share.virtual_time();
            queue.in_turn = Some(time);
            self.turns.insert((time, namespace));
        }
    }

    /// Notes that a host holds a job, as the database says.
    pub(super) fn holds(&mut self, namespace: u32) {
        if let Some(queue) = self.queue(namespace) {
            queue.share.took();
        }
        self.move_turn(namespace);
    }

    /// Notes that a host holds a job that was popped.
    pub(super) fn took(&mut self, namespace: u32) {
        let Some(queue) = self.queue(namespace) else {
            return;
        };
        queue.took();
        if queue.may_pop() {
            self.move_turn(namespace);
        } else {
            self.leave_turns(namespace);
        }
    }

    /// Notes that a host holds a job of a namespace no longer, which ran for so long;
    /// answers whether one that a cap held up may be taken now.
    pub(super) fn left(&mut self, namespace: u32, ran_us: Option<u64>) -> bool {
        let Some(queue) = self.queue(namespace) else {
            return false;
        };
        queue.share.left();
        queue.share.ran(ran_us.unwrap_or(0));
        queue.gates().outdate();
        let is_let_in = queue.is_capped() && queue.may_pop();
        self.move_turn(namespace);
        self.take_turns(namespace);
        is_let_in
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

    /// Takes the next job: of the namespace with the smallest virtual time, by the rule
    /// of [`CLAIMS_PER_YIELD`]. [`Index::took`] counts it, if a host gets it.
    pub(super) fn pop(&mut self) -> Option<Key> {
        loop {
            let (_, namespace) = *self.turns.first()?;
            match self.queue(namespace)?.pop() {
                Some(id) => return Key::new(namespace, id),
                // What was let in may have found another gate shut.
                None if self.queue(namespace)?.open_gates() => {}
                None => self.leave_turns(namespace),
            }
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
