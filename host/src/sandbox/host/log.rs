//! `skep:jobs/log`, and the log that it writes: bounded, and safe to print.

use crate::job::{LogLevel, LogLine, MAX_LOG_LINE_BYTES, printable};
use crate::sandbox::bindings::log::{Host, Level};
use crate::sandbox::host::Guest;
use crate::time::now_ms;

/// What each line costs of the budget beside its text, in bytes: its time, level
/// and frame in the store.
const LINE_OVERHEAD_BYTES: u64 = 32;

/// The log of an attempt: of each of its functions in order, which share it with their
/// stdout and stderr.
#[derive(Debug, Default)]
pub(in crate::sandbox) struct JobLog {
    kept: Vec<LogLine>,
    /// How many of these were there when the last function began.
    before: usize,
    /// What that one may still write, in bytes.
    left: u64,
    /// What all of them have written, in bytes.
    written: u64,
    dropped: u64,
}

impl JobLog {
    /// The next function begins; with those before it, it may write so many bytes.
    pub(in crate::sandbox) fn begin(&mut self, budget: u64) {
        self.finish();
        self.before = self.kept.len();
        self.left = budget.saturating_sub(self.written);
    }

    /// Adds the lines of a text, as far as the budget goes. What lies beyond it is only
    /// counted: one call may bring 80 million empty lines.
    pub(in crate::sandbox) fn write(&mut self, level: LogLevel, text: &str) {
        let mut rest = text;
        while self.dropped == 0 && !rest.is_empty() {
            let (line, after) = rest.split_once('\n').unwrap_or((rest, ""));
            self.write_line(level, line.strip_suffix('\r').unwrap_or(line));
            rest = after;
        }
        let ends = rest.bytes().filter(|&byte| byte == b'\n').count();
        let unended = !rest.is_empty() && !rest.ends_with('\n');
        self.dropped += ends as u64 + u64::from(unended);
    }

    fn write_line(&mut self, level: LogLevel, text: &str) {
        let cut = text.floor_char_boundary(MAX_LOG_LINE_BYTES);
        let text = printable(text.get(..cut).unwrap_or(text), |c| c == '\t').into_owned();
        let cost = text.len() as u64 + LINE_OVERHEAD_BYTES;
        match self.left.checked_sub(cost) {
            Some(left) if self.dropped == 0 => {
                self.left = left;
                self.written += cost;
                self.kept.push(LogLine {
                    at_ms: now_ms(),
                    level,
                    text,
                });
            }
            _ => self.dropped += 1,
        }
    }

    /// The lines so far. More are added at their end, and none is ever changed.
    pub(in crate::sandbox) fn lines(&self) -> &[LogLine] {
        &self.kept
    }

    /// The error lines at the end of what the last function wrote, up to so many.
    pub(in crate::sandbox) fn last_words(&self, at_most: usize) -> &[LogLine] {
        if self.dropped > 0 {
            return &[];
        }
        let others = (self.kept.iter()).rposition(|line| line.level != LogLevel::Error);
        let from = (others.map_or(0, |last| last + 1))
            .max(self.before)
            .max(self.kept.len().saturating_sub(at_most));
        self.kept.get(from..).unwrap_or_default()
    }

    /// What was written so far, in bytes.
    pub(in crate::sandbox) fn written(&self) -> u64 {
        self.written
    }

    /// Takes the lines away.
    pub(in crate::sandbox) fn take(&mut self) -> Vec<LogLine> {
        self.finish();
        std::mem::take(&mut self.kept)
    }

    /// Says how many lines of the last function were dropped.
    fn finish(&mut self) {
        let dropped = std::mem::take(&mut self.dropped);
        if dropped > 0 {
            self.kept.push(LogLine {
                at_ms: now_ms(),
                level: LogLevel::Warn,
                text: format!("[the log is full: {dropped} more lines were dropped]"),
            });
        }
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
        self.voice.log(level, &text);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn log(budget: u64) -> JobLog {
        let mut log = JobLog::default();
        log.begin(budget);
        log
    }

    #[test]
    fn a_flood_is_cut_at_the_budget_and_says_so() {
        let mut log = log(1000);
        for _ in 0..10_000 {
            log.write(LogLevel::Info, &"x".repeat(100));
        }
        assert_eq!(log.written(), 924);
        // The next function has what is left.
        log.begin(1000);
        log.write(LogLevel::Info, "next");
        log.write(LogLevel::Info, &"x".repeat(100));
        let lines = log.take();
        assert_eq!(lines.len(), 10);
        assert_eq!(
            lines[7].text,
            "[the log is full: 9993 more lines were dropped]"
        );
        assert_eq!(lines[8].text, "next");
        assert_eq!(
            lines[9].text,
            "[the log is full: 1 more lines were dropped]"
        );
    }

    #[test]
    fn a_text_is_cut_into_lines_and_those_beyond_the_budget_are_counted() {
        let mut log = log(100);
        log.write(LogLevel::Info, "a\r\n\nb");
        log.write(LogLevel::Info, &"\n".repeat(1 << 26));
        log.write(LogLevel::Info, "c\nd");
        let lines = log.take();
        let texts: Vec<_> = lines.iter().map(|line| line.text.as_str()).collect();
        let dropped = (1 << 26) + 2;
        let full = format!("[the log is full: {dropped} more lines were dropped]");
        assert_eq!(texts, ["a", "", "b", &full]);
    }

    #[test]
    fn last_words_are_the_errors_at_the_end_of_the_last_function() {
        let mut log = log(1000);
        log.write(LogLevel::Error, "of the first");
        log.begin(1000);
        assert!(log.last_words(4).is_empty());
        for (level, text) in [
            (LogLevel::Error, "before"),
            (LogLevel::Info, "between"),
            (LogLevel::Error, "a"),
            (LogLevel::Error, "b"),
        ] {
            log.write(level, text);
        }
        let said = |at_most| {
            let lines = log.last_words(at_most).iter();
            lines.map(|line| line.text.clone()).collect::<Vec<_>>()
        };
        assert_eq!(said(4), ["a", "b"]);
        assert_eq!(said(1), ["b"]);
    }

    #[test]
    fn a_line_cannot_move_the_cursor() {
        let mut log = log(1000);
        log.write(LogLevel::Info, "\x1b[2Jgone\rno\ttab");
        assert_eq!(log.take()[0].text, "\\u{1b}[2Jgone\\rno\ttab");
    }
}
