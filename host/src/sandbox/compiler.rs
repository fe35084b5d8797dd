//! Compilation, out of the serving process's reach: what strangers upload is
//! compiled by a child process with bounds on memory, CPU and time, one at a time.
//!
//! The child is this same binary (`skep compile-component`), so that both run one
//! engine configuration.

use std::io::Read as _;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use anyhow::Context as _;
use bytes::Bytes;
use rustix::process::{Resource, Rlimit, setrlimit};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::process::Command;
use tokio::sync::Semaphore;

use super::{AdmitError, engine, upload};

/// The child's address space, in bytes. A Python guest of 18 MB compiles in about
/// 1.5 GB; the rest is reserve of the allocator's arenas and thread stacks.
const CHILD_MEMORY_BYTES: u64 = 6 << 30;

/// The child's CPU time, in seconds: ten times what a Python guest takes.
const CHILD_CPU_S: u64 = 180;

/// The child's wall-clock time.
const CHILD_TIME: Duration = Duration::from_secs(300);

/// How much of the child's complaint is kept, in bytes.
const MAX_COMPLAINT_BYTES: u64 = 4096;

/// The child's exit code when the component is at fault.
pub(super) const REFUSED: i32 = 3;

/// The child's exit code when this host is at fault: a full disk, for one.
const FAILED: i32 = 4;

/// Compiles components in child processes.
#[derive(Debug)]
pub(super) struct Compiler {
    binary: PathBuf,
    /// One at a time: compilation uses all cores by itself.
    turn: Semaphore,
}

impl Compiler {
    pub(super) fn new(binary: PathBuf) -> Self {
        Self {
            binary,
            turn: Semaphore::new(1),
        }
    }

    /// Compiles `component` into the file `target`.
    pub(super) async fn compile(&self, component: &Bytes, target: &Path) -> Result<(), AdmitError> {
        let _turn = self.turn.acquire().await;
        if target.is_file() {
            return Ok(());
        }
        tokio::time::timeout(CHILD_TIME, self.run_child(component, target))
            .await
            .unwrap_or_else(|_| {
                Err(AdmitError::TooHard(format!(
                    "the component takes longer than {} s to compile; split it or make it smaller",
                    CHILD_TIME.as_secs()
                )))
            })
    }

    async fn run_child(&self, component: &Bytes, target: &Path) -> Result<(), AdmitError> {
        let host =
            |error: std::io::Error| AdmitError::Host(format!("running the compiler: {error}"));
        let mut child = Command::new(&self.binary)
            .arg("compile-component")
            .arg(target)
            .env_clear()
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .map_err(host)?;
        // Both pipes are always there, since both were asked for.
        let (stdin, stderr) = (child.stdin.take(), child.stderr.take());
        let feed = async {
            if let Some(mut stdin) = stdin {
                // A child that refuses early closes its end; its exit tells why.
                let _ = stdin.write_all(component).await;
            }
        };
        let listen = async {
            let mut complaint = Vec::new();
            if let Some(stderr) = stderr {
                let _ = stderr
                    .take(MAX_COMPLAINT_BYTES)
                    .read_to_end(&mut complaint)
                    .await;
            }
            String::from_utf8_lossy(&complaint).trim().to_owned()
        };
        let (_, complaint, status) = tokio::join!(feed, listen, child.wait());
        let status = status.map_err(host)?;
        match status.code() {
            Some(0) => Ok(()),
            Some(REFUSED) => Err(AdmitError::Refused(complaint)),
            Some(FAILED) => Err(AdmitError::Host(format!(
                "this host cannot compile components: {complaint}"
            ))),
            _ => {
                tracing::warn!(%status, complaint, "the compiler did not survive a component");
                Err(AdmitError::TooHard(format!(
                    "the component cannot be compiled within {CHILD_CPU_S} s of CPU and {} GiB of memory; split it or make it smaller",
                    CHILD_MEMORY_BYTES >> 30
                )))
            }
        }
    }
}

/// The child's side: compiles what comes on stdin into `target`, and answers the
/// exit code.
pub fn compile_from_stdin(target: &Path) -> i32 {
    match compile_here(target) {
        Ok(Ok(())) => 0,
        Ok(Err(refusal)) => {
            eprintln!("{refusal}");
            REFUSED
        }
        Err(error) => {
            eprintln!("{error:#}");
            FAILED
        }
    }
}

fn compile_here(target: &Path) -> anyhow::Result<Result<(), String>> {
    let bound = |resource, value| {
        let limit = Rlimit {
            current: Some(value),
            maximum: Some(value),
        };
        setrlimit(resource, limit)
    };
    bound(Resource::As, CHILD_MEMORY_BYTES)?;
    bound(Resource::Cpu, CHILD_CPU_S)?;
    bound(Resource::Core, 0)?;

    let mut component = Vec::new();
    std::io::stdin().lock().read_to_end(&mut component)?;
    if let Err(refusal) = upload::look(&component) {
        return Ok(Err(refusal));
    }
    let artefact = match engine::compiling()?.precompile_component(&component) {
        Ok(artefact) => artefact,
        Err(error) => return Ok(Err(format!("the component is not valid: {error:#}"))),
    };
    // Another name first: a file of the right name is always whole.
    let unfinished = target.with_extension(format!("{}.tmp", std::process::id()));
    std::fs::write(&unfinished, artefact)
        .and_then(|()| std::fs::File::open(&unfinished)?.sync_all())
        .and_then(|()| std::fs::rename(&unfinished, target))
        .inspect_err(|_| drop(std::fs::remove_file(&unfinished)))
        .with_context(|| format!("writing {}", target.display()))?;
    Ok(Ok(()))
}
