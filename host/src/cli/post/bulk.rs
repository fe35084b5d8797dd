//! `skep post --file`: a job for each line, over one connection, while the ids of
//! earlier lines come back; and what to say when it ends before the lines do.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures_util::stream::unfold;
use reqwest::header::CONTENT_TYPE;
use reqwest::{Body, Method};
use tokio::sync::{mpsc, oneshot};
use tokio_util::sync::CancellationToken;

use super::super::client::Client;
use super::super::lines::Lines;
use super::super::meter::Meter;
use super::super::{Global, failure::Failure, output};
use super::answers::Answers;
use super::lines::{Form, read};
use super::track::Track;
use super::{Args, Options, again};

/// Chunks of lines that are read ahead.
const AHEAD: usize = 4;

/// While no line comes, a space is sent this often: the server gives up on a sender
/// that is silent, and lines may come from something slow.
const KEEP_ALIVE: Duration = Duration::from_secs(10);

/// How long the server may be silent: as long as no line comes.
const SILENCE: Duration = Duration::from_secs(7 * 24 * 60 * 60);

/// How long the server gets to answer what was sent, once no more is: the end is exact
/// then. It holds a few seconds' work at most.
const LAST_ANSWERS: Duration = Duration::from_secs(10);

/// Why it ended before the lines did.
enum Cut {
    /// A person wanted it to.
    Interrupted,
    /// The file cannot be read any further.
    Unread(Failure),
    /// The ids from this line on could not be written.
    Unwritten(Failure, u64),
    /// The server takes no more, and said so.
    Stopped,
    /// The server is gone, or does not answer.
    Away(String),
}

/// Posts a job for each line of a file.
pub(super) async fn post(path: &Path, args: &Args, global: &Global) -> Result<(), Failure> {
    let limits = args.limits.all()?;
    let form = Form::new(&args.functions, &Options::of(args, &limits))?;
    let lines = Lines::open(path)?;
    let client = Client::patient(global, SILENCE)?;
    let track = Arc::new(Track::default());
    let meter = Meter::new("posted", lines.bytes, lines.read.clone());
    let (chunks, to_send) = mpsc::channel(AHEAD);
    let from = args.from_line.unwrap_or(1);
    let reader = read_aside(lines, from, form, track.clone(), chunks)?;
    let stop = Stop::on_interrupt();
    let request = client.request(Method::POST, "jobs/batch")?;
    let request = request
        .header(CONTENT_TYPE, "application/x-ndjson")
        .body(body(to_send, stop.no_more.clone()));
    let mut answers = Answers::new(global.json, from, track.clone(), meter);
    let cut = tokio::select! {
        cut = converse(&client, request, &mut answers, &stop) => cut?,
        () = stop.at_once.cancelled() => {
            Some(Cut::Away("the server has not answered all that was sent".to_owned()))
        }
    };
    answers.meter.end(answers.posted);
    let cut = match cut {
        None if stop.is_wanted() => Some(Cut::Interrupted),
        // It has sent all it had.
        None => match reader.await {
            Ok(Ok(())) => None,
            Ok(Err(failure @ Failure::Usage(_))) if answers.posted == 0 => return Err(failure),
            Ok(Err(failure)) => Some(Cut::Unread(failure)),
            Err(_) => Some(Cut::Unread(Failure::failed("reading the lines broke down"))),
        },
        cut => cut,
    };
    let bad = answers.refused + track.bad();
    match cut {
        Some(cut) => Err(told(cut, &answers, args, track.next())),
        None if bad == 0 => Ok(()),
        None => Err(Failure::failed(format!(
            "{bad} lines were refused; the other {} are queued",
            answers.posted
        ))),
    }
}

/// Reads on a thread of its own, which the end of this process does not wait for: a pipe
/// may stay silent for ever.
fn read_aside(
    lines: Lines,
    from: u64,
    form: Form,
    track: Arc<Track>,
    chunks: mpsc::Sender<Bytes>,
) -> Result<oneshot::Receiver<Result<(), Failure>>, Failure> {
    let (done, reader) = oneshot::channel();
    std::thread::Builder::new()
        .name("skep-lines".to_owned())
        .spawn(move || {
            let read = read(lines, from, &form, &track, &chunks);
            // Told before the body ends.
            let _ = done.send(read);
        })
        .map_err(|error| Failure::failed(format!("cannot start a thread: {error}")))?;
    Ok(reader)
}

