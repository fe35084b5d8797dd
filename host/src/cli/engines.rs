//! How models are run on this machine.

use std::os::unix::process::CommandExt as _;
use std::path::PathBuf;
use std::process::Command;

use crate::inference::InferenceOptions;
use crate::job::Unit;

/// What ONNX Runtime looks for.
const NO_TELEMETRY: &str = "ORT_DISABLE_TELEMETRY";

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

    /// Begins the process anew with `ORT_DISABLE_TELEMETRY` set, where a library of ONNX Runtime is
    /// named. It makes a database of events for Microsoft in the user's home as soon as it is
    /// opened, before its API can tell it not to, and reads its environment alone; that of a
    /// process that runs cannot be changed safely.
    pub(super) fn without_telemetry(&self) {
        if self.onnxruntime.is_none() || std::env::var_os(NO_TELEMETRY).is_some() {
            return;
        }
        let Ok(binary) = std::env::current_exe() else {
            return;
        };
        let mut arguments = std::env::args_os();
        let mut again = Command::new(binary);
        again.arg0(arguments.next().unwrap_or_default());
        // Where it cannot, the library is opened as it is.
        let _ = again.args(arguments).env(NO_TELEMETRY, "1").exec();
    }
}

fn size(text: &str) -> Result<u64, String> {
    let unit = Unit::Bytes;
    let size = unit.parse(text, true);
    size.ok_or_else(|| format!("write a size such as {}", unit.example()))
}
