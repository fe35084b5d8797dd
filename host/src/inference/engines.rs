//! The engines of this host: what is there, what is not and why, and which one runs a model.

use std::path::PathBuf;
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::engine::{Engine, EngineError};
use super::rten::Rten;
use crate::model::{DeviceChoice, EngineChoice, ModelConfig};

/// How the engines of a host are to be.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct EngineOptions {
    /// The threads of one run on the CPU; 0 for all cores.
    pub threads: usize,
    /// The library of ONNX Runtime; without it `ORT_DYLIB_PATH` names one, if it is set.
    pub onnxruntime: Option<PathBuf>,
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
    rten: Arc<dyn Engine>,
}

impl Engines {
    /// Opens those that are there; what is missing is told by [`Self::about`].
    pub fn open(options: &EngineOptions) -> Self {
        Self {
            rten: Arc::new(Rten::new(threads(options))),
        }
    }

    /// What is there, and why what is not is not.
    pub fn about(&self) -> Vec<EngineInfo> {
        vec![info(&self.rten)]
    }

    /// The engine that runs a model of this configuration.
    ///
    /// # Errors
    ///
    /// When the host has none; the text says how to get it.
    pub fn choose(&self, config: &ModelConfig) -> Result<&Arc<dyn Engine>, EngineError> {
        match (config.engine, config.device) {
            (EngineChoice::Onnxruntime, _) | (_, DeviceChoice::Cuda) => Err(EngineError::Device(
                "this host has no ONNX Runtime".to_owned(),
            )),
            _ => Ok(&self.rten),
        }
    }
}

fn info(engine: &Arc<dyn Engine>) -> EngineInfo {
    EngineInfo {
        name: engine.name().to_owned(),
        version: Some(engine.version()),
        device: engine.device().to_owned(),
        missing: None,
    }
}

fn threads(options: &EngineOptions) -> usize {
    match options.threads {
        0 => std::thread::available_parallelism().map_or(1, usize::from),
        threads => threads,
    }
}
