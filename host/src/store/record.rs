//! How records lie in a store: MessagePack arrays behind a version byte.
//!
//! The types here mirror those of [`crate::job`], so that a change to what an API
//! shows never changes what is stored. To evolve: add fields at the end with
//! `#[serde(default)]`; anything else needs a new version byte and a reader for
//! the old one.

use std::borrow::Cow;
use std::fmt::Display;

use bytes::Bytes;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_bytes::ByteArray;

use super::{Completion, Outcome, Result, StoreError};
use crate::job::{
    AttemptRecord, CallbackRecord, Cause, Delivery, Digest, JobId, JobRecord, Limits, LogLevel,
    LogLine, Namespace, NewJob, Output, Payload, Priority, State, Usage,
};

/// The version of the layout below.
const VERSION: u8 = 1;

/// Encodes a record.
pub(in crate::store) fn encode<T: Serialize>(record: &T) -> Result<Vec<u8>> {
    let mut bytes = Vec::with_capacity(96);
    bytes.push(VERSION);
    rmp_serde::encode::write(&mut bytes, record)
        .map_err(|error| StoreError::Unavailable(format!("cannot encode a record: {error}")))?;
    Ok(bytes)
}

/// Decodes a record; `what` names it in the error.
pub(in crate::store) fn decode<T: DeserializeOwned>(what: impl Display, bytes: &[u8]) -> Result<T> {
    match bytes.split_first() {
        Some((&VERSION, body)) => rmp_serde::from_slice(body)
            .map_err(|error| StoreError::Unreadable(format!("{what}: {error}"))),
        Some((version, _)) => Err(StoreError::Unreadable(format!(
            "{what}: its version is {version}, and this skep reads {VERSION}; a newer skep wrote it, so run that one here too"
        ))),
        None => Err(StoreError::Unreadable(format!("{what}: it is empty"))),
    }
}

/// A job as it was accepted, but for the content of its message.
#[derive(Serialize, Deserialize)]
pub(in crate::store) struct Head<'a> {
    content_type: Cow<'a, str>,
    functions: Vec<Cow<'a, str>>,
    delay_ms: u64,
    priority: u8,
    idempotency_key: Option<Cow<'a, str>>,
    max_attempts: u32,
    timeout_ms: Option<u64>,
    retention_s: Option<u64>,
    parent: Option<u64>,
    depth: u32,
    #[serde(default)]
    callback: Option<Cow<'a, str>>,
}

impl<'a> Head<'a> {
    /// The head of a job.
    pub(in crate::store) fn of(job: &'a NewJob) -> Self {
        Self {
            content_type: Cow::Borrowed(&job.message.content_type),
            functions: job
                .functions
                .iter()
                .map(|f| Cow::Borrowed(f.as_str()))
                .collect(),
            delay_ms: job.delay_ms,
            priority: job.priority.into(),
            idempotency_key: job.idempotency_key.as_deref().map(Cow::Borrowed),
            max_attempts: job.max_attempts,
            timeout_ms: job.timeout_ms,
            retention_s: job.retention_s,
            parent: job.parent.map(|id| id.0),
            depth: job.depth,
            callback: job.callback.as_deref().map(Cow::Borrowed),
        }
    }

    /// The poster's key, if one was given.
    pub(in crate::store) fn idempotency_key(&self) -> Option<&str> {
        self.idempotency_key.as_deref()
    }

    /// Where to call when the job has ended.
    pub(in crate::store) fn callback(&self) -> Option<&str> {
        self.callback.as_deref()
    }

