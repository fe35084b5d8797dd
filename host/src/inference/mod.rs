//! Models that run natively on this host: loaded once, kept warm, and shared by all sandboxes,
//! whose calls meet in batches.
//!
//! Not here: what a model is (`model`), where its bytes are kept (`store`), and how a guest calls
//! it (`sandbox::host::inference`).

pub mod batcher;
mod engine;
mod engines;
mod error;
mod onnx;
mod onnxruntime;
mod probe;
mod roomy;
mod rten;
mod tensor;
mod validate;

pub use engine::{Engine, EngineError, LoadedModel};
pub use engines::{EngineInfo, EngineOptions, Engines};
pub use error::InferError;
pub use probe::{PROBE_CPU_S, ProbeError, Prober, probe_from_stdin};
pub use tensor::{MAX_RANK, NamedTensor, Tensor, TensorError};
pub use validate::MAX_MODEL_BYTES;
