//! `POST /jobs/batch`: a job in each line, an answer for each. Lines are read, checked
//! and stored while others are still on their way, a bounded number at a time: who
//! sends faster than the store writes is slowed down.
//!
//! The answer begins once the first lines are stored, so that a request of which
//! nothing can be is refused with a status. What goes wrong later is told in its line.

mod teller;

use std::task::Poll;

use axum::body::Body;
use axum::extract::State;
use axum::http::HeaderMap;
use axum::http::header::CONTENT_TYPE;
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use futures_util::StreamExt as _;
use futures_util::stream::{FuturesOrdered, poll_fn};
use tokio::sync::mpsc;

use super::App;
use super::body::{content_type, essence};
use super::code::Code;
use super::drain::ReadsOn;
use super::extract::{Format, Tenant};
use super::idempotency;
use super::lines::{Line, Lines};
use super::metrics::Traced;
use super::posting::{MAX_ENVELOPE_BYTES, of_envelope};
use super::problem::{ACCEPT_POST, Problem};
use crate::intake::PostRequest;
use crate::job::{Namespace, NewJob, TraceContext};
use teller::{Teller, Told};

/// What lines of JSON are called.
pub(super) const NDJSON: [&str; 4] = [
    "application/x-ndjson",
    "application/ndjson",
    "application/jsonl",
    "application/json",
];

/// How many batches are checked ahead of the one that is written.
const AHEAD: usize = 2;

/// How many batches are on their way to the store at once: while it works on one, the
/// next is there.
const AT_ONCE: usize = 3;

/// How many batches' answers wait for a client that reads none of them before it has
/// sent everything, as simple ones do: some 8 MiB, or a million jobs. Beyond that it
/// is kept waiting.
const ANSWERS: usize = 1_024;

/// Lines that were checked.
struct Batch {
    /// What became of each: a job's place in `jobs` needs no word.
    lines: Vec<Told>,
    jobs: Vec<NewJob>,
    /// What keeps the next line and all after it from being read.
    end: Option<(u64, Problem)>,
}

