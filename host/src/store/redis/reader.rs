//! What is known of a job.

use std::collections::BTreeMap;
use std::pin::pin;
use std::time::Duration;

use bytes::Bytes;
use redis::Value;
use tokio::time::timeout;

use crate::job::{JobId, JobRecord, MAX_CHILDREN_LISTED, Namespace, Output, State};
use crate::store::recent::merge;
use crate::store::record::{
    Head, Try, decode, decode_log, fill_attempts, fill_ended, fill_running, record_of,
};
use crate::store::{AttemptLog, Outcome, Result};

use super::RedisStore;
use super::claims::parse_value;
use super::posted::{decode_end, decode_outcome, decode_past};
use super::reply::{self, Reply};
use super::script;
use super::watching::reported;

/// How many outcomes one call answers, and how many bytes, unless the first has more: a
/// few milliseconds of Redis's time.
const OUTCOMES: usize = 500;
const OUTCOMES_BYTES: usize = 4 << 20;

/// How long to wait for the answer to a step of this process, if it tells of an end that is
/// known already: most come sooner, and a result that it brings need not be asked for.
const STEP_FIRST: Duration = Duration::from_millis(10);

/// How many children one call answers: a millisecond of Redis's time.
const CHILDREN: usize = 4_000;

/// Where a job is, as the scripts `job` and `list` tell it.
pub(super) struct Place<'a> {
    pub(super) name: &'a str,
    pub(super) detail: &'a [u8],
    pub(super) past: &'a [u8],
    pub(super) progress: &'a [u8],
}

/// Adds where a job is to its record.
pub(super) fn fill_place(record: &mut JobRecord, place: &Place<'_>, now_ms: u64) -> Result<()> {
    let id = record.id;
    if place.name == "ended" {
        let (ended, _) = decode_end(id, place.detail)?;
        fill_ended(record, ended);
        return Ok(());
    }
    if !place.past.is_empty() {
        fill_attempts(record, decode_past(id, place.past)?);
    }
    let detail = String::from_utf8_lossy(place.detail);
    if place.name == "held" {
        record.state = State::Scheduled;
    } else if place.name == "scheduled" {
        let due = reply::number(Value::SimpleString(detail.into_owned()))?;
        if due > now_ms {
            record.state = State::Scheduled;
            record.due_at_ms = Some(due);
        }
    } else if let Some((attempt, claimed_at_ms, _)) = parse_value(&detail) {
        fill_running(record, attempt, claimed_at_ms);
        if place.name == "parked" {
            record.state = State::Parked;
        }
        if !place.progress.is_empty() {
            let what = format_args!("the progress of job {id}");
            record.progress = Some(decode(what, place.progress)?);
        }
    }
    Ok(())
}

impl RedisStore {
    /// See [`crate::store::Store::job`].
    pub(super) async fn read_job(
        &self,
        namespace: &Namespace,
        id: JobId,
    ) -> Result<Option<JobRecord>> {
        let mut command = self.link.command(script::JOB);
        command
            .arg(namespace.as_str())
            .arg(id.0)
            .arg(MAX_CHILDREN_LISTED);
        let mut answer = Reply::new(self.link.run(script::JOB, &command).await?)?;
        if answer.is_empty() {
            return Ok(None);
        }
        let what = format!("job {id}");
        let posted_at_ms = answer.number()?;
        let _rank = answer.text()?;
        let head: Head<'static> = decode(&what, &answer.bytes()?)?;
        let message_bytes = answer.number()?;
        let job = head.into_job(&what, Bytes::new())?;
        let mut record = record_of(id, namespace.clone(), posted_at_ms, job, message_bytes);
        let (place, detail) = (answer.text()?, answer.bytes()?);
        let (past, progress) = (answer.bytes()?, answer.bytes()?);
        let is_to_stop = answer.truth()?;
        record.child_count = answer.number()?;
        let mut children = answer.list()?;
        while !children.is_empty() {
            record.children.push(JobId(children.number()?));
        }
        let (call_at, mut tries) = (answer.maybe_number()?, answer.list()?);
        if let Some(callback) = &mut record.callback {
            callback.due_at_ms = call_at;
            let mut deliveries = BTreeMap::new();
            while !tries.is_empty() {
                let (number, tried) = (tries.text()?, tries.bytes()?);
                if let Ok(number) = number.parse::<u32>() {
                    let tried: Try = decode(format_args!("a callback of {what}"), &tried)?;
                    deliveries.insert(number, tried.into_delivery());
                }
            }
            callback.deliveries = deliveries.into_values().collect();
        }
        record.cancel_requested = is_to_stop;
        let place = Place {
            name: &place,
            detail: &detail,
            past: &past,
            progress: &progress,
        };
        fill_place(&mut record, &place, self.shared.clock.now_ms())?;
        Ok(Some(record))
    }

