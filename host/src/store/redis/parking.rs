//! Running jobs that wait for others, and everybody else who waits for ends.
//!
//! This process subscribes first and looks then, so that no end is missed. What a parked
//! job waits for stands in Redis only so that a wait which could never end is refused:
//! each job notes its own wait before it looks at those of others, so that of the jobs
//! of a cycle at least the last one sees it whole.

use std::collections::{HashMap, HashSet, VecDeque};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use tokio::time::sleep;
use uuid::Uuid;

use crate::job::{JobId, Namespace};
use crate::store::waiters::Wait;
use crate::store::{Lease, Parked, Result, Token};

use super::RedisStore;
use super::link::Link;
use super::peeks::{LOOKED_AT, Note, Peek, Peeked, Peeks};
use super::script;
use super::shared::{Parking, Shared};

/// How much of what parked jobs wait for one call answers, in bytes: some ten thousand
/// ids, a millisecond.
const WAITS_BYTES: usize = 128 << 10;

/// How many jobs are looked at in search of a cycle: a hundred calls. What is more tangled
/// than that is made to be; its wait ends with its timeout.
const MOST_LOOKED_AT: usize = 100_000;

/// How long a parked job that goes on may be shown as parked. Most of them end or wait
/// again within that, and cost no call.
const LINGER: Duration = Duration::from_millis(20);

/// How many jobs one call takes off the parked ones.
const UNPARKED: usize = 500;

/// The pause after an error.
const PAUSE: Duration = Duration::from_secs(1);

/// Somebody's wait for jobs.
pub(super) type Awaited = Wait<(Namespace, JobId)>;

impl RedisStore {
    /// See [`crate::store::Store::park`].
    pub(super) async fn begin_wait(
        &self,
        lease: Lease,
        token: &Token,
        awaited: &[JobId],
    ) -> Result<Parked> {
        if awaited.contains(&token.id) {
            return Ok(Parked::Cycle(vec![token.id]));
        }
        let namespace = &token.namespace;
        let key = |id| (namespace.clone(), id);
        // What ended here a moment ago need not be asked for.
        let awaited = &self.shared.recent.others(awaited, key);
        let wait = (self.shared.waiters).subscribe(awaited.iter().copied().map(key));
        let parking = Parking {
            number: self.shared.waits.fetch_add(1, Ordering::SeqCst) + 1,
            over: Arc::default(),
            left: false,
        };
        let held = (self.shared).park(lease.incarnation, token, parking.clone())?;
        let mut search = Search::new(token.id, awaited);
        let mut noted = false;
        if held.is_some() {
            noted = (self.note_wait(lease, token, &parking, &wait, &mut search)).await?;
        } else {
            // An attempt that is not held any more may wait, and is in nobody's way.
            while let Some(ids) = search.next(LOOKED_AT) {
                let looked = look(&self.peeks, namespace, ids, None).await?;
                settle(&wait, namespace, &looked.over);
            }
        }
        if let Some(cycle) = search.cycle {
            self.end_wait(lease, token, parking.number).await?;
            return Ok(Parked::Cycle(cycle));
        }
        if !wait.is_over() {
            let (peeks, namespace) = (self.peeks.clone(), namespace.clone());
            return Ok(Parked::Waiting(Box::pin(async move {
                wait_on(&peeks, &namespace, &wait).await;
                parking.over.store(true, Ordering::SeqCst);
                Ok(())
            })));
        }
        if noted {
            parking.over.store(true, Ordering::SeqCst);
            self.leave_wait(lease, token).await?;
            return Ok(Parked::Ended);
        }
        if let Some(Some(before)) = held {
            self.end_wait(lease, token, before.number).await?;
        }
        self.shared.unpark(lease.incarnation, token, parking.number);
        Ok(Parked::Ended)
    }