/// The chunks, until there are no more or no more are to be sent.
fn body(chunks: mpsc::Receiver<Bytes>, no_more: CancellationToken) -> Body {
    Body::wrap_stream(unfold(
        (chunks, no_more),
        async |(mut chunks, no_more): (mpsc::Receiver<Bytes>, CancellationToken)| {
            let next = tokio::select! {
                biased;
                () = no_more.cancelled() => None,
                next = tokio::time::timeout(KEEP_ALIVE, chunks.recv()) => match next {
                    Ok(next) => next,
                    Err(_) => Some(Bytes::from_static(b" ")),
                },
            };
            Some((Ok::<_, std::convert::Infallible>(next?), (chunks, no_more)))
        },
    ))
}

/// Sends the request and takes the answers to their end, which may come early.
async fn converse(
    client: &Client,
    request: reqwest::RequestBuilder,
    answers: &mut Answers,
    stop: &Stop,
) -> Result<Option<Cut>, Failure> {
    let away = |error: &reqwest::Error| match client.away(error) {
        Failure::Away(text) => Ok(Some(Cut::Away(text))),
        other => Err(other),
    };
    let response = match request.send().await {
        Ok(response) => response,
        Err(error) if error.is_connect() => return Err(client.away(&error)),
        Err(error) => return away(&error),
    };
    let mut response = client.checked(response).await?;
    let mut unwritten = None;
    loop {
        let chunk = match response.chunk().await {
            Ok(Some(chunk)) => chunk,
            Ok(None) => break,
            Err(error) => return away(&error),
        };
        if let Err((failure, line)) = answers.take(&chunk)? {
            // What was sent is queued, and it is better to know up to where.
            unwritten.get_or_insert(Cut::Unwritten(failure, line));
            stop.soon();
        }
    }
    Ok(match (unwritten, answers.stopped) {
        (None, true) => Some(Cut::Stopped),
        (unwritten, _) => unwritten,
    })
}

/// The wish for an end: of what is sent, and of the wait for answers.
struct Stop {
    no_more: CancellationToken,
    at_once: CancellationToken,
}

impl Stop {
    /// One that Ctrl-C wishes for: once softly, twice at once.
    fn on_interrupt() -> Self {
        let (no_more, at_once) = (CancellationToken::new(), CancellationToken::new());
        let stop = Self {
            no_more: no_more.clone(),
            at_once: at_once.clone(),
        };
        tokio::spawn(async move {
            if tokio::signal::ctrl_c().await.is_ok() {
                output::note("stopping: what was sent is being answered; again to stop at once");
                no_more.cancel();
                let _ = tokio::time::timeout(LAST_ANSWERS, tokio::signal::ctrl_c()).await;
                at_once.cancel();
            }
        });
        stop
    }

    fn is_wanted(&self) -> bool {
        self.no_more.is_cancelled()
    }

    /// No more is sent, and the server gets a while to answer the rest.
    fn soon(&self) {
        if self.is_wanted() {
            return;
        }
        self.no_more.cancel();
        let at_once = self.at_once.clone();
        tokio::spawn(async move {
            tokio::time::sleep(LAST_ANSWERS).await;
            at_once.cancel();
        });
    }
}

/// Says how far it came, and with which command to go on.
fn told(cut: Cut, answers: &Answers, args: &Args, next: u64) -> Failure {
    let keyed = args.idempotency_key.is_some();
    let queued = match answers.posted {
        1 => "1 job was queued".to_owned(),
        posted => format!("{posted} jobs were queued"),
    };
    let again = match args.file.as_deref() {
        Some(path) if path == Path::new("-") => "go on with the same input from its beginning and",
        _ => "go on with",
    };
    let (why, line) = match &cut {
        Cut::Interrupted => ("interrupted".to_owned(), next),
        Cut::Stopped => ("the server takes no more".to_owned(), next),
        Cut::Away(text) => (text.clone(), next),
        Cut::Unread(Failure::Usage(text) | Failure::Failed(text)) => (text.clone(), next),
        Cut::Unread(_) => ("the lines cannot be read".to_owned(), next),
        Cut::Unwritten(failure, unwritten) => {
            let why = match failure {
                Failure::Failed(text) => text.as_str(),
                _ => "nobody reads the ids any more",
            };
            let why = format!("{why}; the ids from line {unwritten} on were not written");
            // With a key, the jobs are not posted again, and their ids come again.
            (why, if keyed { *unwritten } else { next })
        }
    };
    let command = again::command(line);
    let mut text = format!("{why}; {queued}; {again}\n  {command}");
    if matches!(cut, Cut::Away(_)) && !keyed {
        text.push_str(&format!(
            "\nSome jobs from line {line} on may be queued, too, and would be posted twice; with --idempotency-key none is"
        ));
    }
    match cut {
        Cut::Interrupted => {
            output::note(&text);
            Failure::Interrupted
        }
        Cut::Unwritten(Failure::Unread, _) => {
            output::note(&text);
            Failure::Unread
        }
        Cut::Away(_) => Failure::away(text),
        _ => Failure::failed(text),
    }
}
