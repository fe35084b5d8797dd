//! How much of a job's story a follower has seen: enough to go on with it later, on
//! any host.

use std::convert::Infallible;
use std::fmt;
use std::str::FromStr;

use super::Standing;
use crate::store::AttemptLog;

/// A place in a job's story. As text it is the id of an event.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Cursor {
    /// The attempt that was told of last, from 1; 0 for none.
    pub attempt: u32,
    /// How many lines of its log were told.
    pub lines: usize,
    /// The time of the last of these, in ms since the Unix epoch. An attempt that was
    /// handed back is run again under its number: then line and time do not match.
    pub last_at_ms: u64,
    /// Whether the end was told.
    pub ended: bool,
}

impl Cursor {
    /// Forgets the lines of an attempt that was handed back.
    pub(super) fn meet(&mut self, standing: &Standing, log: &AttemptLog) {
        if standing.attempt < self.attempt && log.attempt < self.attempt {
            // It waits to be run again, and what came before it was told.
            *self = Self {
                attempt: log.attempt,
                lines: log.lines.len(),
                last_at_ms: log.lines.last().map_or(0, |line| line.at_ms),
                ended: false,
            };
        } else if self.lines > 0 && !self.goes_on_with(standing, log) {
            // It is run again under its number.
            self.lines = 0;
            self.last_at_ms = 0;
        }
    }

    /// Whether the line that was told last is where it was.
    fn goes_on_with(&self, standing: &Standing, log: &AttemptLog) -> bool {
        if log.attempt != self.attempt {
            return !(standing.runs() && standing.attempt == self.attempt);
        }
        let last = self.lines.checked_sub(1);
        let last = last.and_then(|index| log.lines.get(index));
        last.is_some_and(|line| line.at_ms == self.last_at_ms)
    }

    /// An attempt begins to be told, if it is not the one that was told of last.
    pub(super) fn turn_to(&mut self, attempt: u32) {
        if self.attempt != attempt {
            *self = Self {
                attempt,
                ..Self::default()
            };
        }
    }
}

impl fmt::Display for Cursor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{}-{}", self.attempt, self.lines, self.last_at_ms)?;
        match self.ended {
            true => f.write_str("-end"),
            false => Ok(()),
        }
    }
}

/// What is no cursor is the beginning: a client that comes with the id of another
/// stream gets the whole story.
impl FromStr for Cursor {
    type Err = Infallible;

    fn from_str(text: &str) -> Result<Self, Infallible> {
        let (rest, ended) = match text.strip_suffix("-end") {
            Some(rest) => (rest, true),
            None => (text, false),
        };
        let mut parts = rest.split('-');
        let mut cursor = || {
            Some(Self {
                attempt: parts.next()?.parse().ok()?,
                lines: parts.next()?.parse().ok()?,
                last_at_ms: parts.next()?.parse().ok()?,
                ended,
            })
        };
        let read = cursor().filter(|_| parts.next().is_none());
        Ok(read.unwrap_or_default())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::job::{JobId, LogLevel, LogLine, State};

    fn log(attempt: u32, times: &[u64]) -> AttemptLog {
        let line = |at_ms: &u64| LogLine {
            at_ms: *at_ms,
            level: LogLevel::Info,
            text: String::new(),
        };
        AttemptLog {
            attempt,
            lines: times.iter().map(line).collect(),
        }
    }

    #[test]
    fn a_cursor_survives_its_text_and_nonsense_is_the_beginning() {
        let cursor = Cursor {
            attempt: 2,
            lines: 17,
            last_at_ms: 1_800_000_000_000,
            ended: true,
        };
        assert_eq!(cursor.to_string(), "2-17-1800000000000-end");
        assert_eq!(cursor.to_string().parse(), Ok(cursor));
        for odd in [
            "",
            "x",
            "1",
            "1-2",
            "1-2-3-4",
            "-1-2-3",
            "1-2-3-ende",
            "99999999999-0-0",
        ] {
            assert_eq!(odd.parse(), Ok(Cursor::default()), "{odd:?}");
        }
    }

    fn standing(state: State, attempt: u32) -> Standing {
        Standing {
            id: JobId(1),
            state,
            attempt,
            max_attempts: 5,
            due_at_ms: None,
            started_at_ms: None,
            ended_at_ms: None,
            cause: None,
            short_result: None,
            result_content_type: None,
            result_bytes: None,
        }
    }

    /// What is left of two lines of attempt 2 that were told.
    fn met(state: State, attempt: u32, log: &AttemptLog) -> (u32, usize) {
        let mut cursor = Cursor {
            attempt: 2,
            lines: 2,
            last_at_ms: 11,
            ended: false,
        };
        cursor.meet(&standing(state, attempt), log);
        (cursor.attempt, cursor.lines)
    }

    #[test]
    fn lines_that_were_told_are_told_apart_from_those_of_another_run() {
        for (state, attempt) in [
            (State::Running, 2),
            (State::Scheduled, 2),
            (State::Failed, 2),
            (State::Running, 3),
        ] {
            assert_eq!(met(state, attempt, &log(2, &[10, 11])), (2, 2));
            assert_eq!(met(state, attempt, &log(2, &[10, 11, 12])), (2, 2));
        }
        // It was handed back, and waits.
        assert_eq!(met(State::Queued, 1, &log(1, &[5])), (1, 1));
        assert_eq!(met(State::Queued, 1, &log(0, &[])), (0, 0));
        // It was handed back, and runs again.
        assert_eq!(met(State::Running, 2, &log(2, &[20, 21, 22])), (2, 0));
        assert_eq!(met(State::Running, 2, &log(2, &[20])), (2, 0));
        assert_eq!(met(State::Running, 2, &log(1, &[5])), (2, 0));
        // Its host was lost, and its log with it.
        assert_eq!(met(State::Failed, 2, &log(1, &[5])), (2, 2));
    }
}
