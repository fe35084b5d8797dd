//! Posting.

use serde_json::json;
use utoipa::ToSchema as _;
use utoipa::openapi::schema::{AdditionalProperties, ArrayBuilder};
use utoipa::openapi::{Object, ObjectBuilder, Ref, Schema};

use super::super::code::Code;
use super::super::openapi::{
    JSON, Operation, TEXT, Tag, bytes, integer, or_null, text, text_like, text_of,
};
use super::super::posting::Posted;
use crate::intake::{MAX_FUNCTIONS, MAX_KEY_BYTES, MAX_RETENTION_S};
use crate::job::{FunctionName, MAX_DELAY_MS, MAX_MAX_ATTEMPTS, Priority, SomeLimits};

const NDJSON: &str = "application/x-ndjson";

const KEY: &str = "The same key answers the same id for as long as that job is kept; with other functions or another message it is refused, and other options count for nothing. Up to 256 bytes, no control characters.";

const TRACE: &str = "The trace that the client is in (W3C Trace Context); the job goes on with it.";

/// The options of a job that are the same in an envelope and in a query.
fn options() -> [(&'static str, Object, &'static str); 7] {
    let priorities = Priority::COUNT as u64 - 1;
    [
        (
            "delay_ms",
            integer(0, MAX_DELAY_MS),
            "Do not start before this many ms have passed.",
        ),
        (
            "priority",
            integer(0, priorities),
            "0 first, 3 last; 2 if it is left out.",
        ),
        ("idempotency_key", key(), KEY),
        (
            "max_attempts",
            integer(1, MAX_MAX_ATTEMPTS.into()),
            "Attempts before the dead letter; 5 if it is left out.",
        ),
        (
            "timeout_ms",
            integer(1, u64::MAX),
            "The limit of that name: how long an attempt may run, in ms.",
        ),
        (
            "retention_s",
            integer(0, MAX_RETENTION_S),
            "Keep the result for this many seconds; for ever if it is left out.",
        ),
        (
            "callback",
            text_like(
                "^https?://[A-Za-z0-9.-]+(:[0-9]{1,4})?(/[!-~]*)?$",
                "https://shop.invalid/done",
            ),
            "A URL that is called when the job has ended: `GET callback?success=0|1&job_id=&short_result=`.",
        ),
    ]
}

fn key() -> Object {
    let mut key = text_of(1, MAX_KEY_BYTES);
    key.pattern = Some("^[ -~]+$".to_owned());
    key
}

/// A job in JSON, which `http::posting` reads.
fn envelope() -> Schema {
    let mut envelope = ObjectBuilder::new().description(Some("A job to be posted."));
    let message = bytes();
    envelope = envelope.property("msg", message).required("msg");
    let functions = ArrayBuilder::new()
        .items(Ref::from_schema_name(FunctionName::name()))
        .max_items(Some(MAX_FUNCTIONS))
        .description(Some(
            "The functions to run, in order; left out or empty: all that are deployed.",
        ));
    envelope = envelope.property("functions", functions);
    for (name, schema, description) in options() {
        let mut schema = or_null(schema);
        schema.description = Some(description.to_owned());
        envelope = envelope.property(name, schema);
    }
    let limits = Ref::from_schema_name(SomeLimits::name());
    let envelope = envelope
        .property("limits", limits)
        .additional_properties(Some(AdditionalProperties::FreeForm(false)));
    Schema::Object(envelope.build())
}

