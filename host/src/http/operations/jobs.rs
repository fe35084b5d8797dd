//! Jobs that there are.

use serde_json::{Value, json};

use super::super::code::Code;
use super::super::jobs::{Cancelling, Count, Log, ProgressNow};
use super::super::openapi::{Operation, TEXT, Tag, boolean, bytes, integer, text};
use super::super::results::{MAX_WAIT_MS, ShortResult};
use crate::job::JobRecord;

/// The end of a stream of events.
const EVENTS: &str = "id: 3\nevent: state\ndata: {\"id\":\"53\",\"state\":\"running\"}\n\n";

fn waits(operation: Operation) -> Operation {
    operation.query(
        "wait_ms",
        integer(0, u64::MAX),
        &format!(
            "Wait this long for the job's end, in ms; at most {MAX_WAIT_MS}, and more is as much."
        ),
    )
}

fn without_result(operation: Operation) -> Operation {
    operation.fails(&[
        Code::UnknownJob,
        Code::JobUnfinished,
        Code::JobFailed,
        Code::JobCancelled,
    ])
}

fn example() -> Value {
    json!({
        "id": "53", "namespace": "default", "state": "completed", "functions": ["multiply"], "priority": 2,
        "posted_at_ms": 1_795_000_000_000_u64, "attempt": 1, "max_attempts": 5, "short_result": "42",
        "message_content_type": "application/json", "message_bytes": 22,
        "result_content_type": "application/json", "result_bytes": 2, "depth": 0, "child_count": 0,
        "children": [], "attempts": [], "cancel_requested": false,
    })
}

pub(in crate::http) fn count() -> Operation {
    Operation::new(
        Tag::Jobs,
        "countJobs",
        "How many jobs wait",
        "For a worker or for their time.",
    )
    .told::<Count>(200, "The number.", "3", json!({"count": 3}))
}

pub(in crate::http) fn record() -> Operation {
    let operation = Operation::new(
        Tag::Jobs,
        "getJob",
        "The record of a job",
        "All that is known of it but its message, result and log. Answered whatever its state is, also when `wait_ms` is over.",
    );
    waits(operation)
        .json::<JobRecord>(200, "The record.", example())
        .fails(&[Code::UnknownJob])
}

pub(in crate::http) fn progress() -> Operation {
    Operation::new(
        Tag::Jobs,
        "getProgress",
        "How far a job is",
        "In text MLQ's words: `[queued; not started]`, `[started]`, a percentage, `[completed]`, `[failed]`, `[cancelled]`.",
    )
    .told::<ProgressNow>(
        200,
        "Where it is.",
        "[started]",
        json!({"state": "running", "percent": 0, "note": null}),
    )
    .fails(&[Code::UnknownJob])
}

pub(in crate::http) fn events() -> Operation {
    Operation::new(
        Tag::Jobs,
        "followJob",
        "What happens to a job, as it happens",
        "Server-sent events from what is so now to the job's end, which a browser's `EventSource` reads: `state`, `progress`, `log`, `result`. Each has an id; who comes back with the last one is told the rest.",
    )
    .header("Last-Event-ID", text(), "The id of the last event that was seen.")
    .answer(200, "The events; the stream ends when the job does.", "text/event-stream", bytes(), Some(EVENTS.into()))
    .done(204, "All events were seen: do not come back.")
    .fails(&[Code::UnknownJob, Code::TooManyStreams])
}

pub(in crate::http) fn log() -> Operation {
    Operation::new(
        Tag::Jobs,
        "getLog",
        "What a job has logged",
        "In the attempt that runs, as far as it has come; else in the last one that ended.",
    )
    .told::<Log>(
        200,
        "The lines; in text with the seconds since the attempt began.",
        "    0.001 INFO  job 4 has 18 bytes\n",
        json!({"attempt": 1, "lines": [{"at_ms": 1_795_000_000_001_u64, "level": "info", "text": "job 4 has 18 bytes"}]}),
    )
    .fails(&[Code::UnknownJob])
}

pub(in crate::http) fn short_result() -> Operation {
    let operation = Operation::new(
        Tag::Jobs,
        "getShortResult",
        "A job's result in a line",
        "The line that the handler gave; empty if it gave none.",
    );
    without_result(waits(operation))
        .told::<ShortResult>(200, "The line.", "42", json!({"short_result": "42"}))
        .tagged()
}

pub(in crate::http) fn result() -> Operation {
    let operation = Operation::new(
        Tag::Jobs,
        "getResult",
        "A job's result",
        "The bytes, with the content type that the handler gave. A browser shows them and runs nothing that is in them.",
    );
    served(operation)
}

pub(in crate::http) fn result_as() -> Operation {
    let operation = Operation::new(
        Tag::Jobs,
        "getResultAs",
        "A job's result, as a file",
        "With the content type that the extension means, if it means one.",
    );
    served(operation.shown_as("/jobs/{id}/result.{extension}")).fails(&[Code::NoSuchRoute])
}

fn served(operation: Operation) -> Operation {
    without_result(waits(operation))
        .answer(200, "The result.", "*/*", bytes(), None)
        .tagged()
        .fails(&[Code::ResultExpired, Code::Busy])
}

pub(in crate::http) fn cancel() -> Operation {
    Operation::new(
        Tag::Jobs,
        "cancelJob",
        "Stops a job",
        "Also one that runs, and the jobs that it posted.",
    )
    .query(
        "tree",
        boolean(true),
        "Whether the jobs that it posted are stopped too.",
    )
    .told::<Cancelling>(
        200,
        "It waited, and will not run.",
        "cancelled",
        json!({"id": "53", "state": "cancelled"}),
    )
    .answer(
        202,
        "It runs, and its host was told to stop it.",
        TEXT,
        text(),
        Some("cancelling".into()),
    )
    .json::<Cancelling>(202, "", json!({"id": "53", "state": "cancelling"}))
    .fails(&[Code::UnknownJob, Code::JobEnded])
}
