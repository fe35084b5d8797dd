//! Takes back the jobs of hosts whose lease has ended: the reaper holds them itself
//! for a moment, under a lease of its own, and gives them back with the reason in
//! their history.

use std::collections::HashMap;

use uuid::Uuid;

use crate::job::{Cause, CauseKind, JobId, Namespace, Usage};
use crate::store::record::granted;
use crate::store::{Completion, Result, Token, Verdict};

use super::RedisStore;
use super::claims::{parse_field, parse_value};
use super::ends::Ends;
use super::posted::{decode_job, decode_past};
use super::reply::Reply;
use super::script;
use super::shared::Held;

/// How many jobs are taken over at once: a few milliseconds of Redis's time.
const BATCH: usize = 500;

/// A job that was taken over.
struct Lost {
    token: Token,
    value: String,
    claimed_at_ms: u64,
}

impl RedisStore {
    /// See [`crate::store::Store::reap`].
    pub(super) async fn take_back(&self) -> Result<usize> {
        let cause = Cause::new(
            CauseKind::HostLost,
            "the host that ran this attempt stopped or was out of reach for longer than its lease",
        );
        let reaper = Uuid::new_v4();
        let mut total = 0;
        for step in 1_u64.. {
            let mut command = self.link.command(script::REAP);
            command
                .arg(reaper.to_string())
                .arg(self.lease_ms())
                .arg(BATCH);
            let mut answer = Reply::new(self.link.run(script::REAP, &command).await?)?;
            if !answer.truth()? {
                break;
            }
            total += self.give_back(reaper, step, answer, &cause).await?;
        }
        if total > 0 {
            self.leave(reaper).await?;
        }
        Ok(total)
    }

    /// The lease of this store's incarnations, in ms.
    pub(super) fn lease_ms(&self) -> u64 {
        u64::try_from(self.lease.as_millis()).unwrap_or(u64::MAX)
    }

    /// Ends an incarnation that holds nothing.
    pub(super) async fn leave(&self, incarnation: Uuid) -> Result<()> {
        let mut command = self.link.command(script::LEAVE);
        command.arg(incarnation.to_string());
        self.link.run(script::LEAVE, &command).await.map(drop)
    }

    /// Leaves jobs that an incarnation holds and this version cannot read where
    /// nobody takes them.
    pub(super) async fn set_aside(
        &self,
        incarnation: Uuid,
        unreadable: impl Iterator<Item = &Token> + Send,
    ) -> Result<()> {
        let mut command = self.link.command(script::ASIDE);
        command.arg(incarnation.to_string());
        let mut any = false;
        for token in unreadable {
            command.arg(format!("{}/{}", token.namespace, token.id));
            any = true;
        }
        if any {
            self.link.run(script::ASIDE, &command).await?;
        }
        Ok(())
    }

    /// Gives back jobs that an incarnation of our own has just taken over; answers
    /// how many.
    pub(super) async fn give_back(
        &self,
        incarnation: Uuid,
        step: u64,
        taken: Reply,
        cause: &Cause,
    ) -> Result<usize> {
        let lost = read_lost(taken)?;
        if lost.is_empty() {
            return Ok(0);
        }
        let held = self.read_held(&lost).await?;
        let now_ms = self.shared.clock.now_ms();
        let unreadable = lost.iter().map(|lost| &lost.token);
        let unreadable = unreadable.filter(|token| !held.contains_key(token));
        self.set_aside(incarnation, unreadable).await?;
        let mut ends = Ends::new(now_ms);
        for (index, lost) in lost.iter().enumerate() {
            self.shared.taken(&lost.token);
            if let Some(held) = held.get(&lost.token) {
                let mut held = held.clone();
                if cause.kind == CauseKind::Released {
                    // Who releases a job wants it run, also if this was its last attempt.
                    let mut job = (*held.job).clone();
                    job.max_attempts = u32::MAX;
                    held.job = job.into();
                }
                ends.add(index, &lost_attempt(lost, now_ms, cause.clone()), &held)?;
            }
        }
        let (command, _) = self.step(incarnation, step, 0, &ends);
        self.link.run(script::CYCLE, &command).await?;
        Ok(lost.len())
    }

    /// The jobs and histories of those that can be read.
    async fn read_held(&self, lost: &[Lost]) -> Result<HashMap<Token, Held>> {
        let mut command = redis::cmd("MGET");
        for Lost { token, .. } in lost {
            let Token { namespace, id, .. } = token;
            command
                .arg(self.link.key(&format!("j:{namespace}/{id}")))
                .arg(self.link.key(&format!("h:{namespace}/{id}")));
        }
        let mut answer = Reply::new(self.link.send(&command).await?)?;
        let mut held = HashMap::new();
        for lost in lost {
            let id = lost.token.id;
            let job = decode_job(id, answer.maybe_bytes()?);
            let past = decode_past(id, &answer.maybe_bytes()?);
            match job.and_then(|(_, job)| Ok((job, past?))) {
                Ok((mut job, past)) => {
                    job.max_attempts = job.max_attempts.saturating_add(granted(&past));
                    let entry = Held::new(job.into(), lost.value.clone(), past);
                    held.insert(lost.token.clone(), entry);
                }
                Err(error) => {
                    tracing::error!(%error, "a lost job is set aside, since it cannot be read");
                }
            }
        }
        Ok(held)
    }
}

/// The end of an attempt that nobody could report on.
fn lost_attempt(lost: &Lost, now_ms: u64, cause: Cause) -> Completion {
    Completion {
        token: lost.token.clone(),
        verdict: Verdict::Retry { cause, delay_ms: 0 },
        started_at_ms: lost.claimed_at_ms,
        ended_at_ms: now_ms,
        usage: Usage::default(),
        limits: None,
        components: Vec::new(),
        log: Vec::new(),
    }
}

fn read_lost(mut answer: Reply) -> Result<Vec<Lost>> {
    let mut lost: Vec<Lost> = Vec::new();
    while !answer.is_empty() {
        let (field, value) = (answer.text()?, answer.text()?);
        let (namespace, id): (Namespace, JobId) = parse_field(&field)?;
        let Some((attempt, claimed_at_ms, _)) = parse_value(&value) else {
            tracing::error!(%field, %value, "a lost job cannot be given back");
            continue;
        };
        lost.push(Lost {
            token: Token {
                namespace,
                id,
                attempt,
            },
            value,
            claimed_at_ms,
        });
    }
    Ok(lost)
}
