//! How many callbacks are under way at once: in all, for one tenant and to one
//! receiver, so that none of them holds up the others.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::Notify;

use crate::job::Namespace;

/// In all: each has a connection, and a thread while its name is looked up.
const AT_ONCE: usize = 64;

/// For one tenant, who may have named any number of receivers that hang.
const PER_NAMESPACE: usize = 32;

/// To one host and port: few enough for a small receiver, and enough for hundreds a
/// second to one that answers in a few ms.
const PER_RECEIVER: usize = 8;

/// Host and port of a receiver.
pub(super) type Receiver = String;

/// The bounds, and who is within them.
#[derive(Default)]
pub(super) struct Slots {
    taken: Mutex<Taken>,
    freed: Notify,
}

#[derive(Default)]
struct Taken {
    all: usize,
    namespaces: HashMap<Namespace, usize>,
    receivers: HashMap<Receiver, usize>,
}

/// The right to be under way. Kept until the last thing that a try has begun is done:
/// a lookup cannot be stopped, and goes on when the try has been given up.
#[derive(Clone)]
pub(super) struct Slot(#[allow(dead_code, reason = "it is there to be dropped")] Arc<Held>);

struct Held {
    slots: Arc<Slots>,
    namespace: Namespace,
    receiver: Receiver,
}

impl Slots {
    /// A slot, if there is one now.
    pub(super) fn take(
        self: &Arc<Self>,
        namespace: &Namespace,
        receiver: &Receiver,
    ) -> Option<Slot> {
        let mut taken = self.taken();
        let of_namespace = taken.namespaces.get(namespace).copied().unwrap_or(0);
        let of_receiver = taken.receivers.get(receiver).copied().unwrap_or(0);
        if taken.all >= AT_ONCE || of_namespace >= PER_NAMESPACE || of_receiver >= PER_RECEIVER {
            return None;
        }
        taken.all += 1;
        taken.namespaces.insert(namespace.clone(), of_namespace + 1);
        taken.receivers.insert(receiver.clone(), of_receiver + 1);
        Some(Slot(Arc::new(Held {
            slots: self.clone(),
            namespace: namespace.clone(),
            receiver: receiver.clone(),
        })))
    }

    /// Resolves when a slot has become free since it resolved last.
    pub(super) async fn freed(&self) {
        self.freed.notified().await;
    }

    fn taken(&self) -> std::sync::MutexGuard<'_, Taken> {
        self.taken.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        let mut taken = self.slots.taken();
        taken.all = taken.all.saturating_sub(1);
        give_back(&mut taken.namespaces, &self.namespace);
        give_back(&mut taken.receivers, &self.receiver);
        drop(taken);
        self.slots.freed.notify_one();
    }
}

/// What nobody holds is forgotten: names of receivers come from strangers.
fn give_back<K: std::hash::Hash + Eq>(counts: &mut HashMap<K, usize>, key: &K) {
    if let Some(count) = counts.get_mut(key) {
        *count = count.saturating_sub(1);
        if *count == 0 {
            counts.remove(key);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nobody_takes_all() {
        let slots = Arc::new(Slots::default());
        let (one, two): (Namespace, Namespace) = ("one".parse().unwrap(), "two".parse().unwrap());
        let take = |namespace, receiver: usize| slots.take(namespace, &receiver.to_string());
        let mut held: Vec<_> = (0..PER_RECEIVER).map(|_| take(&one, 0).unwrap()).collect();
        assert!(take(&one, 0).is_none() && take(&two, 0).is_none());
        held.extend((PER_RECEIVER..PER_NAMESPACE).map(|n| take(&one, n).unwrap()));
        assert!(take(&one, 99).is_none());
        held.extend((PER_NAMESPACE..AT_ONCE).map(|n| take(&two, n).unwrap()));
        let three = "three".parse().unwrap();
        assert!(take(&three, 99).is_none());
        let last = held.pop().unwrap();
        let kept_by_its_lookup = last.clone();
        drop(last);
        assert!(take(&two, 99).is_none());
        drop(kept_by_its_lookup);
        assert!(take(&two, 99).is_some());
        held.clear();
        let taken = slots.taken();
        assert_eq!(
            (taken.all, taken.namespaces.len(), taken.receivers.len()),
            (0, 0, 0)
        );
    }
}
