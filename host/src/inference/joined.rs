//! The models that one sandbox has called and may call again: their batches may wait for it.

use std::sync::{Arc, Weak};

use super::batcher::Joiner;
use super::loading::Loaded;

/// How many are remembered of a sandbox: more than a handler has use for.
const MAX_JOINED: usize = 16;

/// The models that a sandbox has called.
#[derive(Debug, Default)]
pub struct Joined(Vec<(Weak<Loaded>, Joiner)>);

impl Joined {
    /// The sandbox calls this model.
    pub(super) fn join(&mut self, model: &Arc<Loaded>) {
        let is_it = |one: &Weak<Loaded>| std::ptr::eq(one.as_ptr(), Arc::as_ptr(model));
        if self.0.iter().any(|(one, _)| is_it(one)) {
            return;
        }
        // Those that were unloaded, and the one that was called first.
        self.0.retain(|(one, _)| one.strong_count() > 0);
        if self.0.len() >= MAX_JOINED {
            self.0.remove(0);
        }
        self.0.push((Arc::downgrade(model), model.queue.enter()));
    }
}
