//! What a person may do with jobs that have ended without success.

/// How many attempts a job that is to run again may have behind it: the record keeps all
/// of them, each with a cause of up to 4 KiB, and is read as a whole.
pub const MAX_ATTEMPTS_BEFORE_RETRY: usize = 1_000;

/// Which jobs [`retry`](super::Store::retry) lets run again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Retriable {
    /// Those that failed.
    Failed,
    /// Those that failed or were cancelled.
    FailedOrCancelled,
}

/// What came of a wish to let a job run again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Retried {
    /// It waits for a worker.
    Done,
    /// No such job.
    Unknown,
    /// It waits or runs as it is.
    NotEnded,
    /// It has completed: there is nothing to make good.
    Completed,
    /// Somebody cancelled it, and only those that failed were asked for.
    Cancelled,
    /// It went to another store, and may run there.
    Moved,
    /// It has [`MAX_ATTEMPTS_BEFORE_RETRY`] attempts behind it.
    TooOften,
}
