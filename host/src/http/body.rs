//! Request bodies: read up to a bound, and never for longer than a client that
//! still sends may need. What is left of one after its request was answered is
//! read in [`drain`](super::drain).

use axum::body::Body;
use axum::http::HeaderMap;
use axum::http::header::{CONTENT_LENGTH, CONTENT_TYPE};
use bytes::{Bytes, BytesMut};
use futures_util::StreamExt as _;
use serde::de::DeserializeOwned;

use super::code::Code;
use super::pace::{LEAST, Pace, TooSlow, WINDOW};
use super::problem::Problem;
use super::room::{Room, Share};

/// A body, and its share of the room for bodies: kept until nothing of it is needed.
pub(super) struct Whole {
    pub(super) bytes: Bytes,
    pub(super) share: Share,
}

/// Reads a body of at most `most` bytes; `what` names it in errors.
pub(super) async fn read(
    room: &Room,
    headers: &HeaderMap,
    body: Body,
    most: usize,
    what: &str,
) -> Result<Whole, Problem> {
    let too_large = || {
        Problem::new(
            Code::TooLarge,
            format!("{what} may have at most {most} bytes"),
        )
    };
    if declared_length(headers).is_some_and(|length| length > most as u64) {
        return Err(too_large());
    }
    let mut stream = body.into_data_stream();
    let mut read = BytesMut::new();
    // As it grows, not as it is declared: who declares much and sends nothing has none.
    let mut share = room.share();
    let mut pace = Pace::new();
    loop {
        let Some(chunk) = pace.wait(stream.next()).await? else {
            let bytes = read.freeze();
            return Ok(Whole { bytes, share });
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
        share.fit(read.capacity())?;
        pace.came(chunk.len());
    }
}

impl From<TooSlow> for Problem {
    fn from(_: TooSlow) -> Self {
        Self::new(
            Code::Stalled,
            format!(
                "too little of the body came: send it to its end, at least {LEAST} bytes within {WINDOW:?}"
            ),
        )
    }
}

fn declared_length(headers: &HeaderMap) -> Option<u64> {
    headers.get(CONTENT_LENGTH)?.to_str().ok()?.parse().ok()
}

/// What a body says that may be left out; `such_as` shows one that is right.
pub(super) fn options<T: DeserializeOwned + Default>(
    body: &[u8],
    such_as: &str,
) -> Result<T, Problem> {
    match body.trim_ascii() {
        b"" => Ok(T::default()),
        body => object(body, &format!("nothing, or {such_as}")),
    }
}

/// What a body says that has to be there; `such_as` shows one that is right. It is an
/// object: what is derived by serde would also be read from a list, and then an empty one
/// may say nothing and so ask for everything.
pub(super) fn object<T: DeserializeOwned>(body: &[u8], such_as: &str) -> Result<T, Problem> {
    let read = match body.trim_ascii_start().first() {
        Some(b'{') => serde_json::from_slice(body).map_err(|error| error.to_string()),
        _ => Err("the body is no JSON object".to_owned()),
    };
    read.map_err(|error| Problem::bad_request(format!("{error}; send {such_as}")))
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
