//! Compilation, out of the serving process's reach: what strangers upload is
//! compiled by a child process with bounds on memory, CPU and time, one at a time.
//!
//! The child is this same binary (`skep compile-component`), so that both run one
//! engine configuration. It gets the component on stdin and gives the artefact back on
//! stdout: it needs no file, and may write none.

mod bodies;
mod child;
mod line;
mod unroll;

use std::path::PathBuf;
use std::time::Duration;

use bytes::Bytes;
use tokio::io::AsyncReadExt as _;
use tokio::process::ChildStdout;
use tokio::sync::{Semaphore, SemaphorePermit};

use super::AdmitError;
use super::artefacts::Unfinished;
use crate::child::{Bounds, ChildError, Program, threads};
pub use child::compile_from_stdin;
pub(super) use line::Line;
#[cfg(fuzzing)]
pub(super) use unroll::unrolled;

/// What is done to components before and while they are compiled, other than by wasmtime:
/// raised with each change of it, so that what was compiled before is compiled anew.
pub(super) const CODE: u32 = 1;

/// The child's CPU time, in seconds: ten times what a Python guest takes.
pub const CHILD_CPU_S: u64 = 180;

/// The child's wall-clock time.
const CHILD_TIME: Duration = Duration::from_secs(300);

/// How much of the artefact is taken at once, in bytes: what a pipe holds.
const CHUNK_BYTES: usize = 64 << 10;

/// Compiles components in child processes.
#[derive(Debug)]
pub(super) struct Compiler {
    program: Program,
    /// One at a time: compilation uses all cores by itself.
    turn: Semaphore,
}

/// The right to compile.
pub(super) type Turn<'c> = Option<SemaphorePermit<'c>>;

impl Compiler {
    pub(super) fn new(binary: PathBuf, bounds: Bounds) -> Self {
        Self {
            program: Program {
                binary,
                command: "compile-component",
                environment: vec![("RAYON_NUM_THREADS", threads().to_string().into())],
                bounds,
                time: CHILD_TIME,
            },
            turn: Semaphore::new(1),
        }
    }

    /// The right to compile, once it is this one's turn.
    pub(super) async fn turn(&self) -> Turn<'_> {
        // The semaphore is never closed.
        self.turn.acquire().await.ok()
    }

    /// Compiles `component` into `artefact`.
    pub(super) async fn compile(
        &self,
        _turn: &Turn<'_>,
        component: &Bytes,
        artefact: &mut Unfinished,
    ) -> Result<(), AdmitError> {
        self.program
            .run(&[component], |stdout| receive(stdout, artefact))
            .await
    }
}

/// Takes the artefact from the child.
async fn receive(mut stdout: ChildStdout, artefact: &mut Unfinished) -> Result<(), AdmitError> {
    let mut chunk = vec![0; CHUNK_BYTES];
    loop {
        let length = stdout.read(&mut chunk).await.map_err(ChildError::Io)?;
        let Some(part) = chunk.get(..length).filter(|part| !part.is_empty()) else {
            return Ok(());
        };
        artefact.write(part).await?;
    }
}

impl From<ChildError> for AdmitError {
    fn from(error: ChildError) -> Self {
        match error {
            ChildError::Refused(complaint) => Self::Refused(complaint),
            ChildError::Failed(complaint) => {
                Self::Host(format!("this host cannot compile components: {complaint}"))
            }
            ChildError::Died(bounds) => Self::TooHard(format!(
                "the component cannot be compiled within {bounds}; split it or make it smaller"
            )),
            ChildError::TimedOut(time) => Self::TooHard(format!(
                "the component takes longer than {} s to compile; split it or make it smaller",
                time.as_secs()
            )),
            ChildError::Io(error) => Self::Host(format!("running the compiler: {error}")),
        }
    }
}
