//! How far a stream of jobs is: a bar on a terminal, a line now and then in a pipe, both
//! on stderr.

use std::io::{IsTerminal as _, stderr};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressStyle};
use rustix::termios::tcgetwinsize;

use super::output;

/// How often a pipe is told how far it is: often enough for who watches a log, and a page
/// of it in five minutes.
const TELL_EVERY: Duration = Duration::from_secs(5);

/// How wide a terminal is that does not say: what most were made for.
const USUAL_COLUMNS: u16 = 80;

/// How far a stream of jobs is.
pub(super) struct Meter {
    bar: Option<ProgressBar>,
    /// What is counted, as in `posted 7 jobs`.
    verb: &'static str,
    bytes: Option<u64>,
    read: Arc<AtomicU64>,
    begun: Instant,
    told: Instant,
}

impl Meter {
    /// A meter of what is read of so many bytes, if that is known.
    pub(super) fn new(verb: &'static str, bytes: Option<u64>, read: Arc<AtomicU64>) -> Self {
        let now = Instant::now();
        Self {
            bar: stderr().is_terminal().then(|| bar(bytes, columns())),
            verb,
            bytes,
            read,
            begun: now,
            told: now,
        }
    }

    /// Shows that so many jobs are done.
    pub(super) fn show(&mut self, jobs: u64) {
        let read = self.read.load(Ordering::Relaxed);
        if let Some(bar) = &self.bar {
            bar.set_position(read);
            bar.set_message(self.rate(jobs));
        } else if self.told.elapsed() >= TELL_EVERY {
            self.told = Instant::now();
            let share = self.bytes.filter(|bytes| *bytes > 0);
            let share = share.map(|bytes| format!(" ({}%)", read.min(bytes) * 100 / bytes));
            let (verb, rate) = (self.verb, self.rate(jobs));
            output::note(&format!("{verb} {rate}{}", share.unwrap_or_default()));
        }
    }

    /// Shows a line on stderr.
    pub(super) fn note(&self, text: &str) {
        self.aside(|| output::note(text));
    }

    /// Does something that writes to the terminal on which the bar is.
    pub(super) fn aside<T>(&self, write: impl FnOnce() -> T) -> T {
        match &self.bar {
            Some(bar) => bar.suspend(write),
            None => write(),
        }
    }

    /// Takes the bar away, and says how it went.
    pub(super) fn end(&self, jobs: u64) {
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
        output::note(&format!("{} {}", self.verb, self.rate(jobs)));
    }

    fn rate(&self, jobs: u64) -> String {
        let seconds = self.begun.elapsed().as_secs_f64();
        let rate = jobs as f64 / seconds.max(1e-3);
        let what = if jobs == 1 { "job" } else { "jobs" };
        format!("{jobs} {what}, {rate:.0}/s")
    }
}

fn columns() -> u16 {
    let size = tcgetwinsize(stderr()).map(|size| size.ws_col);
    size.ok()
        .filter(|columns| *columns > 0)
        .unwrap_or(USUAL_COLUMNS)
}

fn bar(bytes: Option<u64>, columns: u16) -> ProgressBar {
    let (bar, template) = match (bytes, columns) {
        (Some(bytes), 70..) => (
            ProgressBar::new(bytes),
            "{bar:30.cyan/dim} {percent}% {msg}, {eta} left",
        ),
        (Some(bytes), 45..) => (ProgressBar::new(bytes), "{percent}% {msg}, {eta} left"),
        (Some(bytes), _) => (ProgressBar::new(bytes), "{percent}% {wide_msg}"),
        (None, _) => (ProgressBar::new_spinner(), "{spinner} {wide_msg}"),
    };
    // The templates are constants; without one the bar is only plainer.
    if let Ok(style) = ProgressStyle::with_template(template) {
        bar.set_style(style);
    }
    bar
}
