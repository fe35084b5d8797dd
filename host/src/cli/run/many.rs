//! A job for each line, several at once, and what came of each in the order of the lines.
//!
//! Between the line that is read and the one that is printed next lies a window of bounded
//! size: a job that takes long holds those up that would leave it behind.

use std::collections::VecDeque;
use std::pin::pin;

use bytes::Bytes;
use tokio::sync::mpsc;

use super::super::failure::Failure;
use super::super::lines::{Line, Lines};
use super::super::meter::Meter;
use super::super::output;
use super::{Here, line};
use crate::job::{JobId, Payload};
use crate::store::{Outcome, Store as _};

/// How many lines may be read and not printed: some fifty ms of the shortest jobs, so that
/// none of the workers waits for the printer, and few enough to hold the results of all.
const WINDOW: usize = 1024;

/// How large their messages may be together, in bytes: four of the largest.
const WINDOW_BYTES: usize = 64 << 20;

/// How many lines are read, and how many outcomes are looked at, at once: enough to make
/// what a step costs small for each of them.
const AT_ONCE: usize = 256;

/// How many bytes of lines are read at once.
const READ_BYTES: usize = 1 << 20;

/// How many bytes of results are looked at at once, but for one that is larger.
const RESULT_BYTES: u64 = 16 << 20;

/// Batches of lines that are read ahead.
const AHEAD: usize = 2;

/// A line that was read, with its number.
type Read = (u64, Result<Bytes, String>);

/// A line that is still to be printed.
enum Entry {
    Refused { line: u64, problem: String },
    Job { line: u64, id: JobId, bytes: usize },
}

/// The jobs of a stream.
struct Many<'h> {
    here: &'h Here,
    window: VecDeque<Entry>,
    /// What the messages in the window have.
    bytes: usize,
    /// Jobs that were printed, and may be discarded.
    printed: Vec<JobId>,
    meter: Meter,
    completed: u64,
    failed: u64,
    refused: u64,
}

/// Runs a job for each line.
pub(super) async fn run(here: &Here, lines: Lines) -> Result<(), Failure> {
    let mut many = Many {
        here,
        window: VecDeque::new(),
        bytes: 0,
        printed: Vec::new(),
        meter: Meter::new("ran", lines.bytes, lines.read.clone()),
        completed: 0,
        failed: 0,
        refused: 0,
    };
    let done = many.run(read_aside(lines)?).await;
    many.meter.end(many.completed + many.failed);
    done?;
    match (many.failed, many.refused) {
        (0, 0) => Ok(()),
        (failed, refused) => Err(Failure::failed(format!(
            "of {} lines with a job, {failed} failed and {refused} were refused",
            many.completed + failed + refused
        ))),
    }
}

/// Reads on a thread of its own, which the end of this process does not wait for: a pipe
/// may stay silent for ever.
fn read_aside(mut lines: Lines) -> Result<mpsc::Receiver<Result<Vec<Read>, Failure>>, Failure> {
    let (batches, read) = mpsc::channel(AHEAD);
    let work = move || {
        loop {
            let next = batch(&mut lines);
            let goes_on = next.as_ref().is_ok_and(|lines| !lines.is_empty());
            if batches.blocking_send(next).is_err() || !goes_on {
                return;
            }
        }
    };
    std::thread::Builder::new()
        .name("skep-lines".to_owned())
        .spawn(work)
        .map_err(|error| Failure::failed(format!("cannot start a thread: {error}")))?;
    Ok(read)
}

/// The lines that come next, as many as are there; none at the end.
fn batch(lines: &mut Lines) -> Result<Vec<Read>, Failure> {
    let (mut batch, mut bytes) = (Vec::new(), 0);
    while let Some((number, line)) = lines.next()? {
        match line {
            Line::Blank => continue,
            Line::Message(message) => {
                bytes += message.len();
                batch.push((number, Ok(Bytes::copy_from_slice(message))));
            }
            Line::Bad(text) => batch.push((number, Err(text))),
        }
        if batch.len() >= AT_ONCE || bytes >= READ_BYTES || lines.is_dry() {
            break;
        }
    }
    Ok(batch)
}

