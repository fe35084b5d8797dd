//! `skep:jobs/log`, and the log that it writes: bounded, and safe to print.

use std::sync::{Arc, Mutex, PoisonError};

use crate::job::{LogLevel, LogLine, MAX_LOG_LINE_BYTES};
use crate::sandbox::bindings::log::{Host, Level};
use crate::sandbox::host::Guest;
use crate::time::now_ms;

/// What each line costs of the budget beside its text, in bytes: its time, level
/// and frame in the store.
const LINE_OVERHEAD_BYTES: u64 = 32;

/// A job's log, shared by `log.write` and the guest's stdout and stderr.
#[derive(Clone, Debug)]
pub(in crate::sandbox) struct JobLog(Arc<Mutex<Lines>>);

#[derive(Debug)]
struct Lines {
    kept: Vec<LogLine>,
    left: u64,
    dropped: u64,
}

impl JobLog {
    pub(super) fn new(budget: u64) -> Self {
        Self(Arc::new(Mutex::new(Lines {
            kept: Vec::new(),
            left: budget,
            dropped: 0,
        })))
    }

    /// Adds a line, as far as the budget goes.
    pub(super) fn write(&self, level: LogLevel, text: &str) {
        let mut lines = self.lock();
        let cut = text.floor_char_boundary(MAX_LOG_LINE_BYTES);
        let text = printable(text.get(..cut).unwrap_or(text));
        let cost = text.len() as u64 + LINE_OVERHEAD_BYTES;
        match lines.left.checked_sub(cost) {
            Some(left) if lines.dropped == 0 => {
                lines.left = left;
                lines.kept.push(LogLine {
                    at_ms: now_ms(),
                    level,
                    text,
                });
            }
            _ => lines.dropped += 1,
        }
    }

    /// Takes the lines away; the last one says how many were dropped.
    pub(in crate::sandbox) fn take(&self) -> Vec<LogLine> {
        let mut lines = self.lock();
        let mut taken = std::mem::take(&mut lines.kept);
        if lines.dropped > 0 {
            taken.push(LogLine {
                at_ms: now_ms(),
                level: LogLevel::Warn,
                text: format!(
                    "[the log is full: {} more lines were dropped]",
                    lines.dropped
                ),
            });
        }
        taken
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Lines> {
        // The lines are whole between any two operations on them.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The text with its control characters escaped: a guest must not move the cursor
/// of whoever reads its log.
fn printable(text: &str) -> String {
    if text.chars().any(|c| c.is_control() && c != '\t') {
        text.chars()
            .flat_map(|c| {
                let escape = c.is_control() && c != '\t';
                let escaped = escape.then(|| c.escape_default());
                let plain = (!escape).then_some(c);
                escaped.into_iter().flatten().chain(plain)
            })
            .collect()
    } else {
        text.to_owned()
    }
}

impl Host for Guest {
    fn write(&mut self, level: Level, text: String) -> wasmtime::Result<()> {
        let level = match level {
            Level::Trace => LogLevel::Trace,
            Level::Debug => LogLevel::Debug,
            Level::Info => LogLevel::Info,
            Level::Warn => LogLevel::Warn,
            Level::Error => LogLevel::Error,
        };
        for line in text.lines() {
            self.log.write(level, line);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_flood_is_cut_at_the_budget_and_says_so() {
        let log = JobLog::new(1000);
        for _ in 0..10_000 {
            log.write(LogLevel::Info, &"x".repeat(100));
        }
        let lines = log.take();
        assert_eq!(lines.len(), 8);
        assert_eq!(
            lines[7].text,
            "[the log is full: 9993 more lines were dropped]"
        );
    }

    #[test]
    fn a_line_cannot_move_the_cursor() {
        let log = JobLog::new(1000);
        log.write(LogLevel::Info, "\x1b[2Jgone\rno\ttab");
        assert_eq!(log.take()[0].text, "\\u{1b}[2Jgone\\rno\ttab");
    }
}
