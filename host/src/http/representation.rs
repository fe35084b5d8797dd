//! Answers that a client may have already, or wants a part of: `ETag`, `If-Match`,
//! `If-None-Match`, `Range` and `If-Range`, by RFC 9110 (13 and 14).
//!
//! The tag is a hash of what is sent, so that it is the same on every host, and another
//! when a job has another result or a directory another job of the same id. The bytes are
//! therefore read from the store whole, whatever part of them is sent: what this saves is
//! the network's.

use std::convert::Infallible;
use std::ops::RangeInclusive;

use axum::body::Body;
use axum::extract::FromRequestParts;
use axum::http::header::{
    ACCEPT_RANGES, CACHE_CONTROL, CONTENT_DISPOSITION, CONTENT_RANGE, CONTENT_TYPE, ETAG, IF_MATCH,
    IF_NONE_MATCH, IF_RANGE, RANGE,
};
use axum::http::request::Parts;
use axum::http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode};
use axum::response::Response;
use bytes::Bytes;
use http_range_header::{StartPosition, parse_range_header};
use sha2::{Digest as _, Sha256};

use super::code::Code;
use super::problem::Problem;

/// What is larger is hashed on a thread of its own: this much takes less than a
/// millisecond.
const HASHED_INLINE_BYTES: usize = 256 << 10;

/// For this client alone, which asks each time whether it is still so: that it may read
/// it is looked at each time, too.
const REVALIDATED: HeaderValue = HeaderValue::from_static("private, no-cache");

/// What a client has, and what it wants.
pub(super) struct Wanted {
    method: Method,
    headers: HeaderMap,
}

impl<S: Send + Sync> FromRequestParts<S> for Wanted {
    type Rejection = Infallible;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Infallible> {
        Ok(Self {
            method: parts.method.clone(),
            headers: parts.headers.clone(),
        })
    }
}

impl Wanted {
    /// The answer with these bytes, of which `head` has the headers.
    pub(super) async fn of(self, head: Response, data: Bytes) -> Result<Response, Problem> {
        let content_type = head.headers().get(CONTENT_TYPE).cloned();
        let tag = tag(content_type, &data).await?;
        self.select(head, data, &tag)
    }

    fn select(&self, mut head: Response, data: Bytes, tag: &str) -> Result<Response, Problem> {
        let headers = head.headers_mut();
        if let Ok(tag) = HeaderValue::from_str(tag) {
            headers.insert(ETAG, tag);
        }
        headers.insert(ACCEPT_RANGES, HeaderValue::from_static("bytes"));
        headers.insert(CACHE_CONTROL, REVALIDATED);
        if self.names(&IF_MATCH, tag) == Some(false) {
            return Err(Problem::new(
                Code::PreconditionFailed,
                format!("what is here has the tag {tag}, and If-Match names another"),
            ));
        }
        if self.names(&IF_NONE_MATCH, tag) == Some(true) {
            // The policies stay: a browser puts them in place of those that it has.
            headers.remove(CONTENT_TYPE);
            headers.remove(CONTENT_DISPOSITION);
            *head.status_mut() = StatusCode::NOT_MODIFIED;
            return Ok(head);
        }
        let part = match self.part(data.len(), tag)? {
            None => data,
            Some(part) => {
                let range = format!("bytes {}-{}/{}", part.start(), part.end(), data.len());
                if let Ok(range) = HeaderValue::from_str(&range) {
                    headers.insert(CONTENT_RANGE, range);
                }
                *head.status_mut() = StatusCode::PARTIAL_CONTENT;
                data.slice(part)
            }
        };
        *head.body_mut() = Body::from(part);
        Ok(head)
    }

    /// Whether a header of tags names this one, if it is there. Ours hold no commas.
    fn names(&self, header: &HeaderName, tag: &str) -> Option<bool> {
        let mut given = self.headers.get_all(header).iter().peekable();
        given.peek()?;
        let strong = *header == IF_MATCH;
        let is_it = |one: &str| {
            let one = match one.trim().strip_prefix("W/") {
                Some(_) if strong => return false,
                Some(weak) => weak,
                None => one.trim(),
            };
            one == tag || one == "*"
        };
        Some(given.any(|value| value.to_str().is_ok_and(|tags| tags.split(',').any(is_it))))
    }

    /// The part that is wanted; none for the whole. One that cannot be read is as if it
    /// were not there, and of several parts the whole is sent, as a server may.
    fn part(&self, bytes: usize, tag: &str) -> Result<Option<RangeInclusive<usize>>, Problem> {
        let known = |value: &HeaderValue| value.as_bytes() == tag.as_bytes();
        let same = self.headers.get(IF_RANGE).is_none_or(known);
        let range = self.headers.get(RANGE).filter(|_| same);
        let range = range.and_then(|range| parse_range_header(range.to_str().ok()?).ok());
        let Some(range) = range.filter(|_| self.method == Method::GET && bytes > 0) else {
            return Ok(None);
        };
        // More than there is at the end is all of it.
        if let [one] = range.ranges.as_slice()
            && matches!(one.start, StartPosition::FromLast(last) if last >= bytes as u64)
        {
            return Ok(Some(0..=bytes - 1));
        }
        match range.validate(bytes as u64).as_deref() {
            Ok([part]) => {
                let at = |place: u64| usize::try_from(place).unwrap_or(usize::MAX);
                Ok(Some(at(*part.start())..=at(*part.end())))
            }
            Ok(_) => Ok(None),
            Err(_) if range.ranges.len() > 1 => Ok(None),
            Err(_) => Err(beyond(bytes)),
        }
    }
}

