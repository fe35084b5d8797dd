//! How a namespace's queue stands.

use std::num::NonZeroU32;

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::job::Namespace;

/// How many of the first jobs of each priority are looked at for the one that has waited
/// longest. Nearly always it is the very first; those that came back from a retry stand
/// before it though they wait for less, and more than this many of them hide it until
/// they are taken.
pub(super) const LOOKED_AT: usize = 8;

/// How many namespaces an [`Overview`] looks at: each costs Redis some ten µs, so that a
/// thousand take it no longer than a few steps of hosts.
pub const MAX_NAMESPACES_SEEN: usize = 1000;

/// The jobs of a namespace by their state, and totals since the last
/// [`rezero`](super::Store::rezero).
///
/// The totals are exact and durable. As long as nothing was rezeroed or purged,
/// `posted` is the sum of all other numbers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
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
    #[schema(value_type = Option<u32>, minimum = 1)]
    pub concurrency: Option<NonZeroU32>,
    /// When the oldest of the queued jobs became due, in ms since the Unix epoch: how
    /// far behind the queue is.
    pub oldest_queued_at_ms: Option<u64>,
}

impl QueueStatus {
    /// How many jobs wait, for a worker or for their time.
    pub fn waiting(&self) -> u64 {
        self.queued + self.scheduled
    }
}

/// How one namespace of a store stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Standing {
    /// Which.
    pub namespace: Namespace,
    /// Its queue.
    pub status: QueueStatus,
    /// How many jobs are in the dead letter, whenever they failed.
    pub dead: u64,
}

/// How a whole store stands.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Overview {
    /// The namespaces, of [`MAX_NAMESPACES_SEEN`] at most.
    pub queues: Vec<Standing>,
    /// How many namespaces there are.
    pub namespaces: u64,
    /// How many hosts hold a lease.
    pub hosts: u64,
    /// What the store's clock shows, in ms since the Unix epoch.
    pub now_ms: u64,
}
