//! What a list of jobs tells of each: the part of its record that is small whatever the
//! job did.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::{Cause, FunctionName, JobId, JobRecord, Priority, Progress, State};

/// A job in a list; each field is that of the same name in [`JobRecord`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct JobSummary {
    /// Its id.
    pub id: JobId,
    /// Where it is in its life.
    pub state: State,
    /// The functions it names; empty for all.
    pub functions: Vec<FunctionName>,
    /// Its place among the waiting jobs.
    pub priority: Priority,
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
    /// How far it is, while it runs.
    pub progress: Option<Progress>,
    /// The short result.
    pub short_result: Option<String>,
    /// Why it failed, or where it went.
    pub cause: Option<Cause>,
    /// The media type of the result.
    pub result_content_type: Option<String>,
    /// The length of the result, in bytes.
    pub result_bytes: Option<u64>,
    /// The length of the message, in bytes.
    pub message_bytes: u64,
    /// The job that posted this one.
    pub parent: Option<JobId>,
    /// The poster's key, if one was given.
    pub idempotency_key: Option<String>,
    /// The function that it failed in, if that is known, or else the first that it names:
    /// what the dead letter is counted by.
    #[serde(skip)]
    pub blamed: Option<FunctionName>,
}

impl From<JobRecord> for JobSummary {
    fn from(record: JobRecord) -> Self {
        // An attempt ends in the function that it ran last.
        let ran = record
            .attempts
            .last()
            .map_or(0, |last| last.components.len());
        let last = ran.checked_sub(1).and_then(|at| record.functions.get(at));
        let blamed = last.or(record.functions.first()).cloned();
        Self {
            id: record.id,
            state: record.state,
            functions: record.functions,
            priority: record.priority,
            posted_at_ms: record.posted_at_ms,
            due_at_ms: record.due_at_ms,
            started_at_ms: record.started_at_ms,
            ended_at_ms: record.ended_at_ms,
            attempt: record.attempt,
            max_attempts: record.max_attempts,
            progress: record.progress,
            short_result: record.short_result,
            cause: record.cause,
            result_content_type: record.result_content_type,
            result_bytes: record.result_bytes,
            message_bytes: record.message_bytes,
            parent: record.parent,
            idempotency_key: record.idempotency_key,
            blamed,
        }
    }
}
