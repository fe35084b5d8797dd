//! Standing orders: a host of this process that wanted more jobs than there were is given what
//! this process posts, by the script that accepts it.
//!
//! Not here: what other processes post; that comes with a step.

use std::collections::HashSet;
use std::pin::pin;
use std::sync::Arc;

use redis::Value;
use uuid::Uuid;

use crate::store::fair::UNKNOWN_JOB_US;
use crate::store::{CLAIMS_PER_YIELD, Given, Lease, Result, StoreError, Token};

use super::claims::{self, Claims};
use super::link::Link;
use super::reply::{self, Reply};
use super::shared::Shared;
use super::submit::BATCH_REMEMBERED_MS;
use super::{RedisStore, script};

/// A post's right to take so many jobs for a host. Whoever has one tells what came of it; if
/// it does not, since its answer was lost or nobody waits for it any more, the host asks.
pub(super) struct Order {
    shared: Arc<Shared>,
    incarnation: Uuid,
    want: usize,
    /// The post.
    batch: Uuid,
    is_told: bool,
}

impl Order {
    /// All that a host of this process would take, if one would take something.
    pub(super) fn of(shared: &Arc<Shared>, batch: Uuid) -> Option<Self> {
        let mut hosts = shared.hosts();
        let (incarnation, host) = hosts.iter_mut().find(|(_, host)| host.standing > 0)?;
        let want = std::mem::take(&mut host.standing);
        host.ordered += want;
        Some(Self {
            shared: shared.clone(),
            incarnation: *incarnation,
            want,
            batch,
            is_told: false,
        })
    }

    /// As the script is told.
    fn argument(&self) -> String {
        let Self {
            incarnation, want, ..
        } = self;
        format!("{incarnation} {want} {CLAIMS_PER_YIELD} {UNKNOWN_JOB_US}")
    }

    /// Takes in what was taken; nothing, if the post was refused.
    pub(super) fn take_in(mut self, taken: Option<Claims>) {
        self.is_told = true;
        let mut hosts = self.shared.hosts();
        let Some(host) = hosts.get_mut(&self.incarnation) else {
            return;
        };
        let taken = taken.unwrap_or_default();
        host.ordered = host.ordered.saturating_sub(self.want);
        if host.stands {
            host.standing += self.want.saturating_sub(taken.held.len());
        }
        host.give(taken);
        drop(hosts);
        self.shared.gifts.notify_waiters();
    }
}

impl Drop for Order {
    fn drop(&mut self) {
        if self.is_told {
            return;
        }
        if let Some(host) = self.shared.hosts().get_mut(&self.incarnation) {
            host.ordered = host.ordered.saturating_sub(self.want);
            host.untold.push(self.batch);
        }
        self.shared.gifts.notify_waiters();
        self.shared.bell().notify_waiters();
    }
}

/// The ids that a post was answered, and what was taken with it.
fn read(shared: &Shared, signs: u64, answer: Value) -> Result<(String, Option<Claims>)> {
    if !matches!(answer, Value::Array(_)) {
        return Ok((reply::text(answer)?, None));
    }
    let mut answer = Reply::new(answer)?;
    let ids = answer.text()?;
    Ok((ids, Some(claims::taken(shared, signs, &mut answer)?)))
}

impl RedisStore {
    /// See [`Store::given`](crate::store::Store::given).
    pub(super) async fn gifts(&self, lease: Lease, had: u64) -> Result<Given> {
        loop {
            // Listen first, then look: what happens in between rings.
            let mut rung = pin!(self.shared.gifts.notified());
            rung.as_mut().enable();
            let given = {
                let mut hosts = self.shared.hosts();
                let host = hosts.get_mut(&lease.incarnation);
                host.ok_or(StoreError::LeaseLost)?.gifts.since(had)
            };
            if !given.jobs.is_empty() {
                return Ok(given);
            }
            rung.await;
        }
    }

