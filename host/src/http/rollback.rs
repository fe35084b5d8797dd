//! Going back to an earlier version: what is the same for functions and models.

use axum::Json;
use axum::body::Body;
use axum::http::HeaderMap;
use axum::response::{IntoResponse, Response};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::App;
use super::audit::Concerns;
use super::body;
use super::extract::Format;
use super::problem::Problem;
use crate::job::Digest;

/// The longest body, in bytes: it says one number.
const MAX_BYTES: usize = 256;

/// Which version a function or model goes back to.
#[derive(Default, Deserialize, ToSchema)]
#[serde(default, deny_unknown_fields)]
pub(super) struct Rollback {
    /// The version; the one before the newest if it is left out.
    #[schema(maximum = 4_294_967_295_u32)]
    version: Option<u32>,
}

/// The version that a body asks for.
pub(super) async fn wanted(
    app: &App,
    headers: &HeaderMap,
    body: Body,
) -> Result<Option<u32>, Problem> {
    let read = body::read(&app.requests, headers, body, MAX_BYTES, "a rollback").await?;
    let Rollback { version } = body::options(&read.bytes, "the version as {\"version\": N}")?;
    Ok(version)
}

/// Answers that version `newest` of `name` is as version `of` was, and tells the audit log of its
/// content; `view` is all of it.
pub(super) fn rolled_back(
    format: Format,
    (name, newest, of): (&str, u32, u32),
    content: Digest,
    view: impl Serialize,
) -> Response {
    let text = format!("{name} version {newest} (as version {of})");
    let concerns = Concerns(format!("{text} sha256:{content}"));
    let mut response = match format {
        Format::Text => text.into_response(),
        Format::Json => Json(view).into_response(),
    };
    response.extensions_mut().insert(concerns);
    response
}
