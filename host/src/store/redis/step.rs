//! A host's step: what has ended goes to Redis, what is to run comes back.

use std::collections::HashSet;

use redis::Cmd;
use uuid::Uuid;

use crate::store::fair::{REMEMBERED_RUNS, UNKNOWN_JOB_US};
use crate::store::{
    CLAIMS_PER_YIELD, Completion, Cycle, Lease, Result, Step, StoreError, Token, Verdict,
};

use super::claims::Claims;
use super::ends::Ends;
use super::reply::Reply;
use super::shared::{Held, NEVER};
use super::{RedisStore, claims, script};

/// The answer to a step.
struct Answer {
    refused: Vec<usize>,
    foreign: Vec<Token>,
    claims: Claims,
    /// How many jobs it wanted.
    want: usize,
}

impl RedisStore {
    /// Makes a host's step. See [`Store::cycle`](crate::store::Store::cycle).
    pub(super) async fn make_step(&self, lease: Lease, step: &Step) -> Result<Cycle> {
        if let Some(host) = self.shared.hosts().get(&lease.incarnation)
            && host.last_step.0 == step.number
        {
            return Ok(host.last_step.1.clone());
        }
        let mut has_untold = self.has_untold(lease);
        if has_untold || !step.stands {
            self.end_orders(lease).await?;
            has_untold = self.has_untold(lease);
        }
        let (command, sent, foreign, want) = self.command_of(lease, step)?;
        let signs = self.shared.signs();
        let mut answer = Reply::new(self.link.run(script::CYCLE, &command).await?)?;
        match answer.text()?.as_str() {
            "lost" => {
                self.shared.lost(lease.incarnation);
                return Err(StoreError::LeaseLost);
            }
            "old" => return Ok(Cycle::default()),
            _ => {}
        }
        self.shared.set_due(answer.maybe_number()?.unwrap_or(NEVER));
        let mut refused = Vec::new();
        let mut indexes = answer.list()?;
        while !indexes.is_empty() {
            // Lua counts from 1.
            refused.push(
                usize::try_from(indexes.number()?)
                    .unwrap_or(0)
                    .saturating_sub(1),
            );
        }
        let claims = claims::taken(&self.shared, signs, &mut answer)?;
        if has_untold {
            self.give_untold(lease, &claims).await?;
        }
        let answer = Answer {
            refused,
            foreign,
            claims,
            want,
        };
        let (cycle, unreadable) = self.take_in(lease, step, &sent, answer)?;
        self.shared.answered.notify_waiters();
        if let Err(error) = self.set_aside(lease.incarnation, unreadable.iter()).await {
            // They are lost with this lease, and then set aside by the reaper.
            tracing::warn!(%error, "jobs that cannot be read could not be set aside");
        }
        Ok(cycle)
    }

    /// The command of a step, and which end is which in the script's answer.
    pub(super) fn step(
        &self,
        incarnation: Uuid,
        number: u64,
        want: usize,
        ends: &Ends,
    ) -> (Cmd, Vec<usize>) {
        let mut command = self.link.command(script::CYCLE);
        command
            .arg(incarnation.to_string())
            .arg(number)
            .arg(want)
            .arg(CLAIMS_PER_YIELD)
            .arg(UNKNOWN_JOB_US)
            .arg(REMEMBERED_RUNS);
        let order = ends.add_to(&mut command);
        (command, order)
    }

