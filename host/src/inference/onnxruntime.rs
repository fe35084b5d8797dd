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
            version: version(ort::info(), &mapped()),
        };
        Ok(open.insert(library).clone())
    }
}

/// The version, which no safe function tells: by the branch in what the library says of its build,
/// or by its file's name, as pip's has it (`libonnxruntime.so.1.31.1`); else the commit.
fn version(build: &str, maps: &str) -> String {
    let after = |text: &'static str| {
        let rest = build.split_once(text).map(|(_, rest)| rest);
        rest.and_then(|rest| rest.split(',').next())
    };
    let name = |line: &str| {
        let (_, version) = line.rsplit_once("/libonnxruntime.so.")?;
        let digits = version.trim_end_matches(|c: char| !c.is_ascii_digit());
        Some(digits.to_owned())
    };
    (after("git-branch=rel-").map(str::to_owned))
        .or_else(|| maps.lines().find_map(name))
        .or_else(|| after("git-commit-id=").map(|commit| format!("of commit {commit}")))
        .unwrap_or_else(|| "of an unknown version".to_owned())
}

/// The files that this process has mapped; nothing where the kernel does not tell.
fn mapped() -> String {
    std::fs::read_to_string("/proc/self/maps").unwrap_or_default()
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_version_is_that_of_the_branch_or_of_the_file_or_the_commit() {
        let released =
            "ORT Build Info: git-branch=rel-1.24.2, git-commit-id=26250ae, build type=Release";
        let wheel = "ORT Build Info: git-branch=HEAD, git-commit-id=6af1a93, build type=Release";
        let maps = "7f00-7f01 r-xp 00000000 fe:00 12 /usr/lib/libc.so.6\n\
                    7f02-7f03 r-xp 00000000 fe:00 13 /a b/capi/libonnxruntime.so.1.31.1\n";
        assert_eq!(version(released, maps), "1.24.2");
        assert_eq!(version(wheel, maps), "1.31.1");
        let plain = "7f02-7f03 r-xp 00000000 fe:00 13 /usr/lib/libonnxruntime.so\n";
        assert_eq!(version(wheel, plain), "of commit 6af1a93");
        assert_eq!(version("", ""), "of an unknown version");
    }

    #[test]
    fn the_library_that_is_open_has_a_version() {
        let library = Library::open(Some(&crate::inference::testing::onnxruntime())).unwrap();
        assert!(
            library.version.starts_with("1.") || library.version.starts_with("of commit "),
            "{}",
            library.version
        );
    }
}
