//! What a store answers when it does not do what it was asked for.

use crate::job::{Digest, JobId};

/// What a store can answer instead of the thing asked for.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// The store cannot be reached or does not work now. Nothing was accepted.
    #[error("the store is unavailable: {0}")]
    Unavailable(String),
    /// The store was reached and may not be used: a wrong password, a version that is
    /// too old, an address that is none. Nothing was accepted.
    #[error("{0}")]
    Refused(String),
    /// The store has no room. Nothing was accepted.
    #[error("the store is full: {0}")]
    Full(String),
    /// The host's lease ran out and its jobs were given away; it must register
    /// anew.
    #[error("this host's lease has ended; its jobs were given to others")]
    LeaseLost,
    /// The job that posts was cancelled or has ended. Nothing was accepted.
    #[error("job {0} was cancelled or has ended, and posts no more")]
    ParentOver(JobId),
    /// The tree would have more jobs than it may. Nothing was accepted.
    #[error(
        "the tree of job {root} has {jobs} jobs, and {limit} are allowed (the limit `tree_jobs`); a handler that posts itself without end looks like this"
    )]
    TreeFull {
        /// Its root.
        root: JobId,
        /// How many jobs it has had.
        jobs: u64,
        /// How many it may have.
        limit: u64,
    },
    /// Posts have idempotency keys of jobs with other functions or another message: these
    /// posts. Nothing was accepted.
    #[error("{}", shown(.0))]
    KeyReused(Vec<Reused>),
    /// The namespace has as many models as it may, or too many bytes of them. Nothing was
    /// accepted. The text says which, and what to do.
    #[error("{0}")]
    TooManyModels(String),
    /// The content that a model names is not there, or no more. Nothing was accepted.
    #[error("the store has no content {0}: upload it again")]
    NoBlob(Digest),
    /// The store holds something that this version cannot read. It is left
    /// untouched.
    #[error("the store holds a record that this version of skep cannot read: {0}")]
    Unreadable(String),
    /// Another process has the directory open.
    #[error(
        "{0} is in use by another skep process; stop that one, or give this one a directory of its own with --store embedded:DIR"
    )]
    InUse(String),
}

/// A post under the idempotency key of another job.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "the idempotency key {key:?} is that of {}, which has other functions or another message; give this one a key of its own, or repeat that one as it was sent, byte for byte",
    named(*.first)
)]
pub struct Reused {
    /// Its place in the call, from 0.
    pub place: usize,
    /// The key.
    pub key: String,
    /// The job that has the key; `None` if that is a post of the same call.
    pub first: Option<JobId>,
}

fn named(first: Option<JobId>) -> String {
    match first {
        Some(id) => format!("job {id}"),
        None => "another job of this call".to_owned(),
    }
}

/// One says it for all of them.
fn shown(reused: &[Reused]) -> String {
    reused.first().map_or_else(String::new, ToString::to_string)
}

/// The answer of a store.
pub type Result<T, E = StoreError> = std::result::Result<T, E>;