fn beyond(bytes: usize) -> Problem {
    let problem = Problem::new(
        Code::RangeNotSatisfiable,
        format!("there are {bytes} bytes here, and Range asks for others; count from 0"),
    );
    match HeaderValue::from_str(&format!("bytes */{bytes}")) {
        Ok(range) => problem.saying(CONTENT_RANGE, range),
        Err(_) => problem,
    }
}

/// A strong tag: the hash of the content type and of the bytes.
async fn tag(content_type: Option<HeaderValue>, data: &Bytes) -> Result<String, Problem> {
    let mut hash = Sha256::new();
    hash.update(
        content_type
            .as_ref()
            .map_or(&b""[..], HeaderValue::as_bytes),
    );
    hash.update([0]);
    let hash = if data.len() > HASHED_INLINE_BYTES {
        let data = data.clone();
        let whole = tokio::task::spawn_blocking(move || hash.chain_update(data).finalize());
        whole.await.map_err(|error| Problem::internal(&error))?
    } else {
        hash.chain_update(data).finalize()
    };
    // Half of it tells results apart as well, and is shorter.
    let half = hash.get(..16).unwrap_or_default();
    Ok(format!("\"{}\"", hex::encode(half)))
}

#[cfg(test)]
mod tests {
    use super::*;

    const TAG: &str = "\"abc\"";

    fn answer(
        method: Method,
        headers: &[(HeaderName, &str)],
        data: &'static str,
    ) -> Result<(u16, String), u16> {
        let headers = headers
            .iter()
            .map(|(name, value)| (name.clone(), value.parse().unwrap()));
        let wanted = Wanted {
            method,
            headers: headers.collect(),
        };
        let head = Response::new(Body::empty());
        match wanted.select(head, Bytes::from_static(data.as_bytes()), TAG) {
            Ok(answer) => {
                let range = answer.headers().get(CONTENT_RANGE);
                let range = range.map(|range| range.to_str().unwrap().to_owned());
                Ok((answer.status().as_u16(), range.unwrap_or_default()))
            }
            Err(problem) => Err(axum::response::IntoResponse::into_response(problem)
                .status()
                .as_u16()),
        }
    }

    fn ranged(range: &str) -> Result<(u16, String), u16> {
        answer(Method::GET, &[(RANGE, range)], "0123456789")
    }

    #[test]
    fn one_range_is_a_part_and_several_are_the_whole() {
        for (range, part) in [
            ("bytes=0-0", "0-0"),
            ("bytes=2-4", "2-4"),
            ("bytes=7-", "7-9"),
            ("bytes=-3", "7-9"),
            ("bytes=5-500", "5-9"),
            ("bytes=-500", "0-9"),
        ] {
            assert_eq!(
                ranged(range),
                Ok((206, format!("bytes {part}/10"))),
                "{range}"
            );
        }
        for whole in [
            "bytes=0-1,4-5",
            "bytes=",
            "bytes=x",
            "lines=1-2",
            "",
            "bytes=1-2,50-60",
        ] {
            assert_eq!(ranged(whole), Ok((200, String::new())), "{whole}");
        }
        for beyond in ["bytes=10-", "bytes=10-20", "bytes=4-2"] {
            assert_eq!(ranged(beyond), Err(416), "{beyond}");
        }
        let empty = answer(Method::GET, &[(RANGE, "bytes=0-")], "");
        assert_eq!(empty, Ok((200, String::new())));
        let head = answer(Method::HEAD, &[(RANGE, "bytes=2-4")], "0123456789");
        assert_eq!(head, Ok((200, String::new())), "a range is for GET");
    }

    #[test]
    fn tags_are_compared_as_their_header_says() {
        let status = |headers: &[(HeaderName, &str)]| {
            answer(Method::GET, headers, "0123456789").map_or_else(|e| e, |(status, _)| status)
        };
        for (header, tags, expected) in [
            (IF_NONE_MATCH, TAG, 304),
            (IF_NONE_MATCH, "W/\"abc\"", 304),
            (IF_NONE_MATCH, "\"x\", \"abc\"", 304),
            (IF_NONE_MATCH, "*", 304),
            (IF_NONE_MATCH, "\"x\"", 200),
            (IF_NONE_MATCH, "abc", 200),
            (IF_MATCH, TAG, 200),
            (IF_MATCH, "*", 200),
            (IF_MATCH, "W/\"abc\"", 412),
            (IF_MATCH, "\"x\"", 412),
        ] {
            assert_eq!(
                status(&[(header.clone(), tags)]),
                expected,
                "{header}: {tags}"
            );
        }
        let range = (RANGE, "bytes=1-2");
        for (given, expected) in [
            (TAG, 206),
            ("\"x\"", 200),
            ("W/\"abc\"", 200),
            ("Wed, 21 Oct 2015 07:28:00 GMT", 200),
        ] {
            assert_eq!(
                status(&[range.clone(), (IF_RANGE, given)]),
                expected,
                "{given}"
            );
        }
        assert_eq!(status(&[range, (IF_NONE_MATCH, TAG)]), 304);
    }

    #[tokio::test]
    async fn a_tag_tells_contents_and_types_apart() {
        let typed = |content_type: &'static str| Some(HeaderValue::from_static(content_type));
        let large = Bytes::from(vec![7; HASHED_INLINE_BYTES + 1]);
        let one = tag(typed("text/plain"), &large).await.unwrap();
        assert_eq!(one, tag(typed("text/plain"), &large).await.unwrap());
        assert_ne!(one, tag(typed("text/html"), &large).await.unwrap());
        let shorter = large.slice(1..);
        assert_ne!(one, tag(typed("text/plain"), &shorter).await.unwrap());
        assert_eq!(one.len(), 34);
    }
}
