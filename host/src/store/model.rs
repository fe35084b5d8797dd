//! Models by name, and how much of them a namespace may keep.

use std::sync::Arc;

use serde::{Deserialize, Serialize};
use serde_bytes::ByteArray;
use utoipa::ToSchema;

use super::record::{decode, encode};
use super::{Result, StoreError};
use crate::job::{Digest, ModelName, Namespace};
use crate::model::{Findings, ModelConfig};

/// How many models a namespace may have: all of them are in every host's memory, some KiB
/// each, and are read anew whenever one changes.
pub const MAX_MODELS: usize = 1_000;

/// How many versions of a model are kept, the newest included: enough to go back behind
/// some bad days, and a model may take half a gigabyte.
pub const MAX_MODEL_VERSIONS: usize = 10;

/// How large the models of a namespace may be together, in bytes, all versions included
/// and the same content counted once: a hundred large ones. Beyond that one tenant would
/// fill the disk, or Redis's memory, of all others.
pub const MAX_MODELS_BYTES: u64 = 64 << 30;

/// A model about to become the newest version of its name.
#[derive(Clone, Debug, PartialEq)]
pub struct NewModel {
    /// Its name.
    pub name: ModelName,
    /// The digest of its bytes.
    pub digest: Digest,
    /// How many there are.
    pub bytes: u64,
    /// How it is to be run.
    pub config: ModelConfig,
    /// What it was found to be.
    pub findings: Findings,
}

/// A version of a model.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Model {
    /// Its name.
    pub name: ModelName,
    /// From 1, counted per name, also beyond a removal.
    pub version: u32,
    /// The SHA-256 of its bytes.
    pub digest: Digest,
    /// How many bytes it has.
    pub bytes: u64,
    /// How it is to be run.
    pub config: ModelConfig,
    /// What it was found to be.
    pub findings: Findings,
    /// When it was added, in ms since the Unix epoch.
    pub added_at_ms: u64,
}

/// The newest versions of a namespace's models, by name.
pub type Models = Vec<Arc<Model>>;

/// A version of a model, as it lies in a store.
#[derive(Serialize, Deserialize)]
struct ModelRecord {
    digest: ByteArray<32>,
    bytes: u64,
    added_at_ms: u64,
    /// JSON, as it is shown, so that a field may come wherever it belongs.
    config: String,
    findings: String,
}

/// Encodes a version of a model.
pub(in crate::store) fn encode_model(new: &NewModel, added_at_ms: u64) -> Result<Vec<u8>> {
    let odd = |error: serde_json::Error| {
        StoreError::Unavailable(format!("cannot encode the model {}: {error}", new.name))
    };
    encode(&ModelRecord {
        digest: ByteArray::new(*new.digest.as_bytes()),
        bytes: new.bytes,
        added_at_ms,
        config: serde_json::to_string(&new.config).map_err(odd)?,
        findings: serde_json::to_string(&new.findings).map_err(odd)?,
    })
}

/// Decodes a version of a model.
pub(in crate::store) fn decode_model(name: &str, version: u32, bytes: &[u8]) -> Result<Model> {
    let what = format!("model {name}");
    let record: ModelRecord = decode(&what, bytes)?;
    let odd = |error: serde_json::Error| StoreError::Unreadable(format!("{what}: {error}"));
    Ok(Model {
        name: (name.parse()).map_err(|error| StoreError::Unreadable(format!("{what}: {error}")))?,
        version,
        digest: Digest::from_bytes(*record.digest),
        bytes: record.bytes,
        config: serde_json::from_str(&record.config).map_err(odd)?,
        findings: serde_json::from_str(&record.findings).map_err(odd)?,
        added_at_ms: record.added_at_ms,
    })
}

impl NewModel {
    /// What it becomes.
    pub(in crate::store) fn at(&self, version: u32, added_at_ms: u64) -> Model {
        Model {
            name: self.name.clone(),
            version,
            digest: self.digest,
            bytes: self.bytes,
            config: self.config.clone(),
            findings: self.findings.clone(),
            added_at_ms,
        }
    }
}

/// The refusal of a name beyond [`MAX_MODELS`].
pub(crate) fn too_many_models(namespace: &Namespace) -> StoreError {
    StoreError::TooManyModels(format!(
        "the namespace {namespace} has {MAX_MODELS} models, as many as it may; remove one that nobody asks for"
    ))
}

/// The refusal of bytes beyond [`MAX_MODELS_BYTES`].
pub(in crate::store) fn too_large(namespace: &Namespace) -> StoreError {
    let gib = MAX_MODELS_BYTES >> 30;
    StoreError::TooManyModels(format!(
        "the models of the namespace {namespace} would take more than {gib} GiB together, all versions included; remove one that nobody asks for"
    ))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::Signature;

    #[test]
    fn a_model_survives_its_record_and_a_bad_record_is_an_error() {
        let new = NewModel {
            name: "iris".parse().unwrap(),
            digest: Digest::of(b"model"),
            bytes: 5,
            config: ModelConfig {
                max_batch: Some(8),
                ..ModelConfig::default()
            },
            findings: Findings {
                signature: Signature::default(),
                batch: None,
                note: "größe".into(),
                memory_bytes: 7,
            },
        };
        let bytes = encode_model(&new, 9).unwrap();
        let read = decode_model("iris", 3, &bytes).unwrap();
        assert_eq!(read, new.at(3, 9));
        for cut in 0..bytes.len() {
            assert!(decode_model("iris", 3, &bytes[..cut]).is_err(), "{cut}");
        }
    }
}
