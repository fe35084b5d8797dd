//! How much memory the models of this host take, and whose they are.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::job::Namespace;

/// What is reserved of the memory for models.
#[derive(Debug)]
pub(super) struct Ledger {
    total: u64,
    held: Mutex<HashMap<Namespace, u64>>,
}

/// Memory that a model takes, until this is dropped.
#[derive(Debug)]
pub(super) struct Reserved {
    ledger: Arc<Ledger>,
    namespace: Namespace,
    bytes: u64,
}

impl Ledger {
    /// Memory for models, in bytes, none of which is taken.
    pub(super) fn new(total: u64) -> Arc<Self> {
        Arc::new(Self {
            total,
            held: Mutex::default(),
        })
    }

    /// How much there is in all.
    pub(super) fn total(&self) -> u64 {
        self.total
    }

    /// How much is free.
    pub(super) fn free(&self) -> u64 {
        let held: u64 = self.lock().values().sum();
        self.total.saturating_sub(held)
    }

    /// How much a namespace has.
    pub(super) fn of(&self, namespace: &Namespace) -> u64 {
        self.lock().get(namespace).copied().unwrap_or_default()
    }

    /// Takes so much for a model, if it is there.
    pub(super) fn reserve(self: &Arc<Self>, namespace: &Namespace, bytes: u64) -> Option<Reserved> {
        let mut held = self.lock();
        let all: u64 = held.values().sum();
        if bytes > self.total.saturating_sub(all) {
            return None;
        }
        *held.entry(namespace.clone()).or_default() += bytes;
        Some(Reserved {
            ledger: self.clone(),
            namespace: namespace.clone(),
            bytes,
        })
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<Namespace, u64>> {
        // The map is whole between any two operations on it.
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Reserved {
    /// How much it is.
    pub(super) fn bytes(&self) -> u64 {
        self.bytes
    }
}

impl Drop for Reserved {
    fn drop(&mut self) {
        let mut held = self.ledger.lock();
        if let Some(bytes) = held.get_mut(&self.namespace) {
            *bytes = bytes.saturating_sub(self.bytes);
            if *bytes == 0 {
                held.remove(&self.namespace);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_reserved_is_gone_until_it_is_given_back() {
        let ledger = Ledger::new(100);
        let (a, b) = ("a".parse().unwrap(), "b".parse().unwrap());
        let first = ledger.reserve(&a, 60).unwrap();
        assert!(ledger.reserve(&b, 41).is_none());
        let second = ledger.reserve(&b, 40).unwrap();
        assert_eq!((ledger.of(&a), ledger.of(&b)), (60, 40));
        drop(first);
        assert!(ledger.reserve(&b, 61).is_none());
        assert_eq!(ledger.reserve(&b, 60).unwrap().bytes(), 60);
        drop(second);
        assert_eq!((ledger.of(&a), ledger.of(&b)), (0, 0));
        assert!(ledger.lock().is_empty());
    }
}
