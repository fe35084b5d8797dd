//! What travels when jobs move from one store to another.
//!
//! A move is three calls that each can be repeated: the source
//! [`hold`](super::Store::hold)s jobs, the destination accepts them
//! ([`deliver`](super::Store::deliver)) and remembers where they came from, and
//! the source lets go of them ([`let_go`](super::Store::let_go)). Whatever a
//! crash has cut off is made up for by doing it all again.

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::job::{AttemptRecord, JobId, Namespace, NewJob};

/// The most bytes of messages in one answer of [`hold`](super::Store::hold) or
/// [`peek`](super::Store::peek), unless a single job has more: a batch is in memory
/// on both sides.
pub const MAX_PARCELS_BYTES: usize = 8 << 20;

/// Where a job came from. The same job always has the same origin, and no other
/// job has it.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Origin {
    /// The store that it was in.
    pub store: Uuid,
    /// Its namespace there.
    pub namespace: Namespace,
    /// Its id there.
    pub id: JobId,
    /// When it was accepted there, in ms since the Unix epoch: a store and its
    /// restored backup have one id, and may give the same number to two jobs.
    pub posted_at_ms: u64,
}

/// A job on its way to another store.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Parcel {
    /// Where it came from.
    pub origin: Origin,
    /// The job; its delay is what remains of it. Its parent and its root, whose ids mean
    /// nothing elsewhere, are left behind: it is the root of its own tree there.
    pub job: NewJob,
    /// The attempts that it has behind it, oldest first.
    pub attempts: Vec<AttemptRecord>,
}

/// Names the move from one store to another: the same for every run of it, so that
/// a run goes on where a killed one stopped.
pub fn mover(source: Uuid, destination: Uuid) -> Uuid {
    Uuid::new_v5(&source, destination.as_bytes())
}
