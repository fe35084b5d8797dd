//! How many calls may wait and run at once, and how much memory they may hold meanwhile.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use crate::inference::InferError;

/// Calls of one model that wait or run: a thousand sandboxes that ask at once, twice over.
pub const MAX_CALLS_OF_MODEL: u64 = 2048;
/// What these calls hold, in bytes: four of the largest calls that a guest may make, or a full
/// batch of pictures.
pub const MAX_BYTES_OF_MODEL: u64 = 128 << 20;
/// Calls of one namespace: two busy models.
pub const MAX_CALLS_OF_NAMESPACE: u64 = 2 * MAX_CALLS_OF_MODEL;
/// What these calls hold, in bytes: two busy models.
pub const MAX_BYTES_OF_NAMESPACE: u64 = 2 * MAX_BYTES_OF_MODEL;
/// Calls of all namespaces: more than a host can have sandboxes.
pub const MAX_CALLS_OF_LANE: u64 = 16_384;
/// What these calls hold, in bytes: four busy namespaces, and what a small host can spare.
pub const MAX_BYTES_OF_LANE: u64 = 4 * MAX_BYTES_OF_NAMESPACE;

/// What is under way of one model, namespace or lane.
#[derive(Debug)]
pub(super) struct Load {
    whose: &'static str,
    calls: AtomicU64,
    bytes: AtomicU64,
    max_calls: u64,
    max_bytes: u64,
}

impl Load {
    fn new(whose: &'static str, max_calls: u64, max_bytes: u64) -> Arc<Self> {
        Arc::new(Self {
            whose,
            calls: AtomicU64::new(0),
            bytes: AtomicU64::new(0),
            max_calls,
            max_bytes,
        })
    }

    pub(super) fn of_model() -> Arc<Self> {
        Self::new("model", MAX_CALLS_OF_MODEL, MAX_BYTES_OF_MODEL)
    }

    pub(super) fn of_namespace() -> Arc<Self> {
        Self::new("namespace", MAX_CALLS_OF_NAMESPACE, MAX_BYTES_OF_NAMESPACE)
    }

    pub(super) fn of_lane() -> Arc<Self> {
        Self::new("host", MAX_CALLS_OF_LANE, MAX_BYTES_OF_LANE)
    }

    fn take(&self, bytes: u64) -> Result<(), InferError> {
        let calls = self.calls.fetch_add(1, Ordering::Relaxed) + 1;
        let held = self.bytes.fetch_add(bytes, Ordering::Relaxed) + bytes;
        let (whose, max_calls, max_bytes) = (self.whose, self.max_calls, self.max_bytes);
        let full = if calls > max_calls {
            format!("{max_calls} calls of this {whose} are under way")
        } else if held > max_bytes {
            format!("the calls of this {whose} that are under way hold {max_bytes} bytes")
        } else {
            return Ok(());
        };
        self.give(bytes);
        Err(InferError::Busy(format!(
            "{full}, as many as may be: try again later, or let more hosts run these jobs"
        )))
    }

    fn give(&self, bytes: u64) {
        self.calls.fetch_sub(1, Ordering::Relaxed);
        self.bytes.fetch_sub(bytes, Ordering::Relaxed);
    }
}

/// A call's place, until it is dropped.
#[derive(Debug)]
pub(super) struct Place {
    loads: Vec<Arc<Load>>,
    bytes: u64,
}

impl Place {
    /// Takes a place for a call that holds so many bytes, in all of these or in none.
    pub(super) fn take(loads: &[&Arc<Load>], bytes: u64) -> Result<Self, InferError> {
        let mut place = Self {
            loads: Vec::with_capacity(loads.len()),
            bytes,
        };
        for load in loads {
            // Those that were taken are given back where `place` is dropped.
            load.take(bytes)?;
            place.loads.push(Arc::clone(load));
        }
        Ok(place)
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.loads.iter().for_each(|load| load.give(self.bytes));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_full_one_refuses_and_the_others_give_their_places_back() {
        let (small, large) = (Load::new("model", 2, 100), Load::new("host", 10, 100));
        let take = |bytes| Place::take(&[&large, &small], bytes);
        let first = take(60).unwrap();
        let busy = take(41).unwrap_err();
        assert!(matches!(&busy, InferError::Busy(text) if text.contains("100 bytes")));
        let second = take(40).unwrap();
        let busy = take(0).unwrap_err();
        assert!(
            busy.to_string().starts_with("2 calls of this model"),
            "{busy}"
        );
        assert_eq!(large.calls.load(Ordering::Relaxed), 2);
        drop((first, second));
        let empty = |load: &Load| {
            (
                load.calls.load(Ordering::Relaxed),
                load.bytes.load(Ordering::Relaxed),
            ) == (0, 0)
        };
        assert!(empty(&small) && empty(&large));
        take(100).unwrap();
    }
}
