//! Posts that meet on their way to Redis go there together: see [`bundle`](super::bundle).
//!
//! Not here: posts of jobs that have a parent (they stand and fall with it), and large
//! ones, which have nothing to gain.

use std::sync::Arc;

use tokio::sync::oneshot;

use crate::job::{JobId, Namespace, NewJob};
use crate::store::{Result, StoreError};

use super::bundle::{Bundled, Bundles, Trip};
use super::link::{Link, same};
use super::shared::Shared;
use super::submit::accept_all;

/// What is larger goes alone: a call already costs little beside so many jobs or bytes.
const SMALL_JOBS: usize = 64;
/// See [`SMALL_JOBS`].
const SMALL_BYTES: usize = 64 << 10;

/// The most jobs and bytes of one call: an ordinary batch.
const MOST_JOBS: usize = 1_000;
/// See [`MOST_JOBS`].
const MOST_BYTES: usize = 1 << 20;

/// A post that waits for its turn.
pub(super) struct Post {
    jobs: Vec<NewJob>,
    bytes: usize,
    answer: oneshot::Sender<Result<Vec<JobId>>>,
}

/// See the module.
pub(super) struct Gatherer {
    link: Arc<Link>,
    shared: Arc<Shared>,
    waiting: Bundles<Namespace, Post>,
}

impl Gatherer {
    /// Nothing is under way.
    pub(super) fn new(link: Arc<Link>, shared: Arc<Shared>) -> Self {
        Self {
            link,
            shared,
            waiting: Bundles::default(),
        }
    }

    /// Accepts jobs, in order, all or none; with those of others, if there are any.
    pub(super) async fn accept(
        self: &Arc<Self>,
        namespace: &Namespace,
        jobs: Vec<NewJob>,
    ) -> Result<Vec<JobId>> {
        let bytes = jobs.iter().map(|job| job.message.data.len()).sum();
        let in_tree = |job: &NewJob| job.parent.is_some() || job.root.is_some();
        if jobs.iter().any(in_tree) || jobs.len() > SMALL_JOBS || bytes > SMALL_BYTES {
            return accept_all(&self.link, &self.shared, namespace, &jobs).await;
        }
        let (answer, answered) = oneshot::channel();
        let post = Post {
            jobs,
            bytes,
            answer,
        };
        if let Some(post) = self.waiting.enter(namespace, post) {
            let _trip = Trip::new(self, namespace);
            return accept_all(&self.link, &self.shared, namespace, &post.jobs).await;
        }
        let gone = |_| StoreError::Unavailable("skep gave up a post on its way".to_owned());
        answered.await.map_err(gone)?
    }
}

impl Bundled for Gatherer {
    type Key = Namespace;
    type Call = Post;

    fn bundles(&self) -> &Bundles<Namespace, Post> {
        &self.waiting
    }

    fn link(&self) -> &Link {
        &self.link
    }

    fn how_many(posts: &[Post]) -> usize {
        let (mut jobs, mut bytes) = (0, 0);
        let fits = |post: &&Post| {
            jobs += post.jobs.len();
            bytes += post.bytes;
            jobs <= MOST_JOBS && bytes <= MOST_BYTES
        };
        posts.iter().take_while(fits).count()
    }

    async fn send(&self, namespace: &Namespace, posts: Vec<Post>) {
        let mut jobs = Vec::new();
        let mut waiting = Vec::with_capacity(posts.len());
        for post in posts {
            waiting.push((post.jobs.len(), post.answer));
            jobs.extend(post.jobs);
        }
        let accepted = accept_all(&self.link, &self.shared, namespace, &jobs).await;
        let mut ids = accepted.as_deref().unwrap_or_default();
        let mut jobs = jobs.as_slice();
        for (count, answer) in waiting {
            let (its_jobs, others) = jobs.split_at_checked(count).unwrap_or_default();
            jobs = others;
            let told = match (&accepted, ids.split_at_checked(count)) {
                // One of them is to be refused, and only that one.
                (Err(StoreError::KeyReused(_)), _) => {
                    accept_all(&self.link, &self.shared, namespace, its_jobs).await
                }
                (Err(error), _) => Err(same(error)),
                (Ok(_), Some((its, rest))) => {
                    ids = rest;
                    Ok(its.to_vec())
                }
                (Ok(_), None) => Err(StoreError::Unreadable("Redis answered too few ids".into())),
            };
            // Whoever does not wait any more does not want to know.
            drop(answer.send(told));
        }
    }
}
