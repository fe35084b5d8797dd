//! Walks through many jobs: who may begin one, and whose turn it is. A search goes through
//! a whole queue, and costs as much however few it finds; so all walks of a host together
//! get one page at a time from its store, in turns, and the rest of the host is its jobs'.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::Semaphore;

use super::code::Code;
use super::problem::Problem;
use crate::job::{JobId, Namespace};
use crate::store::{JobFilter, JobPage, Store, StoreError};

/// How many walks of one namespace may be under way: a person at a dashboard has one or
/// two, and the turn of another namespace is at most as many pages of some 20 ms away.
const MAX_WALKS_EACH: usize = 8;

/// How many of all namespaces: each holds a page of a few MiB at most.
const MAX_WALKS: usize = 64;

/// The walks of a host.
#[derive(Debug)]
pub(super) struct Walks {
    turn: Semaphore,
    under_way: Mutex<HashMap<Namespace, usize>>,
}

/// A walk under way, until it is dropped.
pub(super) struct Walk {
    walks: Arc<Walks>,
    store: Arc<dyn Store>,
    namespace: Namespace,
    filter: Arc<JobFilter>,
    /// Below which job it goes on.
    pub(super) before: Option<JobId>,
    /// Whether nothing is left.
    pub(super) is_over: bool,
}

impl Walks {
    /// No walks.
    pub(super) fn new() -> Arc<Self> {
        Arc::new(Self {
            turn: Semaphore::new(1),
            under_way: Mutex::default(),
        })
    }

    /// Begins a walk below a job, or from the newest one.
    pub(super) fn begin(
        self: &Arc<Self>,
        store: &Arc<dyn Store>,
        namespace: &Namespace,
        filter: JobFilter,
        before: Option<JobId>,
    ) -> Result<Walk, Problem> {
        let mut under_way = self.lock();
        let all: usize = under_way.values().sum();
        let mine = under_way.get(namespace).copied().unwrap_or_default();
        if mine >= MAX_WALKS_EACH || all >= MAX_WALKS {
            let whose = match mine >= MAX_WALKS_EACH {
                true => format!("{mine} lists of this namespace"),
                false => format!("{all} lists"),
            };
            return Err(Problem::new(
                Code::Busy,
                format!(
                    "{whose} are being read from this host, and no more may; try again when one has ended, or ask another host"
                ),
            ));
        }
        under_way.insert(namespace.clone(), mine + 1);
        drop(under_way);
        Ok(Walk {
            walks: self.clone(),
            store: store.clone(),
            namespace: namespace.clone(),
            filter: Arc::new(filter),
            before,
            is_over: false,
        })
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<Namespace, usize>> {
        // The map is whole between any two operations on it.
        self.under_way
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }
}

impl Walk {
    /// The next jobs, at most `want`; none is no sign that nothing is left.
    pub(super) async fn page(&mut self, want: usize) -> Result<JobPage, StoreError> {
        // It is never closed.
        let _turn = self.walks.turn.acquire().await;
        let listed = self
            .store
            .list(&self.namespace, &self.filter, self.before, want);
        let page = listed.await?;
        self.is_over = page.next.is_none();
        self.before = page.next;
        Ok(page)
    }
}

impl Drop for Walk {
    fn drop(&mut self) {
        let mut under_way = self.walks.lock();
        if let Some(count) = under_way.get_mut(&self.namespace) {
            *count -= 1;
            if *count == 0 {
                under_way.remove(&self.namespace);
            }
        }
    }
}
