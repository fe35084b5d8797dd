//! What people do to a queue: look, pause, release, purge.

use std::num::NonZeroU32;

use redis::Value;
use uuid::Uuid;

use crate::job::{Cause, CauseKind, JobId, Namespace};
use crate::store::queue::LOOKED_AT;
use crate::store::record::{Head, decode};
use crate::store::{MAX_NAMESPACES_SEEN, Overview, QueueStatus, Result, Standing, StoreError};

use super::RedisStore;
use super::posted::decode_head;
use super::reply::{self, Reply};
use super::script;

/// How many jobs one call takes from their hosts, or deletes: a few milliseconds of
/// Redis's time, between which others get their turn.
const BATCH: usize = 500;

/// Of how many namespaces one call tells how they stand: a few milliseconds of Redis's
/// time, too.
const NAMESPACES: usize = 100;

/// A queue's status, as the script has it.
fn status_of(answer: &mut Reply) -> Result<QueueStatus> {
    Ok(QueueStatus {
        queued: answer.number()?,
        scheduled: answer.number()?,
        running: answer.number()?,
        parked: answer.number()?,
        moving: answer.number()?,
        posted: answer.number()?,
        completed: answer.number()?,
        failed: answer.number()?,
        cancelled: answer.number()?,
        paused: answer.truth()?,
        concurrency: u32::try_from(answer.number()?)
            .ok()
            .and_then(NonZeroU32::new),
        oldest_queued_at_ms: Some(answer.number()?).filter(|at| *at > 0),
    })
}

impl RedisStore {
    pub(super) async fn read_status(&self, namespace: &Namespace) -> Result<QueueStatus> {
        let statuses = self.statuses([namespace.clone()].into()).await?;
        let status = statuses.into_iter().next();
        Ok(status.map(|standing| standing.status).unwrap_or_default())
    }

    /// How the queues of these namespaces stand.
    async fn statuses(&self, namespaces: Vec<Namespace>) -> Result<Vec<Standing>> {
        let mut statuses = Vec::with_capacity(namespaces.len());
        for some in namespaces.chunks(NAMESPACES) {
            let mut command = self.link.command(script::STATUS);
            command.arg(LOOKED_AT);
            for namespace in some {
                command.arg(namespace.as_str());
            }
            let mut answer = Reply::new(self.link.run(script::STATUS, &command).await?)?;
            for namespace in some {
                let mut found = answer.list()?;
                statuses.push(Standing {
                    namespace: namespace.clone(),
                    status: status_of(&mut found)?,
                    dead: found.number()?,
                });
            }
        }
        Ok(statuses)
    }

    pub(super) async fn read_overview(&self) -> Result<Overview> {
        let mut command = self.link.command(script::OVERVIEW);
        command.arg(MAX_NAMESPACES_SEEN);
        let mut answer = Reply::new(self.link.run(script::OVERVIEW, &command).await?)?;
        let (now_ms, hosts, namespaces) = (answer.number()?, answer.number()?, answer.number()?);
        let mut names = Vec::new();
        while !answer.is_empty() {
            let name = answer.text()?.parse();
            names.push(
                name.map_err(|error| StoreError::Unreadable(format!("a namespace: {error}")))?,
            );
        }
        // Redis has them in no order; the same ones are to be the first each time.
        names.sort_unstable();
        names.truncate(MAX_NAMESPACES_SEEN);
        Ok(Overview {
            queues: self.statuses(names).await?,
            namespaces,
            hosts,
            now_ms,
        })
    }

    pub(super) async fn set_limit(
        &self,
        namespace: &Namespace,
        limit: Option<NonZeroU32>,
    ) -> Result<()> {
        let mut command = self.link.command(script::LIMIT);
        command
            .arg(namespace.as_str())
            .arg(limit.map_or(0, NonZeroU32::get));
        self.link.run(script::LIMIT, &command).await.map(drop)
    }

