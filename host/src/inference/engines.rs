//! The engines of this host: what is there, what is not and why, and which one runs a model.

use std::path::PathBuf;
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::engine::{CPU, Engine, EngineError};
use super::onnxruntime::{Library, OnnxRuntime, Place};
use super::rten::Rten;
use crate::model::{DeviceChoice, EngineChoice, ModelConfig};

/// ONNX Runtime's name.
const ORT: &str = "onnxruntime";

/// What is said where nobody named a library.
const HOW_TO_GET: &str = "no library of ONNX Runtime was found; `pip install onnxruntime` (for an \
    NVIDIA GPU `onnxruntime-gpu[cuda,cudnn]`), and name its `libonnxruntime.so` by `--onnxruntime` \
    or `ORT_DYLIB_PATH`";

/// How the engines of a host are to be.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct EngineOptions {
    /// The threads of one run on the CPU; 0 for all cores.
    pub threads: usize,
    /// The library of ONNX Runtime; without it `ORT_DYLIB_PATH` names one, if it is set.
    pub onnxruntime: Option<PathBuf>,
}

impl EngineOptions {
    /// With the library that the environment names, where nobody else does.
    pub(super) fn resolved(&self) -> Self {
        let named = std::env::var_os("ORT_DYLIB_PATH").filter(|path| !path.is_empty());
        Self {
            onnxruntime: self.onnxruntime.clone().or(named.map(PathBuf::from)),
            ..self.clone()
        }
    }
}

/// An engine, and the device that it really uses; or why it is not there.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct EngineInfo {
    /// `rten` or `onnxruntime`.
    pub name: String,
    /// Its version, if it is there.
    pub version: Option<String>,
    /// `cpu` or `cuda:0`.
    pub device: String,
    /// Why it is not there; null if it is.
    pub missing: Option<String>,
}

/// The engines of this host.
pub struct Engines {
    pub(super) rten: Arc<dyn Engine>,
    /// ONNX Runtime on the CPU, or why there is none.
    pub(super) cpu: Result<Arc<dyn Engine>, String>,
    /// ONNX Runtime on the GPU, or why there is none.
    pub(super) cuda: Result<Arc<dyn Engine>, String>,
}

impl Engines {
    /// Opens those that are there; what is missing is told by [`Self::about`].
    pub fn open(options: &EngineOptions) -> Self {
        let options = options.resolved();
        Self {
            cuda: onnxruntime(&options, Place::Cuda),
            ..Self::on_the_cpu(&options)
        }
    }

    /// Opens those that need no GPU.
    pub(super) fn on_the_cpu(options: &EngineOptions) -> Self {
        let options = options.resolved();
        Self {
            rten: Arc::new(Rten::new(threads(&options))),
            cpu: onnxruntime(&options, Place::Cpu),
            cuda: Err("it was not asked for".to_owned()),
        }
    }

    /// What is there, and why what is not is not.
    pub fn about(&self) -> Vec<EngineInfo> {
        let rten = Ok(self.rten.clone());
        [
            ("rten", CPU, &rten),
            (ORT, CPU, &self.cpu),
            (ORT, "cuda:0", &self.cuda),
        ]
        .map(|(name, device, engine)| EngineInfo {
            name: name.to_owned(),
            version: engine.as_ref().ok().map(|engine| engine.version()),
            device: device.to_owned(),
            missing: engine.as_ref().err().cloned(),
        })
        .into()
    }

    /// The engine that runs a model of this configuration.
    ///
    /// # Errors
    ///
    /// When the host has none; the text says how to get it.
    pub fn choose(&self, config: &ModelConfig) -> Result<&Arc<dyn Engine>, EngineError> {
        let cuda = || {
            self.cuda.as_ref().map_err(|missing| {
                EngineError::Device(format!(
                    "the model asks for a GPU, and this host has none that works: {missing}"
                ))
            })
        };
        let onnxruntime = || {
            self.cpu.as_ref().map_err(|missing| {
                EngineError::Device(format!("the model asks for ONNX Runtime: {missing}"))
            })
        };
        match (config.engine, config.device) {
            (EngineChoice::Rten, DeviceChoice::Cuda) => Err(EngineError::Device(
                "rten runs on the CPU alone; choose the engine `onnxruntime` or `auto` for a GPU"
                    .to_owned(),
            )),
            (EngineChoice::Rten, _) => Ok(&self.rten),
            (_, DeviceChoice::Cuda) => cuda(),
            (EngineChoice::Onnxruntime, DeviceChoice::Cpu) => onnxruntime(),
            (EngineChoice::Onnxruntime, DeviceChoice::Auto) => cuda().or_else(|_| onnxruntime()),
            (EngineChoice::Auto, DeviceChoice::Cpu) => onnxruntime().or(Ok(&self.rten)),
            (EngineChoice::Auto, DeviceChoice::Auto) => {
                cuda().or_else(|_| onnxruntime()).or(Ok(&self.rten))
            }
        }
    }
}

fn onnxruntime(options: &EngineOptions, place: Place) -> Result<Arc<dyn Engine>, String> {
    let path = options.onnxruntime.as_deref();
    let library = Library::open(path).map_err(|error| match path {
        Some(path) => format!("{} is no library of ONNX Runtime: {error}", path.display()),
        None => format!("{HOW_TO_GET} ({error})"),
    })?;
    let engine = OnnxRuntime::open(library, place, threads(options));
    Ok(Arc::new(engine.map_err(|error| error.to_string())?))
}

fn threads(options: &EngineOptions) -> usize {
    match options.threads {
        0 => std::thread::available_parallelism().map_or(1, usize::from),
        threads => threads,
    }
}

#[cfg(test)]
mod tests;
