//! What happens to a job while somebody watches: told once to each process, and
//! fanned out there.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::broadcast;
use tokio::sync::broadcast::error::RecvError;

use crate::job::{JobId, LogLine, Namespace, Progress, State};

/// How much news a watcher may be behind before it must look again: a second of a
/// job that reports as often as it may.
const BACKLOG: usize = 32;

/// What a running job has to say since its last report.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Report {
    /// How far it is, if that changed.
    pub progress: Option<Progress>,
    /// What it logged since.
    pub log: Vec<LogLine>,
}

/// Something that happened to a job.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum News {
    /// It began to run, was parked, goes on, or waits again.
    State {
        /// The attempt that it is in, or was in last.
        attempt: u32,
        /// What it does now.
        state: State,
    },
    /// It is this far.
    Progress {
        /// In this attempt.
        attempt: u32,
        /// How far.
        progress: Progress,
    },
    /// It logged something.
    Log {
        /// In this attempt.
        attempt: u32,
        /// How many lines of the attempt came before.
        first: usize,
        /// The lines.
        lines: Arc<[LogLine]>,
    },
    /// It has ended; its record says how.
    Ended,
    /// Something may have been missed: look at the job again.
    Missed,
}

type Channels = HashMap<(Namespace, JobId), broadcast::Sender<News>>;

/// Who watches what in this process.
#[derive(Debug, Default)]
pub(in crate::store) struct Newsroom {
    channels: Mutex<Channels>,
}

impl Newsroom {
    /// Begins to watch a job.
    pub(in crate::store) fn subscribe(self: &Arc<Self>, namespace: &Namespace, id: JobId) -> Watch {
        let job = (namespace.clone(), id);
        let mut channels = self.lock();
        let channel = channels
            .entry(job.clone())
            .or_insert_with(|| broadcast::channel(BACKLOG).0);
        Watch {
            news: channel.subscribe(),
            newsroom: self.clone(),
            job,
        }
    }

    /// Whether nobody watches anything.
    pub(in crate::store) fn is_empty(&self) -> bool {
        self.lock().is_empty()
    }

    /// What is watched.
    pub(in crate::store) fn watched(&self) -> Vec<(Namespace, JobId)> {
        self.lock().keys().cloned().collect()
    }

    /// Whether somebody watches a job.
    pub(in crate::store) fn is_watched(&self, namespace: &Namespace, id: JobId) -> bool {
        let channels = self.lock();
        !channels.is_empty() && channels.contains_key(&(namespace.clone(), id))
    }

    /// Tells whoever watches a job.
    pub(in crate::store) fn tell(&self, namespace: &Namespace, id: JobId, news: News) {
        let channels = self.lock();
        if channels.is_empty() {
            return;
        }
        if let Some(channel) = channels.get(&(namespace.clone(), id)) {
            // The last watcher may have gone a moment ago.
            let _ = channel.send(news);
        }
    }

    /// Tells everybody that something may have been missed.
    pub(in crate::store) fn missed(&self) {
        for channel in self.lock().values() {
            let _ = channel.send(News::Missed);
        }
    }

    fn lock(&self) -> MutexGuard<'_, Channels> {
        // The map is whole between any two operations on it.
        self.channels.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A watch of one job. Look at the job after it has begun: what happens in between
/// is news.
#[derive(Debug)]
pub struct Watch {
    news: broadcast::Receiver<News>,
    newsroom: Arc<Newsroom>,
    job: (Namespace, JobId),
}

impl Watch {
    /// The next news.
    pub async fn next(&mut self) -> News {
        match self.news.recv().await {
            Ok(news) => news,
            // The channel lives as long as this watch.
            Err(RecvError::Lagged(_) | RecvError::Closed) => News::Missed,
        }
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        let mut channels = self.newsroom.lock();
        let last = |channel: &broadcast::Sender<News>| channel.receiver_count() <= 1;
        if channels.get(&self.job).is_some_and(last) {
            channels.remove(&self.job);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_watcher_that_is_slow_is_told_to_look_again() {
        let newsroom = Arc::new(Newsroom::default());
        let job = (Namespace::default(), JobId(1));
        let mut watch = newsroom.subscribe(&job.0, job.1);
        for _ in 0..=BACKLOG {
            newsroom.tell(&job.0, job.1, News::Ended);
        }
        assert_eq!(watch.next().await, News::Missed);
        assert_eq!(watch.next().await, News::Ended);
    }

    #[tokio::test]
    async fn what_nobody_watches_is_forgotten() {
        let newsroom = Arc::new(Newsroom::default());
        let job = (Namespace::default(), JobId(1));
        let (first, mut second) = (
            newsroom.subscribe(&job.0, job.1),
            newsroom.subscribe(&job.0, job.1),
        );
        drop(first);
        assert!(newsroom.is_watched(&job.0, job.1));
        newsroom.missed();
        assert_eq!(second.next().await, News::Missed);
        drop(second);
        assert!(newsroom.is_empty());
    }
}
