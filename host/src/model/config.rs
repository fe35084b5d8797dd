//! How a model is to be run, as whoever uploads it says.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// Which engine runs a model.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum EngineChoice {
    /// ONNX Runtime if the host has it, else rten.
    #[default]
    Auto,
    /// The built-in one, on the CPU.
    Rten,
    /// ONNX Runtime; a host without it refuses to run the model.
    Onnxruntime,
}

/// Where a model runs.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum DeviceChoice {
    /// The GPU if the host has one that works, else the CPU.
    #[default]
    Auto,
    /// The CPU.
    Cpu,
    /// The first CUDA device; a host without one refuses to run the model.
    Cuda,
}

/// Whether calls may share a batch.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum Batching {
    /// If rows were found to be independent of each other.
    #[default]
    Auto,
    /// Even if they were not: whoever says so knows the model.
    On,
    /// Never.
    Off,
}

/// How rows of different lengths are made equal, to share a batch.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Pad {
    /// The axis along which a tensor grows.
    pub axis: usize,
    /// What it grows by. Of an output it is left out: its surplus is cut off.
    #[serde(default)]
    pub value: f64,
}

/// How a model is to be run. All of it may be left out.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(default, deny_unknown_fields)]
pub struct ModelConfig {
    /// Which engine runs it.
    pub engine: EngineChoice,
    /// Where it runs.
    pub device: DeviceChoice,
    /// Whether calls may share a batch.
    pub batching: Batching,
    /// The most rows of a batch; without it, as many as were measured to pay.
    pub max_batch: Option<u32>,
    /// How long a call may wait for others to join it although the device is idle, in µs.
    pub max_delay_us: u64,
    /// The batch axis of an input or output, by its name, where it is not the one that was found.
    pub batch_axes: BTreeMap<String, usize>,
    /// The inputs and outputs whose rows may be padded, by their names.
    pub pad: BTreeMap<String, Pad>,
    /// Whether hosts load it when it arrives, rather than at its first use.
    pub preload: bool,
    /// Whether it may have what nothing bounds beforehand: `Loop` and `Scan`, and tensors as large as
    /// the values of its inputs say. For an admin.
    pub allow_loops: bool,
}