    /// Notes what a job of ours waits for, and looks for a cycle; answers whether there is
    /// anything to wait for.
    async fn note_wait(
        &self,
        lease: Lease,
        token: &Token,
        parking: &Parking,
        wait: &Awaited,
        search: &mut Search,
    ) -> Result<bool> {
        let namespace = &token.namespace;
        let (mut noted, mut left) = (false, search.next.len());
        while left > 0
            && search.cycle.is_none()
            && let Some(ids) = search.next(LOOKED_AT.min(left))
        {
            left -= ids.len();
            let count = ids.len();
            let peek = Peek {
                namespace: namespace.clone(),
                ids,
                note: Some(Note {
                    incarnation: lease.incarnation,
                    id: token.id,
                    attempt: token.attempt,
                    number: parking.number,
                    begins: !noted,
                }),
                waits_bytes: Some(WAITS_BYTES),
            };
            let looked = self.peeks.peek(peek).await?;
            noted |= looked.over.len() < count;
            settle(wait, namespace, &looked.over);
            search.take_in(looked);
        }
        while search.cycle.is_none()
            && search.looked_at < MOST_LOOKED_AT
            && let Some(ids) = search.next(LOOKED_AT)
        {
            let looked = look(&self.peeks, namespace, ids, Some(WAITS_BYTES)).await?;
            search.take_in(looked);
        }
        Ok(noted)
    }

    /// See [`crate::store::Store::unpark`].
    pub(super) async fn leave_wait(&self, lease: Lease, token: &Token) -> Result<()> {
        let Some(parking) = self.shared.leave(lease.incarnation, token) else {
            return Ok(());
        };
        if parking.over.load(Ordering::SeqCst) {
            // Nothing waits for ever because of it.
            self.shared.unparked.notify_one();
            return Ok(());
        }
        self.end_wait(lease, token, parking.number).await
    }

    async fn end_wait(&self, lease: Lease, token: &Token, number: u64) -> Result<()> {
        // Its note may still stand in line, though nobody waits for the answer any more.
        look(&self.peeks, &token.namespace, Vec::new(), None).await?;
        let left = [(lease.incarnation, token.clone(), number)];
        unpark(&self.link, &self.shared, &left).await
    }

    /// See [`crate::store::Store::ended`].
    pub(super) async fn has_ended(&self, namespace: &Namespace, id: JobId) -> Result<()> {
        let wait = self.shared.waiters.subscribe([(namespace.clone(), id)]);
        let peek = Peek {
            namespace: namespace.clone(),
            ids: vec![id.0],
            note: None,
            waits_bytes: None,
        };
        while !wait.is_over() {
            let looked = self.peeks.peek_alone(&peek).await?;
            settle(&wait, namespace, &looked.over);
            if !wait.is_over() {
                wait.rung().await;
            }
        }
        Ok(())
    }
}

/// Looks which of a few jobs have ended, and what the parked ones wait for, up to so many
/// bytes, if that is asked for.
async fn look(
    peeks: &Arc<Peeks>,
    namespace: &Namespace,
    ids: Vec<u64>,
    waits_bytes: Option<usize>,
) -> Result<Peeked> {
    let peek = Peek {
        namespace: namespace.clone(),
        ids,
        note: None,
        waits_bytes,
    };
    peeks.peek(peek).await
}

/// Notes that jobs had ended.
fn settle(wait: &Awaited, namespace: &Namespace, over: &[u64]) {
    for id in over {
        wait.settle(&(namespace.clone(), JobId(*id)));
    }
}

/// Waits until all have ended, whatever happens to Redis meanwhile.
async fn wait_on(peeks: &Arc<Peeks>, namespace: &Namespace, wait: &Awaited) {
    while !wait.is_over() {
        wait.rung().await;
        // It is over, or ends may have been missed.
        while !wait.is_over()
            && let Err(error) = look_again(peeks, namespace, wait).await
        {
            tracing::debug!(%error, "it is not known whether a wait is over");
            sleep(PAUSE).await;
        }
    }
}

async fn look_again(peeks: &Arc<Peeks>, namespace: &Namespace, wait: &Awaited) -> Result<()> {
    let missing: Vec<u64> = wait.missing().iter().map(|(_, id)| id.0).collect();
    for ids in missing.chunks(LOOKED_AT) {
        let looked = look(peeks, namespace, ids.to_vec(), None).await?;
        settle(wait, namespace, &looked.over);
    }
    Ok(())
}