    /// The job of a head and a message.
    pub(in crate::store) fn into_job(self, what: impl Display, data: Bytes) -> Result<NewJob> {
        let unreadable = |error: String| StoreError::Unreadable(format!("{what}: {error}"));
        let functions = self.functions.iter().map(|name| name.parse());
        Ok(NewJob {
            message: Payload {
                content_type: self.content_type.into_owned(),
                data,
            },
            functions: functions
                .collect::<Result<_, crate::job::NameError>>()
                .map_err(|error| unreadable(error.to_string()))?,
            delay_ms: self.delay_ms,
            priority: Priority::try_from(self.priority).map_err(unreadable)?,
            idempotency_key: self.idempotency_key.map(Cow::into_owned),
            max_attempts: self.max_attempts,
            timeout_ms: self.timeout_ms,
            retention_s: self.retention_s,
            parent: self.parent.map(JobId),
            depth: self.depth,
            child_key: None,
            callback: self.callback.map(Cow::into_owned),
        })
    }
}

/// An attempt that ended.
#[derive(Clone, Serialize, Deserialize)]
pub(in crate::store) struct Attempt {
    pub(in crate::store) number: u32,
    pub(in crate::store) started_at_ms: u64,
    pub(in crate::store) ended_at_ms: u64,
    pub(in crate::store) cause: Option<Cause>,
    fuel: u64,
    peak_memory_bytes: u64,
    run_us: u64,
    components: Vec<ByteArray<32>>,
}

impl Attempt {
    /// The attempt that a completion ends.
    pub(in crate::store) fn of(done: &Completion, cause: Option<Cause>) -> Self {
        Self {
            number: done.token.attempt,
            started_at_ms: done.started_at_ms,
            ended_at_ms: done.ended_at_ms,
            cause,
            fuel: done.usage.fuel,
            peak_memory_bytes: done.usage.peak_memory_bytes,
            run_us: done.usage.run_us,
            components: done
                .components
                .iter()
                .map(|c| ByteArray::new(*c.as_bytes()))
                .collect(),
        }
    }

    /// An attempt that nobody could report on.
    pub(in crate::store) fn unreported(
        number: u32,
        started_at_ms: u64,
        now_ms: u64,
        cause: Cause,
    ) -> Self {
        Self {
            number,
            started_at_ms,
            ended_at_ms: now_ms,
            cause: Some(cause),
            fuel: 0,
            peak_memory_bytes: 0,
            run_us: 0,
            components: Vec::new(),
        }
    }

    /// An attempt that was made in another store.
    pub(in crate::store) fn from_record(record: &AttemptRecord) -> Self {
        let digests = record.components.iter();
        Self {
            number: record.number,
            started_at_ms: record.started_at_ms,
            ended_at_ms: record.ended_at_ms.unwrap_or(record.started_at_ms),
            cause: record.cause.clone(),
            fuel: record.usage.fuel,
            peak_memory_bytes: record.usage.peak_memory_bytes,
            run_us: record.usage.run_us,
            components: digests.map(|c| ByteArray::new(*c.as_bytes())).collect(),
        }
    }

    /// As the API shows it.
    pub(in crate::store) fn into_record(self) -> AttemptRecord {
        AttemptRecord {
            number: self.number,
            started_at_ms: self.started_at_ms,
            ended_at_ms: Some(self.ended_at_ms),
            cause: self.cause,
            usage: Usage {
                fuel: self.fuel,
                peak_memory_bytes: self.peak_memory_bytes,
                run_us: self.run_us,
            },
            components: self
                .components
                .iter()
                .map(|c| Digest::from_bytes(**c))
                .collect(),
        }
    }
}

/// How a job ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(in crate::store) enum Fate {
    /// It succeeded.
    Completed,
    /// It is in the dead letter.
    Failed,
    /// Somebody cancelled it.
    Cancelled,
}

/// The end of a job, but for the content of its result.
#[derive(Serialize, Deserialize)]
pub(in crate::store) struct Ended {
    pub(in crate::store) fate: Fate,
    pub(in crate::store) ended_at_ms: u64,
    pub(in crate::store) attempts: Vec<Attempt>,
    pub(in crate::store) short_result: Option<String>,
    pub(in crate::store) content_type: Option<String>,
    pub(in crate::store) result_bytes: Option<u64>,
    pub(in crate::store) expires_at_ms: Option<u64>,
    pub(in crate::store) cancel_requested: bool,
    /// Why the job ended, where that is not why its last attempt did.
    #[serde(default)]
    pub(in crate::store) cause: Option<Cause>,
}

