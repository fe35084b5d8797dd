//! How models are run on this machine.

use std::path::PathBuf;

use crate::inference::InferenceOptions;
use crate::job::Unit;

/// What runs models.
#[derive(Clone, Debug, Default, clap::Args)]
pub(super) struct EngineArgs {
    /// Run models with this library of ONNX Runtime, libonnxruntime.so, instead of the
    /// built-in engine; with CUDA's provider beside it, on the GPU
    #[arg(long, value_name = "FILE", env = "ORT_DYLIB_PATH")]
    onnxruntime: Option<PathBuf>,
    /// How much memory models may take that are loaded: 2GiB, 500MB
    /// [default: a quarter of the machine's]
    #[arg(long, value_name = "SIZE", value_parser = size)]
    model_memory: Option<u64>,
}

impl EngineArgs {
    /// How the models of a host are run.
    pub(super) fn options(&self) -> InferenceOptions {
        InferenceOptions::new(self.onnxruntime.clone(), self.model_memory)
    }

    /// Whether they name a library of ONNX Runtime.
    pub(super) fn name_onnxruntime(&self) -> bool {
        self.onnxruntime.is_some()
    }
}

fn size(text: &str) -> Result<u64, String> {
    let unit = Unit::Bytes;
    let size = unit.parse(text, true);
    size.ok_or_else(|| format!("write a size such as {}", unit.example()))
}
