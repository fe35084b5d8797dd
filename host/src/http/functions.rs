//! The functions of a namespace: what is deployed, and taking it away.

use std::collections::BTreeMap;
use std::num::NonZeroU32;
use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use utoipa::ToSchema;

use super::App;
use super::code::Code;
use super::extract::{Format, Named, Params, Tenant};
use super::problem::Problem;
use crate::intake::unknown_function;
use crate::job::{Digest, FunctionName, Limits, Namespace};
use crate::sandbox::FIXED;
use crate::store::Deployment;

/// A deployed function.
#[derive(Serialize, ToSchema)]
#[schema(as = Function)]
pub(super) struct FunctionView<'d> {
    /// Its name.
    name: &'d FunctionName,
    /// From 1, counted per name.
    version: u32,
    /// The component that serves it.
    component: Digest,
    /// One line for people.
    summary: &'d str,
    /// A JSON Schema that messages must fit.
    #[schema(value_type = Value)]
    message_schema: Option<&'d RawValue>,
    /// The bounds on each attempt.
    limits: &'d Limits,
    /// What they are unless somebody says otherwise; only where one function is looked at.
    #[serde(skip_serializing_if = "Option::is_none")]
    default_limits: Option<Limits>,
    /// Those that nobody can change; only where one function is looked at.
    #[serde(skip_serializing_if = "Option::is_none")]
    fixed_limits: Option<BTreeMap<&'static str, u64>>,
    /// How many jobs of it may run at once, on all hosts together.
    #[schema(value_type = Option<u32>, minimum = 1)]
    concurrency: Option<NonZeroU32>,
    /// When, in ms since the Unix epoch.
    deployed_at_ms: u64,
}

/// Deployed functions.
#[derive(Serialize, ToSchema)]
pub(super) struct Functions<'d> {
    functions: Vec<FunctionView<'d>>,
}

impl<'d> Functions<'d> {
    /// The view of deployments.
    pub(super) fn of(deployments: &'d [Arc<Deployment>]) -> Self {
        let functions = deployments.iter().map(|one| FunctionView::of(one));
        Self {
            functions: functions.collect(),
        }
    }
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
    Ok(Json(Functions::of(&functions)).into_response())
}

/// `GET /functions/{name}`.
pub(super) async fn one(
    State(app): State<App>,
    Tenant(namespace): Tenant,
    Named(name): Named<FunctionName>,
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
    Named(name): Named<FunctionName>,
) -> Result<StatusCode, Problem> {
    if undeploy(&app, &namespace, &name).await? {
        Ok(StatusCode::NO_CONTENT)
    } else {
        Err(not_deployed(&app, &namespace, &name).await?)
    }
}

/// Whether a function was removed.
#[derive(Serialize, ToSchema)]
pub(super) struct Removed {
    /// Whether it was there.
    removed: bool,
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
        Format::Json => Json(Removed { removed }).into_response(),
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
    Ok(Problem::new(Code::NoSuchFunction, text).with("near", near))
}
