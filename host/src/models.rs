//! The way in for models: probed in a process of their own, stored, and made the newest
//! version of their name.
//!
//! Not here: what is looked at in a model (`inference`), and running it.

mod check;

use std::sync::Arc;

use bytes::Bytes;

use crate::deploy::Grant;
use crate::inference::{ProbeError, Prober};
use crate::intake::near;
use crate::job::{Digest, ModelName, Namespace};
use crate::model::{Findings, ModelConfig};
use crate::store::{MAX_MODELS, Model, NewModel, Store, StoreError, too_many_models};

/// Up to this many models are listed in full where one is not found.
const SHORT_LIST: usize = 12;

/// Why a model was not added. The text says what is wrong and how to mend it.
#[derive(Debug, thiserror::Error)]
pub enum ModelError {
    /// It is larger than any may be.
    #[error("{0}")]
    TooLarge(String),
    /// It cannot run here.
    #[error("{0}")]
    Refused(String),
    /// It cannot be run as it is asked to.
    #[error("{0}")]
    BadConfig(String),
    /// Only an admin may have it run so.
    #[error("{0}")]
    NotGranted(String),
    /// The host probes as many as it may.
    #[error("{0}")]
    Busy(String),
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The host failed.
    #[error("the host could not probe the model: {0}")]
    Host(String),
}

/// Why a model was not taken back to an earlier version.
#[derive(Debug, thiserror::Error)]
pub enum ModelRollbackError {
    /// Nothing has this name.
    #[error("no model of this name was added")]
    NeverAdded,
    /// There is no such version.
    #[error("{0}")]
    NoSuchVersion(String),
    /// It is that version already.
    #[error("{0}")]
    IsNewest(String),
    /// The version cannot be brought back.
    #[error(transparent)]
    Add(#[from] ModelError),
}

impl From<StoreError> for ModelRollbackError {
    fn from(error: StoreError) -> Self {
        Self::Add(error.into())
    }
}

/// A model that was taken in.
#[derive(Debug)]
pub struct Added {
    /// Its newest version.
    pub model: Arc<Model>,
    /// Whether there was none of its name before.
    pub is_first: bool,
}

/// Takes models in.
pub struct Modeller {
    store: Arc<dyn Store>,
    prober: Prober,
}

impl Modeller {
    /// The largest model, in bytes.
    pub const MAX_BYTES: usize = crate::inference::MAX_MODEL_BYTES;

    /// A modeller into `store`.
    pub fn new(store: Arc<dyn Store>, prober: Prober) -> Self {
        Self { store, prober }
    }

    /// Probes a model, and makes it the newest version of its name. If that has the same
    /// bytes and is to be run the same, it stays, and what the store has of it is mended.
    ///
    /// # Errors
    ///
    /// See [`ModelError`]; nothing was added.
    pub async fn add(
        &self,
        namespace: &Namespace,
        name: &ModelName,
        bytes: Bytes,
        config: ModelConfig,
        grant: Grant,
    ) -> Result<Added, ModelError> {
        check::config(&config, grant)?;
        let digest = digest(bytes.clone()).await?;
        let models = self.store.models_now(namespace).await?;
        let newest = models.iter().find(|model| &model.name == name);
        let same = newest.filter(|model| model.digest == digest && model.config == config);
        if let Some(model) = same {
            self.store.put_blob(digest, bytes).await?;
            let model = model.clone();
            return Ok(Added {
                model,
                is_first: false,
            });
        }
        // Looked at again when it is put, and before its content, which would stay for a while.
        if newest.is_none() && models.len() >= MAX_MODELS {
            return Err(too_many_models(namespace).into());
        }
        let findings = self.prober.probe(&bytes, &config).await?;
        check::padding(&config, &findings)?;
        let is_first = newest.is_none();
        let model = self.put(namespace, name, bytes, digest, config, findings);
        let model = model.await?;
        Ok(Added { model, is_first })
    }