    pub(super) async fn set_paused(&self, namespace: &Namespace, paused: bool) -> Result<()> {
        let mut command = self.link.command(script::PAUSE);
        command.arg(namespace.as_str()).arg(u8::from(paused));
        self.link.run(script::PAUSE, &command).await.map(drop)
    }

    /// Takes the running jobs from their hosts, as the reaper does, and gives them
    /// back with the reason in their history.
    pub(super) async fn release_running(&self, namespace: &Namespace) -> Result<usize> {
        let cause = Cause::new(
            CauseKind::Released,
            "a person took the job from the host that ran this attempt",
        );
        let releaser = Uuid::new_v4();
        let mut total = 0;
        for step in 1_u64.. {
            let mut command = self.link.command(script::SEIZE);
            command
                .arg(releaser.to_string())
                .arg(self.lease_ms())
                .arg(BATCH)
                .arg(namespace.as_str());
            let answer = Reply::new(self.link.run(script::SEIZE, &command).await?)?;
            let seized = self.give_back(releaser, step, answer, &cause).await?;
            if seized == 0 {
                break;
            }
            total += seized;
        }
        if total > 0 {
            self.leave(releaser).await?;
        }
        Ok(total)
    }

    /// Gives back what movers hold.
    pub(super) async fn release_held(&self, namespace: &Namespace) -> Result<usize> {
        let mut command = redis::cmd("HKEYS");
        command.arg(self.link.key(&format!("n:{namespace}:m")));
        let mut answer = Reply::new(self.link.send(&command).await?)?;
        let mut ids = Vec::new();
        while !answer.is_empty() {
            ids.push(JobId(answer.number()?));
        }
        let mut released = 0;
        for ids in ids.chunks(BATCH) {
            let mut command = self.link.command(script::LET_GO);
            command.arg(namespace.as_str()).arg("");
            let pasts = self.pasts(namespace, ids).await?;
            for (id, past) in ids.iter().zip(pasts) {
                command
                    .arg(id.0)
                    .arg(self.end_of_waiting(*id, &past, None)?);
            }
            released += reply::number(self.link.run(script::LET_GO, &command).await?)?;
        }
        Ok(usize::try_from(released).unwrap_or(usize::MAX))
    }

    /// Deletes what waits now.
    pub(super) async fn purge_waiting(&self, namespace: &Namespace) -> Result<usize> {
        let mut command = redis::cmd("HGET");
        command
            .arg(self.link.key(&format!("n:{namespace}:meta")))
            .arg("last");
        let last = match self.link.send(&command).await? {
            Value::Nil => return Ok(0),
            value => reply::number(value)?,
        };
        let (mut purged, mut after) = (0, 0);
        loop {
            let mut command = self.link.command(script::WAITING);
            command
                .arg(namespace.as_str())
                .arg(after)
                .arg(last)
                .arg(BATCH)
                .arg("")
                .arg("");
            let mut answer = Reply::new(self.link.run(script::WAITING, &command).await?)?;
            if answer.is_empty() {
                return Ok(usize::try_from(purged).unwrap_or(usize::MAX));
            }
            let mut command = self.link.command(script::PURGE);
            command.arg(namespace.as_str());
            let mut any = false;
            while !answer.is_empty() {
                let (member, _due) = (answer.text()?, answer.number()?);
                let (front, _past) = (answer.bytes()?, answer.bytes()?);
                let id = member.split(':').next().unwrap_or_default();
                after = id.parse().unwrap_or(last);
                let head = decode_head(JobId(after), &front);
                let head = head.and_then(|head| decode::<Head<'_>>(format_args!("job {id}"), head));
                match head {
                    Ok(head) => {
                        any = true;
                        command
                            .arg(&member)
                            .arg(head.idempotency_key().unwrap_or_default());
                    }
                    Err(error) => {
                        tracing::error!(%error, "a job is not purged, since it cannot be read");
                    }
                }
            }
            if any {
                purged += reply::number(self.link.run(script::PURGE, &command).await?)?;
            }
        }
    }
}