/// `POST /jobs/batch`.
pub(super) async fn post(
    State(app): State<App>,
    Tenant(namespace): Tenant,
    format: Format,
    Traced(trace): Traced,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, Problem> {
    idempotency::refuse(&headers)?;
    let given = essence(content_type(&headers));
    if !NDJSON.contains(&given.as_str()) {
        return Err(Problem::not_taken(
            ACCEPT_POST,
            NDJSON[0],
            format!(
                "the body is {given:.80?}; send a JSON job in each line, as POST /jobs takes it, with `Content-Type: {}`",
                NDJSON[0]
            ),
        ));
    }
    let (checked, to_store) = mpsc::channel(AHEAD);
    let (answers, mut answered) = mpsc::channel(ANSWERS);
    let lines = Lines::of(body, MAX_ENVELOPE_BYTES, &app.requests);
    let open = answers.clone();
    let reader = tokio::spawn(read(app.clone(), namespace.clone(), trace, lines, checked));
    tokio::spawn(store(app, namespace, format, to_store, answers));
    let mut first = match answered.recv().await {
        Some(Err(refused)) => {
            // Nobody else may read the body when `drain` does.
            drop(reader.await);
            return Err(refused);
        }
        Some(Ok(first)) => Some(first),
        None => None,
    };
    tokio::spawn(async move {
        if let Ok(lines) = reader.await {
            lines.drain().await;
        }
        // The answer ends here.
        drop(open);
    });
    let rest = poll_fn(move |context| match first.take() {
        Some(first) => Poll::Ready(Some(Ok::<_, std::io::Error>(first))),
        None => answered.poll_recv(context).map(|next| {
            // After the beginning, everything is told in lines.
            next.map(|answer| answer.map_err(|_| std::io::ErrorKind::Other.into()))
        }),
    });
    let kind = match format {
        Format::Text => "text/plain; charset=utf-8",
        Format::Json => NDJSON[0],
    };
    let mut response = ([(CONTENT_TYPE, kind)], Body::from_stream(rest)).into_response();
    response.extensions_mut().insert(ReadsOn);
    Ok(response)
}

/// Reads and checks lines until they end or nobody stores them; answers what is left.
async fn read(
    app: App,
    namespace: Namespace,
    trace: Option<TraceContext>,
    mut lines: Lines,
    checked: mpsc::Sender<Batch>,
) -> Lines {
    loop {
        let from = lines.next_number();
        let next = tokio::select! {
            biased;
            () = checked.closed() => return lines,
            () = app.closing.cancelled() => Err(stopping()),
            next = lines.next() => next,
        };
        let batch = match next {
            Ok(next) if next.is_empty() => return lines,
            Ok(next) => check(&app, &namespace, trace, next).await,
            Err(problem) => Err((from, problem)),
        };
        let (batch, ends) = match batch {
            Ok(batch) => (batch, false),
            Err(end) => (Batch::end(end), true),
        };
        if checked.send(batch).await.is_err() || ends {
            return lines;
        }
    }
}

impl Batch {
    fn end(end: (u64, Problem)) -> Self {
        Self {
            lines: Vec::new(),
            jobs: Vec::new(),
            end: Some(end),
        }
    }
}

/// Checks lines; the error is why none of them could be.
async fn check(
    app: &App,
    namespace: &Namespace,
    trace: Option<TraceContext>,
    next: Vec<Line>,
) -> Result<Batch, (u64, Problem)> {
    let first = next.first().map_or(1, |line| line.number);
    let mut lines = Vec::with_capacity(next.len());
    let mut requests = Vec::with_capacity(next.len());
    for line in next {
        let request = match &line.text {
            Some(text) => of_envelope(text),
            None => Err(too_long()),
        };
        let problem = match request {
            Ok(request) => {
                requests.push(PostRequest { trace, ..request });
                None
            }
            Err(problem) => Some(problem),
        };
        lines.push((line.number, problem));
    }
    let mut checked = match app.intake.check_each(namespace, requests).await {
        Ok(checked) => checked.into_iter(),
        Err(error) => return Err((first, error.into())),
    };
    let mut jobs = Vec::with_capacity(lines.len());
    for (_, problem) in &mut lines {
        if problem.is_some() {
            continue;
        }
        match checked.next() {
            Some(Ok(job)) => jobs.push(job),
            Some(Err(error)) => *problem = Some(error.into()),
            None => *problem = Some(Problem::internal(&"a line was not checked")),
        }
    }
    Ok(Batch {
        lines,
        jobs,
        end: None,
    })
}

/// Stores batches, a few at once, and says what became of each line, until something
/// goes wrong.
async fn store(
    app: App,
    namespace: Namespace,
    format: Format,
    mut batches: mpsc::Receiver<Batch>,
    answers: mpsc::Sender<Result<Bytes, Problem>>,
) {
    let mut teller = Teller::new(format);
    let mut under_way = FuturesOrdered::new();
    loop {
        // The first one goes alone: if it fails, the request is refused as a whole.
        let most = if teller.begun { AT_ONCE } else { 1 };
        let fate = tokio::select! {
            batch = batches.recv(), if under_way.len() < most && teller.takes_more() => {
                match batch {
                    Some(Batch { end: Some(end), .. }) => teller.end = Some(end),
                    Some(Batch { lines, jobs, .. }) => {
                        let stored = app.intake.submit(&namespace, jobs);
                        under_way.push_back(async move { (lines, stored.await) });
                    }
                    None => teller.no_more = true,
                }
                continue;
            }
            Some((lines, stored)) = under_way.next() => teller.tell(lines, stored),
            else => break,
        };
        if !fate.is_empty() && answers.send(Ok(fate)).await.is_err() {
            return;
        }
    }
    // The reader stops before the last word is sent.
    drop(batches);
    drop(answers.send(teller.last()).await);
}

fn too_long() -> Problem {
    Problem::new(
        Code::TooLarge,
        format!("a line may have at most {MAX_ENVELOPE_BYTES} bytes"),
    )
}

pub(super) fn stopping() -> Problem {
    Problem::new(
        Code::Stopping,
        "this host is stopping; send the rest to another one, or to this one once it is back",
    )
}
