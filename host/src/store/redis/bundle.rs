//! Calls that meet on their way to Redis go there together. A call that finds none under
//! way goes at once; those that come while it is away go as one when it is back. So a lone
//! call takes no longer, and of sixty-four at once each costs a fraction of one.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::hash::Hash;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::link::Link;

/// What is asked of Redis in bundles.
pub(super) trait Bundled: Send + Sync + Sized + 'static {
    /// What calls have in common that go together.
    type Key: Clone + Eq + Hash + Send + Sync;
    /// A call that waits for its turn.
    type Call: Send;

    /// What waits.
    fn bundles(&self) -> &Bundles<Self::Key, Self::Call>;

    /// The way to Redis.
    fn link(&self) -> &Link;

    /// How many of the calls that wait go next, of one at least: what others want of Redis
    /// is not to wait longer than for an ordinary batch.
    fn how_many(calls: &[Self::Call]) -> usize;

    /// Sends calls as one, and answers each.
    fn send(&self, key: &Self::Key, calls: Vec<Self::Call>) -> impl Future<Output = ()> + Send;
}

/// What waits under each key that has a call under way. With two at once, each bundle was
/// half as large, and a post cost Redis half as much again.
pub(super) struct Bundles<K, C>(Mutex<HashMap<K, Vec<C>>>);

impl<K, C> Default for Bundles<K, C> {
    fn default() -> Self {
        Self(Mutex::default())
    }
}

impl<K: Clone + Eq + Hash, C> Bundles<K, C> {
    /// Answers a call that goes at once, and so begins a [`Trip`]; keeps one that must wait.
    pub(super) fn enter(&self, key: &K, call: C) -> Option<C> {
        match self.lock().entry(key.clone()) {
            Entry::Vacant(idle) => {
                idle.insert(Vec::new());
                Some(call)
            }
            Entry::Occupied(mut waiting) => {
                waiting.get_mut().push(call);
                None
            }
        }
    }

    /// The calls that go next; if there are none, none is under way any more.
    fn next(&self, key: &K, how_many: impl FnOnce(&[C]) -> usize) -> Vec<C> {
        let mut all = self.lock();
        let Entry::Occupied(mut waiting) = all.entry(key.clone()) else {
            return Vec::new();
        };
        if waiting.get().is_empty() {
            waiting.remove();
            return Vec::new();
        }
        let count = how_many(waiting.get()).clamp(1, waiting.get().len());
        waiting.get_mut().drain(..count).collect()
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<K, Vec<C>>> {
        // The map is whole between any two operations on it.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A call under way. When it is over, also because nobody waits for it any more, the next
/// ones go.
pub(super) struct Trip<B: Bundled> {
    bundled: Arc<B>,
    key: B::Key,
}

impl<B: Bundled> Trip<B> {
    pub(super) fn new(bundled: &Arc<B>, key: &B::Key) -> Self {
        Self {
            bundled: bundled.clone(),
            key: key.clone(),
        }
    }
}

impl<B: Bundled> Drop for Trip<B> {
    fn drop(&mut self) {
        let calls = self.bundled.bundles().next(&self.key, B::how_many);
        if calls.is_empty() {
            return;
        }
        let trip = Self::new(&self.bundled, &self.key);
        self.bundled.link().spawn(async move {
            trip.bundled.send(&trip.key, calls).await;
        });
    }
}
