//! Models: added, removed, and known here as long as nobody changes them.

use std::sync::Arc;

use crate::job::{ModelName, Namespace};
use crate::store::model::{decode_model, encode_model, too_large, too_many_models};
use crate::store::{
    MAX_MODEL_VERSIONS, MAX_MODELS, MAX_MODELS_BYTES, Model, Models, NewModel, Result, StoreError,
};

use super::blobs::unnamed_kept_ms;
use super::reply::Reply;
use super::{RedisStore, script};

impl RedisStore {
    /// See [`crate::store::Store::put_model`].
    pub(super) async fn add_model(
        &self,
        namespace: &Namespace,
        new: &NewModel,
    ) -> Result<Arc<Model>> {
        let mut command = self.link.command(script::PUT_MODEL);
        command
            .arg(namespace.as_str())
            .arg(new.name.as_str())
            .arg(new.digest.to_string())
            .arg(new.bytes)
            // Redis's clock is put before the record.
            .arg(encode_model(new, 0)?)
            .arg(MAX_MODELS)
            .arg(MAX_MODEL_VERSIONS)
            .arg(MAX_MODELS_BYTES)
            .arg(unnamed_kept_ms());
        let mut answer = Reply::new(self.link.run(script::PUT_MODEL, &command).await?)?;
        match answer.number()? {
            0 => {}
            1 => return Err(too_many_models(namespace)),
            2 => return Err(too_large(namespace)),
            _ => return Err(StoreError::NoBlob(new.digest)),
        }
        let added_at_ms = answer.number()?;
        self.shared.models.outdate(namespace, answer.number()?);
        let version = u32::try_from(answer.number()?).unwrap_or(u32::MAX);
        Ok(Arc::new(new.at(version, added_at_ms)))
    }

    /// See [`crate::store::Store::remove_model`].
    pub(super) async fn drop_model(&self, namespace: &Namespace, name: &ModelName) -> Result<bool> {
        let mut command = self.link.command(script::REMOVE_MODEL);
        command
            .arg(namespace.as_str())
            .arg(name.as_str())
            .arg(unnamed_kept_ms());
        let mut answer = Reply::new(self.link.run(script::REMOVE_MODEL, &command).await?)?;
        let removed = answer.truth()?;
        self.shared.models.outdate(namespace, answer.number()?);
        Ok(removed)
    }

    /// See [`crate::store::Store::models`].
    pub(super) async fn known_models(&self, namespace: &Namespace) -> Result<Arc<Models>> {
        match self.shared.known(&self.shared.models, namespace) {
            Some(known) => Ok(known),
            None => self.read_models(namespace).await,
        }
    }

    /// The models as Redis has them.
    pub(super) async fn read_models(&self, namespace: &Namespace) -> Result<Arc<Models>> {
        let mut command = self.link.command(script::MODELS);
        command.arg(namespace.as_str());
        let epoch = self.shared.epoch();
        let mut answer = Reply::new(self.link.run(script::MODELS, &command).await?)?;
        let whole = answer.number()?;
        let mut models = Models::new();
        while !answer.is_empty() {
            let name = answer.text()?;
            models.push(Arc::new(read(&name, &answer.bytes()?)?));
        }
        models.sort_unstable_by(|one, other| one.name.cmp(&other.name));
        let models = Arc::new(models);
        let still = || self.shared.epoch() == epoch;
        self.shared.models.know(namespace, whole, &models, still);
        Ok(models)
    }

    /// See [`crate::store::Store::model_versions`].
    pub(super) async fn read_model_versions(
        &self,
        namespace: &Namespace,
        name: &ModelName,
    ) -> Result<Models> {
        let mut command = self.link.command(script::MODEL_VERSIONS);
        command
            .arg(namespace.as_str())
            .arg(name.as_str())
            .arg(MAX_MODEL_VERSIONS);
        let mut answer = Reply::new(self.link.run(script::MODEL_VERSIONS, &command).await?)?;
        let mut versions = Models::new();
        while !answer.is_empty() {
            versions.push(Arc::new(read(name.as_str(), &answer.bytes()?)?));
        }
        Ok(versions)
    }
}

/// A version of a model: `version:ms:digest:record`.
fn read(name: &str, value: &[u8]) -> Result<Model> {
    let odd = || StoreError::Unreadable(format!("model {name}: its record is cut short"));
    let mut parts = value.splitn(4, |byte| *byte == b':');
    let mut number = || -> Option<u64> { str::from_utf8(parts.next()?).ok()?.parse().ok() };
    let (Some(version), Some(added_at_ms)) = (number(), number()) else {
        return Err(odd());
    };
    let record = parts.nth(1).ok_or_else(odd)?;
    let version = u32::try_from(version).unwrap_or(u32::MAX);
    let model = decode_model(name, version, record)?;
    Ok(Model {
        added_at_ms,
        ..model
    })
}
