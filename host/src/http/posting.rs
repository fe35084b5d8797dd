//! `POST /jobs`: a JSON envelope around a JSON message, or any other bytes with
//! the options in the query.

use axum::Json;
use axum::body::Body;
use axum::extract::State;
use axum::http::header::LOCATION;
use axum::http::{HeaderMap, Uri};
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use utoipa::ToSchema;

use super::App;
use super::body::{self, Whole, content_type, essence};
use super::extract::{Format, Params, Tenant};
use super::idempotency;
use super::metrics::Traced;
use super::problem::{ACCEPT_POST, Problem};
use crate::intake::{MAX_MESSAGE_BYTES, PostRequest};
use crate::job::{JSON, JobId, Payload, SomeLimits};

/// Room for the options around the largest message.
pub(super) const MAX_ENVELOPE_BYTES: usize = MAX_MESSAGE_BYTES + 64 * 1024;

/// What a message without a content type is.
const BYTES: &str = "application/octet-stream";

/// What curl says of any data unless it is told otherwise.
const CURL_DEFAULT: &str = "application/x-www-form-urlencoded";

/// The JSON body.
#[derive(Deserialize)]
#[serde(deny_unknown_fields, expecting = "an object with the field msg")]
struct Envelope<'b> {
    /// Kept as text, since numbers may be larger than any Rust type.
    #[serde(borrow)]
    msg: &'b RawValue,
    functions: Option<Vec<String>>,
    delay_ms: Option<u64>,
    priority: Option<u8>,
    idempotency_key: Option<String>,
    max_attempts: Option<u32>,
    timeout_ms: Option<u64>,
    #[serde(default)]
    limits: SomeLimits,
    retention_s: Option<u64>,
    callback: Option<String>,
}

/// The query beside a body of bytes: the envelope's options, under its names.
#[derive(Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(super) struct Options {
    /// Separated by commas.
    functions: Option<String>,
    delay_ms: Option<u64>,
    priority: Option<u8>,
    idempotency_key: Option<String>,
    max_attempts: Option<u32>,
    timeout_ms: Option<u64>,
    /// `NAME=VALUE`, separated by commas.
    limits: Option<String>,
    retention_s: Option<u64>,
    callback: Option<String>,
}

/// A job that was accepted.
#[derive(Serialize, ToSchema)]
pub(super) struct Posted {
    /// Its id.
    id: JobId,
}

/// `POST /jobs`.
pub(super) async fn post(
    State(app): State<App>,
    (Tenant(namespace), Traced(trace)): (Tenant, Traced),
    format: Format,
    Params(options): Params<Options>,
    uri: Uri,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, Problem> {
    let content_type = content_type(&headers);
    let is_json = essence(content_type) == JSON;
    if is_json && uri.query().is_some_and(|query| !query.is_empty()) {
        return Err(Problem::bad_request(
            "with a JSON body, the options go into it: {\"msg\": ..., \"functions\": [...]}; the query is for messages that are not JSON",
        ));
    }
    if !is_json && options.functions.is_none() {
        return Err(neither(content_type));
    }
    let what = "the body of a job";
    let Whole { bytes, share } =
        body::read(&app.requests, &headers, body, MAX_ENVELOPE_BYTES, what).await?;
    let mut request = if is_json {
        of_envelope(&bytes)?
    } else {
        of_bytes(content_type, bytes, options)?
    };
    request.idempotency_key = idempotency::key(&headers, request.idempotency_key)?;
    request.trace = trace;
    let ids = app.intake.accept(&namespace, vec![request]).await?;
    // The store has it now.
    drop(share);
    let Some(id) = ids.first() else {
        return Err(Problem::internal(
            &"the store accepted a job and gave no id",
        ));
    };
    let location = [(LOCATION, format!("/jobs/{id}"))];
    Ok(match format {
        Format::Text => (location, id.to_string()).into_response(),
        Format::Json => (location, Json(Posted { id: *id })).into_response(),
    })
}

pub(super) fn of_envelope(body: &[u8]) -> Result<PostRequest, Problem> {
    let envelope: Envelope<'_> = serde_json::from_slice(body).map_err(|error| {
        Problem::bad_request(format!(
            "the body is not a job: {error}; send {{\"msg\": any JSON, \"functions\": [\"name\"]}}"
        ))
    })?;
    let message = Bytes::copy_from_slice(envelope.msg.get().as_bytes());
    Ok(PostRequest {
        functions: envelope.functions.unwrap_or_default(),
        delay_ms: envelope.delay_ms,
        priority: envelope.priority,
        idempotency_key: envelope.idempotency_key,
        max_attempts: envelope.max_attempts,
        timeout_ms: envelope.timeout_ms,
        limits: envelope.limits,
        retention_s: envelope.retention_s,
        callback: envelope.callback,
        ..PostRequest::new(Payload::json(message), Vec::new())
    })
}