    async fn put(
        &self,
        namespace: &Namespace,
        name: &ModelName,
        bytes: Bytes,
        digest: Digest,
        config: ModelConfig,
        findings: Findings,
    ) -> Result<Arc<Model>, ModelError> {
        let new = NewModel {
            name: name.clone(),
            digest,
            bytes: bytes.len() as u64,
            config,
            findings,
        };
        // The content first: no model may ever point at nothing.
        self.store.put_blob(digest, bytes).await?;
        Ok(self.store.put_model(namespace, new).await?)
    }

    /// Makes an earlier version of a model, or the one before the newest, the newest; answers
    /// that, and which version it is like.
    ///
    /// # Errors
    ///
    /// See [`ModelRollbackError`]; nothing was changed.
    pub async fn rollback(
        &self,
        namespace: &Namespace,
        name: &ModelName,
        version: Option<u32>,
        grant: Grant,
    ) -> Result<(Arc<Model>, u32), ModelRollbackError> {
        let versions = self.store.model_versions(namespace, name).await?;
        let newest = versions.first().ok_or(ModelRollbackError::NeverAdded)?;
        let oldest = versions.last().map_or(1, |oldest| oldest.version);
        let wanted = version.unwrap_or(newest.version - 1);
        if wanted == newest.version {
            return Err(ModelRollbackError::IsNewest(format!(
                "{name} is at version {wanted} already; name an earlier one"
            )));
        }
        let found = versions.iter().find(|one| one.version == wanted);
        let earlier = found.ok_or_else(|| {
            ModelRollbackError::NoSuchVersion(match newest.version {
                newest if newest == oldest => {
                    format!("{name} has version {newest} alone, and nothing to go back to")
                }
                newest => {
                    format!("{name} has the versions {oldest} to {newest}, and no version {wanted}")
                }
            })
        })?;
        check::config(&earlier.config, grant)?;
        let again = NewModel {
            name: name.clone(),
            digest: earlier.digest,
            bytes: earlier.bytes,
            config: earlier.config.clone(),
            findings: earlier.findings.clone(),
        };
        Ok((self.store.put_model(namespace, again).await?, wanted))
    }
}

/// The digest of bytes, of which there are so many that a thread is busy with it for a while.
async fn digest(bytes: Bytes) -> Result<Digest, ModelError> {
    let digest = tokio::task::spawn_blocking(move || Digest::of(&bytes)).await;
    digest.map_err(|error| ModelError::Host(error.to_string()))
}

impl From<ProbeError> for ModelError {
    fn from(error: ProbeError) -> Self {
        match error {
            ProbeError::Refused(text) => Self::Refused(text),
            ProbeError::TooLarge(text) => Self::TooLarge(text),
            ProbeError::Busy(text) => Self::Busy(text),
            ProbeError::Host(text) => Self::Host(text),
        }
    }
}

/// What to tell about a model that is not there, and the names that may have been meant.
pub(crate) fn unknown_model(name: &ModelName, models: &[Arc<Model>]) -> (String, Vec<ModelName>) {
    let names: Vec<_> = models.iter().map(|model| &model.name).collect();
    let near = near(name.as_str(), &names, ModelName::as_str);
    let near: Vec<_> = near.into_iter().cloned().collect();
    let list = |names: Vec<&ModelName>| {
        let names: Vec<_> = names.into_iter().map(ModelName::as_str).collect();
        names.join(", ")
    };
    let mut text = format!("there is no model {name} in this namespace");
    if names.is_empty() {
        text.push_str("; there is none yet: add one with `skep models add NAME FILE`");
        return (text, near);
    }
    match near.is_empty() {
        true => text.push('.'),
        false => text.push_str(&format!("; did you mean {}?", list(near.iter().collect()))),
    }
    match names.len() <= SHORT_LIST {
        true => text.push_str(&format!(" There are: {}", list(names))),
        false => text.push_str(" GET /models or `skep models list` lists those that there are"),
    }
    (text, near)
}
