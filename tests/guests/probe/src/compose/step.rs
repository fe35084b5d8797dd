//! The steps that a message may have.

use serde::Deserialize;
use serde_json::Value;

#[derive(Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub(crate) enum Step {
    /// Posts a job, or several alike; the value is its id, or the list of ids.
    Post(Box<New>),
    /// Posts a job for each message with one call: `ctx.map`; their results.
    Map {
        function: String,
        messages: Vec<Value>,
    },
    /// Posts a job that posts as many, and so on, each waiting for its own; how many
    /// jobs there were. A chain has a width of 1.
    Tree {
        depth: u32,
        width: usize,
    },
    /// Waits for a job; its result. Text that is not JSON is a string.
    Wait(Wait),
    /// Waits for all of these jobs, or all that this one has posted; their results.
    WaitAll(WaitMany),
    /// The same, but a job that failed gives its error's text.
    WaitEach(WaitMany),
    /// Stores text, or so many bytes; the key.
    Store {
        key: Option<String>,
        data: Option<String>,
        bytes: Option<usize>,
        expiry_s: Option<u64>,
    },
    /// The text under a key, or null.
    Fetch(String),
    /// Asks again and again until there is data under this key.
    FetchUntilThere(String),
    /// Percent and note.
    Progress(u8, String),
    /// Adds a line to the log.
    Log(String),
    /// Computes for so many iterations, without a look at anything.
    Spin(u64),
    /// Computes until somebody cancels the job.
    SpinUntilCancelled,
    /// Whether somebody has cancelled the job.
    IsCancelled,
    /// The steps of this attempt, the last ones from then on; the list of values.
    Attempt(Vec<Vec<Step>>),
    /// The list of values, or the error's text: `{"error": …}`.
    Try(Vec<Step>),
    /// Ends the job with this result.
    Return(Value),
    /// Ends the job with `failed`.
    Fail(String),
    /// Ends the attempt with `retry`.
    Retry {
        after_ms: u64,
    },
    Panic,
    Trap,
}

/// What to post.
#[derive(Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct New {
    pub(crate) function: String,
    pub(crate) message: Value,
    /// Instead of a message: steps for `compose`.
    pub(crate) compose: Option<Value>,
    /// Instead of a message: so many bytes.
    pub(crate) bytes: Option<usize>,
    /// Instead of a message: that of this job.
    pub(crate) itself: bool,
    /// Several jobs, with one call.
    pub(crate) many: Option<usize>,
    pub(crate) delay_ms: Option<u64>,
    pub(crate) priority: Option<u8>,
    pub(crate) idempotency_key: Option<String>,
    pub(crate) max_attempts: Option<u32>,
    pub(crate) timeout_ms: Option<u64>,
    pub(crate) retention_s: Option<u64>,
    pub(crate) callback: Option<String>,
}

impl Default for New {
    fn default() -> Self {
        New {
            function: "compose".to_owned(),
            message: Value::Null,
            compose: None,
            bytes: None,
            itself: false,
            many: None,
            delay_ms: None,
            priority: None,
            idempotency_key: None,
            max_attempts: None,
            timeout_ms: None,
            retention_s: None,
            callback: None,
        }
    }
}

#[derive(Deserialize)]
#[serde(untagged)]
pub(crate) enum Wait {
    For(String),
    AtMost { job: String, timeout_ms: u64 },
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct WaitMany {
    pub(crate) jobs: Option<Vec<String>>,
    pub(crate) timeout_ms: Option<u64>,
}
