//! Follows a job: from what is so now to its end, as events, told from the store's
//! news. However many follow, the store is asked only when they begin, when a job
//! changes, and when news were missed.
//!
//! Not here: how events travel (`http`), and how they are shown (`cli`).

mod cursor;
mod event;
mod follower;
mod story;

use std::sync::Arc;

use tokio::sync::Semaphore;

pub use cursor::Cursor;
pub use event::{Event, Line, Standing, Told};
pub use follower::Follower;

use crate::job::{JobId, Namespace};
use crate::store::{Store, StoreError};

/// How many may follow jobs through one host at once. Each holds a connection, a file
/// and 24 KiB (`skep bench`: 5,000 of them, 141 MiB with all else that the host holds):
/// together 200 MiB, and some 16 KiB more for each that does not read what it is told.
const MAX_FOLLOWERS: usize = 8_192;

/// How many look at jobs in the store at once: while thousands wait for one job's end,
/// the store keeps time for the rest, and few logs are in memory as a whole.
const LOOKS_AT_ONCE: usize = 16;

/// Why a job cannot be followed.
#[derive(Debug, thiserror::Error)]
pub enum FollowError {
    /// No such job.
    #[error("there is no job {0}")]
    Unknown(JobId),
    /// As many follow as one host can bear.
    #[error("{MAX_FOLLOWERS} streams of events are open on this host, as many as it bears")]
    Full,
    /// The store did not answer.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// Whoever follows jobs through this process.
pub struct Following {
    store: Arc<dyn Store>,
    followers: Arc<Semaphore>,
    looks: Semaphore,
}

impl Following {
    /// Follows jobs of a store.
    pub fn new(store: Arc<dyn Store>) -> Arc<Self> {
        Arc::new(Self {
            store,
            followers: Arc::new(Semaphore::new(MAX_FOLLOWERS)),
            looks: Semaphore::new(LOOKS_AT_ONCE),
        })
    }

    /// Begins to follow a job: after what was seen before, or from what is so now.
    pub async fn follow(
        self: &Arc<Self>,
        namespace: &Namespace,
        id: JobId,
        seen: Cursor,
    ) -> Result<Follower, FollowError> {
        let place = self.followers.clone().try_acquire_owned();
        let place = place.map_err(|_| FollowError::Full)?;
        Follower::begin(self.clone(), place, namespace, id, seen).await
    }
}
