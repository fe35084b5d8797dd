//! Models that run natively on this host: loaded once, kept warm, and shared by all sandboxes,
//! whose calls meet in batches.
//!
//! Not here: what a model is (`model`), where its bytes are kept (`store`), and how a guest calls
//! it (`sandbox::host::inference`).

pub mod batcher;
mod bounded;
mod devices;
mod engine;
mod engines;
mod error;
mod estimate;
mod fit;
#[cfg(fuzzing)]
pub mod fuzzing;
mod joined;
mod limits;
mod loading;
mod memory;
mod near;
mod onnx;
mod onnxruntime;
mod probe;
mod registry;
mod roomy;
mod rten;
mod running;
mod service;
mod tenants;
mod tensor;
#[cfg(test)]
pub(crate) mod testing;
mod validate;

pub use engine::{Engine, EngineError, LoadedModel};
pub use engines::{EngineInfo, EngineOptions, Engines};
pub use error::InferError;
pub use joined::Joined;
pub use limits::{MAX_CALL_BYTES, MAX_INPUTS, MAX_OUTPUT_BYTES, MAX_TENSOR_BYTES};
pub use probe::{PROBE_CPU_S, ProbeError, Prober, probe_from_stdin};
pub use service::{Described, Inference, InferenceOptions, LoadedInfo};
pub use tensor::{MAX_RANK, NamedTensor, Tensor, TensorError};
pub use validate::MAX_MODEL_BYTES;
