//! Who waits in this process for the ends of jobs. Both stores tell it what ends.
//!
//! One wait may be for thousands of jobs, and is woken once. To miss nothing, a store
//! subscribes first and then looks which of the jobs have ended before.

use std::collections::HashMap;
use std::hash::Hash;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::Notify;

/// Those who wait, by what they wait for.
#[derive(Debug)]
pub(in crate::store) struct Waiters<K> {
    groups: Mutex<HashMap<K, Awaited>>,
}

/// A job that is waited for.
#[derive(Debug, Default)]
struct Awaited {
    groups: Vec<Arc<Group>>,
    /// One of them has seen that it has not ended, so that the others need not look.
    is_open: bool,
}

impl Awaited {
    fn has(&self, group: &Arc<Group>) -> bool {
        // Who asks has most often just come.
        let mut groups = self.groups.iter().rev();
        groups.any(|other| Arc::ptr_eq(other, group))
    }
}

/// One wait.
#[derive(Debug, Default)]
struct Group {
    /// How many jobs have not ended as far as is known here.
    missing: AtomicUsize,
    /// Rings when that is none, or when it is time to look again.
    bell: Notify,
}

impl Group {
    fn one_less(&self) {
        if self.missing.fetch_sub(1, Ordering::SeqCst) == 1 {
            self.bell.notify_one();
        }
    }
}

impl<K> Default for Waiters<K> {
    fn default() -> Self {
        Self {
            groups: Mutex::default(),
        }
    }
}

impl<K: Clone + Eq + Hash> Waiters<K> {
    /// Begins to wait for all of these.
    pub(in crate::store) fn subscribe(
        self: &Arc<Self>,
        keys: impl IntoIterator<Item = K>,
    ) -> Wait<K> {
        let group = Arc::new(Group::default());
        let mut awaited = self.lock();
        let put_on = |key: &K| {
            let groups = &mut awaited.entry(key.clone()).or_default().groups;
            // Nobody else comes in between: where it is already, it is the last.
            let is_new = groups.last().is_none_or(|last| !Arc::ptr_eq(last, &group));
            if is_new {
                groups.push(group.clone());
            }
            is_new
        };
        let keys: Vec<K> = keys.into_iter().filter(put_on).collect();
        group.missing.store(keys.len(), Ordering::SeqCst);
        drop(awaited);
        Wait {
            waiters: self.clone(),
            keys,
            group,
        }
    }

    /// Notes that a job has ended.
    pub(in crate::store) fn ended(&self, key: &K) {
        let awaited = self.lock().remove(key);
        for group in awaited.into_iter().flat_map(|awaited| awaited.groups) {
            group.one_less();
        }
    }

    /// Whether somebody waits for a job.
    pub(in crate::store) fn is_awaited(&self, key: &K) -> bool {
        self.lock().contains_key(key)
    }

    /// Wakes everybody to look again: ends may have been missed.
    pub(in crate::store) fn look_again(&self) {
        for group in self.lock().values().flat_map(|awaited| &awaited.groups) {
            group.bell.notify_one();
        }
    }

    /// Whether nobody waits.
    pub(in crate::store) fn is_empty(&self) -> bool {
        self.lock().is_empty()
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<K, Awaited>> {
        // The map is whole between any two operations on it.
        self.groups.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A wait for the ends of jobs; dropped, it is over.
#[derive(Debug)]
pub(in crate::store) struct Wait<K: Clone + Eq + Hash> {
    waiters: Arc<Waiters<K>>,
    keys: Vec<K>,
    group: Arc<Group>,
}

impl<K: Clone + Eq + Hash> Wait<K> {
    /// What is still waited for, in the order in which it was asked for.
    pub(in crate::store) fn missing(&self) -> Vec<K> {
        self.keys_that(|awaited| awaited.has(&self.group))
    }

    /// As [`Wait::missing`], and nobody has seen that it has not ended.
    pub(in crate::store) fn unseen(&self) -> Vec<K> {
        self.keys_that(|awaited| !awaited.is_open && awaited.has(&self.group))
    }

    fn keys_that(&self, is: impl Fn(&Awaited) -> bool) -> Vec<K> {
        let awaited = self.waiters.lock();
        let keys = self.keys.iter();
        keys.filter(|key| awaited.get(*key).is_some_and(&is))
            .cloned()
            .collect()
    }

    /// Notes which of some jobs had not ended when this looked; the others had, or never will.
    pub(in crate::store) fn looked(&self, keys: &[K], is_open: impl Fn(&K) -> bool) {
        let mut all = self.waiters.lock();
        for key in keys {
            // It may have ended since: then others wait for another end, if anybody does.
            let Some(awaited) = all.get_mut(key).filter(|them| them.has(&self.group)) else {
                continue;
            };
            if is_open(key) {
                awaited.is_open = true;
                continue;
            }
            awaited
                .groups
                .retain(|other| !Arc::ptr_eq(other, &self.group));
            if awaited.groups.is_empty() {
                all.remove(key);
            }
            self.group.one_less();
        }
    }

    /// Notes that a job had ended before, or will never.
    pub(in crate::store) fn settle(&self, key: &K) {
        self.looked(std::slice::from_ref(key), |_| false);
    }

    /// Whether nothing is waited for any more.
    pub(in crate::store) fn is_over(&self) -> bool {
        self.group.missing.load(Ordering::SeqCst) == 0
    }

    /// Resolves when the wait is over, or when it is time to look again.
    pub(in crate::store) async fn rung(&self) {
        self.group.bell.notified().await;
    }
}

impl<K: Clone + Eq + Hash> Drop for Wait<K> {
    fn drop(&mut self) {
        if self.is_over() {
            return;
        }
        self.looked(&self.keys, |_| false);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_wait_is_over_when_all_have_ended_however_it_is_told() {
        let waiters = Arc::new(Waiters::default());
        let wait = waiters.subscribe([1, 2, 3, 3]);
        waiters.ended(&1);
        waiters.ended(&1);
        wait.settle(&1);
        wait.settle(&2);
        assert_eq!(wait.missing(), [3]);
        assert!(!wait.is_over());
        waiters.ended(&3);
        wait.rung().await;
        assert!(wait.is_over() && waiters.is_empty());
    }

    #[tokio::test]
    async fn a_wait_that_is_given_up_leaves_the_others() {
        let waiters = Arc::new(Waiters::default());
        let (kept, dropped) = (waiters.subscribe([1, 2]), waiters.subscribe([2, 3]));
        drop(dropped);
        waiters.look_again();
        kept.rung().await;
        assert!(!kept.is_over());
        waiters.ended(&2);
        waiters.ended(&1);
        kept.rung().await;
        assert!(waiters.is_empty());
    }

    #[test]
    fn what_one_has_seen_open_the_next_need_not_look_for_until_it_ends() {
        let waiters = Arc::new(Waiters::default());
        let first = waiters.subscribe([2, 1]);
        assert_eq!(first.unseen(), [2, 1]);
        first.looked(&[2], |_| true);
        let second = waiters.subscribe([1, 2]);
        assert_eq!((second.unseen(), second.missing()), (vec![1], vec![1, 2]));
        waiters.ended(&2);
        let third = waiters.subscribe([2]);
        first.looked(&[2], |_| true);
        assert_eq!(third.unseen(), [2], "it was open before it ended");
        drop((first, second, third));
        assert!(waiters.is_empty());
    }

    #[test]
    fn a_wait_for_nothing_is_over() {
        assert!(Arc::new(Waiters::<u8>::default()).subscribe([]).is_over());
    }
}
