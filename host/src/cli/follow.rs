//! Follows jobs to their end: a bar for each on a terminal, plain lines
//! elsewhere, both on stderr.

use std::io::{IsTerminal as _, stderr};
use std::time::{Duration, Instant};

use indicatif::{MultiProgress, ProgressBar, ProgressStyle};

use super::failure::Failure;
use super::output::{note, plain};
use crate::job::{JobId, JobRecord, State};

/// How often a job is looked at: bars should move, and a server should not
/// notice.
const QUICK: Duration = Duration::from_millis(250);

/// How often a job is looked at that takes its time.
const CALM: Duration = Duration::from_secs(1);

/// When a job takes its time.
const PATIENCE: Duration = Duration::from_secs(10);

/// More bars than this do not fit on a terminal.
const MAX_BARS: usize = 16;

/// Where jobs can be looked at: a server, or a host in this process.
pub(super) trait Jobs {
    /// A job's record.
    async fn record(&self, id: JobId) -> Result<JobRecord, Failure>;

    /// Waits until a job has ended, for at most this long.
    async fn ended(&self, id: JobId, at_most: Duration) -> Result<(), Failure>;
}

/// Shows how far jobs are.
pub(super) struct Display {
    bars: Option<MultiProgress>,
}

impl Display {
    /// A display for this many jobs.
    pub(super) fn new(jobs: usize) -> Self {
        let bars = stderr().is_terminal() && jobs <= MAX_BARS;
        Self {
            bars: bars.then(MultiProgress::new),
        }
    }

    /// Follows a job to its end and answers its last record.
    pub(super) async fn follow(&self, jobs: &impl Jobs, id: JobId) -> Result<JobRecord, Failure> {
        let mut line = Line::new(id, self.bars.as_ref());
        let began = Instant::now();
        loop {
            let record = jobs.record(id).await?;
            line.show(&record);
            if record.state.has_ended() {
                line.end();
                return Ok(record);
            }
            let pace = if began.elapsed() < PATIENCE {
                QUICK
            } else {
                CALM
            };
            jobs.ended(id, pace).await?;
        }
    }
}

/// One job on the display.
struct Line {
    bar: Option<ProgressBar>,
    /// What was shown last; a pipe gets changes only.
    shown: String,
}

impl Line {
    fn new(id: JobId, bars: Option<&MultiProgress>) -> Self {
        let bar = bars.map(|bars| {
            let bar = bars.add(ProgressBar::new(100));
            let style =
                ProgressStyle::with_template("{prefix} {bar:30.cyan/dim} {percent:>3}% {msg}");
            // The template is a constant; without it the bar is only plainer.
            if let Ok(style) = style {
                bar.set_style(style);
            }
            bar.set_prefix(format!("job {id}"));
            bar
        });
        Self {
            bar,
            shown: String::new(),
        }
    }

    fn show(&mut self, record: &JobRecord) {
        let (percent, words) = describe(record);
        if let Some(bar) = &self.bar {
            bar.set_position(percent.into());
            bar.set_message(words);
            return;
        }
        let text = match record.state {
            State::Running | State::Parked => {
                format!("{} {} {percent}% {words}", record.id, word(record.state))
            }
            state => format!("{} {}", record.id, word(state)),
        };
        let text = text.trim_end().to_owned();
        if text != self.shown {
            note(&text);
            self.shown = text;
        }
    }

    fn end(&self) {
        if let Some(bar) = &self.bar {
            bar.abandon();
        }
    }
}

/// How far a job is, in percent and words.
fn describe(record: &JobRecord) -> (u8, String) {
    let progress = record.progress.clone().unwrap_or_default();
    let said = progress.note.map(|note| plain(&note).replace('\n', " "));
    match record.state {
        State::Running | State::Parked => (progress.percent.min(100), said.unwrap_or_default()),
        State::Completed => (100, word(record.state).to_owned()),
        state => (progress.percent.min(100), word(state).to_owned()),
    }
}

/// A state's name, as on the record.
pub(super) fn word(state: State) -> &'static str {
    match state {
        State::Queued => "queued",
        State::Scheduled => "scheduled",
        State::Running => "running",
        State::Parked => "parked",
        State::Completed => "completed",
        State::Failed => "failed",
        State::Cancelled => "cancelled",
    }
}

/// What the end of a job means for the command that followed it.
pub(super) fn verdict(record: &JobRecord) -> Result<(), Failure> {
    let id = record.id;
    match (record.state, &record.cause) {
        (State::Completed, _) => Ok(()),
        (State::Failed, Some(cause)) => Err(Failure::failed(format!(
            "job {id} failed: {}",
            plain(&cause.to_string())
        ))),
        (state, _) => Err(Failure::failed(format!("job {id} {}", word(state)))),
    }
}
