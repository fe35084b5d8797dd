//! What a model is: what it takes and gives, and how it is to be run. Plain data, as it is stored
//! and shown.
//!
//! Not here: its bytes (`store`), and running it (`inference`).

mod config;
mod findings;
mod signature;

pub use config::{Batching, DeviceChoice, EngineChoice, ModelConfig, Pad};
pub use findings::{BatchLayout, Findings};
pub use signature::{DataType, Signature, TensorSpec};
