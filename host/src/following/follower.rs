//! One who follows one job.

use std::sync::Arc;

use tokio::sync::OwnedSemaphorePermit;
use tokio::time::sleep;

use super::story::Story;
use super::{Cursor, FollowError, Following, Told};
use crate::job::{JobId, Namespace};
use crate::store::{STORE_PAUSE, StoreError, Watch};

/// Follows one job to its end.
pub struct Follower {
    following: Arc<Following>,
    namespace: Namespace,
    id: JobId,
    watch: Watch,
    story: Story,
    _place: OwnedSemaphorePermit,
}

impl Follower {
    pub(super) async fn begin(
        following: Arc<Following>,
        place: OwnedSemaphorePermit,
        namespace: &Namespace,
        id: JobId,
        seen: Cursor,
    ) -> Result<Self, FollowError> {
        // Watch first, then look: what happens in between is news.
        let watch = following.store.watch(namespace, id).await?;
        let mut follower = Self {
            following,
            namespace: namespace.clone(),
            id,
            watch,
            story: Story::after(seen),
            _place: place,
        };
        match follower.look().await? {
            true => Ok(follower),
            false => Err(FollowError::Unknown(id)),
        }
    }

    /// Whether the job has ended, and all of it was seen before.
    pub fn has_seen_all(&self) -> bool {
        self.story.is_told()
    }

    /// The next event, when it happens; `None` after the last one, and when the job is
    /// gone.
    pub async fn next(&mut self) -> Option<Told> {
        loop {
            if let Some(told) = self.story.pop() {
                return Some(told);
            }
            if self.story.over {
                return None;
            }
            if !self.story.look {
                let news = self.watch.next().await;
                self.story.hear(news);
                continue;
            }
            match self.look().await {
                Ok(found) => self.story.over |= !found,
                Err(error) => {
                    tracing::debug!(%error, "a followed job could not be looked at");
                    // Not sent away: a browser that is refused does not come back.
                    sleep(STORE_PAUSE).await;
                }
            }
        }
    }

    /// Asks the store what is so; answers whether there is such a job.
    async fn look(&mut self) -> Result<bool, StoreError> {
        let following = self.following.clone();
        let store = &following.store;
        // Never closed.
        let _turn = following.looks.acquire().await;
        // The record first: once it says that the job has ended, the log is whole.
        let Some(record) = store.job(&self.namespace, self.id).await? else {
            return Ok(false);
        };
        let log = store.log(&self.namespace, self.id).await?;
        self.story.tell(&record, &log);
        Ok(true)
    }
}