    /// See [`crate::store::Store::outcomes`].
    pub(super) async fn find_outcomes(
        &self,
        namespace: &Namespace,
        ids: &[JobId],
        max_bytes: u64,
    ) -> Result<Vec<Outcome>> {
        let mut here: Vec<Option<Output>> = vec![None; ids.len()];
        let mut others = self.take_recent(namespace, ids, &mut here);
        // Listen first, then look: an answer in between rings.
        let mut answered = pin!(self.shared.answered.notified());
        answered.as_mut().enable();
        if self.shared.is_ending(namespace, &others) {
            // Late is not an error.
            let _ = timeout(STEP_FIRST, answered).await;
            others = self.take_recent(namespace, ids, &mut here);
        }
        let read = self.read_outcomes(namespace, &others, max_bytes).await?;
        Ok(merge(here, read, max_bytes))
    }

    /// Puts the results that are here in their places; answers the jobs of the others.
    fn take_recent(
        &self,
        namespace: &Namespace,
        ids: &[JobId],
        here: &mut [Option<Output>],
    ) -> Vec<JobId> {
        let key = |id| Some((namespace.clone(), id));
        self.shared.recent.take(ids, key, here)
    }

    async fn read_outcomes(
        &self,
        namespace: &Namespace,
        ids: &[JobId],
        max_bytes: u64,
    ) -> Result<Vec<Outcome>> {
        let (mut outcomes, mut room) = (Vec::with_capacity(ids.len()), max_bytes);
        while let Some(rest) = ids.get(outcomes.len()..).filter(|rest| !rest.is_empty()) {
            let asked = rest.get(..OUTCOMES).unwrap_or(rest);
            let mut command = self.link.command(script::OUTCOMES);
            command
                .arg(namespace.as_str())
                .arg(room)
                .arg(OUTCOMES_BYTES)
                .arg(u8::from(outcomes.is_empty()));
            for id in asked {
                command.arg(id.0);
            }
            let mut answer = Reply::new(self.link.run(script::OUTCOMES, &command).await?)?;
            if answer.is_empty() {
                break;
            }
            for id in asked {
                if answer.is_empty() {
                    break;
                }
                let outcome = match answer.number_or_bytes()? {
                    Ok(0) => Outcome::Unknown,
                    Ok(_) => Outcome::Open,
                    Err(bytes) => decode_outcome(*id, bytes, self.shared.clock.now_ms())?,
                };
                if let Outcome::Completed(output) = &outcome {
                    room = room.saturating_sub(output.result.data.len() as u64);
                }
                outcomes.push(outcome);
            }
        }
        Ok(outcomes)
    }

    /// See [`crate::store::Store::children`].
    pub(super) async fn read_children(
        &self,
        namespace: &Namespace,
        id: JobId,
        mut after: JobId,
        want: usize,
    ) -> Result<Vec<JobId>> {
        let mut children = Vec::new();
        while children.len() < want {
            let wanted = CHILDREN.min(want - children.len());
            let mut command = redis::cmd("ZRANGEBYSCORE");
            command
                .arg(self.link.key(&format!("k:{namespace}/{id}")))
                .arg(format!("({after}"))
                .arg("+inf")
                .arg("WITHSCORES")
                .arg("LIMIT")
                .arg(0)
                .arg(wanted);
            let mut answer = Reply::new(self.link.send(&command).await?)?;
            let before = children.len();
            while !answer.is_empty() {
                answer.bytes()?;
                after = JobId(answer.number()?);
                children.push(after);
            }
            if children.len() - before < wanted {
                break;
            }
        }
        Ok(children)
    }

    /// See [`crate::store::Store::log`].
    pub(super) async fn read_log(&self, namespace: &Namespace, id: JobId) -> Result<AttemptLog> {
        let mut command = self.link.command(script::LOG);
        command.arg(namespace.as_str()).arg(id.0);
        let mut answer = Reply::new(self.link.run(script::LOG, &command).await?)?;
        let (value, log) = (answer.text()?, answer.bytes()?);
        let (past, end) = (answer.bytes()?, answer.bytes()?);
        if let Some((attempt, _, _)) = parse_value(&value) {
            let lines = reported(id, &log)?;
            return Ok(AttemptLog { attempt, lines });
        }
        let attempts = match end.as_slice() {
            [] => decode_past(id, &past)?,
            end => decode_end(id, end)?.0.attempts,
        };
        let lines = match log.as_slice() {
            [] => Vec::new(),
            log => decode_log(format_args!("the log of job {id}"), log)?,
        };
        Ok(AttemptLog {
            attempt: attempts.last().map_or(0, |last| last.number),
            lines,
        })
    }

    /// The value under a key.
    pub(super) async fn get(&self, key: &str) -> Result<Option<Vec<u8>>> {
        let mut command = redis::cmd("GET");
        command.arg(self.link.key(key));
        match self.link.send(&command).await? {
            Value::Nil => Ok(None),
            value => reply::bytes(value).map(Some),
        }
    }
}