fn of_bytes(content_type: &str, data: Bytes, options: Options) -> Result<PostRequest, Problem> {
    let limits: Result<SomeLimits, _> = options.limits.as_deref().unwrap_or_default().parse();
    let limits =
        limits.map_err(|error| Problem::bad_request(format!("in the query, limits: {error}")))?;
    let content_type = if content_type.is_empty() {
        BYTES
    } else {
        content_type
    };
    let message = Payload {
        content_type: content_type.to_owned(),
        data,
    };
    let functions = options.functions.unwrap_or_default();
    let functions = functions
        .split(',')
        .map(str::trim)
        .filter(|name| !name.is_empty());
    Ok(PostRequest {
        delay_ms: options.delay_ms,
        priority: options.priority,
        idempotency_key: options.idempotency_key,
        max_attempts: options.max_attempts,
        timeout_ms: options.timeout_ms,
        limits,
        retention_s: options.retention_s,
        callback: options.callback,
        ..PostRequest::new(message, functions.map(ToOwned::to_owned).collect())
    })
}

/// A body that is neither an envelope nor, since it names no function, a message.
fn neither(content_type: &str) -> Problem {
    let what = match essence(content_type).as_str() {
        "" => "the body has no content type".to_owned(),
        CURL_DEFAULT => format!("the body is {CURL_DEFAULT} (what curl says by default)"),
        other => format!("the body is {other:.80}"),
    };
    Problem::not_taken(
        ACCEPT_POST,
        JSON,
        format!(
            "{what}; send a JSON job with `Content-Type: {JSON}` as {{\"msg\": ..., \"functions\": [...]}}, or name the functions in the query (POST /jobs?functions=NAME) to send these bytes as the message itself"
        ),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn envelope(body: &str) -> Result<PostRequest, String> {
        of_envelope(body.as_bytes()).map_err(|problem| format!("{problem:?}"))
    }

    #[test]
    fn the_message_is_kept_as_it_was_written() {
        let request = envelope(r#" {"msg": {"n": 123456789012345678901234567890.10 } } "#);
        let message = request.unwrap().message;
        assert!(message.is_json());
        assert_eq!(message.data, r#"{"n": 123456789012345678901234567890.10 }"#);
        assert_eq!(envelope(r#"{"msg": null}"#).unwrap().message.data, "null");
    }

    #[test]
    fn what_is_no_job_is_refused_with_its_place() {
        for (body, word) in [
            ("", "EOF"),
            ("{\"msg\": 1,\n}", "line 2 column 1"),
            ("{}", "missing field `msg`"),
            (r#"{"functions": ["f"]}"#, "missing field `msg`"),
            (
                r#"{"msg": 1, "function": ["f"]}"#,
                "unknown field `function`",
            ),
            (r#"{"msg": 1, "msg": 2}"#, "duplicate field"),
            (r#"{"msg": 1, "priority": "high"}"#, "invalid type"),
            (r#"{"msg": 1, "delay_ms": -1}"#, "invalid value"),
            (
                r#"{"msg": 1, "limits": {"memory": 1}}"#,
                "did you mean memory_bytes?",
            ),
            ("[1]", "an object with the field msg"),
            ("\"\\", "an object with the field msg"),
        ] {
            let error = envelope(body).map(|_| ()).unwrap_err();
            assert!(
                error.contains(word) || word == "an object with the field msg",
                "{body}: {error}"
            );
        }
    }

    #[test]
    fn bytes_take_their_options_from_the_query() {
        let options = Options {
            functions: Some("f, g,".to_owned()),
            priority: Some(0),
            ..Options::default()
        };
        let request = of_bytes("image/png", Bytes::from_static(b"\x89PNG"), options).unwrap();
        assert_eq!(request.functions, ["f", "g"]);
        assert_eq!(request.priority, Some(0));
        assert_eq!(request.message.content_type, "image/png");
        let untyped = of_bytes("", Bytes::new(), Options::default()).unwrap();
        assert_eq!(untyped.message.content_type, BYTES);
    }
}
