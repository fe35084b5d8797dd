//! Follows jobs to their end: a bar for each on a terminal, plain lines elsewhere, both
//! on stderr.

use std::io::{IsTerminal as _, stderr};

use console::Term;
use indicatif::{MultiProgress, ProgressBar, ProgressStyle};

use super::failure::Failure;
use super::output::{indented, note, one_line};
use crate::following::{Event, Standing};
use crate::job::{JobId, Progress, State};

/// More bars than this do not fit on a terminal.
const MAX_BARS: usize = 16;

/// A terminal narrower than this gets no bar, so that there is room for what the job says.
const MIN_COLUMNS: u16 = 60;

/// Where jobs can be followed: a server, or a host in this process.
pub(super) trait Jobs {
    /// Tells what happens to a job, from what is so now to its end.
    async fn follow(&self, id: JobId, listener: &mut impl Listener) -> Result<(), Failure>;
}

/// Who is told what happens to a job.
pub(super) trait Listener {
    /// Something happened.
    fn hear(&mut self, event: Event) -> Result<(), Failure>;

    /// Shows a line on stderr that is not about the job.
    fn note(&self, text: &str);
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

    /// Follows a job to its end, and answers how it ended.
    pub(super) async fn follow(&self, jobs: &impl Jobs, id: JobId) -> Result<Standing, Failure> {
        let mut line = Line::new(id, self.bars.as_ref());
        let followed = jobs.follow(id, &mut line).await;
        line.end();
        followed?;
        line.ended()
            .ok_or_else(|| Failure::failed(format!("job {id} is gone")))
    }
}

/// One job on the display.
struct Line {
    id: JobId,
    bar: Option<ProgressBar>,
    standing: Option<Standing>,
    progress: Progress,
    /// What was shown last; a pipe gets changes only.
    shown: String,
}

impl Line {
    fn new(id: JobId, bars: Option<&MultiProgress>) -> Self {
        let bar = bars.map(|bars| {
            let bar = bars.add(ProgressBar::new(100));
            let (_, columns) = Term::stderr().size();
            let style = ProgressStyle::with_template(match columns {
                ..MIN_COLUMNS => "{prefix} {percent:>3}% {wide_msg}",
                _ => "{prefix} {bar:30.cyan/dim} {percent:>3}% {wide_msg}",
            });
            // The template is a constant; without it the bar is only plainer.
            if let Ok(style) = style {
                bar.set_style(style);
            }
            bar.set_prefix(format!("job {id}"));
            bar
        });
        Self {
            id,
            bar,
            standing: None,
            progress: Progress::default(),
            shown: String::new(),
        }
    }

    fn show(&mut self) {
        let Some(standing) = &self.standing else {
            return;
        };
        let state = word(standing.state);
        let percent = match standing.state {
            State::Completed => 100,
            _ => self.progress.percent.min(100),
        };
        let said = match &self.progress.note {
            Some(note) if standing.runs() => one_line(note),
            _ => String::new(),
        };
        if let Some(bar) = &self.bar {
            bar.set_position(percent.into());
            bar.set_message(if standing.runs() {
                said
            } else {
                state.to_owned()
            });
            return;
        }
        let text = match standing.runs() {
            true => format!("{} {state} {percent}% {said}", self.id),
            false => format!("{} {state}", self.id),
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

    /// How the job ended, if it did.
    fn ended(self) -> Option<Standing> {
        self.standing.filter(|standing| standing.state.has_ended())
    }
}

impl Listener for Line {
    fn hear(&mut self, event: Event) -> Result<(), Failure> {
        match event {
            Event::State(standing) | Event::Result(standing) => {
                let attempt = self.standing.as_ref().map(|standing| standing.attempt);
                if attempt != Some(standing.attempt) {
                    self.progress = Progress::default();
                }
                self.standing = Some(standing);
            }
            Event::Progress { progress, .. } => self.progress = progress,
            Event::Log(_) => return Ok(()),
        }
        self.show();
        Ok(())
    }

    fn note(&self, text: &str) {
        match &self.bar {
            Some(bar) => bar.suspend(|| note(text)),
            None => note(text),
        }
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
pub(super) fn verdict(ended: &Standing) -> Result<(), Failure> {
    let id = ended.id;
    match (ended.state, &ended.cause) {
        (State::Completed, _) => Ok(()),
        (State::Failed, Some(cause)) => Err(Failure::failed(format!(
            "job {id}: {}",
            indented(&cause.to_string())
        ))),
        (state, _) => Err(Failure::failed(format!("job {id} {}", word(state)))),
    }
}