    /// Takes the order of a host back, until a step leaves another, and waits for the posts
    /// that have it with them.
    pub(super) async fn end_orders(&self, lease: Lease) -> Result<()> {
        loop {
            let mut rung = pin!(self.shared.gifts.notified());
            rung.as_mut().enable();
            {
                let mut hosts = self.shared.hosts();
                let host = hosts.get_mut(&lease.incarnation);
                let host = host.ok_or(StoreError::LeaseLost)?;
                (host.stands, host.standing) = (false, 0);
                if host.ordered == 0 {
                    return Ok(());
                }
            }
            rung.await;
        }
    }

    /// Whether a post may have taken jobs for a host, of which nobody told.
    pub(super) fn has_untold(&self, lease: Lease) -> bool {
        let hosts = self.shared.hosts();
        let host = hosts.get(&lease.incarnation);
        host.is_some_and(|host| !host.untold.is_empty())
    }

    /// Gives a host whose orders have ended what they took and nobody told: all that it holds
    /// in Redis, and neither knows of nor has in this answer of a step.
    pub(super) async fn give_untold(&self, lease: Lease, claims: &Claims) -> Result<()> {
        let incarnation = lease.incarnation.to_string();
        let mut command = self.link.command(script::VOID);
        command.arg(&incarnation).arg(BATCH_REMEMBERED_MS);
        if let Some(host) = self.shared.hosts().get(&lease.incarnation) {
            for post in &host.untold {
                command.arg(post.to_string());
            }
        }
        let held = Reply::new(self.link.run(script::VOID, &command).await?)?;
        let unknown = self.unknown(lease, claims, held)?;
        let mut taken = Claims::default();
        if !unknown.is_empty() {
            let mut command = self.link.command(script::RETAKE);
            command.arg(&incarnation).arg(unknown);
            let signs = self.shared.signs();
            let mut answer = Reply::new(self.link.run(script::RETAKE, &command).await?)?;
            taken = claims::taken(&self.shared, signs, &mut answer)?;
        }
        if let Some(host) = self.shared.hosts().get_mut(&lease.incarnation) {
            host.untold.clear();
            host.give(taken);
        }
        Ok(())
    }

    fn unknown(&self, lease: Lease, claims: &Claims, mut held: Reply) -> Result<Vec<String>> {
        let hosts = self.shared.hosts();
        let host = hosts.get(&lease.incarnation);
        let host = host.ok_or(StoreError::LeaseLost)?;
        let claimed = claims.held.iter().map(|(token, _)| token);
        let known = (host.held.keys().chain(&host.unreadable))
            .chain(claimed)
            .chain(&claims.unreadable);
        let field = |token: &Token| format!("{}/{}", token.namespace, token.id);
        let known: HashSet<_> = known.map(field).collect();
        let mut unknown = Vec::new();
        while !held.is_empty() {
            let field = held.text()?;
            if !known.contains(&field) {
                unknown.push(field);
            }
        }
        // A hash has no order; in each namespace they were accepted in this one.
        unknown.sort_unstable_by(|one, other| (one.len(), one).cmp(&(other.len(), other)));
        Ok(unknown)
    }
}

/// Sends a post, with the order of a host of this process if one would take something.
pub(super) async fn send(
    link: &Arc<Link>,
    shared: &Arc<Shared>,
    batch: Uuid,
    command: impl FnOnce(&str) -> Result<redis::Cmd>,
) -> Result<String> {
    let order = Order::of(shared, batch);
    let argument = order.as_ref().map(Order::argument).unwrap_or_default();
    let command = command(&argument)?;
    let signs = shared.signs();
    let answer = match link.run(script::SUBMIT, &command).await {
        Ok(answer) => answer,
        Err(error) => {
            // It was refused as a whole: nothing was taken.
            if let (StoreError::Full(_), Some(order)) = (&error, order) {
                order.take_in(None);
            }
            return Err(error);
        }
    };
    let (ids, taken) = read(shared, signs, answer)?;
    if let Some(order) = order {
        order.take_in(taken);
    }
    Ok(ids)
}
