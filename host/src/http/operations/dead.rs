//! The dead letter, and running a job again.

use serde_json::json;
use utoipa::ToSchema as _;
use utoipa::openapi::schema::{AdditionalProperties, ArrayBuilder, Schema, SchemaType, Type};
use utoipa::openapi::{Object, ObjectBuilder, OneOfBuilder, Ref};

use super::super::code::Code;
use super::super::dead::{Again, Causes, Deleted, MAX_JOBS, Requeued};
use super::super::openapi::{JSON, Operation, Tag, integer, or_null, text_like, text_of};
use super::lists::{filtered, id};
use crate::job::{CauseKind, FunctionName, JobId};
use crate::store::MAX_TEXT_BYTES;

const BOUNDED: &str = "One request does a bounded amount, at most 10,000 jobs; `next` says that more is left: repeat with it as `cursor`.";

pub(in crate::http) fn causes() -> Operation {
    Operation::new(
        Tag::Dead,
        "countCauses",
        "What the jobs of the dead letter died of",
        "Of the newest 10,000; `complete` is false if there are more.",
    )
    .json::<Causes<'_>>(
        200,
        "The causes, the most frequent first.",
        json!({"causes": [{
            "function": "divide", "cause": "failed", "count": 3, "newest_id": "53",
            "newest_at_ms": 1_795_000_000_000_u64, "example": "division by zero",
        }], "complete": true}),
    )
    .fails(&[Code::Busy])
}

/// A choice of jobs, as a body has it.
fn choice() -> Schema {
    let ids = ArrayBuilder::new()
        .items(Ref::from_schema_name(JobId::name()))
        .max_items(Some(MAX_JOBS))
        .schema_type(SchemaType::Array(vec![Type::Array, Type::Null]));
    let function = or_null(text_like("^[A-Za-z0-9][A-Za-z0-9_.-]{0,63}$", "divide"));
    let cause = OneOfBuilder::new()
        .item(Object::with_type(Type::Null))
        .item(Ref::from_schema_name(CauseKind::name()));
    let choice = ObjectBuilder::new()
        .description(Some(
            "Which jobs of the dead letter: those that fit all that is said; all of them without.",
        ))
        .property("ids", ids)
        .property("function", function)
        .property("cause", cause)
        .property("posted_before_ms", or_null(integer(0, u64::MAX)))
        .property("text", or_null(text_of(1, MAX_TEXT_BYTES)))
        .property("cursor", or_null(id()))
        .additional_properties(Some(AdditionalProperties::FreeForm(false)));
    Schema::Object(choice.build())
}

pub(in crate::http) fn requeue() -> Operation {
    let mut operation = Operation::new(
        Tag::Dead,
        "requeueDead",
        "Lets jobs of the dead letter run again",
        BOUNDED,
    );
    operation.named::<JobId>();
    operation.named::<CauseKind>();
    operation.named::<FunctionName>();
    let choice = operation.defined("DeadChoice", choice());
    operation
        .takes(JSON, choice, Some(json!({"cause": "trap"})))
        .or_nothing()
        .told::<Requeued>(200, "How many.", "3", json!({"requeued": 3, "next": null}))
}

pub(in crate::http) fn delete() -> Operation {
    let operation = Operation::new(
        Tag::Dead,
        "deleteDead",
        "Deletes jobs of the dead letter",
        "Their records, results, logs and idempotency keys; there is no way back. One request deletes at most 10,000; `next` says that more is left: repeat with it as `cursor`.",
    );
    filtered(operation)
        .query(
            "ids",
            text_like("^(0|[1-9][0-9]{0,18})(,(0|[1-9][0-9]{0,18}))*$", "53,54"),
            "Only these jobs, separated by commas.",
        )
        .told::<Deleted>(200, "How many.", "3", json!({"deleted": 3, "next": null}))
        .fails(&[Code::Busy])
}

pub(in crate::http) fn retry() -> Operation {
    Operation::new(
        Tag::Jobs,
        "retryJob",
        "Runs a job again that failed or was cancelled",
        "Its earlier attempts stay on the record, and it may take `max_attempts` more. It is called back again at its new end.",
    )
    .told::<Again>(200, "It waits.", "queued", json!({"id": "53", "state": "queued"}))
    .fails(&[
        Code::UnknownJob,
        Code::JobNotEnded,
        Code::JobCompleted,
        Code::JobMoved,
        Code::TooManyAttempts,
    ])
}
