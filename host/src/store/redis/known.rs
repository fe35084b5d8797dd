//! What every host knows of each namespace as long as nobody changes it: its functions, and
//! its models. A change is told as an event, with the version of the whole.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::job::Namespace;

/// Which version of the whole is the newest heard of, and the whole, if that version has
/// been read.
pub(super) struct Version<T> {
    number: u64,
    whole: Option<Arc<T>>,
}

/// See the module.
pub(super) struct Known<T>(Mutex<HashMap<Namespace, Version<T>>>);

impl<T> Default for Known<T> {
    fn default() -> Self {
        Self(Mutex::default())
    }
}

impl<T> Known<T> {
    /// No thread panics while it holds this lock; if one did, the data would be whole.
    pub(super) fn lock(&self) -> MutexGuard<'_, HashMap<Namespace, Version<T>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What is known of a namespace.
    pub(super) fn get(&self, namespace: &Namespace) -> Option<Arc<T>> {
        let all = self.lock();
        all.get(namespace).and_then(|known| known.whole.clone())
    }

    /// Notes what was read, unless a newer version was heard of, or it is not `still` so
    /// that none can have been missed.
    pub(super) fn know(
        &self,
        namespace: &Namespace,
        number: u64,
        whole: &Arc<T>,
        still: impl FnOnce() -> bool,
    ) {
        let mut all = self.lock();
        let newer = (all.get(namespace)).is_some_and(|known| known.number > number);
        if !newer && still() {
            let whole = Some(whole.clone());
            all.insert(namespace.clone(), Version { number, whole });
        }
    }

    /// Notes that what there is of a namespace is of that version now.
    pub(super) fn outdate(&self, namespace: &Namespace, number: u64) {
        let mut all = self.lock();
        if (all.get(namespace)).is_none_or(|known| known.number < number) {
            let whole = None;
            all.insert(namespace.clone(), Version { number, whole });
        }
    }
}
