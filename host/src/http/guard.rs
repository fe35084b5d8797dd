//! Keeps web pages of strangers from commanding a server that trusts whoever
//! reaches its loopback address.

use axum::extract::Request;
use axum::http::StatusCode;
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};

use super::problem::Problem;

/// Refuses what a page of another site makes its reader's browser send. Only
/// browsers send the header, and no page can forge it.
pub(super) async fn refuse_foreign_pages(request: Request, next: Next) -> Response {
    let site = request.headers().get("sec-fetch-site");
    let foreign = site.is_some_and(|site| site == "cross-site");
    if foreign && !request.method().is_safe() {
        let refusal = Problem::new(
            StatusCode::FORBIDDEN,
            "cross-site",
            "a page of another site may not change anything here; call skep from that site's server instead",
        );
        return refusal.into_response();
    }
    next.run(request).await
}
