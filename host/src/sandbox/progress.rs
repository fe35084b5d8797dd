//! How far running jobs are, on its way from guests to the store: only the newest
//! word of each job is kept, so that a guest that reports in a tight loop costs
//! one entry.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

use tokio::sync::Notify;

use crate::job::Progress;
use crate::store::Token;

/// Collects progress; a flusher takes it away in batches.
#[derive(Debug, Default)]
pub struct ProgressBoard {
    newest: Mutex<HashMap<Token, Progress>>,
    changed: Notify,
}

impl ProgressBoard {
    /// Replaces what was known of the job.
    pub(super) fn put(&self, token: Token, progress: Progress) {
        self.lock().insert(token, progress);
        self.changed.notify_one();
    }

    /// Waits until something is new and takes all of it.
    pub async fn take(&self) -> Vec<(Token, Progress)> {
        loop {
            self.changed.notified().await;
            let taken = std::mem::take(&mut *self.lock());
            if !taken.is_empty() {
                return taken.into_iter().collect();
            }
        }
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, HashMap<Token, Progress>> {
        // The map is whole between any two operations on it.
        self.newest.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
