//! What is told to whoever follows a job.

use serde::{Deserialize, Serialize};

use super::Cursor;
use crate::job::{Cause, JobId, JobRecord, LogLine, Progress, State};

/// Something that is so, or has happened.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// Where the job is in its life.
    State(Standing),
    /// How far it is.
    Progress {
        /// In this attempt.
        attempt: u32,
        /// How far.
        progress: Progress,
    },
    /// A line of its log.
    Log(Line),
    /// How it has ended; the last event.
    Result(Standing),
}

/// An event, and how much was told with it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Told {
    /// The event.
    pub event: Event,
    /// What has been seen by now.
    pub seen: Cursor,
}

/// Where a job is in its life: what a person who follows it wants to know.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Standing {
    /// The job.
    pub id: JobId,
    /// What it does.
    pub state: State,
    /// The attempt that it is in, or was in last, from 1; 0 before the first.
    pub attempt: u32,
    /// Attempts it may take.
    pub max_attempts: u32,
    /// When it may start, in ms since the Unix epoch, while it is `scheduled`.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub due_at_ms: Option<u64>,
    /// When its last attempt began, in ms since the Unix epoch.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub started_at_ms: Option<u64>,
    /// When it ended, in ms since the Unix epoch.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub ended_at_ms: Option<u64>,
    /// Why it failed; while it waits for another attempt, why the last one did.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub cause: Option<Cause>,
    /// The short result.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub short_result: Option<String>,
    /// The media type of the result.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub result_content_type: Option<String>,
    /// The length of the result, in bytes.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub result_bytes: Option<u64>,
}

/// A line of a job's log, and its place there.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Line {
    /// The attempt that wrote it, from 1.
    pub attempt: u32,
    /// Its place in the log of the attempt, from 1.
    pub number: usize,
    /// The line.
    #[serde(flatten)]
    pub line: LogLine,
}

#[derive(Serialize, Deserialize)]
struct ProgressData {
    attempt: u32,
    #[serde(flatten)]
    progress: Progress,
}

impl Event {
    /// The name of its kind.
    pub fn name(&self) -> &'static str {
        match self {
            Self::State(_) => "state",
            Self::Progress { .. } => "progress",
            Self::Log(_) => "log",
            Self::Result(_) => "result",
        }
    }

    /// What it tells, as JSON without line ends.
    ///
    /// # Errors
    ///
    /// None is known; the data are plain.
    pub fn data(&self) -> serde_json::Result<String> {
        match self {
            Self::State(standing) | Self::Result(standing) => serde_json::to_string(standing),
            Self::Progress { attempt, progress } => serde_json::to_string(&ProgressData {
                attempt: *attempt,
                progress: progress.clone(),
            }),
            Self::Log(line) => serde_json::to_string(line),
        }
    }

    /// The event of a name and its data; `None` for a name that a newer host may know.
    ///
    /// # Errors
    ///
    /// When the data are not those of such an event.
    pub fn read(name: &str, data: &str) -> serde_json::Result<Option<Self>> {
        Ok(Some(match name {
            "state" => Self::State(serde_json::from_str(data)?),
            "progress" => {
                let ProgressData { attempt, progress } = serde_json::from_str(data)?;
                Self::Progress { attempt, progress }
            }
            "log" => Self::Log(serde_json::from_str(data)?),
            "result" => Self::Result(serde_json::from_str(data)?),
            _ => return Ok(None),
        }))
    }
}

impl Standing {
    /// Where the job of a record is.
    pub(super) fn of(record: &JobRecord) -> Self {
        let last = record.attempts.last();
        let waits = matches!(record.state, State::Queued | State::Scheduled);
        let before = last.and_then(|attempt| attempt.cause.clone());
        Self {
            id: record.id,
            state: record.state,
            attempt: record.attempt,
            max_attempts: record.max_attempts,
            due_at_ms: record.due_at_ms,
            started_at_ms: record.started_at_ms,
            ended_at_ms: record.ended_at_ms,
            cause: record.cause.clone().or(before.filter(|_| waits)),
            short_result: record.short_result.clone(),
            result_content_type: record.result_content_type.clone(),
            result_bytes: record.result_bytes,
        }
    }

    /// Whether an attempt is under way.
    pub fn runs(&self) -> bool {
        matches!(self.state, State::Running | State::Parked)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::job::LogLevel;

    #[test]
    fn events_survive_their_data_and_unknown_ones_are_passed_over() {
        let standing = Standing {
            id: JobId(7),
            state: State::Completed,
            attempt: 2,
            max_attempts: 5,
            due_at_ms: None,
            started_at_ms: Some(1),
            ended_at_ms: Some(2),
            cause: None,
            short_result: Some("42\n".into()),
            result_content_type: Some("text/plain".into()),
            result_bytes: Some(3),
        };
        let line = LogLine {
            at_ms: 5,
            level: LogLevel::Warn,
            text: "a\tb".into(),
        };
        let progress = Progress {
            percent: 10,
            note: Some("begun".into()),
        };
        for event in [
            Event::State(standing.clone()),
            Event::Progress {
                attempt: 2,
                progress,
            },
            Event::Log(Line {
                attempt: 2,
                number: 3,
                line,
            }),
            Event::Result(standing),
        ] {
            let data = event.data().unwrap();
            assert!(!data.contains('\n'), "{data}");
            assert_eq!(Event::read(event.name(), &data).unwrap(), Some(event));
        }
        assert_eq!(Event::read("later", "?").unwrap(), None);
        assert!(Event::read("log", "{}").is_err());
    }
}
