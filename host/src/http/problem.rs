//! Errors as clients see them: a problem document (RFC 9457) for those that
//! accept JSON, a line of text for the rest. Both say what is wrong and how to
//! mend it.

use std::any::Any;

use axum::Json;
use axum::body::Body;
use axum::extract::Request;
use axum::http::header::{ALLOW, CONTENT_LENGTH, CONTENT_TYPE, RETRY_AFTER};
use axum::http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use serde::Serialize;
use serde_json::{Map, Value, json};

use super::code::{Code, URN};
use super::extract::Format;

/// Which types of body a POST takes (the W3C's Linked Data Platform, 7.1), beside `Accept`
/// for other methods (RFC 9110, 15.5.16).
pub(super) const ACCEPT_POST: HeaderName = HeaderName::from_static("accept-post");

/// An error on its way to a client.
#[derive(Clone, Debug)]
pub(super) struct Problem {
    status: StatusCode,
    /// None where the status says everything.
    code: Option<Code>,
    detail: String,
    /// Further members of the document.
    members: Map<String, Value>,
    /// Headers that go with it.
    headers: Vec<(HeaderName, HeaderValue)>,
}

impl Problem {
    /// A problem; `detail` says what is wrong and how to mend it.
    pub(super) fn new(code: Code, detail: impl Into<String>) -> Self {
        Self {
            code: Some(code),
            ..Self::plain(code.status(), detail.into())
        }
    }

    fn plain(status: StatusCode, detail: String) -> Self {
        Self {
            status,
            code: None,
            detail,
            members: Map::new(),
            headers: Vec::new(),
        }
    }

    /// The request cannot be understood.
    pub(super) fn bad_request(detail: impl Into<String>) -> Self {
        Self::new(Code::BadRequest, detail)
    }

    /// A fault of the host.
    pub(super) fn internal(cause: &dyn std::fmt::Display) -> Self {
        Self::hiding(Code::Internal, "the host failed at this", cause)
    }

    /// A problem whose cause is for those who run the host: it may name addresses, paths
    /// and users. The log has it, under a number that the client is told.
    pub(super) fn hiding(code: Code, detail: &str, cause: &dyn std::fmt::Display) -> Self {
        let incident = format!("{:08x}", fastrand::u32(..));
        tracing::error!(%incident, %cause, "{detail}");
        let told = format!("{detail} (the host's log has the cause, as incident {incident})");
        Self::new(code, told).with("incident", incident)
    }

    /// Adds a member to the document.
    pub(super) fn with(mut self, name: &str, value: impl Serialize) -> Self {
        if let Ok(value) = serde_json::to_value(value) {
            self.members.insert(name.to_owned(), value);
        }
        self
    }

    /// Adds a header to the answer.
    pub(super) fn saying(mut self, name: HeaderName, value: HeaderValue) -> Self {
        self.headers.push((name, value));
        self
    }

    /// The body is of a type that is not taken here; `header` says which is.
    pub(super) fn not_taken(header: HeaderName, taken: &'static str, detail: String) -> Self {
        Self::new(Code::UnsupportedMediaType, detail)
            .saying(header, HeaderValue::from_static(taken))
    }

    /// The problem of an answer that axum gave: a wrong method, for one.
    fn of(status: StatusCode, method: &Method, headers: &HeaderMap) -> Self {
        let allowed = headers.get(ALLOW).and_then(|allow| allow.to_str().ok());
        match (status, allowed) {
            (StatusCode::METHOD_NOT_ALLOWED, Some(allowed)) => Self::new(
                Code::MethodNotAllowed,
                format!("{method} is not possible here; possible: {allowed}"),
            ),
            _ => Self::plain(status, reason(status).to_owned()),
        }
    }

