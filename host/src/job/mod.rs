//! What a job is: its names, message, options, states, attempts and outcome.
//!
//! Plain data and the rules that hold for it everywhere. No I/O, no clock, and no
//! knowledge of how jobs are stored, run or served.

mod cause;
mod child;
mod limits;
mod name;
mod quantity;
mod record;
mod retry;
mod some_limits;
mod summary;
mod text;
mod trace;
mod usage;

pub use cause::{Cause, CauseKind};
pub use child::ChildKey;
pub use limits::{
    LIMITS, Limit, Limits, MAX_LOG_LINE_BYTES, MAX_MEMORY_BYTES, MAX_MESSAGE_BYTES, MAX_NOTE_BYTES,
};
pub use name::{Digest, FunctionName, JobId, ModelName, NameError, Namespace};
pub use quantity::Unit;
pub use record::{
    AttemptRecord, CallbackRecord, Delivery, JobRecord, LogLevel, LogLine, MAX_CHILDREN_LISTED,
    Progress, State,
};
pub use retry::retry_delay_ms;
pub use some_limits::{LimitError, SomeLimits};
pub use summary::JobSummary;
pub use text::printable;
pub use trace::{NoTrace, TraceContext};
pub use usage::Usage;

use bytes::Bytes;
use serde::{Deserialize, Serialize};

/// The media type of a message that the host may check against a schema.
pub const JSON: &str = "application/json";

/// Attempts before the dead letter, unless the poster says otherwise. Enough to
/// ride out a few lost hosts; few enough that a poison job is gone in minutes.
pub const DEFAULT_MAX_ATTEMPTS: u32 = 5;

/// The largest `max_attempts` that a poster may ask for: with back-off capped at
/// minutes, a hundred attempts already span hours.
pub const MAX_MAX_ATTEMPTS: u32 = 100;

/// The deepest tree of jobs, whatever its limits. Each ancestor that waits holds an
/// instance.
pub const MAX_DEPTH: u32 = 64;

/// The longest delay of a job: a year, beyond which a unit is more likely wrong
/// than meant.
pub const MAX_DELAY_MS: u64 = 366 * 24 * 3600 * 1000;

/// Bytes with their media type.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Payload {
    /// A media type, such as `application/json`.
    pub content_type: String,
    /// The content.
    pub data: Bytes,
}

impl Payload {
    /// A payload of JSON text.
    pub fn json(data: impl Into<Bytes>) -> Self {
        Self {
            content_type: JSON.to_owned(),
            data: data.into(),
        }
    }

    /// Whether the content is JSON, whatever the parameters of its media type.
    pub fn is_json(&self) -> bool {
        let essence = self.content_type.split(';').next().unwrap_or_default();
        essence.trim().eq_ignore_ascii_case(JSON)
    }
}

/// The order in which waiting jobs are taken: 0 first, 3 last.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "u8", into = "u8")]
pub struct Priority(u8);

impl Priority {
    /// How many priorities there are.
    pub const COUNT: usize = 4;

    /// The priority of a number from 0 to 3.
    pub fn new(value: u8) -> Option<Self> {
        (usize::from(value) < Self::COUNT).then_some(Self(value))
    }

    /// This priority as an index below [`Priority::COUNT`].
    pub fn index(self) -> usize {
        usize::from(self.0)
    }
}

impl Default for Priority {
    fn default() -> Self {
        Self(2)
    }
}

impl TryFrom<u8> for Priority {
    type Error = String;

    fn try_from(value: u8) -> Result<Self, String> {
        Self::new(value)
            .ok_or_else(|| format!("priority must be 0 (first) to 3 (last), not {value}"))
    }
}

impl From<Priority> for u8 {
    fn from(priority: Priority) -> u8 {
        priority.0
    }
}

/// A job that has been checked and may be accepted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewJob {
    /// What the handler gets.
    pub message: Payload,
    /// The functions to run, in order; empty for all that are deployed.
    pub functions: Vec<FunctionName>,
    /// Do not start before this many ms have passed.
    pub delay_ms: u64,
    /// Its place among the waiting jobs.
    pub priority: Priority,
    /// The same key answers the same id within the namespace.
    pub idempotency_key: Option<String>,
    /// After this many attempts the job goes to the dead letter.
    pub max_attempts: u32,
    /// Its limits, where they are less than the deployment grants.
    pub limits: SomeLimits,
    /// Keep the result for this many seconds after the end; for ever if `None`.
    pub retention_s: Option<u64>,
    /// The job that posted this one.
    pub parent: Option<JobId>,
    /// How many ancestors this job has.
    pub depth: u32,
    /// The job at the root of its tree, if that is another one.
    pub root: Option<JobId>,
    /// How many jobs that tree may have with this one. Only there while the job is
    /// accepted; without it, or without a root, nothing is counted.
    pub tree_jobs: Option<u64>,
    /// Which of its parent's posts this one is. Only there while the job is
    /// accepted.
    pub child_key: Option<ChildKey>,
    /// Where to call when the job has ended.
    pub callback: Option<String>,
    /// What it comes from, if that is traced.
    pub trace: Option<TraceContext>,
}

impl NewJob {
    /// A job with the default options.
    pub fn new(message: Payload, functions: Vec<FunctionName>) -> Self {
        Self {
            message,
            functions,
            delay_ms: 0,
            priority: Priority::default(),
            idempotency_key: None,
            max_attempts: DEFAULT_MAX_ATTEMPTS,
            limits: SomeLimits::default(),
            retention_s: None,
            parent: None,
            depth: 0,
            root: None,
            tree_jobs: None,
            child_key: None,
            callback: None,
            trace: None,
        }
    }
}

/// What a handler gave back.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Output {
    /// A line for people and callbacks.
    pub short_result: Option<String>,
    /// The result.
    pub result: Payload,
}
