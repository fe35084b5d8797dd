//! What every answer says to browsers: do not guess, do not keep, do not show this
//! within another page, and run nothing of it. What serves more than text says so
//! itself ([`inert`](super::inert)). And to the command line: which version this is.
//!
//! No `Strict-Transport-Security`: it would hold for all ports of the name, also those
//! of other programs on `localhost`. Who has a domain for skep sets it in its proxy.

use axum::extract::Request;
use axum::http::header::{
    CACHE_CONTROL, CONNECTION, CONTENT_SECURITY_POLICY, REFERRER_POLICY, TRANSFER_ENCODING, VARY,
    X_CONTENT_TYPE_OPTIONS, X_FRAME_OPTIONS,
};
use axum::http::{HeaderName, HeaderValue};
use axum::middleware::Next;
use axum::response::Response;

const ALWAYS: [(HeaderName, &str); 8] = [
    (X_CONTENT_TYPE_OPTIONS, "nosniff"),
    (REFERRER_POLICY, "no-referrer"),
    (
        HeaderName::from_static("cross-origin-resource-policy"),
        "same-origin",
    ),
    (X_FRAME_OPTIONS, "DENY"),
    (
        CONTENT_SECURITY_POLICY,
        "default-src 'none'; frame-ancestors 'none'",
    ),
    // Whose answer it is depends on headers that caches do not look at, and most of it
    // changes with every moment.
    (CACHE_CONTROL, "no-store"),
    // Errors at least are in the format that the client accepts.
    (VARY, "accept"),
    // For the command line, to which one of another version is a riddle. `Server` would
    // not come through a proxy.
    (
        HeaderName::from_static("skep-version"),
        env!("CARGO_PKG_VERSION"),
    ),
];

/// Adds what an answer does not say itself.
pub(super) async fn protect(request: Request, next: Next) -> Response {
    // hyper follows `Transfer-Encoding` where a `Content-Length` contradicts it, and no
    // longer shows that there was one. A proxy in front may have followed the other, so
    // that what comes next on this connection may be a smuggled request: RFC 9112 (6.1)
    // says to close it.
    let chunked = request.headers().contains_key(TRANSFER_ENCODING);
    let mut response = next.run(request).await;
    let headers = response.headers_mut();
    for (name, value) in ALWAYS {
        headers
            .entry(name)
            .or_insert(HeaderValue::from_static(value));
    }
    if chunked {
        headers.insert(CONNECTION, HeaderValue::from_static("close"));
    }
    response
}
