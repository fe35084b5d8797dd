//! Who waits for whom, as long as they wait: what a parked job has not seen the end of.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;

use futures_util::FutureExt;
use rusqlite::Connection;

use crate::job::{JobId, State};
use crate::store::waiters::Wait;
use crate::store::{Lease, News, Parked, Result, StoreError, Token};

use super::key::Key;
use super::outcomes::{MAX_IN_PLACE, still_open};
use super::shared::{Running, Shared};
use super::{EmbeddedStore, stopped};

type Runs = HashMap<Key, Running>;

impl EmbeddedStore {
    /// See [`crate::store::Store::park`].
    pub(super) async fn begin_to_wait(
        &self,
        lease: Lease,
        token: &Token,
        awaited: &[JobId],
    ) -> Result<Parked> {
        if !self.shared.hosts().contains_key(&lease.incarnation) {
            return Err(StoreError::LeaseLost);
        }
        let Some(namespace) = self.shared.namespace(&token.namespace) else {
            return Ok(Parked::Ended);
        };
        let key = |id: &JobId| Key::new(namespace.number, *id);
        let mut keys: Vec<Key> = awaited.iter().filter_map(key).collect();
        keys.sort_unstable();
        keys.dedup();
        // Listen first, then look: an end in between rings.
        let wait = self.shared.waiters().subscribe(keys);
        self.look(&wait).await?;
        if wait.is_over() {
            self.shared.unpark(lease, token);
            return Ok(Parked::Ended);
        }
        Ok(
            match self.shared.park(lease, token, wait.missing().into()) {
                Err(cycle) => Parked::Cycle(cycle),
                Ok(()) => Parked::Waiting(over(self.shared.clone(), wait).boxed()),
            },
        )
    }

    /// Looks which of the jobs that are waited for, in order, have ended before.
    pub(super) async fn look(&self, wait: &Wait<Key>) -> Result<()> {
        let unseen = wait.unseen();
        if unseen.is_empty() {
            return Ok(());
        }
        let keys = unseen.clone();
        let look = move |db: &Connection| still_open(db, &keys);
        let open = match unseen.len() <= MAX_IN_PLACE {
            true => self.readers.read_briefly(look).await?,
            false => self.readers.read(look).await?,
        };
        wait.looked(&unseen, |key| open.binary_search(key).is_ok());
        Ok(())
    }
}

/// Resolves when a wait is over.
pub(super) async fn over(shared: Arc<Shared>, wait: Wait<Key>) -> Result<()> {
    while !wait.is_over() {
        if shared.is_closed() {
            return Err(stopped());
        }
        wait.rung().await;
    }
    Ok(())
}

impl Shared {
    /// Notes what a running job waits for, in order; or tells the cycle that it would
    /// close, and then it is not parked.
    fn park(&self, lease: Lease, token: &Token, awaited: Arc<[Key]>) -> Result<(), Vec<JobId>> {
        let mut running = self.running();
        let Some((key, _)) = self.held(&mut running, lease, token) else {
            return Ok(());
        };
        let cycle = cycle(&running, key, &awaited);
        let awaits = cycle.is_none().then_some(awaited);
        self.set_awaits(&mut running, lease, token, awaits);
        cycle.map_or(Ok(()), Err)
    }

    /// Notes that a parked job goes on.
    pub(super) fn unpark(&self, lease: Lease, token: &Token) {
        self.set_awaits(&mut self.running(), lease, token, None);
    }

    fn set_awaits(
        &self,
        running: &mut Runs,
        lease: Lease,
        token: &Token,
        awaits: Option<Arc<[Key]>>,
    ) {
        let Some((_, entry)) = self.held(running, lease, token) else {
            return;
        };
        let state = match awaits {
            Some(_) => State::Parked,
            None => State::Running,
        };
        let was = std::mem::replace(&mut entry.awaits, awaits);
        if was.is_some() != entry.awaits.is_some() {
            if was.is_none() {
                self.note_parked();
            }
            let attempt = token.attempt;
            let news = News::State { attempt, state };
            self.newsroom().tell(&token.namespace, token.id, news);
        }
    }

    /// A job that the lease holds.
    pub(super) fn held<'a>(
        &self,
        running: &'a mut Runs,
        lease: Lease,
        token: &Token,
    ) -> Option<(Key, &'a mut Running)> {
        let key = self.key(&token.namespace, token.id)?;
        let entry = running.get_mut(&key)?;
        let held = entry.incarnation == lease.incarnation && entry.attempt == token.attempt;
        (held && !entry.over).then_some((key, entry))
    }
}

/// The jobs from `key` to one that waits for it, each waiting for the next, if `key`
/// waits for `awaited`. Each parked job is looked at once.
fn cycle(running: &Runs, key: Key, awaited: &Arc<[Key]>) -> Option<Vec<JobId>> {
    let mut came_from = HashMap::new();
    let mut next = VecDeque::from([(key, awaited)]);
    while let Some((waiter, awaited)) = next.pop_front() {
        if awaited.binary_search(&key).is_ok() {
            let mut path = vec![waiter.id()];
            let mut at = waiter;
            while at != key {
                at = came_from.get(&at).copied().unwrap_or(key);
                path.push(at.id());
            }
            path.reverse();
            return Some(path);
        }
        let mut visit = |(other, awaits)| {
            if other != key && !came_from.contains_key(&other) {
                came_from.insert(other, waiter);
                next.push_back((other, awaits));
            }
        };
        // A parent may wait for thousands, of which few run and fewer wait.
        if awaited.len() <= running.len() {
            for other in awaited.iter() {
                if let Some(awaits) = running.get(other).and_then(waits_for) {
                    visit((*other, awaits));
                }
            }
        } else {
            for (other, entry) in running {
                if let Some(awaits) = waits_for(entry)
                    && awaited.binary_search(other).is_ok()
                {
                    visit((*other, awaits));
                }
            }
        }
    }
    None
}

/// What a job waits for, if it is parked.
fn waits_for(entry: &Running) -> Option<&Arc<[Key]>> {
    entry.awaits.as_ref().filter(|_| !entry.over)
}
