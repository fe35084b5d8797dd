//! How records lie in a store: MessagePack arrays behind a version byte.
//!
//! The types here mirror those of [`crate::job`], so that a change to what an API
//! shows never changes what is stored. To evolve: add fields at the end with
//! `#[serde(default)]`; anything else needs a new version byte and a reader for
//! the old one.

mod attempt;

use std::borrow::Cow;
use std::fmt::Display;
use std::num::NonZeroU32;

use bytes::Bytes;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_bytes::ByteArray;

pub(in crate::store) use attempt::{Attempt, granted};

use super::{MAX_ATTEMPTS_BEFORE_RETRY, Outcome, Result, Retriable, Retried, StoreError};
use crate::job::{
    AttemptRecord, CallbackRecord, Cause, CauseKind, Delivery, JobId, JobRecord, Limits, LogLevel,
    LogLine, Namespace, NewJob, Output, Payload, Priority, SomeLimits, State, TraceContext, Usage,
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
    /// What few jobs have; of the others it takes no byte. Only the last field of a
    /// record can be left out like this.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    more: Option<MoreHead>,
}

/// What only some jobs have: children, those with limits of their own, and those that
/// are traced.
#[derive(Serialize, Deserialize)]
struct MoreHead {
    root: Option<u64>,
    /// But for the timeout, which has its place in the head.
    limits: Vec<(Cow<'static, str>, u64)>,
    /// The two halves of the trace's id, the span's, and the flags: numbers, since the
    /// scripts of Redis read heads and know no bytes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    trace: Option<(u64, u64, u64, u8)>,
}

impl MoreHead {
    fn of(job: &NewJob) -> Option<Self> {
        let limits = job.limits.iter().filter(|(limit, _)| limit.name != TIMEOUT);
        let more = Self {
            root: job.root.map(|id| id.0),
            limits: limits.map(|(limit, n)| (limit.name.into(), n)).collect(),
            trace: job.trace.map(|trace| {
                let (high, low) = ((trace.trace_id >> 64) as u64, trace.trace_id as u64);
                (high, low, trace.span_id, trace.flags)
            }),
        };
        let is_any = more.root.is_some() || !more.limits.is_empty() || more.trace.is_some();
        is_any.then_some(more)
    }
}

/// The limit that had a field before the others did.
const TIMEOUT: &str = "timeout_ms";

/// Limits by their names, as they are stored.
fn some_limits<'a>(stored: impl IntoIterator<Item = (&'a str, u64)>) -> Result<SomeLimits, String> {
    let mut limits = SomeLimits::default();
    for (name, value) in stored {
        let said = limits.say(name, value);
        said.map_err(|error| format!("a newer skep wrote it: {error}"))?;
    }
    Ok(limits)
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
            timeout_ms: job.limits.get(TIMEOUT),
            retention_s: job.retention_s,
            parent: job.parent.map(|id| id.0),
            depth: job.depth,
            callback: job.callback.as_deref().map(Cow::Borrowed),
            more: MoreHead::of(job),
        }
    }

    /// The poster's key, if one was given.
    pub(in crate::store) fn idempotency_key(&self) -> Option<&str> {
        self.idempotency_key.as_deref()
    }

    /// Whether a job runs the same functions on a message of the same type.
    pub(in crate::store) fn runs_as(&self, job: &NewJob) -> bool {
        let functions = job.functions.iter().map(|name| name.as_str());
        self.content_type == job.message.content_type
            && self.functions.iter().map(|name| &**name).eq(functions)
    }

    /// The job that posted it, if one did.
    pub(in crate::store) fn parent(&self) -> Option<JobId> {
        self.parent.map(JobId)
    }

    /// Where to call when the job has ended.
    pub(in crate::store) fn callback(&self) -> Option<&str> {
        self.callback.as_deref()
    }

    /// The trace that it belongs to.
    pub(in crate::store) fn trace(&self) -> Option<TraceContext> {
        let (high, low, span_id, flags) = self.more.as_ref()?.trace?;
        Some(TraceContext {
            trace_id: u128::from(high) << 64 | u128::from(low),
            span_id,
            flags,
        })
    }

    /// The job of a head and a message.
    pub(in crate::store) fn into_job(self, what: impl Display, data: Bytes) -> Result<NewJob> {
        let unreadable = |error: String| StoreError::Unreadable(format!("{what}: {error}"));
        let functions = self.functions.iter().map(|name| name.parse());
        let trace = self.trace();
        let (root, limits) = match self.more {
            Some(more) => (more.root, more.limits),
            None => (None, Vec::new()),
        };
        let said = limits.iter().map(|(name, value)| (&**name, *value));
        let said = self
            .timeout_ms
            .map(|ms| (TIMEOUT, ms))
            .into_iter()
            .chain(said);
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
            limits: some_limits(said).map_err(unreadable)?,
            retention_s: self.retention_s,
            parent: self.parent.map(JobId),
            depth: self.depth,
            root: root.map(JobId),
            tree_jobs: None,
            child_key: None,
            callback: self.callback.map(Cow::into_owned),
            trace,
        })
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

    /// Why a job that ended like this cannot run again, if it cannot.
    pub(in crate::store) fn refuses_retry(&self, which: Retriable) -> Option<Retried> {
        let moved = (self.cause.as_ref()).is_some_and(|cause| cause.kind == CauseKind::Moved);
        match self.fate {
            Fate::Completed => Some(Retried::Completed),
            Fate::Cancelled if moved => Some(Retried::Moved),
            Fate::Cancelled if which == Retriable::Failed => Some(Retried::Cancelled),
            _ if self.attempts.len() >= MAX_ATTEMPTS_BEFORE_RETRY => Some(Retried::TooOften),
            Fate::Cancelled | Fate::Failed => None,
        }
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
    #[serde(default)]
    pub(in crate::store) concurrency: Option<NonZeroU32>,
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
        limits: job.limits,
        idempotency_key: job.idempotency_key,
        expires_at_ms: None,
        cancel_requested: false,
        trace_id: job.trace.map(|trace| trace.trace()),
    }
}

