//! What a person does with the dead letter: lets jobs run again, or deletes them.

use redis::Cmd;

use crate::job::{JobId, Namespace};
use crate::store::record::{Fate, Head, decode, encode};
use crate::store::{Result, Retriable, Retried};

use super::RedisStore;
use super::posted::{decode_end, decode_head};
use super::reply::{self, Reply};
use super::script;

/// How many jobs one call lets run again, or deletes: a few milliseconds of Redis's time,
/// between which others get their turn.
const BATCH: usize = 200;

impl RedisStore {
    /// See [`crate::store::Store::retry`].
    pub(super) async fn run_again(
        &self,
        namespace: &Namespace,
        ids: &[JobId],
        which: Retriable,
    ) -> Result<Vec<Retried>> {
        let mut answers = Vec::with_capacity(ids.len());
        for ids in ids.chunks(BATCH) {
            let mut open: Vec<usize> = (0..ids.len()).collect();
            let mut batch = vec![Retried::Unknown; ids.len()];
            // What has changed between the two calls is looked at again.
            while !open.is_empty() {
                open = self
                    .try_again(namespace, ids, which, &open, &mut batch)
                    .await?;
            }
            answers.extend(batch);
        }
        Ok(answers)
    }

    /// Notes what comes of the jobs at these places; answers the places of those that must
    /// be looked at again.
    async fn try_again(
        &self,
        namespace: &Namespace,
        ids: &[JobId],
        which: Retriable,
        places: &[usize],
        batch: &mut [Retried],
    ) -> Result<Vec<usize>> {
        let asked = places
            .iter()
            .filter_map(|place| Some((*place, *ids.get(*place)?)));
        let asked: Vec<(usize, JobId)> = asked.collect();
        let asked_ids: Vec<JobId> = asked.iter().map(|(_, id)| *id).collect();
        let mut ends = self.ends_of(namespace, &asked_ids).await?;
        let mut command = self.link.command(script::RETRY);
        command.arg(namespace.as_str());
        let mut sent = Vec::new();
        for (place, id) in asked {
            let (front, end) = (ends.bytes()?, ends.bytes()?);
            let answer = match (front.as_slice(), end.as_slice()) {
                ([], _) => Retried::Unknown,
                (_, []) => Retried::NotEnded,
                (_, end) => match add_retry(&mut command, id, end, which)? {
                    Some(refused) => refused,
                    None => {
                        sent.push(place);
                        Retried::Done
                    }
                },
            };
            if let Some(slot) = batch.get_mut(place) {
                *slot = answer;
            }
        }
        if sent.is_empty() {
            return Ok(sent);
        }
        let mut done = Reply::new(self.link.run(script::RETRY, &command).await?)?;
        let mut changed = Vec::new();
        for place in sent {
            if !done.truth()? {
                changed.push(place);
            }
        }
        Ok(changed)
    }

    /// Of each job its front and the record of its end, or nothing.
    async fn ends_of(&self, namespace: &Namespace, ids: &[JobId]) -> Result<Reply> {
        let mut command = self.link.command(script::ENDS);
        command.arg(namespace.as_str());
        for id in ids {
            command.arg(id.0);
        }
        Reply::new(self.link.run(script::ENDS, &command).await?)
    }

    /// See [`crate::store::Store::forget`].
    pub(super) async fn forget_dead(&self, namespace: &Namespace, ids: &[JobId]) -> Result<usize> {
        let mut forgotten = 0;
        for ids in ids.chunks(BATCH) {
            let mut command = self.link.command(script::FORGET);
            command.arg(namespace.as_str());
            let mut any = false;
            let mut read = self.ends_of(namespace, ids).await?;
            for id in ids {
                let (front, _end) = (read.bytes()?, read.bytes()?);
                if front.is_empty() {
                    continue;
                }
                let head = decode_head(*id, &front);
                let head = head.and_then(|head| decode::<Head<'_>>(format_args!("job {id}"), head));
                match head {
                    Ok(head) => {
                        any = true;
                        let parent = head.parent().map_or_else(String::new, |id| id.to_string());
                        let key = head.idempotency_key().unwrap_or_default();
                        command.arg(id.0).arg(key).arg(parent);
                    }
                    Err(error) => {
                        tracing::error!(%error, "a job is not deleted, since it cannot be read");
                    }
                }
            }
            if any {
                forgotten += reply::number(self.link.run(script::FORGET, &command).await?)?;
            }
        }
        Ok(usize::try_from(forgotten).unwrap_or(usize::MAX))
    }
}

/// Adds a job to a command that lets jobs run again; or answers why it cannot.
fn add_retry(
    command: &mut Cmd,
    id: JobId,
    end: &[u8],
    which: Retriable,
) -> Result<Option<Retried>> {
    let (mut ended, _) = decode_end(id, end)?;
    if let Some(refused) = ended.refuses_retry(which) {
        return Ok(Some(refused));
    }
    if let Some(last) = ended.attempts.last_mut() {
        last.was_last();
    }
    let total = match ended.fate {
        Fate::Cancelled => "cancelled",
        Fate::Completed | Fate::Failed => "failed",
    };
    command
        .arg(id.0)
        .arg(end)
        .arg(total)
        .arg(ended.attempts.last().map_or(0, |last| last.number));
    match ended.attempts.as_slice() {
        [] => command.arg(""),
        attempts => command.arg(encode(&attempts)?),
    };
    Ok(None)
}
