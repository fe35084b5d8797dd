//! Uploads: `POST /consumer` binds all functions of a component, as MLQ's did,
//! and `PUT /functions/{name}` one of them.

use std::sync::Arc;

use axum::Json;
use axum::body::Body;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use serde_json::json;

use super::App;
use super::body::{self, Whole, content_type, essence};
use super::extract::{Format, Named, Params, Tenant};
use super::functions::FunctionView;
use super::problem::Problem;
use crate::deploy::{Deployer, Grant};
use crate::job::{FunctionName, Limits, Namespace};
use crate::store::Deployment;

/// What an upload may call itself; the last is curl's default, and nothing is
/// what many other clients say.
const MEDIA_TYPES: [&str; 4] = [
    "application/wasm",
    "application/octet-stream",
    "application/x-www-form-urlencoded",
    "",
];

/// `POST /consumer`.
pub(super) async fn consumer(
    State(app): State<App>,
    Tenant(namespace): Tenant,
    format: Format,
    Params(limits): Params<Limits>,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, Problem> {
    let deployed = deploy(&app, &namespace, &headers, body, None, limits).await?;
    let views: Vec<_> = deployed.iter().map(|one| FunctionView::of(one)).collect();
    Ok(match format {
        Format::Text => "True".into_response(),
        Format::Json => Json(json!({"functions": views})).into_response(),
    })
}

/// `PUT /functions/{name}`.
pub(super) async fn function(
    State(app): State<App>,
    Tenant(namespace): Tenant,
    Named(name): Named,
    Params(limits): Params<Limits>,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, Problem> {
    let deployed = deploy(&app, &namespace, &headers, body, Some(&name), limits).await?;
    match deployed.first() {
        Some(deployment) => Ok(Json(FunctionView::of(deployment)).into_response()),
        None => Err(Problem::internal(&"a deployment bound nothing")),
    }
}

async fn deploy(
    app: &App,
    namespace: &Namespace,
    headers: &HeaderMap,
    body: Body,
    only: Option<&FunctionName>,
    limits: Limits,
) -> Result<Vec<Arc<Deployment>>, Problem> {
    let media = essence(content_type(headers));
    if !MEDIA_TYPES.contains(&media.as_str()) {
        return Err(Problem::new(
            StatusCode::UNSUPPORTED_MEDIA_TYPE,
            "unsupported-media-type",
            format!("{media:.80} is no component; send its bytes as application/wasm"),
        ));
    }
    let most = Deployer::MAX_COMPONENT_BYTES;
    let Whole { bytes, share } =
        body::read(&app.requests, headers, body, most, "a component").await?;
    // Whoever reaches a server that listens on loopback only is its admin.
    let grant = Grant::Wider;
    let deployed = app
        .deployer
        .deploy(namespace, bytes, only, limits, grant)
        .await?;
    // The store has it now.
    drop(share);
    Ok(deployed)
}
