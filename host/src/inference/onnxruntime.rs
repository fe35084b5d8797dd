//! ONNX Runtime, from a library that is opened when the host starts: on the GPU where it has one
//! and CUDA works, else on the CPU. Which of them is known before a model is loaded, and told: a
//! model for the GPU never runs on the CPU in silence.

mod convert;

use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};

use ort::environment::Environment;
use ort::ep;
use ort::logging::LogLevel;
use ort::session::builder::SessionBuilder;
use ort::session::{Session, SessionInputValue};

use super::engine::{CPU, Engine, EngineError, LoadedModel};
use super::onnx;
use super::roomy::roomy;
use super::tensor::NamedTensor;
use crate::model::Signature;

/// The name under which the system's loader knows the library, where nobody says a path.
const LIBRARY: &str = "libonnxruntime.so";

/// A model of one operator, which tells whether a device works at all.
const SMALLEST: &[u8] = include_bytes!("onnxruntime/smallest.onnx");

/// Where it computes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Place {
    Cpu,
    Cuda,
}

/// The library, once it is open.
#[derive(Clone)]
pub(super) struct Library {
    environment: Environment,
    version: String,
}

impl Library {
    /// Opens it. A process opens one: once it is open, another path has no effect.
    pub(super) fn open(path: Option<&Path>) -> Result<Self, String> {
        static OPEN: Mutex<Option<Library>> = Mutex::new(None);
        let mut open = OPEN.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(library) = &*open {
            return Ok(library.clone());
        }
        let path = path.unwrap_or(Path::new(LIBRARY));
        let builder = ort::init_from(path).map_err(|error| error.to_string())?;
        let environment = (builder.with_name("skep").with_telemetry(false).build())
            .map_err(|error| error.to_string())?;
        // What it answers as an error, it would also log: a line for each bad call of a guest.
        environment.set_log_level(LogLevel::Fatal);
        let library = Self {
            environment,
            version: version(ort::info()),
        };
        Ok(open.insert(library).clone())
    }
}

/// The version in what the library says of its build.
fn version(build: &str) -> String {
    let branch = build.split("git-branch=rel-").nth(1);
    let version = branch.and_then(|rest| rest.split(',').next());
    version.unwrap_or("of another build").to_owned()
}

/// ONNX Runtime on one device.
pub(super) struct OnnxRuntime {
    library: Library,
    place: Place,
    threads: usize,
}

impl OnnxRuntime {
    /// On a device, once that was seen to work.
    pub(super) fn open(
        library: Library,
        place: Place,
        threads: usize,
    ) -> Result<Self, EngineError> {
        let engine = Self {
            library,
            place,
            threads,
        };
        roomy(|| engine.session(SMALLEST))??;
        Ok(engine)
    }

    fn session(&self, model: &[u8]) -> Result<Session, EngineError> {
        let options = |error: ort::Error<SessionBuilder>| EngineError::Device(error.to_string());
        let mut builder = Session::builder(&self.library.environment)
            .map_err(|error| failure(&error))?
            .with_no_environment_execution_providers()
            .map_err(options)?
            .with_intra_threads(self.threads)
            .map_err(options)?
            // Threads that wait by turning would take the cores from jobs.
            .with_intra_op_spinning(false)
            .map_err(options)?;
        if self.place == Place::Cuda {
            builder = builder
                .with_execution_providers([ep::CUDA::default().build().error_on_failure()])
                .map_err(options)?;
        }
        (builder.commit_from_memory(model)).map_err(|error| failure(&error))
    }
}

impl Engine for OnnxRuntime {
    fn name(&self) -> &'static str {
        "onnxruntime"
    }

    fn version(&self) -> String {
        self.library.version.clone()
    }

    fn device(&self) -> &str {
        match self.place {
            Place::Cpu => CPU,
            Place::Cuda => "cuda:0",
        }
    }

    fn load(&self, model: &[u8]) -> Result<Arc<dyn LoadedModel>, EngineError> {
        let signature = onnx::read(model)
            .map_err(|error| error.to_string())
            .and_then(|model| onnx::signature(&model))
            .map_err(EngineError::Model)?;
        Ok(Arc::new(Loaded {
            session: Mutex::new(roomy(|| self.session(model))??),
            signature,
        }))
    }
}

struct Loaded {
    /// Its `Run` is not safe for threads, as those say who wrapped it (`ort`).
    session: Mutex<Session>,
    signature: Signature,
}

impl LoadedModel for Loaded {
    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn run(&self, inputs: &[NamedTensor]) -> Result<Vec<NamedTensor>, EngineError> {
        let values = (self.signature.inputs.iter().zip(inputs))
            .map(|(spec, input)| Ok((spec.name.as_str(), convert::to_ort(input)?)))
            .collect::<Result<Vec<(&str, SessionInputValue<'_>)>, EngineError>>()?;
        // A panic there left no session that is half changed: the library knows nothing of it.
        let mut session = self.session.lock().unwrap_or_else(PoisonError::into_inner);
        let outputs = session.run(values).map_err(|error| failure(&error))?;
        (self.signature.outputs.iter())
            .map(|spec| {
                let value = outputs.get(&spec.name).ok_or_else(|| {
                    EngineError::Model(format!("ONNX Runtime gave no `{}`", spec.name))
                })?;
                convert::from_ort(value, spec)
            })
            .collect()
    }
}

/// What a failure of the library means: its codes tell little, so its words are looked at.
fn failure(error: &ort::Error) -> EngineError {
    let text = format!("ONNX Runtime: {}", error.message());
    let says = |words: &[&str]| words.iter().any(|word| text.contains(word));
    if says(&[
        "out of memory",
        "bad_alloc",
        "Failed to allocate",
        "ALLOC_FAILED",
    ]) {
        EngineError::OutOfMemory(text)
    } else if error.code() == ort::ErrorCode::DeviceReset
        || says(&[
            "CUDA failure",
            "CUDA error",
            "CUDNN failure",
            "CUBLAS failure",
            "libcu",
        ])
    {
        EngineError::Device(text)
    } else {
        EngineError::Model(text)
    }
}
