//! The engines that would run models here, and the device that each really uses.

use super::Check;
use crate::inference::{EngineInfo, EngineOptions, Engines};

const NAME: &str = "inference";

/// How to get the GPU used, where there is one.
const GPU: &str = "on a machine with an NVIDIA GPU: pip install 'onnxruntime-gpu[cuda,cudnn]', then name its libonnxruntime.so with --onnxruntime, and the folders of its CUDA libraries in LD_LIBRARY_PATH (docs/inference.md)";

/// Opens the engines as a server with these options would.
pub(super) fn look(options: &EngineOptions) -> Vec<Check> {
    let engines = Engines::open(options).about();
    let on_gpu = engines
        .iter()
        .any(|engine| engine.missing.is_none() && engine.device != "cpu");
    let mut checks: Vec<_> = engines.iter().map(|engine| of(engine, options)).collect();
    if !on_gpu {
        checks.push(Check::ok(NAME, format!("models run on the CPU; {GPU}")));
    }
    checks
}

fn of(engine: &EngineInfo, options: &EngineOptions) -> Check {
    let EngineInfo { name, device, .. } = engine;
    match &engine.missing {
        None => {
            let version = engine.version.as_deref().unwrap_or_default();
            Check::ok(NAME, format!("{name} {version} runs models on {device}"))
        }
        // Whoever named it wants it.
        Some(why) if options.onnxruntime.is_some() => Check::warn(
            NAME,
            format!("{name} on {device} is not to be had: {why}"),
            "name the library of an installed ONNX Runtime with --onnxruntime",
        ),
        Some(why) => Check::ok(NAME, format!("{name} on {device} is not used: {why}")),
    }
}
