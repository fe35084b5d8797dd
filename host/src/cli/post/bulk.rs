//! `skep post --file`: a job for each line, over one connection, while the ids of
//! earlier lines come back.

use std::io::{IsTerminal as _, Write as _, stderr, stdout};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use bytes::Bytes;
use futures_util::stream::unfold;
use indicatif::{ProgressBar, ProgressStyle};
use reqwest::header::CONTENT_TYPE;
use reqwest::{Body, Method};
use serde::Deserialize;
use tokio::sync::mpsc;

use super::super::client::Client;
use super::super::{Global, failure::Failure, output};
use super::lines::{Form, Source};
use super::{Args, Options};

/// How often a pipe is told how far it is.
const TELL_EVERY: Duration = Duration::from_secs(5);

/// Chunks of lines that are read ahead.
const AHEAD: usize = 4;

/// While no line comes, a space is sent this often: the server gives up on a sender
/// that is silent, and lines may come from something slow.
const KEEP_ALIVE: Duration = Duration::from_secs(10);

/// How long the server may be silent: as long as no line comes.
const SILENCE: Duration = Duration::from_secs(7 * 24 * 60 * 60);

/// A line that the server did not accept.
#[derive(Deserialize)]
struct Refused {
    line: u64,
    stops: bool,
    problem: Problem,
}

#[derive(Deserialize)]
struct Problem {
    detail: String,
}

/// Posts a job for each line of a file.
pub(super) async fn post(path: &Path, args: &Args, global: &Global) -> Result<(), Failure> {
    let limits = args.limits.all()?;
    let form = Form::new(&args.functions, &Options::of(args, &limits))?;
    let source = Source::open(path)?;
    let client = Client::patient(global, SILENCE)?;
    let mut meter = Meter::new(source.bytes);
    let (chunks, to_send) = mpsc::channel(AHEAD);
    let read = meter.read.clone();
    let reader = tokio::task::spawn_blocking(move || source.read(&form, &read, &chunks));
    let body = Body::wrap_stream(unfold(
        to_send,
        async |mut chunks: mpsc::Receiver<Bytes>| {
            let next = match tokio::time::timeout(KEEP_ALIVE, chunks.recv()).await {
                Ok(next) => next?,
                Err(_) => Bytes::from_static(b" "),
            };
            Some((Ok::<_, std::convert::Infallible>(next), chunks))
        },
    ));
    let request = client.request(Method::POST, "jobs/batch")?;
    let request = request
        .header(CONTENT_TYPE, "application/x-ndjson")
        .body(body);
    let mut response = client.send(request).await?;
    let mut answers = Answers {
        json: global.json,
        rest: Vec::new(),
        stopped: false,
    };
    while let Some(chunk) = response.chunk().await.map_err(|error| {
        let Failure::Failed(text) = client.away(&error) else {
            return client.away(&error);
        };
        Failure::failed(format!("{text}; {} jobs were queued before", meter.posted))
    })? {
        answers.take(&chunk, &mut meter)?;
        meter.show();
    }
    let unread = reader.await.unwrap_or_else(|error| {
        Err(Failure::failed(format!(
            "reading the file broke down: {error}"
        )))
    });
    meter.end();
    let bad = meter.refused + unread?;
    match (bad, answers.stopped) {
        (_, true) => Err(Failure::failed(format!(
            "{} jobs were queued, and the rest was not",
            meter.posted
        ))),
        (0, false) => Ok(()),
        (bad, false) => Err(Failure::failed(format!(
            "{bad} lines were refused; the other {} are queued",
            meter.posted
        ))),
    }
}

/// What the server answers, line by line.
struct Answers {
    json: bool,
    /// The beginning of a line that has not come whole.
    rest: Vec<u8>,
    stopped: bool,
}

impl Answers {
    fn take(&mut self, chunk: &[u8], meter: &mut Meter) -> Result<(), Failure> {
        self.rest.extend_from_slice(chunk);
        let whole = self.rest.iter().rposition(|byte| *byte == b'\n');
        let whole = whole.map_or(0, |end| end + 1);
        let tail = self.rest.split_off(whole);
        let lines = std::mem::replace(&mut self.rest, tail);
        let mut ids = Vec::with_capacity(lines.len());
        for line in lines.split(|byte| *byte == b'\n') {
            let line = line.trim_ascii();
            if line.is_empty() {
                continue;
            }
            if self.json {
                ids.extend_from_slice(line);
                ids.push(b'\n');
            }
            match id(line) {
                Some(id) if !self.json => {
                    ids.extend_from_slice(id);
                    ids.push(b'\n');
                    meter.posted += 1;
                }
                Some(_) => meter.posted += 1,
                None => self.refused(line, meter)?,
            }
        }
        let mut stdout = stdout().lock();
        let written = stdout.write_all(&ids).and_then(|()| stdout.flush());
        written.map_err(|error| output::unwritten(&error))
    }

    fn refused(&mut self, line: &[u8], meter: &mut Meter) -> Result<(), Failure> {
        let refused: Refused = serde_json::from_slice(line).map_err(|error| {
            Failure::failed(format!("the server answered something odd: {error}"))
        })?;
        let text = output::plain(&refused.problem.detail).replace('\n', " ");
        meter.note(&format!("line {}: {text}", refused.line));
        self.stopped |= refused.stops;
        meter.refused += u64::from(!refused.stops);
        Ok(())
    }
}

/// The id in `{"id":"53"}`.
fn id(line: &[u8]) -> Option<&[u8]> {
    let id = line.strip_prefix(b"{\"id\":\"")?.strip_suffix(b"\"}")?;
    id.iter().all(u8::is_ascii_digit).then_some(id)
}

/// How far it is: a bar on a terminal, a line now and then elsewhere.
struct Meter {
    bar: Option<ProgressBar>,
    /// Bytes of the file.
    read: Arc<AtomicU64>,
    posted: u64,
    refused: u64,
    begun: Instant,
    told: Instant,
}

impl Meter {
    fn new(bytes: Option<u64>) -> Self {
        let bar = stderr().is_terminal().then(|| {
            let (bar, template) = match bytes {
                Some(bytes) => (
                    ProgressBar::new(bytes),
                    "{bar:30.cyan/dim} {percent}% {msg}, {eta} left",
                ),
                None => (ProgressBar::new_spinner(), "{spinner} {msg}"),
            };
            // The templates are constants; without one the bar is only plainer.
            if let Ok(style) = ProgressStyle::with_template(template) {
                bar.set_style(style);
            }
            bar
        });
        Self {
            bar,
            read: Arc::default(),
            posted: 0,
            refused: 0,
            begun: Instant::now(),
            told: Instant::now(),
        }
    }

    fn text(&self) -> String {
        let seconds = self.begun.elapsed().as_secs_f64();
        let rate = self.posted as f64 / seconds.max(1e-3);
        format!("{} jobs, {rate:.0}/s", self.posted)
    }

    fn show(&mut self) {
        if let Some(bar) = &self.bar {
            bar.set_position(self.read.load(Ordering::Relaxed));
            bar.set_message(self.text());
        } else if self.told.elapsed() >= TELL_EVERY {
            self.told = Instant::now();
            output::note(&format!("posted {}", self.text()));
        }
    }

    fn note(&self, text: &str) {
        match &self.bar {
            Some(bar) => bar.suspend(|| output::note(text)),
            None => output::note(text),
        }
    }

    fn end(&self) {
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
        output::note(&format!("posted {}", self.text()));
    }
}
