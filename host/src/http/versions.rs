//! The versions of a function: what was deployed under its name, and going back to one.

use axum::Json;
use axum::body::Body;
use axum::extract::State;
use axum::http::HeaderMap;
use axum::response::{IntoResponse, Response};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::App;
use super::audit::Concerns;
use super::body;
use super::code::Code;
use super::extract::{Format, Named, Params, Tenant};
use super::functions::{FunctionView, not_deployed};
use super::problem::Problem;
use crate::access::{Caller, Scope};
use crate::deploy::{Grant, RollbackError};

/// How many versions a page has: each may have a schema of some KiB.
const PAGE_VERSIONS: usize = 100;

/// The longest body of a rollback, in bytes: it says one number.
pub(super) const MAX_ROLLBACK_BYTES: usize = 256;

/// The query of [`list`].
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Page {
    cursor: Option<u32>,
}

/// `GET /functions/{name}/versions`.
pub(super) async fn list(
    State(app): State<App>,
    Tenant(namespace): Tenant,
    Named(name): Named,
    Params(Page { cursor }): Params<Page>,
) -> Result<Response, Problem> {
    let found = app
        .store
        .versions(&namespace, &name, cursor, PAGE_VERSIONS)
        .await?;
    if found.is_empty() && cursor.is_none() {
        return Err(not_deployed(&app, &namespace, &name).await?);
    }
    let last = found.last().map(|last| last.version);
    let next = last.filter(|last| found.len() == PAGE_VERSIONS && *last > 1);
    let next = next.map(|next| next.to_string());
    let versions = found.iter().map(|one| FunctionView::of(one)).collect();
    Ok(Json(Versions { versions, next }).into_response())
}

/// Versions of a function.
#[derive(Serialize, ToSchema)]
pub(super) struct Versions<'d> {
    /// The newest first.
    versions: Vec<FunctionView<'d>>,
    /// The cursor of the next page; `null` after the last one.
    next: Option<String>,
}

/// Which version a function or model goes back to.
#[derive(Default, Deserialize, ToSchema)]
#[serde(default, deny_unknown_fields)]
pub(super) struct Rollback {
    /// The version; the one before the newest if it is left out.
    #[schema(maximum = 4_294_967_295_u32)]
    pub(super) version: Option<u32>,
}

/// `POST /functions/{name}/rollback`: binds an earlier version anew, as the next one.
pub(super) async fn rollback(
    State(app): State<App>,
    caller: Caller,
    Named(name): Named,
    format: Format,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, Problem> {
    let what = "a rollback";
    let read = body::read(&app.requests, &headers, body, MAX_ROLLBACK_BYTES, what).await?;
    let Rollback { version } = body::options(&read.bytes, "the version as {\"version\": N}")?;
    let grant = match caller.may(Scope::Admin) {
        true => Grant::Wider,
        false => Grant::Narrower,
    };
    let namespace = &caller.namespace;
    let rolled = app
        .deployer
        .rollback(namespace, &name, version, grant)
        .await;
    let (bound, of) = match rolled {
        Ok(rolled) => rolled,
        Err(RollbackError::NeverDeployed) => {
            return Err(not_deployed(&app, namespace, &name).await?);
        }
        Err(error) => return Err(error.into()),
    };
    let text = format!("{name} version {} (as version {of})", bound.version);
    let concerns = Concerns(format!("{text} sha256:{}", bound.component));
    let mut response = match format {
        Format::Text => text.into_response(),
        Format::Json => Json(FunctionView::of(&bound)).into_response(),
    };
    response.extensions_mut().insert(concerns);
    Ok(response)
}

impl From<RollbackError> for Problem {
    fn from(error: RollbackError) -> Self {
        let code = match error {
            RollbackError::NeverDeployed => Code::NoSuchFunction,
            RollbackError::NoSuchVersion(_) => Code::NoSuchVersion,
            RollbackError::IsNewest(_) => Code::AlreadyNewest,
            RollbackError::Deploy(error) => return error.into(),
        };
        Self::new(code, error.to_string())
    }
}
