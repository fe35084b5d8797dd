//! Jobs that wait for other jobs, and what those came to.

use futures_util::future::BoxFuture;

use super::Result;
use crate::job::{Cause, JobId, Output};

/// The answer of [`Store::park`](super::Store::park).
pub enum Parked {
    /// Nothing is to be waited for: each of the jobs has ended or does not exist.
    Ended,
    /// They would wait for each other for ever: the jobs from the one that asked to the
    /// one that waits for it, each waiting for the next.
    Cycle(Vec<JobId>),
    /// The job is parked. The future resolves once all of the jobs have ended; it may
    /// be dropped.
    Waiting(BoxFuture<'static, Result<()>>),
}

impl std::fmt::Debug for Parked {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Ended => f.write_str("Ended"),
            Self::Cycle(jobs) => f.debug_tuple("Cycle").field(jobs).finish(),
            Self::Waiting(_) => f.write_str("Waiting"),
        }
    }
}

/// What became of a job.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// There is no such job.
    Unknown,
    /// It has not ended.
    Open,
    /// It succeeded.
    Completed(Output),
    /// It succeeded, and its result was kept as long as its poster asked.
    Expired,
    /// It is in the dead letter.
    Failed(Cause),
    /// Somebody cancelled it, or it went to another store.
    Cancelled,
}