pub(in crate::http) fn post() -> Operation {
    let mut operation = Operation::new(
        Tag::Jobs,
        "postJob",
        "Posts a job",
        "It is durable when this is answered. A JSON body is a job with its message and options. Any other body, with `functions` in the query, is itself the message, of the body's content type; its options are in the query.",
    );
    operation.named::<FunctionName>();
    operation.named::<SomeLimits>();
    let job = operation.defined("NewJob", envelope());
    let example = json!({"msg": {"arg1": 6, "arg2": 7}, "functions": ["multiply"]});
    let mut operation = operation
        .takes(JSON, job, Some(example))
        .takes("*/*", bytes(), None)
        .or_nothing()
        .query(
            "functions",
            text(),
            "Of a message that is not JSON: the functions to run, separated by commas; empty for all.",
        );
    for (name, schema, description) in options() {
        operation = operation.query(
            name,
            schema,
            &format!("Of a message that is not JSON. {description}"),
        );
    }
    operation
        .query(
            "limits",
            text_like(
                "^([a-z_]+=[0-9]+(,[a-z_]+=[0-9]+)*)?$",
                "fuel=1000000,posts=0",
            ),
            "Of a message that is not JSON: limits, as `NAME=VALUE` separated by commas.",
        )
        .header("Idempotency-Key", key(), KEY)
        .header("traceparent", text(), TRACE)
        .told::<Posted>(200, "The job's id.", "53", json!({"id": "53"}))
        .says(200, "Location", "Where its record is.")
        .leads_to(200, "getJob")
        .leads_to(200, "getProgress")
        .leads_to(200, "getLog")
        .leads_to(200, "getShortResult")
        .leads_to(200, "getResult")
        .leads_to(200, "cancelJob")
        .fails(&[
            Code::UnsupportedMediaType,
            Code::MalformedMessage,
            Code::UnknownFunction,
            Code::IdempotencyKeyReused,
            Code::BadOption,
            Code::MessageMismatch,
        ])
}

pub(in crate::http) fn batch() -> Operation {
    Operation::new(
        Tag::Jobs,
        "postJobs",
        "Posts a job for each line",
        "Each line of the body is a job as `POST /jobs` takes it. Body and answer are streamed; who sends faster than the store writes is slowed down. A line that is no job is named by its number and keeps no other out.",
    )
    .header("traceparent", text(), TRACE)
    .takes(
        NDJSON,
        text(),
        Some("{\"msg\": {\"arg1\": 6, \"arg2\": 7}, \"functions\": [\"multiply\"]}\n{\"msg\": 1}\n".into()),
    )
    .answer(
        200,
        "A line for each line: its job's id, or why there is none.",
        TEXT,
        text(),
        Some("53\nline 2: function multiply: the message does not fit\n".into()),
    )
    .answer(
        200,
        "",
        NDJSON,
        text(),
        Some("{\"id\":\"53\"}\n{\"line\":2,\"stops\":false,\"problem\":{\"type\":\"urn:skep:problem:message-mismatch\"}}\n".into()),
    )
    .fails(&[Code::UnsupportedMediaType, Code::Stopping])
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use utoipa::openapi::path::ParameterIn;

    use super::*;

    /// The names in serde's "expected one of `a`, `b`".
    fn expected(error: &str) -> BTreeSet<String> {
        let (_, names) = error.split_once("expected one of ").unwrap();
        let names = names.split(" at line").next().unwrap();
        (names.split('`').skip(1).step_by(2))
            .map(str::to_owned)
            .collect()
    }

    #[test]
    fn what_is_said_of_a_job_is_what_is_read() {
        let error = super::super::super::posting::of_envelope(b"{\"?\": 1}");
        let error = format!("{:?}", error.map(|_| ()).unwrap_err());
        let Schema::Object(envelope) = envelope() else {
            panic!()
        };
        let said: BTreeSet<_> = envelope.properties.keys().cloned().collect();
        assert_eq!(said, expected(&error));
    }

    #[test]
    fn what_is_said_of_a_query_is_what_is_read() {
        use super::super::super::extract::params;
        use super::super::super::posting::Options;
        let error = params::<Options>("x=1").map(|_| ()).unwrap_err();
        let operation = post();
        let in_query = operation
            .parameters
            .iter()
            .filter(|p| p.parameter_in == ParameterIn::Query);
        let said: BTreeSet<_> = in_query.map(|parameter| parameter.name.clone()).collect();
        assert_eq!(said, expected(&format!("{error:?}")));
    }
}
