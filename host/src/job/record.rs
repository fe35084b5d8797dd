//! The record of a job: what `GET /jobs/{id}` tells.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::{Cause, Digest, FunctionName, JobId, Limits, Namespace, Priority, SomeLimits, Usage};

/// Where a job is in its life.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "kebab-case")]
pub enum State {
    /// It waits for a worker.
    Queued,
    /// It waits for its time: a delay, or the back-off of a retry.
    Scheduled,
    /// A host holds it.
    Running,
    /// It waits for another job, and holds no worker.
    Parked,
    /// It succeeded.
    Completed,
    /// It is in the dead letter.
    Failed,
    /// Somebody cancelled it.
    Cancelled,
}

impl State {
    /// Whether nothing more will happen unless a person says so.
    pub fn has_ended(self) -> bool {
        matches!(self, Self::Completed | Self::Failed | Self::Cancelled)
    }
}

/// How far a running job is.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Progress {
    /// 0 to 100.
    pub percent: u8,
    /// What it is doing, for people.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub note: Option<String>,
}

/// How much a log line matters.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "kebab-case")]
pub enum LogLevel {
    /// The finest detail.
    Trace,
    /// Detail for whoever looks for a fault.
    Debug,
    /// What a reader wants to know.
    Info,
    /// Something odd that the job survived.
    Warn,
    /// Something that the job may not survive.
    Error,
}

/// A line of a job's log.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct LogLine {
    /// When, in ms since the Unix epoch.
    pub at_ms: u64,
    /// How much it matters.
    pub level: LogLevel,
    /// What the guest wrote; control characters are already escaped.
    pub text: String,
}

impl LogLine {
    /// The line for people, with the seconds since `began_ms`, in ms since the Unix
    /// epoch: what a reader compares.
    pub fn told(&self, began_ms: u64) -> String {
        let seconds = self.at_ms.saturating_sub(began_ms) as f64 / 1000.0;
        let level = match self.level {
            LogLevel::Trace => "TRACE",
            LogLevel::Debug => "DEBUG",
            LogLevel::Info => "INFO",
            LogLevel::Warn => "WARN",
            LogLevel::Error => "ERROR",
        };
        format!("{seconds:9.3} {level:<5} {}", self.text)
    }
}

/// One run of a job.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct AttemptRecord {
    /// From 1.
    pub number: u32,
    /// When the lease was taken, in ms since the Unix epoch.
    pub started_at_ms: u64,
    /// When it ended, in ms since the Unix epoch; `None` while it runs.
    pub ended_at_ms: Option<u64>,
    /// Why it did not succeed.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub cause: Option<Cause>,
    /// What it used.
    pub usage: Usage,
    /// The limits that held, once it has ended and if it ran; see [`Limits::and`] for
    /// several functions.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub limits: Option<Limits>,
    /// The component of each function that it ran, in order.
    pub components: Vec<Digest>,
}

/// How many children a record lists: enough for a person, and few enough for one
/// answer.
pub const MAX_CHILDREN_LISTED: usize = 100;

/// What became of a callback.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct CallbackRecord {
    /// Where it goes.
    pub url: String,
    /// When it is tried next, in ms since the Unix epoch; `None` before the job has
    /// ended, and when nothing more will be tried.
    pub due_at_ms: Option<u64>,
    /// Each try so far, oldest first.
    pub deliveries: Vec<Delivery>,
}

/// One try to call back.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Delivery {
    /// When, in ms since the Unix epoch.
    pub at_ms: u64,
    /// The status of the answer, if there was one.
    pub status: Option<u16>,
    /// What went wrong, if anything did.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub error: Option<String>,
}

/// All that is known of a job, but for its message, result and log.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct JobRecord {
    /// Its id.
    pub id: JobId,
    /// Whose it is.
    pub namespace: Namespace,
    /// Where it is in its life.
    pub state: State,
    /// The functions it names; empty for all.
    pub functions: Vec<FunctionName>,
    /// Its place among the waiting jobs.
    pub priority: Priority,
    /// How far it is, while it runs.
    pub progress: Option<Progress>,
    /// When it was accepted, in ms since the Unix epoch.
    pub posted_at_ms: u64,
    /// When it may start, in ms since the Unix epoch, while it is `scheduled`.
    pub due_at_ms: Option<u64>,
    /// When its last attempt began, in ms since the Unix epoch.
    pub started_at_ms: Option<u64>,
    /// When it ended, in ms since the Unix epoch.
    pub ended_at_ms: Option<u64>,
    /// Attempts taken so far.
    pub attempt: u32,
    /// Attempts it may take.
    pub max_attempts: u32,
    /// Each attempt that ended or runs, oldest first.
    pub attempts: Vec<AttemptRecord>,
    /// Why it failed, or where it went.
    pub cause: Option<Cause>,
    /// The short result.
    pub short_result: Option<String>,
    /// The media type of the message.
    pub message_content_type: String,
    /// The length of the message, in bytes.
    pub message_bytes: u64,
    /// The media type of the result.
    pub result_content_type: Option<String>,
    /// The length of the result, in bytes.
    pub result_bytes: Option<u64>,
    /// The job that posted this one.
    pub parent: Option<JobId>,
    /// How many ancestors it has.
    pub depth: u32,
    /// How many jobs it has posted, in all its attempts.
    pub child_count: u64,
    /// The first 100 of them ([`MAX_CHILDREN_LISTED`]), by their ids.
    pub children: Vec<JobId>,
    /// What became of its callback, if it has one.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub callback: Option<CallbackRecord>,
    /// The limits that the poster asked for.
    #[serde(skip_serializing_if = "SomeLimits::is_empty", default)]
    pub limits: SomeLimits,
    /// The poster's key, if one was given.
    pub idempotency_key: Option<String>,
    /// When the result is dropped, in ms since the Unix epoch; `None` for never.
    pub expires_at_ms: Option<u64>,
    /// Whether a person asked for it to stop.
    pub cancel_requested: bool,
    /// The id of the trace that it belongs to, in hexadecimal digits, if it does.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub trace_id: Option<String>,
}
