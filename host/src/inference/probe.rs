//! The first meeting with a model, out of the serving process's reach: it is looked at, loaded and
//! run by a child process with bounds on memory, CPU and time, one at a time. What ends the child
//! (a loop without end, all its memory, a crash of a library) would have ended the host.
//!
//! The child is this same binary (`skep probe-model`). It gets what is asked and the model on
//! stdin, and gives its findings back on stdout: it needs no file, and may write none. It runs on
//! the CPU also where the host has a GPU, since CUDA does not live within such bounds.

mod child;
mod inputs;
mod rows;

use std::path::PathBuf;
use std::time::Duration;

use bytes::Bytes;
use serde::{Deserialize, Serialize};
use tokio::io::AsyncReadExt as _;
use tokio::process::ChildStdout;
use tokio::sync::Semaphore;

use super::engines::EngineOptions;
use super::validate::MAX_MODEL_BYTES;
use crate::child::{Bounds, ChildError, Program};
use crate::model::{Findings, ModelConfig};
#[cfg(test)]
pub(super) use child::findings;
pub use child::probe_from_stdin;
pub(super) use inputs::Trial;

/// The child's CPU time, in seconds: it runs a model some twenty times, and what takes seconds for
/// one row is too slow for a host of jobs.
pub const PROBE_CPU_S: u64 = 120;

/// The child's wall-clock time.
const PROBE_TIME: Duration = Duration::from_secs(300);

/// How many models may be with the prober, of which one is looked at: each is up to
/// [`MAX_MODEL_BYTES`] of memory that waits.
const MAX_PROBES: usize = 4;

/// How much of the child's findings is taken, in bytes: 32 tensors with names of 256 bytes that
/// JSON may write six times as long.
const MAX_FINDINGS_BYTES: u64 = 256 << 10;

/// Why there are no findings. Each text is for whoever uploaded the model.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ProbeError {
    /// The model cannot be run, or must not.
    #[error("{0}")]
    Refused(String),
    /// It takes more than a host gives.
    #[error("{0}")]
    TooLarge(String),
    /// Too many models come at once.
    #[error("{0}")]
    Busy(String),
    /// This host is at fault.
    #[error("{0}")]
    Host(String),
}

/// What the child is asked, on the first line of its stdin.
#[derive(Debug, Serialize, Deserialize)]
struct Request {
    config: ModelConfig,
    engines: EngineOptions,
}

/// Probes models in child processes.
#[derive(Debug)]
pub struct Prober {
    program: Program,
    engines: EngineOptions,
    places: Semaphore,
    turn: Semaphore,
}

impl Prober {
    /// With this binary of skep, for a host with such engines.
    pub fn new(binary: PathBuf, engines: EngineOptions) -> Self {
        // Before it can be told so, the library makes a database of events for Microsoft; a
        // child that may write no file dies of that.
        let mut environment = vec![("ORT_DISABLE_TELEMETRY", "1".into())];
        // Where the system's loader finds the library that this process found.
        let paths = std::env::var_os("LD_LIBRARY_PATH");
        environment.extend(paths.map(|paths| ("LD_LIBRARY_PATH", paths)));
        Self {
            program: Program {
                binary,
                command: "probe-model",
                environment,
                bounds: Bounds::here(PROBE_CPU_S),
                time: PROBE_TIME,
            },
            engines: engines.resolved(),
            places: Semaphore::new(MAX_PROBES),
            turn: Semaphore::new(1),
        }
    }

    /// Looks at a model, loads it and runs it.
    ///
    /// # Errors
    ///
    /// When it is refused, or cannot be looked at.
    pub async fn probe(&self, model: &Bytes, config: &ModelConfig) -> Result<Findings, ProbeError> {
        if model.len() > MAX_MODEL_BYTES {
            return Err(ProbeError::TooLarge(format!(
                "the model has {} bytes, and {MAX_MODEL_BYTES} are allowed; quantise it, or split it",
                model.len()
            )));
        }
        let _place = self.places.try_acquire().map_err(|_| {
            ProbeError::Busy(format!(
                "{MAX_PROBES} models wait to be looked at; send it again in a minute"
            ))
        })?;
        // The semaphore is never closed.
        let _turn = self.turn.acquire().await;
        let request = Request {
            config: config.clone(),
            engines: self.engines.clone(),
        };
        let mut line = serde_json::to_vec(&request).map_err(|error| host(&error))?;
        line.push(b'\n');
        let findings = self.program.run(&[&line, model], receive).await?;
        serde_json::from_slice(&findings).map_err(|error| host(&error))
    }
}

/// Takes the findings from the child, as far as they are read. What is cut off is no JSON.
async fn receive(stdout: ChildStdout) -> Result<Vec<u8>, ProbeError> {
    let mut findings = Vec::new();
    let mut some = stdout.take(MAX_FINDINGS_BYTES);
    let _ = some.read_to_end(&mut findings).await;
    Ok(findings)
}

impl From<ChildError> for ProbeError {
    fn from(error: ChildError) -> Self {
        match error {
            ChildError::Refused(complaint) => Self::Refused(complaint),
            ChildError::Failed(complaint) => {
                Self::Host(format!("this host cannot look at models: {complaint}"))
            }
            ChildError::Died(bounds) => Self::TooLarge(format!(
                "the model cannot be loaded and run within {bounds}; make it smaller"
            )),
            ChildError::TimedOut(time) => Self::TooLarge(format!(
                "the model takes longer than {} s to load and run; make it smaller",
                time.as_secs()
            )),
            ChildError::Io(error) => host(&error),
        }
    }
}

fn host(error: &dyn std::error::Error) -> ProbeError {
    ProbeError::Host(format!("looking at the model: {error}"))
}

#[cfg(test)]
mod tests;
