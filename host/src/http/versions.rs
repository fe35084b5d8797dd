//! The versions of a function: what was deployed under its name, and going back to one.

use axum::Json;
use axum::body::Body;
use axum::extract::State;
use axum::http::HeaderMap;
use axum::response::{IntoResponse, Response};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::App;
use super::code::Code;
use super::extract::{Format, Named, Params, Tenant};
use super::functions::{FunctionView, not_deployed};
use super::problem::Problem;
use super::rollback::{self, rolled_back};
use crate::access::Caller;
use crate::deploy::{Grant, RollbackError};
use crate::job::FunctionName;

/// How many versions a page has: each may have a schema of some KiB.
const PAGE_VERSIONS: usize = 100;

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
    Named(name): Named<FunctionName>,
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

/// `POST /functions/{name}/rollback`: binds an earlier version anew, as the next one.
pub(super) async fn rollback(
    State(app): State<App>,
    caller: Caller,
    Named(name): Named<FunctionName>,
    format: Format,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, Problem> {
    let version = rollback::wanted(&app, &headers, body).await?;
    let (namespace, grant) = (&caller.namespace, Grant::of(&caller));
    let rolled = app.deployer.rollback(namespace, &name, version, grant);
    let (bound, of) = match rolled.await {
        Ok(rolled) => rolled,
        Err(RollbackError::NeverDeployed) => {
            return Err(not_deployed(&app, namespace, &name).await?);
        }
        Err(error) => return Err(error.into()),
    };
    let versions = (name.as_str(), bound.version, of);
    let view = FunctionView::of(&bound);
    Ok(rolled_back(format, versions, bound.component, view))
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
