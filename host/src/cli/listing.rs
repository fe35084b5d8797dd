//! Lists of jobs, as `skep jobs` and `skep dead list` show them.

use std::num::NonZeroU64;
use std::time::Duration;

use futures_util::{StreamExt as _, TryStreamExt as _};
use reqwest::Method;
use reqwest::header::{ACCEPT, HeaderValue};
use serde::Deserialize;
use serde_json::Value;
use serde_json::value::RawValue;
use tokio_util::codec::{FramedRead, LinesCodec};
use tokio_util::io::StreamReader;

use super::client::Client;
use super::output::one_line;
use super::table::{Head, Table};
use super::{Global, duration, failure::Failure, output};
use crate::job::{Cause, Progress};
use crate::time::now_ms;

/// Jobs of one request: as many as a server answers.
const PAGE: u64 = 1000;

/// The longest line of a stream: a job has a short result and a cause of 4 KiB, each of
/// whose bytes may be escaped as six, and names of functions; with room to spare.
const MAX_LINE_BYTES: usize = 1 << 20;

/// Lines that are written at once, if so many are there.
const LINES: usize = 256;

/// Which jobs.
#[derive(Debug, clap::Args)]
pub(super) struct Filter {
    /// Only jobs that name this function
    #[arg(long, short, value_name = "NAME")]
    function: Option<String>,
    /// Only jobs that failed by this kind of cause, such as trap, failed or timed-out
    #[arg(long, value_name = "KIND")]
    cause: Option<String>,
    /// Only jobs with this text in message, short result, cause or idempotency key, in
    /// whatever case
    #[arg(long)]
    text: Option<String>,
}

impl Filter {
    /// Whether it holds for every job.
    pub(super) fn is_none(&self) -> bool {
        self.function.is_none() && self.cause.is_none() && self.text.is_none()
    }

    /// As the names and values of a query.
    pub(super) fn query(&self) -> Vec<(&'static str, String)> {
        let all = [
            ("function", &self.function),
            ("cause", &self.cause),
            ("text", &self.text),
        ];
        let given = |(name, value): (_, &Option<String>)| Some((name, value.clone()?));
        all.into_iter().filter_map(given).collect()
    }
}

/// Which jobs of a list, and how many.
#[derive(Debug, clap::Args)]
pub(super) struct Listing {
    #[command(flatten)]
    filter: Filter,
    /// Only jobs posted within this time, such as 1h
    #[arg(long, value_name = "TIME", value_parser = duration::parse)]
    since: Option<Duration>,
    /// Only jobs posted before this time ago, such as 10m
    #[arg(long, value_name = "TIME", value_parser = duration::parse)]
    until: Option<Duration>,
    /// At most so many, the newest
    #[arg(long, value_name = "N", default_value = "100")]
    limit: NonZeroU64,
    /// All of them
    #[arg(long, conflicts_with = "limit")]
    all: bool,
}

/// A job of a list, as far as it is printed.
#[derive(Deserialize)]
pub(super) struct Summary {
    id: String,
    state: String,
    functions: Vec<String>,
    posted_at_ms: u64,
    ended_at_ms: Option<u64>,
    progress: Option<Progress>,
    short_result: Option<String>,
    cause: Option<Cause>,
}

#[derive(Deserialize)]
struct Page {
    jobs: Vec<Box<RawValue>>,
    next: Option<String>,
}

/// How a list is shown.
pub(super) struct Columns {
    pub(super) heads: [Head; 5],
    /// Those that can be spared.
    pub(super) spare: &'static [usize],
    pub(super) row: fn(&Summary) -> [String; 5],
    /// What to say of none.
    pub(super) none: &'static str,
}