    /// The document.
    pub(super) fn document(self) -> Value {
        let mut document = self.members;
        let kind = match self.code {
            Some(code) => format!("{URN}{}", code.name()),
            None => "about:blank".to_owned(),
        };
        document.insert("type".to_owned(), kind.into());
        document.insert("title".to_owned(), reason(self.status).into());
        document.insert("status".to_owned(), self.status.as_u16().into());
        document.insert("detail".to_owned(), self.detail.into());
        Value::Object(document)
    }

    /// A line of an answer in lines, without its end: about line `number` of the
    /// request. `stops` if nothing from there on was done.
    pub(super) fn line(self, number: u64, stops: bool, format: Format) -> String {
        match format {
            Format::Text => {
                let detail = self.detail.replace(['\n', '\r'], " ");
                let rest = if stops {
                    "; neither this line nor any after it was queued"
                } else {
                    ""
                };
                format!("line {number}: {detail}{rest}")
            }
            Format::Json => {
                let document = self.document();
                json!({"line": number, "stops": stops, "problem": document}).to_string()
            }
        }
    }

    fn render(self, format: Format) -> Response {
        let status = self.status;
        match format {
            Format::Text => (status, format!("{}\n", self.detail)).into_response(),
            Format::Json => {
                let problem = HeaderValue::from_static("application/problem+json");
                let document = Json(self.document());
                (status, [(CONTENT_TYPE, problem)], document).into_response()
            }
        }
    }
}

fn reason(status: StatusCode) -> &'static str {
    status.canonical_reason().unwrap_or("Error")
}

/// Only [`negotiate`] knows what the client accepts, so a handler's problem
/// travels there beside an empty answer.
impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let mut response = self.status.into_response();
        if self.status == StatusCode::SERVICE_UNAVAILABLE {
            let soon = HeaderValue::from_static("1");
            response.headers_mut().insert(RETRY_AFTER, soon);
        }
        response.headers_mut().extend(self.headers.clone());
        response.extensions_mut().insert(self);
        response
    }
}

/// Renders every error in the format that the client accepts.
pub(super) async fn negotiate(request: Request, next: Next) -> Response {
    let format = Format::of(request.headers());
    let method = request.method().clone();
    let mut response = next.run(request).await;
    let status = response.status();
    let problem = match response.extensions_mut().remove::<Problem>() {
        Some(problem) => problem,
        None if status.is_client_error() || status.is_server_error() => {
            Problem::of(status, &method, response.headers())
        }
        None => return response,
    };
    let mut rendered = problem.render(format);
    for (name, value) in response.headers() {
        if name != CONTENT_LENGTH && name != CONTENT_TYPE {
            rendered.headers_mut().append(name, value.clone());
        }
    }
    rendered
}

/// What is at no route.
pub(super) async fn no_such_route(request: Request) -> Problem {
    nothing_at(
        &request,
        "jobs are at /jobs, functions at /functions, the queue is at /queue, and all of it is described at /docs",
    )
}

/// What is at no route of a host that is only watched.
pub(super) async fn only_watched(request: Request) -> Problem {
    nothing_at(
        &request,
        "this is a `skep worker`, which has /metrics, /healthz and /readyz; ask a `skep serve` on the same store for all else",
    )
}

fn nothing_at(request: &Request, what_there_is: &str) -> Problem {
    let path: String = request.uri().path().chars().take(128).collect();
    let hint = match path.ends_with('/') {
        true => "; no path here ends with a slash",
        false => "",
    };
    Problem::new(
        Code::NoSuchRoute,
        format!("there is nothing at {path:?}{hint}; {what_there_is}"),
    )
}

/// The answer after a panic; the panic hook has already printed where.
pub(super) fn after_panic(panic: Box<dyn Any + Send + 'static>) -> Response<Body> {
    let text = panic.downcast_ref::<String>().map(String::as_str);
    let text = text.or_else(|| panic.downcast_ref::<&str>().copied());
    let text = format!("panic: {}", text.unwrap_or("of an unknown kind"));
    Problem::internal(&text).into_response()
}
