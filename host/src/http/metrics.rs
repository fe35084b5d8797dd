//! `GET /metrics`, and what is counted of every request on its way.

use std::convert::Infallible;
use std::sync::{Arc, OnceLock};
use std::time::Instant;

use axum::extract::{FromRequestParts, Request, State};
use axum::http::header::{ACCEPT, CONTENT_TYPE};
use axum::http::request::Parts;
use axum::http::{HeaderMap, Method};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};

use super::App;
use super::code::Code;
use super::problem::Problem;
use crate::access::{Caller, Reach};
use crate::job::TraceContext;
use crate::metrics::{Format, OTHER};
use crate::traces::PostSpan;

/// Where the door notes the route that a request matched.
#[derive(Clone, Default)]
pub(super) struct Matched(pub(super) Arc<OnceLock<&'static str>>);

/// `GET /metrics`: the page of numbers. Those of all namespaces are on it, so that it is for whoever may
/// read in all of them.
pub(super) async fn page(
    State(app): State<App>,
    caller: Caller,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    if !caller.may_reach(&Reach::All) {
        return Err(Problem::new(
            Code::AllNamespaces,
            "the metrics are those of all namespaces, and this access token counts in one; an admin of all makes one with `skep token create --all-namespaces --scopes read`",
        ));
    }
    let format = wanted(&headers);
    let page = app.scraper.page(format).await;
    Ok(([(CONTENT_TYPE, format.media_type())], page).into_response())
}

/// OpenMetrics for those who name it, as Prometheus does.
fn wanted(headers: &HeaderMap) -> Format {
    let accepted = headers.get_all(ACCEPT).iter();
    let mut accepted = accepted.filter_map(|value| value.to_str().ok());
    match accepted.any(|value| value.contains("application/openmetrics-text")) {
        true => Format::OpenMetrics,
        false => Format::Text,
    }
}

/// Counts a request and notes it in the log. Its path and query stay out of both: they may
/// hold what nobody else is to see.
pub(super) async fn observe(State(app): State<App>, mut request: Request, next: Next) -> Response {
    let begun = Instant::now();
    let method = known(request.method());
    let span = posts(&request).map(|route| app.traces.post(route, given(request.headers())));
    if let Some(context) = span.as_ref().and_then(PostSpan::context) {
        request.extensions_mut().insert(context);
    }
    let matched = Matched::default();
    request.extensions_mut().insert(matched.clone());
    let response = next.run(request).await;
    let route = matched.0.get().copied().unwrap_or(OTHER);
    let (status, took) = (response.status().as_u16(), begun.elapsed());
    app.scraper.metrics().answered(method, route, status, took);
    if let Some(span) = span {
        span.end(status);
    }
    tracing::debug!(method, route, status, ?took, "answered");
    response
}

/// The route of a request that posts jobs.
fn posts(request: &Request) -> Option<&'static str> {
    let routes = ["/jobs", "/jobs/batch"];
    let posts = |route: &&str| request.method() == Method::POST && request.uri().path() == *route;
    routes.into_iter().find(posts)
}

/// The trace that the client is in, by W3C Trace Context.
fn given(headers: &HeaderMap) -> Option<TraceContext> {
    headers.get("traceparent")?.to_str().ok()?.parse().ok()
}

/// What the jobs of a request come from, if that is traced.
pub(super) struct Traced(pub(super) Option<TraceContext>);

impl<S: Send + Sync> FromRequestParts<S> for Traced {
    type Rejection = Infallible;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Infallible> {
        Ok(Self(parts.extensions.get::<TraceContext>().copied()))
    }
}

/// The methods that anything may be done with.
fn known(method: &Method) -> &'static str {
    match *method {
        Method::GET => "GET",
        Method::HEAD => "HEAD",
        Method::POST => "POST",
        Method::PUT => "PUT",
        Method::DELETE => "DELETE",
        _ => OTHER,
    }
}