/// Lists the jobs of a route, newest first.
pub(super) async fn list(
    path: &str,
    states: Option<String>,
    listing: &Listing,
    columns: &Columns,
    global: &Global,
) -> Result<(), Failure> {
    let client = global.client()?;
    let mut query = listing.filter.query();
    query.extend(states.map(|states| ("state", states)));
    let ago = |time: Duration| now_ms().saturating_sub(duration::ms(time)).to_string();
    query.extend(listing.since.map(|time| ("posted_after_ms", ago(time))));
    query.extend(listing.until.map(|time| ("posted_before_ms", ago(time))));
    if listing.all && global.json {
        return stream(&client, path, &query).await;
    }
    let mut table = Table::new(columns.heads, columns.spare);
    let mut left = if listing.all {
        u64::MAX
    } else {
        listing.limit.get()
    };
    let mut cursor: Option<String> = None;
    let mut found = false;
    loop {
        let request = client.request(Method::GET, path)?.query(&query);
        let request = request.query(&[("limit", left.min(PAGE))]);
        let request = request.query(&cursor.map(|cursor| [("cursor", cursor)]));
        let page: Page = client.json(request).await?;
        left = left.saturating_sub(page.jobs.len() as u64);
        // A page may be empty though more follow: the server has looked at enough.
        if !page.jobs.is_empty() {
            found = true;
            match global.json {
                true => output::lines_of_json(&page.jobs)?,
                false => table.print(&rows(&page.jobs, columns)?)?,
            }
        }
        cursor = page.next;
        match &cursor {
            None => break,
            Some(_) if left > 0 => {}
            Some(_) => {
                output::note("there are more: ask for them with --limit or --all");
                break;
            }
        }
    }
    if !found && !global.json {
        output::note(columns.none);
    }
    Ok(())
}

fn rows(jobs: &[Box<RawValue>], columns: &Columns) -> Result<Vec<[String; 5]>, Failure> {
    let row = |job: &RawValue| {
        let job = serde_json::from_str(job.get()).map_err(|error| {
            Failure::failed(format!("the server describes a job oddly: {error}"))
        })?;
        Ok((columns.row)(&job))
    };
    jobs.iter().map(|job| row(job)).collect()
}

/// Prints all as lines of JSON, while they come.
async fn stream(client: &Client, path: &str, query: &[(&str, String)]) -> Result<(), Failure> {
    let lines = HeaderValue::from_static("application/x-ndjson, application/json;q=0.9");
    let request = client.request(Method::GET, path)?.query(query);
    let response = client.send(request.header(ACCEPT, lines)).await?;
    let bytes = response.bytes_stream().map_err(std::io::Error::other);
    let codec = LinesCodec::new_with_max_length(MAX_LINE_BYTES);
    let lines = FramedRead::new(StreamReader::new(Box::pin(bytes)), codec);
    let mut lines = lines.ready_chunks(LINES);
    while let Some(some) = lines.next().await {
        let mut text = String::new();
        let mut end = Ok(());
        for line in some {
            match line {
                Ok(line) if line.starts_with(r#"{"error":"#) => end = Err(broken(&line)),
                Ok(line) => {
                    text.push_str(&output::spelled(&line));
                    text.push('\n');
                }
                Err(error) => {
                    end = Err(Failure::away(format!(
                        "the list broke off: {error}; what was printed before is whole"
                    )));
                }
            }
            if end.is_err() {
                break;
            }
        }
        output::bytes(text.as_bytes())?;
        end?;
    }
    Ok(())
}

/// What the last line says of a list that the server could not bring to its end.
fn broken(line: &str) -> Failure {
    let said: Option<Value> = serde_json::from_str(line).ok();
    let detail = said
        .as_ref()
        .and_then(|said| said.pointer("/error/detail")?.as_str());
    let detail = detail.unwrap_or("the server does not say why");
    Failure::away(format!("the list broke off: {detail}"))
}

impl Summary {
    pub(super) fn id(&self) -> String {
        one_line(&self.id)
    }

    pub(super) fn state(&self) -> String {
        one_line(&self.state)
    }

    pub(super) fn functions(&self) -> String {
        match self.functions.is_empty() {
            true => "(all)".to_owned(),
            false => one_line(&self.functions.join(",")),
        }
    }

    pub(super) fn posted(&self) -> String {
        ago(self.posted_at_ms)
    }

    pub(super) fn ended(&self) -> String {
        self.ended_at_ms.map_or_else(String::new, ago)
    }

    /// What there is to say of it on one line.
    pub(super) fn outcome(&self) -> String {
        match (&self.cause, &self.short_result, &self.progress) {
            (Some(cause), _, _) => {
                // A backtrace follows on lines of its own.
                let first = cause.message.lines().next().unwrap_or_default();
                one_line(&format!("{}: {first}", cause.kind.as_str()))
            }
            (None, Some(short), _) => one_line(short),
            (None, None, Some(progress)) => {
                let note = progress.note.as_deref().unwrap_or_default();
                one_line(format!("{}% {note}", progress.percent).trim_end())
            }
            (None, None, None) => String::new(),
        }
    }
}

/// How long ago a time was, in ms since the Unix epoch.
pub(super) fn ago(at_ms: u64) -> String {
    format!("{} ago", duration::span(now_ms().saturating_sub(at_ms)))
}
