//! Request bodies: read up to a bound, and never for longer than a client that
//! still sends may need. What is left of one after its request was answered is
//! read in [`drain`](super::drain).

use std::time::Duration;

use axum::body::Body;
use axum::http::header::{CONTENT_LENGTH, CONTENT_TYPE};
use axum::http::{HeaderMap, StatusCode};
use bytes::{Bytes, BytesMut};
use futures_util::StreamExt as _;

use super::problem::Problem;

/// How long a client may pause within a body.
pub(super) const PATIENCE: Duration = Duration::from_secs(30);

/// Reads a body of at most `most` bytes; `what` names it in errors.
pub(super) async fn read(
    headers: &HeaderMap,
    body: Body,
    most: usize,
    what: &str,
) -> Result<Bytes, Problem> {
    let too_large = || {
        Problem::new(
            StatusCode::PAYLOAD_TOO_LARGE,
            "too-large",
            format!("{what} may have at most {most} bytes"),
        )
    };
    if declared_length(headers).is_some_and(|length| length > most as u64) {
        return Err(too_large());
    }
    let mut stream = body.into_data_stream();
    let mut read = BytesMut::new();
    loop {
        let next = tokio::time::timeout(PATIENCE, stream.next()).await;
        let Some(chunk) = next.map_err(|_| stalled())? else {
            return Ok(read.freeze());
        };
        let chunk = chunk.map_err(|error| {
            Problem::bad_request(format!("the body could not be read to its end: {error}"))
        })?;
        if read.len() + chunk.len() > most {
            return Err(too_large());
        }
        // Copied even when it is the only chunk: that one may be a slice of a
        // larger buffer, which a waiting job would keep alive.
        read.extend_from_slice(&chunk);
    }
}

pub(super) fn stalled() -> Problem {
    Problem::new(
        StatusCode::REQUEST_TIMEOUT,
        "stalled",
        format!("no more of the body came for {PATIENCE:?}"),
    )
}

fn declared_length(headers: &HeaderMap) -> Option<u64> {
    headers.get(CONTENT_LENGTH)?.to_str().ok()?.parse().ok()
}

/// The content type of a request as sent; empty if there is none.
pub(super) fn content_type(headers: &HeaderMap) -> &str {
    let value = headers.get(CONTENT_TYPE);
    value
        .and_then(|value| value.to_str().ok())
        .unwrap_or_default()
}

/// A content type without its parameters, in lower case.
pub(super) fn essence(content_type: &str) -> String {
    let essence = content_type.split(';').next().unwrap_or_default();
    essence.trim().to_ascii_lowercase()
}