impl Ended {
    /// Why the job is in the dead letter, if it is.
    fn why_it_failed(&self) -> Option<&Cause> {
        self.attempts.last().and_then(|last| last.cause.as_ref())
    }

    /// Whether the result is kept no longer.
    pub(in crate::store) fn has_expired(&self, now_ms: u64) -> bool {
        self.expires_at_ms.is_some_and(|at| at <= now_ms)
    }

    /// What became of the job; `result` as far as it is still there.
    pub(in crate::store) fn into_outcome(
        self,
        what: impl Display,
        result: Option<Bytes>,
        now_ms: u64,
    ) -> Result<Outcome> {
        let expired = self.has_expired(now_ms);
        Ok(match self.fate {
            Fate::Cancelled => Outcome::Cancelled,
            Fate::Failed => {
                let cause = self.why_it_failed().cloned();
                Outcome::Failed(cause.ok_or_else(|| {
                    StoreError::Unreadable(format!("{what}: it failed without a cause"))
                })?)
            }
            Fate::Completed => match result.filter(|_| !expired) {
                None => Outcome::Expired,
                Some(data) => Outcome::Completed(Output {
                    short_result: self.short_result,
                    result: Payload {
                        content_type: self.content_type.unwrap_or_default(),
                        data,
                    },
                }),
            },
        })
    }
}

/// A try to call back.
#[derive(Serialize, Deserialize)]
pub(in crate::store) struct Try {
    at_ms: u64,
    status: Option<u16>,
    error: Option<String>,
}

impl Try {
    /// As it is stored.
    pub(in crate::store) fn of(delivery: &Delivery) -> Self {
        Self {
            at_ms: delivery.at_ms,
            status: delivery.status,
            error: delivery.error.clone(),
        }
    }

    /// As the API shows it.
    pub(in crate::store) fn into_delivery(self) -> Delivery {
        Delivery {
            at_ms: self.at_ms,
            status: self.status,
            error: self.error,
        }
    }
}

/// A line of a log.
#[derive(Serialize, Deserialize)]
struct Line<'a> {
    at_ms: u64,
    level: LogLevel,
    text: Cow<'a, str>,
}

/// Encodes a log; an empty one is nothing.
pub(in crate::store) fn encode_log(log: &[LogLine]) -> Result<Option<Vec<u8>>> {
    if log.is_empty() {
        return Ok(None);
    }
    let line = |l: &'_ LogLine| (l.at_ms, l.level, l.text.clone());
    let lines: Vec<_> = log
        .iter()
        .map(line)
        .map(|(at_ms, level, text)| Line {
            at_ms,
            level,
            text: text.into(),
        })
        .collect();
    encode(&lines).map(Some)
}

/// Decodes a log.
pub(in crate::store) fn decode_log(what: impl Display, bytes: &[u8]) -> Result<Vec<LogLine>> {
    let lines: Vec<Line<'static>> = decode(what, bytes)?;
    let line = |l: Line<'static>| LogLine {
        at_ms: l.at_ms,
        level: l.level,
        text: l.text.into_owned(),
    };
    Ok(lines.into_iter().map(line).collect())
}

/// A version of a function.
#[derive(Serialize, Deserialize)]
pub(in crate::store) struct Bound {
    pub(in crate::store) component: ByteArray<32>,
    pub(in crate::store) summary: String,
    pub(in crate::store) message_schema: Option<String>,
    pub(in crate::store) limits: Limits,
    pub(in crate::store) deployed_at_ms: u64,
}

