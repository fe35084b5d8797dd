//! How a namespace's queue stands.

use std::num::NonZeroU32;

use serde::{Deserialize, Serialize};

/// The jobs of a namespace by their state, and totals since the last
/// [`rezero`](super::Store::rezero).
///
/// The totals are exact and durable. As long as nothing was rezeroed or purged,
/// `posted` is the sum of all other numbers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct QueueStatus {
    /// Jobs that wait for a worker.
    pub queued: u64,
    /// Jobs that wait for their time.
    pub scheduled: u64,
    /// Jobs that a host holds and that do not wait for others.
    pub running: u64,
    /// Jobs that a host holds and that wait for others.
    pub parked: u64,
    /// Jobs that a [`hold`](super::Store::hold) keeps for another store.
    pub moving: u64,
    /// Jobs accepted since the last rezero.
    pub posted: u64,
    /// Jobs that succeeded since then.
    pub completed: u64,
    /// Jobs that went to the dead letter since then.
    pub failed: u64,
    /// Jobs that were cancelled since then, or left for another store.
    pub cancelled: u64,
    /// Whether no job is taken.
    pub paused: bool,
    /// How many jobs may run at once; parked ones do not count.
    pub concurrency: Option<NonZeroU32>,
}

impl QueueStatus {
    /// How many jobs wait, for a worker or for their time.
    pub fn waiting(&self) -> u64 {
        self.queued + self.scheduled
    }
}
