//! The models that are loaded on this host, or are being loaded: which of them there are, and
//! which have to go when memory is short.
//!
//! A model that somebody holds goes on until they let go of it, whatever happens here. Not here:
//! how one is loaded (`loading`).

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use futures_util::future::{BoxFuture, Shared};

use super::InferError;
use super::loading::Loaded;
use super::memory::{Ledger, Reserved};
use crate::job::{ModelName, Namespace};
use crate::store::Model;

/// How long a load that failed is not tried again: somebody may call thousands of times a
/// second a model that cannot be loaded.
const FAILED_FOR: Duration = Duration::from_secs(5);

/// How long a model has to have been idle before another namespace's may take its memory. A
/// busy one is idle between any two calls, and two tenants who both need all of the memory
/// would load all the time and run nothing.
const IDLE_FOR_OTHERS: Duration = Duration::from_secs(10);

/// A model being loaded; many may wait for it.
pub(super) type Loading = Shared<BoxFuture<'static, Result<Arc<Loaded>, Failed>>>;

/// Why one could not be loaded, and when that was.
#[derive(Clone, Debug)]
pub(super) struct Failed {
    pub(super) error: InferError,
    pub(super) at: Instant,
}

/// The models of this host.
pub(super) struct Registry {
    entries: Mutex<HashMap<Key, Entry>>,
    ledger: Arc<Ledger>,
}

type Key = (Namespace, ModelName);

struct Entry {
    version: u32,
    loading: Loading,
    used: Instant,
}

impl Entry {
    /// The model, if it is loaded.
    fn loaded(&self) -> Option<&Arc<Loaded>> {
        self.loading.peek().and_then(|loaded| loaded.as_ref().ok())
    }

    /// Whether nobody calls it, or waits for it to be loaded.
    fn is_idle(&self) -> bool {
        self.loaded()
            .is_some_and(|loaded| Arc::strong_count(loaded) == 1)
    }

    fn has_failed_before(&self, now: Instant) -> bool {
        let failed = self.loading.peek().and_then(|loaded| loaded.as_ref().err());
        failed.is_some_and(|failed| now.saturating_duration_since(failed.at) >= FAILED_FOR)
    }

    /// How long nobody has asked for it.
    fn unused(&self, now: Instant) -> Duration {
        now.saturating_duration_since(self.used)
    }
}

impl Registry {
    /// A registry with so much memory for models, in bytes.
    pub(super) fn new(memory_bytes: u64) -> Self {
        Self {
            entries: Mutex::default(),
            ledger: Ledger::new(memory_bytes),
        }
    }

    /// A version of a model, which is to be loaded with `begin` if it is not; it is the newest
    /// from now on.
    pub(super) fn get(
        &self,
        namespace: &Namespace,
        model: &Model,
        now: Instant,
        begin: impl FnOnce() -> Loading,
    ) -> Loading {
        let key = (namespace.clone(), model.name.clone());
        let mut entries = self.lock();
        if let Some(entry) = entries.get_mut(&key)
            && entry.version == model.version
            && !entry.has_failed_before(now)
        {
            entry.used = now;
            return entry.loading.clone();
        }
        let loading = begin();
        let entry = Entry {
            version: model.version,
            loading: loading.clone(),
            used: now,
        };
        let before = entries.insert(key, entry);
        drop(entries);
        // To free a model takes a while.
        drop(before);
        loading
    }

    /// A model that is loaded.
    pub(super) fn peek(&self, namespace: &Namespace, model: &Model) -> Option<Arc<Loaded>> {
        let entries = self.lock();
        let entry = entries.get(&(namespace.clone(), model.name.clone()))?;
        let loaded = (entry.version == model.version).then(|| entry.loaded())?;
        loaded.cloned()
    }

    /// Lets go of a model that is to be loaded anew; answers whether it was still the one.
    pub(super) fn lose(&self, lost: &Arc<Loaded>) -> bool {
        let mut entries = self.lock();
        let is_it = |entry: &Entry| entry.loaded().is_some_and(|one| Arc::ptr_eq(one, lost));
        let gone = entries.extract_if(|_, entry| is_it(entry));
        let gone: Vec<_> = gone.collect();
        drop(entries);
        !gone.is_empty()
    }

    /// Lets go of the models of a namespace that `keep` does not know.
    pub(super) fn retain(&self, namespace: &Namespace, keep: impl Fn(&ModelName, u32) -> bool) {
        let mut entries = self.lock();
        let gone = entries
            .extract_if(|(space, name), entry| space == namespace && !keep(name, entry.version));
        let gone: Vec<_> = gone.collect();
        drop(entries);
        drop(gone);
    }

    /// The namespaces that have models here.
    pub(super) fn namespaces(&self) -> Vec<Namespace> {
        let entries = self.lock();
        let mut all: Vec<_> = entries.keys().map(|(space, _)| space.clone()).collect();
        all.sort();
        all.dedup();
        all
    }

    /// The models that are loaded.
    pub(super) fn loaded(&self) -> Vec<Arc<Loaded>> {
        self.lock()
            .values()
            .filter_map(Entry::loaded)
            .cloned()
            .collect()
    }

    /// Whether so much memory is free.
    pub(super) fn has_room(&self, bytes: u64) -> bool {
        self.ledger.free() >= bytes
    }

    /// Takes memory for a model; others that are idle make room.
    pub(super) fn reserve(
        &self,
        namespace: &Namespace,
        bytes: u64,
        now: Instant,
    ) -> Result<Reserved, InferError> {
        let total = self.ledger.total();
        if bytes > total {
            return Err(InferError::Engine(format!(
                "the model takes some {} MiB, and this host has {} for models; whoever runs it may raise --model-memory",
                bytes >> 20,
                total >> 20
            )));
        }
        loop {
            if let Some(reserved) = self.ledger.reserve(namespace, bytes) {
                return Ok(reserved);
            }
            let Some(victim) = self.evict(namespace, bytes, now) else {
                return Err(InferError::Busy(format!(
                    "the models in use leave no {} MiB of the {} that this host has for models: try again later; whoever runs it may raise --model-memory",
                    bytes >> 20,
                    total >> 20
                )));
            };
            drop(victim);
        }
    }

    /// Takes out the model that is missed least, for one of `namespace` of so many bytes.
    fn evict(&self, namespace: &Namespace, bytes: u64, now: Instant) -> Option<Entry> {
        let mut entries = self.lock();
        let may_go = |(space, _): &Key, entry: &Entry| {
            let is_own = space == namespace;
            entry.is_idle() && (is_own || entry.unused(now) >= IDLE_FOR_OTHERS)
        };
        // Who has most gives way, so that a tenant with many models drives out its own.
        let holds = |space: &Namespace| {
            let more = if space == namespace { bytes } else { 0 };
            self.ledger.of(space).saturating_add(more)
        };
        let least = entries
            .iter()
            .filter(|(key, entry)| may_go(key, entry))
            .max_by_key(|((space, _), entry)| (holds(space), entry.unused(now)));
        let key = least.map(|(key, _)| key.clone())?;
        entries.remove(&key)
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<Key, Entry>> {
        // The map is whole between any two operations on it.
        self.entries.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests;