impl Many<'_> {
    async fn run(
        &mut self,
        mut read: mpsc::Receiver<Result<Vec<Read>, Failure>>,
    ) -> Result<(), Failure> {
        let mut interrupted = pin!(tokio::signal::ctrl_c());
        let mut unread = None;
        let mut is_over = false;
        while !(is_over && self.window.is_empty()) {
            let has_room = self.window.len() < WINDOW && self.bytes < WINDOW_BYTES;
            tokio::select! {
                lines = read.recv(), if has_room && !is_over => match lines {
                    Some(Ok(lines)) if !lines.is_empty() => self.take(lines).await?,
                    Some(Err(failure)) => {
                        unread = Some(failure);
                        is_over = true;
                    }
                    _ => is_over = true,
                },
                ended = self.first_ended(), if !self.window.is_empty() => {
                    ended?;
                    self.print(false).await?;
                }
                _ = &mut interrupted => {
                    let first = self.print(true).await?;
                    if let Some(line) = first {
                        self.meter.note(&format!(
                            "interrupted: of the lines from {line} on, those that are not printed were not run to their end"
                        ));
                    }
                    return Err(Failure::Interrupted);
                }
            }
        }
        unread.map_or(Ok(()), Err)
    }

    /// Resolves once there is something to print.
    async fn first_ended(&self) -> Result<(), Failure> {
        match self.window.front() {
            Some(Entry::Job { id, .. }) => {
                let (store, namespace) = (&self.here.store, &self.here.namespace);
                store.ended(namespace, *id).await.map_err(broken)
            }
            _ => Ok(()),
        }
    }

    /// Posts the jobs of lines, but for those that the function does not take.
    async fn take(&mut self, lines: Vec<Read>) -> Result<(), Failure> {
        let Here {
            host, namespace, ..
        } = self.here;
        let messages = lines
            .iter()
            .filter_map(|(_, message)| message.as_ref().ok());
        let requests = messages.map(|message| self.here.request(Payload::json(message.clone())));
        let checked = host.intake.check_each(namespace, requests.collect()).await;
        let mut checked = checked.map_err(broken)?.into_iter();
        let (mut entries, mut jobs) = (Vec::with_capacity(lines.len()), Vec::new());
        for (line, message) in lines {
            let entry = match message {
                Err(problem) => Err(problem),
                Ok(message) => match checked.next() {
                    Some(Ok(job)) => {
                        jobs.push(job);
                        Ok(message.len())
                    }
                    Some(Err(error)) => Err(error.to_string()),
                    None => Err("it was not checked; this is a fault of skep".to_owned()),
                },
            };
            entries.push((line, entry));
        }
        let ids = host.intake.submit(namespace, jobs).await.map_err(broken)?;
        let mut ids = ids.into_iter();
        for (line, entry) in entries {
            self.window.push_back(match entry {
                Ok(bytes) => match ids.next().ok_or_else(|| broken("a job has no id"))? {
                    Ok(id) => {
                        self.bytes += bytes;
                        Entry::Job { line, id, bytes }
                    }
                    Err(reused) => Entry::Refused {
                        line,
                        problem: reused.to_string(),
                    },
                },
                Err(problem) => Entry::Refused { line, problem },
            });
        }
        Ok(())
    }

    /// Prints what has ended, up to the first line that has not, or all that have; answers
    /// the first that has not.
    async fn print(&mut self, passes_over: bool) -> Result<Option<u64>, Failure> {
        let mut first_open = None;
        while !self.window.is_empty() && (passes_over || first_open.is_none()) {
            let ids = self.window.iter().take(AT_ONCE).filter_map(Entry::id);
            let ids: Vec<_> = ids.collect();
            let (store, namespace) = (&self.here.store, &self.here.namespace);
            let outcomes = store.outcomes(namespace, &ids, RESULT_BYTES).await;
            let mut outcomes = outcomes.map_err(broken)?.into_iter();
            let mut text = String::new();
            while let Some(entry) = self.window.front() {
                let told = match entry {
                    Entry::Refused { line, problem } => {
                        self.refused += 1;
                        line::of_refused(*line, problem)
                    }
                    Entry::Job { line, id, bytes } => {
                        let Some(outcome) = outcomes.next() else {
                            break;
                        };
                        if outcome == Outcome::Open {
                            first_open.get_or_insert(*line);
                            if passes_over {
                                self.window.pop_front();
                                continue;
                            }
                            break;
                        }
                        match outcome {
                            Outcome::Completed(_) => self.completed += 1,
                            _ => self.failed += 1,
                        }
                        self.bytes -= bytes;
                        self.printed.push(*id);
                        line::of_outcome(*line, &outcome)
                    }
                };
                text.push_str(&told.map_err(broken)?);
                text.push('\n');
                self.window.pop_front();
            }
            self.meter.aside(|| output::lines(&text))?;
            self.meter.show(self.completed + self.failed);
            self.discard().await?;
        }
        Ok(first_open)
    }

    /// Lets the store discard what was printed: it holds what is in the window.
    async fn discard(&mut self) -> Result<(), Failure> {
        if self.printed.len() >= AT_ONCE {
            let printed = std::mem::take(&mut self.printed);
            let (store, namespace) = (&self.here.store, &self.here.namespace);
            // Jobs that they posted and did not wait for are to come.
            self.printed = store.discard(namespace, printed).await.map_err(broken)?;
        }
        Ok(())
    }
}

impl Entry {
    fn id(&self) -> Option<JobId> {
        match self {
            Self::Job { id, .. } => Some(*id),
            Self::Refused { .. } => None,
        }
    }
}

fn broken(error: impl std::fmt::Display) -> Failure {
    Failure::failed(error.to_string())
}
