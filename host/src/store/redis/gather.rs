//! Posts that meet on their way to Redis go there together. A post that finds none under
//! way goes at once; those that come while it is away go as one when it is back. So a
//! lone post takes no longer, and of sixty-four at once each costs a fraction of a call.
//!
//! Not here: posts of jobs that have a parent (they stand and fall with it), and large
//! ones, which have nothing to gain.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::oneshot;

use crate::job::{JobId, Namespace, NewJob};
use crate::store::{Result, StoreError};

use super::link::{Link, same};
use super::submit::accept_all;

/// What is larger goes alone: a call already costs little beside so many jobs or bytes.
const SMALL_JOBS: usize = 64;
/// See [`SMALL_JOBS`].
const SMALL_BYTES: usize = 64 << 10;

/// The most jobs and bytes of one call, so that what others want of Redis does not wait
/// longer than for an ordinary batch.
const MOST_JOBS: usize = 1_000;
/// See [`MOST_JOBS`].
const MOST_BYTES: usize = 1 << 20;

/// A post that waits for its turn.
struct Post {
    jobs: Vec<NewJob>,
    bytes: usize,
    answer: oneshot::Sender<Result<Vec<JobId>>>,
}

/// See the module.
pub(super) struct Gatherer {
    link: Arc<Link>,
    /// What waits in each namespace that has a call under way. With two at once, each was
    /// half as large, and a post cost Redis half as much again.
    waiting: Mutex<HashMap<Namespace, Vec<Post>>>,
}

impl Gatherer {
    /// Nothing is under way.
    pub(super) fn new(link: Arc<Link>) -> Self {
        Self {
            link,
            waiting: Mutex::default(),
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
            return accept_all(&self.link, namespace, &jobs).await;
        }
        let (answer, answered) = oneshot::channel();
        let goes = match self.waiting().entry(namespace.clone()) {
            Entry::Vacant(idle) => {
                idle.insert(Vec::new());
                Some(jobs)
            }
            Entry::Occupied(mut waiting) => {
                waiting.get_mut().push(Post {
                    jobs,
                    bytes,
                    answer,
                });
                None
            }
        };
        if let Some(jobs) = goes {
            let _trip = Trip::new(self, namespace);
            return accept_all(&self.link, namespace, &jobs).await;
        }
        let gone = |_| StoreError::Unavailable("skep gave up a post on its way".to_owned());
        answered.await.map_err(gone)?
    }

    fn waiting(&self) -> MutexGuard<'_, HashMap<Namespace, Vec<Post>>> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What goes next; if there is nothing, none is under way any more.
    fn next(&self, namespace: &Namespace) -> Vec<Post> {
        let mut all = self.waiting();
        let Entry::Occupied(mut waiting) = all.entry(namespace.clone()) else {
            return Vec::new();
        };
        let (mut jobs, mut bytes) = (0, 0);
        let fits = |post: &&Post| {
            jobs += post.jobs.len();
            bytes += post.bytes;
            jobs <= MOST_JOBS && bytes <= MOST_BYTES
        };
        let count = waiting.get().iter().take_while(fits).count();
        if count == 0 {
            waiting.remove();
            return Vec::new();
        }
        waiting.get_mut().drain(..count).collect()
    }

    /// Sends posts as one, and tells each what became of it.
    async fn send(self: Arc<Self>, namespace: Namespace, posts: Vec<Post>) {
        let _trip = Trip::new(&self, &namespace);
        let mut jobs = Vec::new();
        let mut waiting = Vec::with_capacity(posts.len());
        for post in posts {
            waiting.push((post.jobs.len(), post.answer));
            jobs.extend(post.jobs);
        }
        let accepted = accept_all(&self.link, &namespace, &jobs).await;
        let mut ids = accepted.as_deref().unwrap_or_default();
        let mut jobs = jobs.as_slice();
        for (count, answer) in waiting {
            let (its_jobs, others) = jobs.split_at_checked(count).unwrap_or_default();
            jobs = others;
            let told = match (&accepted, ids.split_at_checked(count)) {
                // One of them is to be refused, and only that one.
                (Err(StoreError::KeyReused(_)), _) => {
                    accept_all(&self.link, &namespace, its_jobs).await
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

/// A call under way. When it is over, also because nobody waits for it any more, the next
/// one goes.
struct Trip {
    gatherer: Arc<Gatherer>,
    namespace: Namespace,
}

impl Trip {
    fn new(gatherer: &Arc<Gatherer>, namespace: &Namespace) -> Self {
        Self {
            gatherer: gatherer.clone(),
            namespace: namespace.clone(),
        }
    }
}

impl Drop for Trip {
    fn drop(&mut self) {
        let posts = self.gatherer.next(&self.namespace);
        if !posts.is_empty() {
            let sending = self.gatherer.clone().send(self.namespace.clone(), posts);
            self.gatherer.link.spawn(sending);
        }
    }
}