/// Adds the attempts that have ended.
pub(in crate::store) fn fill_attempts(record: &mut JobRecord, attempts: Vec<Attempt>) {
    record.max_attempts = record.max_attempts.saturating_add(granted(&attempts));
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
        limits: None,
        components: Vec::new(),
    });
}

/// Adds the end.
pub(in crate::store) fn fill_ended(record: &mut JobRecord, ended: Ended) {
    let failed = ended.why_it_failed().cloned();
    fill_attempts(record, ended.attempts);
    // Only the last attempt has a result, so that it need not be counted twice.
    if let Some(last) = record.attempts.last_mut() {
        last.usage.result_bytes = ended.result_bytes.unwrap_or_default();
        let short = ended.short_result.as_ref();
        last.usage.short_result_bytes = short.map_or(0, |text| text.len() as u64);
    }
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
        job.limits = "timeout=5s,fuel=7,posts=0".parse().unwrap();
        job.root = Some(JobId(3));
        let trace = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
        job.trace = Some(trace.parse().unwrap());
        let head = encode(&Head::of(&job)).unwrap();
        let read: Head<'static> = decode("job", &head).unwrap();
        assert_eq!(read.into_job("job", job.message.data.clone()).unwrap(), job);
    }

    #[test]
    fn a_job_without_children_or_limits_takes_as_many_bytes_as_before_there_were_any() {
        let mut job = NewJob::new(Payload::json("[1]"), vec!["multiply".parse().unwrap()]);
        job.limits = "timeout_ms=77".parse().unwrap();
        let older = encode(&(
            "application/json",
            ["multiply"],
            0_u64,
            2_u8,
            None::<String>,
            5_u32,
            Some(77_u64),
            None::<u64>,
            None::<u64>,
            0_u32,
            None::<String>,
        ));
        let older = older.unwrap();
        assert_eq!(encode(&Head::of(&job)).unwrap(), older);
        let read: Head<'static> = decode("job", &older).unwrap();
        assert_eq!(read.into_job("job", job.message.data.clone()).unwrap(), job);
        job.root = Some(JobId(1));
        let child = encode(&Head::of(&job)).unwrap();
        assert_eq!(child.len(), older.len() + 3, "a root of one byte");
        let trace = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
        job.trace = Some(trace.parse().unwrap());
        let traced = encode(&Head::of(&job)).unwrap();
        assert_eq!(
            traced.len() - child.len(),
            1 + 3 * 9 + 1,
            "a list of numbers"
        );
    }

    #[test]
    fn a_limit_of_a_newer_skep_makes_a_job_unreadable_and_says_so() {
        let mut job = NewJob::new(Payload::json("[1]"), vec![]);
        job.limits = "posts=7".parse().unwrap();
        let mut bytes = encode(&Head::of(&job)).unwrap();
        let at = bytes.windows(5).position(|word| word == b"posts").unwrap();
        bytes[at..at + 5].copy_from_slice(b"later");
        let read: Head<'static> = decode("job 7", &bytes).unwrap();
        let error = read
            .into_job("job 7", Bytes::new())
            .unwrap_err()
            .to_string();
        assert!(
            error.contains("newer skep") && error.contains("later"),
            "{error}"
        );
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