    /// The command of a host's step, which end is which, the ends that do not count,
    /// since their jobs are not held here, and how many jobs it wants beside those that
    /// it is given.
    fn command_of(
        &self,
        lease: Lease,
        step: &Step,
    ) -> Result<(Cmd, Vec<usize>, Vec<Token>, usize)> {
        let mut hosts = self.shared.hosts();
        let host = (hosts.get_mut(&lease.incarnation)).ok_or(StoreError::LeaseLost)?;
        host.standing = 0;
        let on_their_way = host.ordered + host.gifts.beyond(step.had);
        // What nobody told of may be enough.
        let is_sure = host.untold.is_empty();
        let want = if is_sure {
            step.want.saturating_sub(on_their_way)
        } else {
            0
        };
        let mut foreign = Vec::new();
        let mut ends = Ends::new(self.shared.clock.now_ms());
        // The first end of a job counts, and the script may see another one first.
        let mut seen = HashSet::with_capacity(step.done.len());
        let waiters = &self.shared.waiters;
        let anybody_waits = !waiters.is_empty();
        let is_awaited = |token: &Token| waiters.is_awaited(&(token.namespace.clone(), token.id));
        for (index, done) in step.done.iter().enumerate() {
            match host.held.get_mut(&done.token) {
                Some(held) if seen.insert(&done.token) => {
                    held.is_ending = true;
                    held.is_wanted = held.job.parent.is_some()
                        || held.is_wanted
                        || (anybody_waits && is_awaited(&done.token));
                    ends.add(index, done, held)?;
                }
                _ => foreign.push(done.token.clone()),
            }
        }
        let (command, sent) = self.step(lease.incarnation, step.number, want, &ends);
        Ok((command, sent, foreign, want))
    }

    /// Takes in what a step was answered; answers also which jobs cannot be read.
    fn take_in(
        &self,
        lease: Lease,
        step: &Step,
        sent: &[usize],
        read: Answer,
    ) -> Result<(Cycle, Vec<Token>)> {
        let mut hosts = self.shared.hosts();
        let host = hosts
            .get_mut(&lease.incarnation)
            .ok_or(StoreError::LeaseLost)?;
        let done = |index: usize| step.done.get(index);
        let refused_here: HashSet<_> = read.refused.iter().copied().collect();
        for (n, index) in sent.iter().enumerate() {
            let Some(done) = done(*index) else { continue };
            let held = host.held.remove(&done.token);
            if refused_here.contains(&n) {
                continue;
            }
            let Some(held) = held else { continue };
            self.tell_here(done, &held);
            if held.job.callback.is_some() {
                self.shared.callbacks.ring();
            }
        }
        let refused = read.refused.iter().filter_map(|index| sent.get(*index));
        let refused = refused.filter_map(|index| done(*index));
        let refused = refused.map(|done| done.token.clone());
        let refused = refused.chain(read.foreign).collect();
        host.stands = step.stands;
        if step.stands {
            host.standing += read.want.saturating_sub(read.claims.held.len());
        }
        host.held.extend(read.claims.held);
        let mut unreadable = read.claims.unreadable;
        unreadable.append(&mut host.unreadable);
        let held = &host.held;
        let mut cancelled = std::mem::take(&mut host.stops);
        cancelled.retain(|token| held.contains_key(token));
        let cycle = Cycle {
            claimed: read.claims.claimed,
            given: host.gifts.since(step.had),
            refused,
            cancelled,
        };
        host.last_step = (step.number, cycle.clone());
        Ok((cycle, unreadable))
    }

    /// Tells those who wait in this process of an end, who so need not wait for the event
    /// to come round.
    fn tell_here(&self, done: &Completion, held: &Held) {
        let waiters = &self.shared.waiters;
        if !has_ended(&done.verdict) || (!held.is_wanted && waiters.is_empty()) {
            return;
        }
        let job = (done.token.namespace.clone(), done.token.id);
        if let Verdict::Completed(output) = &done.verdict
            && held.job.retention_s.is_none()
            && held.is_wanted
        {
            self.shared.recent.keep(&job, output);
        }
        waiters.ended(&job);
    }
}

/// Whether a verdict is the end of its job, whatever else is known of that. That of a last
/// attempt may be as well.
fn has_ended(verdict: &Verdict) -> bool {
    match verdict {
        Verdict::Completed(_) | Verdict::Failed(_) | Verdict::Cancelled => true,
        Verdict::Retry { .. } | Verdict::Release { .. } => false,
    }
}
