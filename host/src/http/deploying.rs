//! Uploads: `POST /consumer` binds all functions of a component, as MLQ's did,
//! and `PUT /functions/{name}` one of them.

use std::num::NonZeroU32;
use std::sync::Arc;

use axum::Json;
use axum::body::Body;
use axum::extract::{FromRequestParts, State};
use axum::http::HeaderMap;
use axum::http::header::ACCEPT;
use axum::http::request::Parts;
use axum::response::{IntoResponse, Response};
use url::form_urlencoded;

use super::App;
use super::audit::Concerns;
use super::body::{self, Whole, content_type, essence};
use super::extract::{Format, Named, params};
use super::functions::{FunctionView, Functions};
use super::problem::Problem;
use crate::access::Caller;
use crate::deploy::{Deployer, Grant, Policy};
use crate::job::{FunctionName, JSON};
use crate::store::Deployment;

/// What an upload may call itself; the last is curl's default, and nothing is
/// what many other clients say.
const MEDIA_TYPES: [&str; 4] = [
    "application/wasm",
    "application/octet-stream",
    "application/x-www-form-urlencoded",
    "",
];

/// What the query asks for: limits, and a cap on how many jobs run at once.
pub(super) struct Asked(Policy);

impl<S: Send + Sync> FromRequestParts<S> for Asked {
    type Rejection = Problem;

    // By hand, since serde cannot flatten a struct that refuses fields it does not know.
    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Problem> {
        let mut limits = form_urlencoded::Serializer::new(String::new());
        let mut concurrency = None;
        let query = parts.uri.query().unwrap_or_default();
        for (name, value) in form_urlencoded::parse(query.as_bytes()) {
            if name == "concurrency" {
                concurrency = Some(value.parse::<NonZeroU32>().map_err(|error| {
                    Problem::bad_request(format!(
                        "in the query: concurrency: {error}; give how many jobs may run at once, from 1"
                    ))
                })?);
            } else {
                limits.append_pair(&name, &value);
            }
        }
        Ok(Self(Policy {
            limits: params(&limits.finish())?,
            concurrency,
        }))
    }
}

/// `POST /consumer`.
pub(super) async fn consumer(
    State(app): State<App>,
    caller: Caller,
    format: Format,
    Asked(policy): Asked,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, Problem> {
    let deployed = deploy(&app, &caller, &headers, body, None, policy).await?;
    let response = match format {
        Format::Text => "True".into_response(),
        Format::Json => Json(Functions::of(&deployed)).into_response(),
    };
    Ok(concerning(response, &deployed))
}

/// `PUT /functions/{name}`.
pub(super) async fn function(
    State(app): State<App>,
    caller: Caller,
    Named(name): Named<FunctionName>,
    Asked(policy): Asked,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, Problem> {
    let deployed = deploy(&app, &caller, &headers, body, Some(&name), policy).await?;
    match deployed.first() {
        Some(deployment) => {
            let response = Json(FunctionView::of(deployment)).into_response();
            Ok(concerning(response, &deployed))
        }
        None => Err(Problem::internal(&"a deployment bound nothing")),
    }
}

/// Tells the audit log what was bound.
fn concerning(mut response: Response, deployed: &[Arc<Deployment>]) -> Response {
    let bound = deployed.iter().map(|one| {
        let (name, version, component) = (&one.function, one.version, one.component);
        format!("{name} version {version} sha256:{component}")
    });
    let bound = Concerns(bound.collect::<Vec<_>>().join(", "));
    response.extensions_mut().insert(bound);
    response
}

async fn deploy(
    app: &App,
    caller: &Caller,
    headers: &HeaderMap,
    body: Body,
    only: Option<&FunctionName>,
    policy: Policy,
) -> Result<Vec<Arc<Deployment>>, Problem> {
    let media = essence(content_type(headers));
    if !MEDIA_TYPES.contains(&media.as_str()) {
        return Err(no_component(&media));
    }
    let most = Deployer::MAX_COMPONENT_BYTES;
    let Whole { bytes, share } =
        body::read(&app.requests, headers, body, most, "a component").await?;
    let grant = Grant::of(caller);
    let deployed = app
        .deployer
        .deploy(&caller.namespace, bytes, only, policy, grant)
        .await?;
    // The store has it now.
    drop(share);
    Ok(deployed)
}

/// An upload that calls itself something else. JSON is what MLQ's clients send: a Python
/// function, pickled.
fn no_component(media: &str) -> Problem {
    let hint = match media {
        JSON => "; a pickled Python function is not run here, and docs/mlq.md says how to move",
        _ => "",
    };
    Problem::not_taken(
        ACCEPT,
        MEDIA_TYPES[0],
        format!(
            "{media:.80} is no WebAssembly component; send its bytes as application/wasm{hint}"
        ),
    )
}
