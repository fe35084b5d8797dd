//! Compilation, out of the serving process's reach: what strangers upload is
//! compiled by a child process with bounds on memory, CPU and time, one at a time.
//!
//! The child is this same binary (`skep compile-component`), so that both run one
//! engine configuration. It gets the component on stdin and gives the artefact back on
//! stdout: it needs no file, and may write none.

mod child;
mod line;

use std::path::PathBuf;
use std::process::Stdio;
use std::time::Duration;

use bytes::Bytes;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::process::{Child, ChildStdout, Command};
use tokio::sync::{Semaphore, SemaphorePermit};

use super::AdmitError;
use super::artefacts::Unfinished;
use crate::child::{self as process, Bounds, FAILED, MAX_COMPLAINT_BYTES, REFUSED};
use crate::job::printable;
pub use child::compile_from_stdin;
pub(super) use line::Line;

/// The child's CPU time, in seconds: ten times what a Python guest takes.
pub const CHILD_CPU_S: u64 = 180;

/// The child's wall-clock time.
const CHILD_TIME: Duration = Duration::from_secs(300);

/// How much of the artefact is taken at once, in bytes: what a pipe holds.
const CHUNK_BYTES: usize = 64 << 10;

/// Compiles components in child processes.
#[derive(Debug)]
pub(super) struct Compiler {
    binary: PathBuf,
    bounds: Bounds,
    /// One at a time: compilation uses all cores by itself.
    turn: Semaphore,
}

/// The right to compile.
pub(super) type Turn<'c> = Option<SemaphorePermit<'c>>;

impl Compiler {
    pub(super) fn new(binary: PathBuf, bounds: Bounds) -> Self {
        Self {
            binary,
            bounds,
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
        tokio::time::timeout(CHILD_TIME, self.run_child(component, artefact))
            .await
            .unwrap_or_else(|_| {
                Err(AdmitError::TooHard(format!(
                    "the component takes longer than {} s to compile; split it or make it smaller",
                    CHILD_TIME.as_secs()
                )))
            })
    }

    async fn run_child(
        &self,
        component: &Bytes,
        artefact: &mut Unfinished,
    ) -> Result<(), AdmitError> {
        let mut child = self.spawn().map_err(|error| host(&error))?;
        // The pipes are always there, since they were asked for.
        let pipes = (child.stdin.take(), child.stdout.take(), child.stderr.take());
        let (stdin, stdout, stderr) = pipes;
        let feed = async {
            if let Some(mut stdin) = stdin {
                // A child that refuses early closes its end; its exit tells why.
                let _ = stdin.write_all(component).await;
            }
        };
        let listen = async {
            let mut complaint = Vec::new();
            if let Some(stderr) = stderr {
                let mut some = stderr.take(MAX_COMPLAINT_BYTES as u64);
                let _ = some.read_to_end(&mut complaint).await;
            }
            let complaint = String::from_utf8_lossy(&complaint);
            printable(complaint.trim(), |c| c == '\n').into_owned()
        };
        let read = async {
            match stdout {
                Some(stdout) => receive(stdout, artefact).await,
                None => Ok(()),
            }
        };
        let ((), complaint, read, status) = tokio::join!(feed, listen, read, child.wait());
        // First: a child whose output is not taken any more fails too.
        read?;
        let status = status.map_err(|error| host(&error))?;
        match status.code() {
            Some(0) => Ok(()),
            Some(REFUSED) => Err(AdmitError::Refused(complaint)),
            Some(FAILED) => Err(AdmitError::Host(format!(
                "this host cannot compile components: {complaint}"
            ))),
            _ => {
                tracing::warn!(%status, complaint, "the compiler did not survive a component");
                Err(AdmitError::TooHard(format!(
                    "the component cannot be compiled within {}; split it or make it smaller",
                    self.bounds
                )))
            }
        }
    }

    fn spawn(&self) -> std::io::Result<Child> {
        Command::new(&self.binary)
            .arg("compile-component")
            .args(self.bounds.args())
            .env_clear()
            .env("RAYON_NUM_THREADS", process::threads().to_string())
            .current_dir("/")
            // A Ctrl-C at the terminal asks the host to stop in its own time.
            .process_group(0)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
    }
}

/// Takes the artefact from the child.
async fn receive(mut stdout: ChildStdout, artefact: &mut Unfinished) -> Result<(), AdmitError> {
    let mut chunk = vec![0; CHUNK_BYTES];
    loop {
        let length = stdout
            .read(&mut chunk)
            .await
            .map_err(|error| host(&error))?;
        let Some(part) = chunk.get(..length).filter(|part| !part.is_empty()) else {
            return Ok(());
        };
        artefact.write(part).await?;
    }
}

fn host(error: &std::io::Error) -> AdmitError {
    AdmitError::Host(format!("running the compiler: {error}"))
}
