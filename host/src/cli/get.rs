//! `skep get`: all that is known of a job.

use std::fmt::Write as _;

use serde_json::json;

use super::follow::word;
use super::output::{indented, one_line};
use super::{Global, failure::Failure, limits, output};
use crate::job::{AttemptRecord, CauseKind, Delivery, JobId, JobRecord};
use crate::time::now_ms;

/// Show all that is known of a job
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Examples:\n  skep get 12\n  skep get 12 --json\n\nWith --json: the record, with times in ms since the Unix epoch."
)]
pub(super) struct Args {
    /// The job
    id: JobId,
}

/// Prints the record.
pub(super) async fn run(args: Args, global: &Global) -> Result<(), Failure> {
    let record = global.client()?.record(args.id).await?;
    if global.json {
        return output::line(&json!(record).to_string());
    }
    output::line(describe(&record).trim_end())
}

/// The record for people. Writing to a String cannot fail.
fn describe(record: &JobRecord) -> String {
    let mut text = String::new();
    let functions: Vec<_> = record.functions.iter().map(ToString::to_string).collect();
    let functions = match functions.is_empty() {
        true => "all deployed".to_owned(),
        false => functions.join(", "),
    };
    let _ = writeln!(text, "job        {} of {}", record.id, record.namespace);
    let _ = writeln!(text, "state      {}", word(record.state));
    let _ = writeln!(text, "functions  {functions}");
    let _ = writeln!(
        text,
        "message    {}, {}",
        one_line(&record.message_content_type),
        bytes(record.message_bytes)
    );
    if let Some(parent) = record.parent {
        let _ = writeln!(text, "parent     {parent}, at depth {}", record.depth);
    }
    if record.child_count > 0 {
        let _ = writeln!(text, "children   {}", of_children(record));
    }
    if let Some(progress) = &record.progress {
        let said = one_line(progress.note.as_deref().unwrap_or_default());
        let _ = writeln!(text, "progress   {}% {said}", progress.percent);
    }
    if let (Some(media), Some(length)) = (&record.result_content_type, record.result_bytes) {
        let _ = writeln!(text, "result     {}, {}", one_line(media), bytes(length));
    }
    if let Some(short) = &record.short_result {
        let _ = writeln!(text, "short      {}", one_line(short));
    }
    if let Some(cause) = record.cause.as_ref().filter(|c| c.kind == CauseKind::Moved) {
        let _ = writeln!(text, "cause      {}", indented(&cause.message));
    }
    for attempt in &record.attempts {
        let number = format!("attempt {}/{}", attempt.number, record.max_attempts);
        let _ = writeln!(text, "{number}  {}", of_attempt(attempt));
        if let Some(limits) = &attempt.limits {
            text.push_str(&limits::used(attempt, limits));
        }
    }
    if let Some(callback) = &record.callback {
        let _ = writeln!(text, "callback   {}", one_line(&callback.url));
        for (index, delivery) in callback.deliveries.iter().enumerate() {
            let _ = writeln!(text, "try {}      {}", index + 1, of_delivery(delivery));
        }
        if let Some(due_at_ms) = callback.due_at_ms {
            let seconds = due_at_ms.saturating_sub(now_ms()).div_ceil(1000);
            let _ = writeln!(text, "next try   in {seconds} s");
        }
    }
    text
}

fn bytes(length: u64) -> String {
    format!("{length} byte{}", if length == 1 { "" } else { "s" })
}

/// How many there are, and the first of them.
fn of_children(record: &JobRecord) -> String {
    /// As many as fit on a line.
    const SHOWN: usize = 8;
    let shown = record.children.iter().take(SHOWN);
    let ids: Vec<_> = shown.map(ToString::to_string).collect();
    let more = match record.child_count > ids.len() as u64 {
        true => ", …",
        false => "",
    };
    format!("{}: {}{more}", record.child_count, ids.join(", "))
}

fn of_delivery(delivery: &Delivery) -> String {
    match (delivery.status, &delivery.error) {
        (Some(status), None) => format!("answered {status}"),
        (_, Some(error)) => one_line(error),
        (None, None) => "nothing is known of it".to_owned(),
    }
}

fn of_attempt(attempt: &AttemptRecord) -> String {
    let end = match (attempt.ended_at_ms, &attempt.cause) {
        (None, _) => "runs".to_owned(),
        (Some(_), Some(cause)) => indented(&cause.to_string()),
        (Some(_), None) => "ended well".to_owned(),
    };
    match attempt.usage.run_us {
        0 => end,
        run_us => format!("{end} ({} ms)", run_us / 1000),
    }
}
