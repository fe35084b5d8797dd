//! Lists of jobs.

use serde_json::json;
use utoipa::PartialSchema as _;
use utoipa::openapi::Object;

use super::super::code::Code;
use super::super::lists::{MAX_PAGE_JOBS, Page};
use super::super::openapi::{Operation, Tag, integer, text, text_like, text_of};
use crate::job::{CauseKind, FunctionName};
use crate::store::MAX_TEXT_BYTES;

const NDJSON: &str = "application/x-ndjson";

pub(in crate::http) fn jobs() -> Operation {
    let states = "queued|scheduled|running|parked|completed|failed|cancelled";
    let operation = Operation::new(
        Tag::Jobs,
        "listJobs",
        "The jobs of the namespace",
        "The newest first. A page looks at a bounded number of jobs, so that with a narrow filter it may have few or none, and a `next` all the same: go on until `next` is `null`. With `Accept: application/x-ndjson` all that fit, a line each, streamed; if the store fails midway, the last line has `error` and `cursor`.",
    );
    listed(operation.query(
        "state",
        text_like(&format!("^({states})(,({states}))*$"), "queued,running"),
        "Only jobs in one of these states, separated by commas.",
    ))
}

pub(in crate::http) fn dead() -> Operation {
    listed(Operation::new(
        Tag::Dead,
        "listDead",
        "The jobs that failed",
        "As `GET /jobs?state=failed`.",
    ))
}

fn listed(operation: Operation) -> Operation {
    filtered(operation)
        .query("posted_after_ms", integer(0, u64::MAX), "Only jobs posted then or later, in ms since the Unix epoch.")
        .query("limit", integer(1, MAX_PAGE_JOBS), "How many jobs a page has; 100 if it is left out. In lines: how many at most, without a bound of its own.")
        .json::<Page>(
            200,
            "A page.",
            json!({"jobs": [{
                "id": "53", "state": "failed", "functions": ["divide"], "priority": 2,
                "posted_at_ms": 1_795_000_000_000_u64, "attempt": 1, "max_attempts": 5, "message_bytes": 22,
                "cause": {"kind": "failed", "message": "division by zero"},
            }], "next": "53"}),
        )
        .answer(200, "", NDJSON, text(), None)
        .says(200, "Link", "The next page, as `rel=\"next\"` (RFC 8288), if there is one.")
        .fails(&[Code::Busy, Code::Stopping])
}

/// A job's id, or a cursor.
pub(super) fn id() -> Object {
    text_like("^(0|[1-9][0-9]{0,18})$", "53")
}

/// The filter that lists and the dead letter have in common.
pub(super) fn filtered(operation: Operation) -> Operation {
    operation
        .query("function", FunctionName::schema(), "Only jobs that name this function.")
        .query("cause", CauseKind::schema(), "Only jobs that failed of this kind of cause.")
        .query("posted_before_ms", integer(0, u64::MAX), "Only jobs posted before then, in ms since the Unix epoch.")
        .query("text", text_of(1, MAX_TEXT_BYTES), "Only jobs with this text, whatever its case, in the first 64 KiB of the message, the short result, the cause or the idempotency key. Up to 256 bytes.")
        .query("cursor", id(), "Where to go on: `next` of the answer before.")
}
