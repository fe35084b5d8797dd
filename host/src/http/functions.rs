//! The functions of a namespace: what is deployed, and taking it away.

use std::collections::BTreeMap;
use std::num::NonZeroU32;

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use serde::{Deserialize, Serialize};
use serde_json::json;
use serde_json::value::RawValue;

use super::App;
use super::extract::{Format, Named, Params, Tenant};
use super::problem::Problem;
use crate::intake::unknown_function;
use crate::job::{Digest, FunctionName, Limits, Namespace};
use crate::sandbox::FIXED;
use crate::store::Deployment;

/// A deployed function as clients see it: the schema is JSON, not a text.
#[derive(Serialize)]
pub(super) struct FunctionView<'d> {
    name: &'d FunctionName,
    version: u32,
    component: Digest,
    summary: &'d str,
    message_schema: Option<&'d RawValue>,
    limits: &'d Limits,
    /// What they are unless somebody says otherwise, and those that nobody can change;
    /// only where one function is looked at.
    #[serde(skip_serializing_if = "Option::is_none")]
    default_limits: Option<Limits>,
    #[serde(skip_serializing_if = "Option::is_none")]
    fixed_limits: Option<BTreeMap<&'static str, u64>>,
    concurrency: Option<NonZeroU32>,
    deployed_at_ms: u64,
}

impl<'d> FunctionView<'d> {
    /// The view of a deployment with all that bounds it.
    fn whole(deployment: &'d Deployment) -> Self {
        Self {
            default_limits: Some(Limits::default()),
            fixed_limits: Some(
                FIXED
                    .iter()
                    .map(|fixed| (fixed.name, fixed.value))
                    .collect(),
            ),
            ..Self::of(deployment)
        }
    }

    /// The view of a deployment.
    pub(super) fn of(deployment: &'d Deployment) -> Self {
        let schema = deployment.message_schema.as_deref();
        Self {
            name: &deployment.function,
            version: deployment.version,
            component: deployment.component,
            summary: &deployment.summary,
            message_schema: schema.and_then(|text| serde_json::from_str(text).ok()),
            limits: &deployment.limits,
            default_limits: None,
            fixed_limits: None,
            concurrency: deployment.concurrency,
            deployed_at_ms: deployment.deployed_at_ms,
        }
    }
}

/// `GET /functions`.
pub(super) async fn list(
    State(app): State<App>,
    Tenant(namespace): Tenant,
) -> Result<Response, Problem> {
    let functions = app.store.functions(&namespace).await?;
    let views: Vec<_> = functions.iter().map(|one| FunctionView::of(one)).collect();
    Ok(Json(json!({"functions": views})).into_response())
}

/// `GET /functions/{name}`.
pub(super) async fn one(
    State(app): State<App>,
    Tenant(namespace): Tenant,
    Named(name): Named,
) -> Result<Response, Problem> {
    let functions = app.store.functions(&namespace).await?;
    let found = functions
        .iter()
        .find(|deployment| deployment.function == name);
    match found {
        Some(deployment) => Ok(Json(FunctionView::whole(deployment)).into_response()),
        None => Err(not_deployed(&app, &namespace, &name).await?),
    }
}

/// `DELETE /functions/{name}`.
pub(super) async fn remove(
    State(app): State<App>,
    Tenant(namespace): Tenant,
    Named(name): Named,
) -> Result<StatusCode, Problem> {
    if undeploy(&app, &namespace, &name).await? {
        Ok(StatusCode::NO_CONTENT)
    } else {
        Err(not_deployed(&app, &namespace, &name).await?)
    }
}

/// The query of [`forget`].
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Forget {
    name: FunctionName,
}

/// `DELETE /consumer?name=`: MLQ's way, answered with its `True` or `False`.
pub(super) async fn forget(
    State(app): State<App>,
    Tenant(namespace): Tenant,
    Params(Forget { name }): Params<Forget>,
    format: Format,
) -> Result<Response, Problem> {
    let removed = undeploy(&app, &namespace, &name).await?;
    Ok(match format {
        Format::Text => if removed { "True" } else { "False" }.into_response(),
        Format::Json => Json(json!({"removed": removed})).into_response(),
    })
}

async fn undeploy(app: &App, namespace: &Namespace, name: &FunctionName) -> Result<bool, Problem> {
    let names = std::slice::from_ref(name);
    Ok(app.store.undeploy(namespace, names).await? > 0)
}

/// The problem of a function that is not there.
pub(super) async fn not_deployed(
    app: &App,
    namespace: &Namespace,
    name: &FunctionName,
) -> Result<Problem, Problem> {
    let deployed = app.store.functions(namespace).await?;
    let (text, near) = unknown_function(name, &deployed);
    Ok(Problem::new(StatusCode::NOT_FOUND, "unknown-function", text).with("near", near))
}
