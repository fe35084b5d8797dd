//! `skep post`: posts a job, or many from a file.

mod again;
mod answers;
mod bulk;
mod lines;
mod track;

use std::path::PathBuf;
use std::time::Duration;

use reqwest::header::CONTENT_TYPE;
use reqwest::{Method, RequestBuilder};
use serde::{Deserialize, Serialize};
use serde_json::json;
use serde_json::value::RawValue;

use super::client::Client;
use super::follow::{Display, verdict};
use super::limits::LimitArgs;
use super::{Global, duration, failure::Failure, message, output};
use crate::job::{JobId, Payload, SomeLimits};

/// Post a job
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Examples:\n  skep post '{\"arg1\": 6, \"arg2\": 3}' --function multiply --wait\n  skep post '[1, 2]' --function sum --limit fuel=1e9 --limit memory=64MiB\n  skep post --data photo.jpg --function thumbnail --delay 5s\n  echo '[1, 2]' | skep post - --function sum\n  skep post --file messages.ndjson --function sum > ids.txt\n  skep post --file messages.ndjson --function sum --from-line 2001 >> ids.txt"
)]
pub(super) struct Args {
    /// The message, as JSON text; - reads it from stdin
    #[arg(value_name = "MSG", required_unless_present_any = ["data", "file"])]
    message: Option<String>,
    /// Run this function; several run in order [default: all deployed]
    #[arg(long = "function", short, value_name = "NAME")]
    functions: Vec<String>,
    /// Send this file's bytes as the message
    #[arg(long, value_name = "FILE", conflicts_with = "message")]
    data: Option<PathBuf>,
    /// Post a job for each line of this file, which is a message in JSON; - reads
    /// stdin. Prints the ids in the order of the lines
    #[arg(long, value_name = "FILE", conflicts_with_all = ["message", "data", "wait"])]
    file: Option<PathBuf>,
    /// With --file, begin with this line, from 1: to go on where a run was cut off, which
    /// says with which line
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    from_line: Option<u64>,
    /// The media type of --data [default: by the file's name]
    #[arg(long, value_name = "TYPE", requires = "data")]
    content_type: Option<String>,
    /// Do not start before this has passed, such as 5s or 2h
    #[arg(long, value_parser = duration::parse)]
    delay: Option<Duration>,
    /// 0 (first) to 3 (last) [default: 2]
    #[arg(long)]
    priority: Option<u8>,
    /// The same key answers the same id, and the job runs once; another job under it is
    /// refused. With --file, line N has the key KEY:N, so that a run that was cut off can
    /// be repeated
    #[arg(long, value_name = "KEY")]
    idempotency_key: Option<String>,
    /// Attempts before the job is given up, 1 to 100 [default: 5]
    #[arg(long, value_name = "N")]
    max_attempts: Option<u32>,
    /// How long one attempt may run, such as 30s
    #[arg(long, value_parser = duration::parse)]
    timeout: Option<Duration>,
    #[command(flatten)]
    limits: LimitArgs,
    /// How long the result is kept, such as 7d [default: for ever]
    #[arg(long, value_parser = duration::parse)]
    retention: Option<Duration>,
    /// Call this URL when the job has ended, with success=0|1, job_id= and
    /// short_result= added to its query
    #[arg(long, value_name = "URL")]
    callback: Option<String>,
    /// Follow the job, and print its result instead of its id
    #[arg(long)]
    wait: bool,
    /// With --wait, write the result to this file
    #[arg(long, short, value_name = "FILE", requires = "wait")]
    output: Option<PathBuf>,
}

/// The options of a job, as the server takes them in an envelope or a query.
#[derive(Serialize)]
struct Options<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    delay_ms: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    priority: Option<u8>,
    #[serde(skip_serializing_if = "Option::is_none")]
    idempotency_key: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    max_attempts: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    timeout_ms: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    limits: Option<&'a SomeLimits>,
    #[serde(skip_serializing_if = "Option::is_none")]
    retention_s: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    callback: Option<&'a str>,
}

#[derive(Serialize)]
struct Envelope<'a> {
    msg: &'a RawValue,
    functions: &'a [String],
    #[serde(flatten)]
    options: Options<'a>,
}

#[derive(Deserialize)]
struct Posted {
    id: String,
}

/// Posts the job, and follows it if asked to.
pub(super) async fn run(args: Args, global: &Global) -> Result<(), Failure> {
    if let Some(path) = &args.file {
        return bulk::post(path, &args, global).await;
    }
    // clap asks for nothing that conflicts with what is there.
    if args.from_line.is_some() {
        return Err(Failure::usage(
            "--from-line is a line of a file: name it with --file",
        ));
    }
    let message = match (&args.message, &args.data) {
        (_, Some(path)) => message::file(path, args.content_type.as_deref())?,
        (given, None) => message::json(given.as_deref().unwrap_or_default())?,
    };
    let client = global.client()?;
    let request = request(&client, &args, &message)?;
    let Posted { id } = client.json(request).await?;
    if !args.wait {
        let posted = if global.json {
            json!({"id": id}).to_string()
        } else {
            id
        };
        return output::line(&posted);
    }
    output::note(&format!("job {id}"));
    let id: JobId = id
        .parse()
        .map_err(|error| Failure::failed(format!("{error}")))?;
    verdict(&Display::new(1).follow(&client, id).await?)?;
    let result = client.result(id).await?;
    output::result(&format!("job {id}"), &result, args.output.as_deref())
}

impl<'a> Options<'a> {
    fn of(args: &'a Args, limits: &'a SomeLimits) -> Self {
        Self {
            delay_ms: args.delay.map(duration::ms),
            priority: args.priority,
            idempotency_key: args.idempotency_key.as_deref(),
            max_attempts: args.max_attempts,
            timeout_ms: args.timeout.map(duration::ms),
            limits: (!limits.is_empty()).then_some(limits),
            retention_s: args.retention.map(|retention| retention.as_secs()),
            callback: args.callback.as_deref(),
        }
    }
}

fn request(client: &Client, args: &Args, message: &Payload) -> Result<RequestBuilder, Failure> {
    let limits = args.limits.all()?;
    let mut options = Options::of(args, &limits);
    let request = client.request(Method::POST, "jobs")?;
    if !message.is_json() {
        let functions = [("functions", args.functions.join(","))];
        // A query holds no object.
        let limits = options
            .limits
            .take()
            .map(|limits| ("limits", limits.to_string()));
        return Ok(request
            .query(&functions)
            .query(limits.as_slice())
            .query(&options)
            .header(CONTENT_TYPE, &message.content_type)
            .body(message.data.clone()));
    }
    let msg = serde_json::from_slice(&message.data)
        .map_err(|error| Failure::usage(format!("the message is not JSON: {error}")))?;
    Ok(request.json(&Envelope {
        msg,
        functions: &args.functions,
        options,
    }))
}