/// The record of a job that waits and has not been tried.
pub(in crate::store) fn record_of(
    id: JobId,
    namespace: Namespace,
    posted_at_ms: u64,
    job: NewJob,
    message_bytes: u64,
) -> JobRecord {
    JobRecord {
        id,
        namespace,
        state: State::Queued,
        functions: job.functions,
        priority: job.priority,
        progress: None,
        posted_at_ms,
        due_at_ms: None,
        started_at_ms: None,
        ended_at_ms: None,
        attempt: 0,
        max_attempts: job.max_attempts,
        attempts: Vec::new(),
        cause: None,
        short_result: None,
        message_content_type: job.message.content_type,
        message_bytes,
        result_content_type: None,
        result_bytes: None,
        parent: job.parent,
        depth: job.depth,
        child_count: 0,
        children: Vec::new(),
        callback: job.callback.map(|url| CallbackRecord {
            url,
            due_at_ms: None,
            deliveries: Vec::new(),
        }),
        idempotency_key: job.idempotency_key,
        expires_at_ms: None,
        cancel_requested: false,
    }
}

/// Adds the attempts that have ended.
pub(in crate::store) fn fill_attempts(record: &mut JobRecord, attempts: Vec<Attempt>) {
    record.attempts = attempts.into_iter().map(Attempt::into_record).collect();
    record.attempt = record.attempts.last().map_or(0, |last| last.number);
    record.started_at_ms = record.attempts.last().map(|last| last.started_at_ms);
}

/// Adds the attempt that runs.
pub(in crate::store) fn fill_running(record: &mut JobRecord, attempt: u32, claimed_at_ms: u64) {
    record.state = State::Running;
    record.attempt = attempt;
    record.started_at_ms = Some(claimed_at_ms);
    record.attempts.push(AttemptRecord {
        number: attempt,
        started_at_ms: claimed_at_ms,
        ended_at_ms: None,
        cause: None,
        usage: Usage::default(),
        components: Vec::new(),
    });
}

/// Adds the end.
pub(in crate::store) fn fill_ended(record: &mut JobRecord, ended: Ended) {
    let failed = ended.why_it_failed().cloned();
    fill_attempts(record, ended.attempts);
    record.ended_at_ms = Some(ended.ended_at_ms);
    record.short_result = ended.short_result;
    record.result_content_type = ended.content_type;
    record.result_bytes = ended.result_bytes;
    record.expires_at_ms = ended.expires_at_ms;
    record.cancel_requested = ended.cancel_requested;
    record.state = match ended.fate {
        Fate::Completed => State::Completed,
        Fate::Failed => State::Failed,
        Fate::Cancelled => State::Cancelled,
    };
    record.cause = ended.cause;
    if record.state == State::Failed {
        record.cause = failed;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_job_survives_its_record() {
        let mut job = NewJob::new(Payload::json("[1]"), vec!["multiply".parse().unwrap()]);
        job.idempotency_key = Some("k".into());
        job.parent = Some(JobId(7));
        job.callback = Some("http://localhost/".into());
        let head = encode(&Head::of(&job)).unwrap();
        let read: Head<'static> = decode("job", &head).unwrap();
        assert_eq!(read.into_job("job", job.message.data.clone()).unwrap(), job);
    }

    #[test]
    fn an_end_without_a_cause_of_its_own_is_still_read() {
        let older = encode(&(
            Fate::Cancelled,
            7_u64,
            Vec::<Attempt>::new(),
            None::<String>,
            None::<String>,
            None::<u64>,
            None::<u64>,
            true,
        ));
        let read: Ended = decode("job", &older.unwrap()).unwrap();
        assert_eq!((read.ended_at_ms, read.cause), (7, None));
    }

    #[test]
    fn what_is_newer_or_torn_is_refused_and_never_a_panic() {
        let good = encode(&Head::of(&NewJob::new(Payload::json("[1]"), vec![]))).unwrap();
        for cut in 0..good.len() {
            assert!(matches!(
                decode::<Head<'static>>("job", &good[..cut]),
                Err(StoreError::Unreadable(_))
            ));
        }
        let mut newer = good.clone();
        newer[0] = VERSION + 1;
        let error = decode::<Head<'static>>("job", &newer)
            .err()
            .unwrap()
            .to_string();
        assert!(error.contains("its version is 2"), "{error}");
    }
}