/// The search for a way from the jobs that one waits for back to that one.
struct Search {
    who: JobId,
    /// Who waits for a job, of those that were come upon.
    waits_for: HashMap<u64, u64>,
    next: VecDeque<u64>,
    looked_at: usize,
    cycle: Option<Vec<JobId>>,
}

impl Search {
    fn new(who: JobId, awaited: &[JobId]) -> Self {
        let mut seen = HashSet::with_capacity(awaited.len());
        let first = awaited.iter().map(|id| id.0);
        let next: VecDeque<_> = first.filter(|id| seen.insert(*id)).collect();
        Self {
            who,
            waits_for: next.iter().map(|id| (*id, who.0)).collect(),
            next,
            looked_at: 0,
            cycle: None,
        }
    }

    /// The next jobs to look at, up to so many.
    fn next(&mut self, most: usize) -> Option<Vec<u64>> {
        let ids: Vec<_> = self.next.drain(..most.min(self.next.len())).collect();
        self.looked_at += ids.len();
        (!ids.is_empty()).then_some(ids)
    }

    fn take_in(&mut self, looked: Peeked) {
        for (parked, waits_for) in looked.parked {
            for id in waits_for.split(' ').filter_map(|id| id.parse().ok()) {
                if id == self.who.0 {
                    self.cycle = Some(self.way_to(parked));
                    return;
                }
                if let std::collections::hash_map::Entry::Vacant(new) = self.waits_for.entry(id) {
                    new.insert(parked);
                    self.next.push_back(id);
                }
            }
        }
        self.next.extend(looked.later);
    }

    /// The jobs from the one that asked to another.
    fn way_to(&self, last: u64) -> Vec<JobId> {
        let mut way = vec![JobId(last)];
        let mut at = last;
        while let Some(before) = self.waits_for.get(&at) {
            way.push(JobId(*before));
            if *before == self.who.0 {
                break;
            }
            at = *before;
        }
        way.reverse();
        way
    }
}

/// Takes jobs off the parked ones, after a while, once all that they waited for has ended.
pub(super) async fn run(link: Arc<Link>, shared: Arc<Shared>) {
    loop {
        shared.unparked.notified().await;
        sleep(LINGER).await;
        if let Err(error) = unpark(&link, &shared, &shared.left()).await {
            tracing::debug!(%error, "jobs are still shown as parked");
            sleep(PAUSE).await;
            shared.unparked.notify_one();
        }
    }
}

async fn unpark(link: &Arc<Link>, shared: &Shared, left: &[(Uuid, Token, u64)]) -> Result<()> {
    for left in left.chunks(UNPARKED) {
        let mut command = link.command(script::UNPARK);
        for (incarnation, token, number) in left {
            command
                .arg(incarnation.to_string())
                .arg(token.namespace.as_str())
                .arg(token.id.0)
                .arg(token.attempt)
                .arg(number);
        }
        link.run(script::UNPARK, &command).await?;
        for (incarnation, token, number) in left {
            shared.unpark(*incarnation, token, *number);
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parked(jobs: &[(u64, &str)]) -> Peeked {
        Peeked {
            over: Vec::new(),
            parked: jobs
                .iter()
                .map(|(id, waits)| (*id, (*waits).to_owned()))
                .collect(),
            later: Vec::new(),
        }
    }

    #[test]
    fn a_cycle_is_named_from_the_one_that_asked() {
        let mut search = Search::new(JobId(1), &[2, 3, 2].map(JobId));
        assert_eq!(search.next(9), Some(vec![2, 3]));
        search.take_in(parked(&[(3, "4 2 5")]));
        assert_eq!(search.next(9), Some(vec![4, 5]));
        search.take_in(parked(&[(5, "6"), (4, "3")]));
        assert_eq!(search.next(9), Some(vec![6]));
        search.take_in(parked(&[(6, "7 1")]));
        assert_eq!(search.cycle, Some([1, 3, 5, 6].map(JobId).to_vec()));
    }
}
