//! `skep logs`: what a job has logged, or logs while it runs.

use reqwest::Method;
use serde::Deserialize;

use super::client::Client;
use super::colors::paint;
use super::follow::{Jobs as _, Listener, verdict, word};
use super::output::{self, indented, note, plain};
use super::{Global, failure::Failure};
use crate::following::{Event, Line, Standing};
use crate::job::{JobId, LogLevel, LogLine, State};

/// Show what a job has logged
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Examples:\n  skep logs 12\n  skep logs 12 --follow && echo completed\n  skep logs 12 --json | jq -r .text\n\nWithout --follow: the lines of the attempt that runs, or of the last one, with the seconds since it began. With --json, a JSON object for each line. With --follow, the exit code is 1 if the job failed or was cancelled."
)]
pub(super) struct Args {
    /// The job
    id: JobId,
    /// Go on with each line as it comes, until the job has ended
    #[arg(long, short)]
    follow: bool,
}

/// The log of an attempt, as the server answers it.
#[derive(Deserialize)]
struct Logged {
    attempt: u32,
    lines: Vec<LogLine>,
}

/// Prints the lines.
pub(super) async fn run(args: Args, global: &Global) -> Result<(), Failure> {
    let client = global.client()?;
    let mut printer = Printer::new(global.json);
    if !args.follow {
        return so_far(&client, args.id, &mut printer).await;
    }
    client.follow(args.id, &mut printer).await?;
    match &printer.standing {
        Some(ended) => verdict(ended),
        None => Err(Failure::failed(format!("job {} is gone", args.id))),
    }
}

async fn so_far(client: &Client, id: JobId, printer: &mut Printer) -> Result<(), Failure> {
    let record = client.record(id).await?;
    let request = client.request(Method::GET, &format!("jobs/{id}/log"))?;
    let Logged { attempt, lines } = client.json(request).await?;
    let first = lines.first().map(|line| line.at_ms);
    printer.began_ms = record.started_at_ms.min(first).or(first);
    let numbered = lines.into_iter().zip(1..);
    let mut lines = numbered.map(|(line, number)| Line {
        attempt,
        number,
        line,
    });
    lines.try_for_each(|line| printer.print(&line))
}

/// Prints lines on stdout, and on stderr what lies between them.
struct Printer {
    json: bool,
    standing: Option<Standing>,
    /// When the attempt began whose lines are printed, in ms since the Unix epoch.
    began_ms: Option<u64>,
    /// That attempt.
    attempt: u32,
}

impl Printer {
    fn new(json: bool) -> Self {
        Self {
            json,
            standing: None,
            began_ms: None,
            attempt: 0,
        }
    }

    fn print(&mut self, line: &Line) -> Result<(), Failure> {
        if self.json {
            return output::json(line);
        }
        if self.attempt != line.attempt {
            self.attempt = line.attempt;
            let standing = self.standing.as_ref();
            let known = standing.filter(|standing| standing.attempt == line.attempt);
            let began = known.and_then(|standing| standing.started_at_ms);
            self.began_ms = began.or(self.began_ms.filter(|_| standing.is_none()));
        }
        let began = *self.began_ms.get_or_insert(line.line.at_ms);
        let text = plain(&line.line.told(began));
        output::line(&paint(&text, color(line.line.level)))
    }
}

/// The code of a terminal's color: what matters stands out, and detail stands back.
fn color(level: LogLevel) -> Option<u8> {
    match level {
        LogLevel::Trace | LogLevel::Debug => Some(2),
        LogLevel::Info => None,
        LogLevel::Warn => Some(33),
        LogLevel::Error => Some(31),
    }
}

impl Listener for Printer {
    fn hear(&mut self, event: Event) -> Result<(), Failure> {
        match event {
            Event::Log(line) => self.print(&line),
            Event::Progress { .. } => Ok(()),
            Event::State(standing) | Event::Result(standing) => {
                if let Some(text) = between(self.standing.as_ref(), &standing) {
                    note(&text);
                }
                self.standing = Some(standing);
                Ok(())
            }
        }
    }

    fn note(&self, text: &str) {
        note(text);
    }
}

/// What a reader of the log must know that is not in it.
fn between(before: Option<&Standing>, now: &Standing) -> Option<String> {
    let Standing { id, attempt, .. } = now;
    match now.state {
        State::Queued | State::Scheduled => Some(match &now.cause {
            Some(cause) => {
                let cause = indented(&cause.to_string());
                format!("attempt {attempt} of job {id} ended with {cause}; it is to run again")
            }
            None => format!("job {id} is {}", word(now.state)),
        }),
        State::Running | State::Parked => {
            let is_new = before.is_none_or(|before| before.attempt != *attempt);
            (is_new && *attempt > 1).then(|| format!("attempt {attempt} of job {id} runs"))
        }
        State::Completed | State::Failed | State::Cancelled => None,
    }
}
