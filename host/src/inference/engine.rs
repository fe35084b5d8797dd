//! What runs models: the seam between the batcher and the libraries.

use std::sync::Arc;

use super::tensor::NamedTensor;
use crate::model::Signature;

/// What the CPU, which is always there, is called among devices.
pub(super) const CPU: &str = "cpu";

/// Why an engine could not load or run a model. The text is for people, and of strangers in part.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum EngineError {
    /// The model, or these inputs, are at fault: it would only happen again.
    #[error("{0}")]
    Model(String),
    /// A run on these inputs would take more memory than a host gives; fewer rows may not.
    #[error("{0}")]
    TooLarge(String),
    /// The device has no memory left; with fewer rows, or later, it may go well.
    #[error("{0}")]
    OutOfMemory(String),
    /// The device has gone, or the library does not work: another device may.
    #[error("{0}")]
    Device(String),
}

/// Loads models onto one device.
pub trait Engine: Send + Sync {
    /// Its name, as configurations have it: `rten` or `onnxruntime`.
    fn name(&self) -> &'static str;

    /// Its version, and that of what it has loaded.
    fn version(&self) -> String;

    /// The device that it really uses: `cpu` or `cuda:0`.
    fn device(&self) -> &str;

    /// Loads a model. Blocks, for seconds perhaps.
    ///
    /// # Errors
    ///
    /// When it cannot.
    fn load(&self, model: &[u8]) -> Result<Arc<dyn LoadedModel>, EngineError>;
}

/// A model that is ready to run. It runs one batch at a time on each thread that calls it.
pub trait LoadedModel: Send + Sync {
    /// What it takes and gives.
    fn signature(&self) -> &Signature;

    /// Runs it on one batch: its inputs in the signature's order, and so its outputs. Blocks.
    ///
    /// # Errors
    ///
    /// When it cannot.
    fn run(&self, inputs: &[NamedTensor]) -> Result<Vec<NamedTensor>, EngineError>;
}
