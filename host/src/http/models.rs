//! The models of a namespace: what there is, adding, going back and taking away.

mod config;

use axum::Json;
use axum::body::Body;
use axum::extract::State;
use axum::http::header::ACCEPT;
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use serde::Serialize;
use utoipa::ToSchema;

use super::App;
use super::audit::Concerns;
use super::body::{self, Whole, content_type, essence};
use super::code::Code;
use super::extract::{Format, Named, Tenant};
use super::problem::Problem;
use super::rollback::{self, rolled_back};
use crate::access::Caller;
use crate::deploy::Grant;
use crate::inference::{EngineInfo, LoadedInfo};
use crate::job::{ModelName, Namespace};
use crate::models::{ModelRollbackError, Modeller, unknown_model};
use crate::store::Model;
pub(super) use config::Asked;

/// What an upload may call itself; the last is curl's default, and nothing is
/// what many other clients say.
const MEDIA_TYPES: [&str; 4] = [
    "application/octet-stream",
    "application/onnx",
    "application/x-www-form-urlencoded",
    "",
];

/// Models.
#[derive(Serialize, ToSchema)]
pub(super) struct Models<'m> {
    /// The newest version of each, by name.
    models: Vec<&'m Model>,
    /// The engines that the answering host has, and what each runs on.
    engines: Vec<EngineInfo>,
}

/// Versions of a model.
#[derive(Serialize, ToSchema)]
pub(super) struct ModelVersions<'m> {
    /// The newest first.
    versions: Vec<&'m Model>,
}

/// A model, with how far it can be taken back.
#[derive(Serialize, ToSchema)]
pub(super) struct OneModel<'m> {
    #[serde(flatten)]
    model: &'m Model,
    /// How many versions of it are kept, this one included.
    versions_kept: usize,
    /// Where it runs on the host that answers; null if it is not loaded there.
    loaded: Option<LoadedInfo>,
}

/// `GET /models`.
pub(super) async fn list(
    State(app): State<App>,
    Tenant(namespace): Tenant,
) -> Result<Response, Problem> {
    let models = app.store.models(&namespace).await?;
    let models = models.iter().map(|model| &**model).collect();
    // Why one is not there may name files of the host: `skep doctor` tells it there.
    let mut engines = app.inference.engines().about();
    engines.retain(|engine| engine.missing.is_none());
    Ok(Json(Models { models, engines }).into_response())
}

/// `GET /models/{name}`.
pub(super) async fn one(
    State(app): State<App>,
    Tenant(namespace): Tenant,
    Named(name): Named<ModelName>,
) -> Result<Response, Problem> {
    let models = app.store.models(&namespace).await?;
    let Some(model) = models.iter().find(|model| model.name == name) else {
        return Err(no_such_model(&app, &namespace, &name).await?);
    };
    let versions = app.store.model_versions(&namespace, &name).await?;
    let is_it = |one: &LoadedInfo| one.namespace == namespace && one.name == name;
    let view = OneModel {
        model,
        versions_kept: versions.len(),
        loaded: app.inference.loaded().into_iter().find(is_it),
    };
    Ok(Json(view).into_response())
}

/// `GET /models/{name}/versions`: there are few, and so there is one page.
pub(super) async fn versions(
    State(app): State<App>,
    Tenant(namespace): Tenant,
    Named(name): Named<ModelName>,
) -> Result<Response, Problem> {
    let versions = app.store.model_versions(&namespace, &name).await?;
    if versions.is_empty() {
        return Err(no_such_model(&app, &namespace, &name).await?);
    }
    let versions = versions.iter().map(|model| &**model).collect();
    Ok(Json(ModelVersions { versions }).into_response())
}

/// `PUT /models/{name}`.
pub(super) async fn add(
    State(app): State<App>,
    caller: Caller,
    Named(name): Named<ModelName>,
    Asked(config): Asked,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, Problem> {
    let media = essence(content_type(&headers));
    if !MEDIA_TYPES.contains(&media.as_str()) {
        return Err(Problem::not_taken(
            ACCEPT,
            MEDIA_TYPES[0],
            format!(
                "{media:.80} is no ONNX model; send its bytes as {}",
                MEDIA_TYPES[0]
            ),
        ));
    }
    let most = Modeller::MAX_BYTES;
    let Whole { bytes, mut share } =
        body::read(&app.uploads, &headers, body, most, "a model").await?;
    // What its buffer was larger was never written to.
    share.fit(bytes.len())?;
    let grant = Grant::of(&caller);
    // Goes on if the client hangs up: half an upload is of no use to anybody.
    let adding = tokio::spawn({
        let (app, namespace) = (app.clone(), caller.namespace.clone());
        async move {
            let added = app.modeller.add(&namespace, &name, bytes, config, grant);
            let added = added.await;
            // The store has it now.
            drop(share);
            if added.is_ok() {
                // A host loads what is to be preloaded by itself; this one does so at once.
                let _ = app.inference.tend(&namespace).await;
            }
            added
        }
    });
    let added = adding.await.map_err(|error| Problem::internal(&error))??;
    let status = match added.is_first {
        true => StatusCode::CREATED,
        false => StatusCode::OK,
    };
    let mut response = (status, Json(&*added.model)).into_response();
    let (name, version, digest) = (&added.model.name, added.model.version, added.model.digest);
    let concerns = Concerns(format!("{name} version {version} sha256:{digest}"));
    response.extensions_mut().insert(concerns);
    Ok(response)
}

/// `POST /models/{name}/rollback`: makes an earlier version the next one.
pub(super) async fn rollback(
    State(app): State<App>,
    caller: Caller,
    Named(name): Named<ModelName>,
    format: Format,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, Problem> {
    let version = rollback::wanted(&app, &headers, body).await?;
    let (namespace, grant) = (&caller.namespace, Grant::of(&caller));
    let rolled = app.modeller.rollback(namespace, &name, version, grant);
    let (model, of) = match rolled.await {
        Ok(rolled) => rolled,
        Err(ModelRollbackError::NeverAdded) => {
            return Err(no_such_model(&app, namespace, &name).await?);
        }
        Err(error) => return Err(error.into()),
    };
    let versions = (name.as_str(), model.version, of);
    Ok(rolled_back(format, versions, model.digest, &*model))
}

/// `DELETE /models/{name}`.
pub(super) async fn remove(
    State(app): State<App>,
    Tenant(namespace): Tenant,
    Named(name): Named<ModelName>,
) -> Result<StatusCode, Problem> {
    match app.store.remove_model(&namespace, &name).await? {
        true => Ok(StatusCode::NO_CONTENT),
        false => Err(no_such_model(&app, &namespace, &name).await?),
    }
}

/// The problem of a model that is not there.
async fn no_such_model(
    app: &App,
    namespace: &Namespace,
    name: &ModelName,
) -> Result<Problem, Problem> {
    let models = app.store.models(namespace).await?;
    let (text, near) = unknown_model(name, &models);
    Ok(Problem::new(Code::NoSuchModel, text).with("near", near))
}
