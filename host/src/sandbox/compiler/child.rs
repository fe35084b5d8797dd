//! The child's side of a compilation: it gives up whatever it does not need, then reads
//! the component, looks at it and compiles it.
//!
//! It is bounded, not confined: it runs as the same user, and sees the same files.

use std::io::{Read as _, Write as _};

use anyhow::Context as _;
use rustix::process::{Resource, Rlimit, Signal, nice, set_parent_process_death_signal, setrlimit};

use super::{Bounds, FAILED, MAX_COMPLAINT_BYTES, REFUSED};
use crate::sandbox::{engine, look};

/// The files that the child may have open: its pipes, and what a library looks at in
/// passing.
const MAX_FILES: u64 = 16;

/// A third of the weight of jobs and requests, which come first; the least there is (19)
/// would leave an upload to a host full of busy guests with a hundredth of a core, and so
/// without an end.
const NICENESS: i32 = 5;

/// Compiles what comes on stdin to stdout, and answers the exit code.
pub fn compile_from_stdin(bounds: Bounds) -> i32 {
    let (complaint, code) = match compile(bounds) {
        Ok(Ok(())) => return 0,
        Ok(Err(refusal)) => (refusal, REFUSED),
        Err(error) => (format!("{error:#}"), FAILED),
    };
    // As much as the parent reads: more would meet a closed pipe.
    let cut = complaint.floor_char_boundary(MAX_COMPLAINT_BYTES - 1);
    eprintln!("{}", complaint.get(..cut).unwrap_or_default());
    code
}

fn compile(bounds: Bounds) -> anyhow::Result<Result<(), String>> {
    step_back(bounds).context("setting its own bounds")?;
    let mut component = Vec::new();
    std::io::stdin().lock().read_to_end(&mut component)?;
    if let Err(refusal) = look::look(&component) {
        return Ok(Err(refusal));
    }
    let artefact = match engine::compiling()?.precompile_component(&component) {
        Ok(artefact) => artefact,
        Err(error) => return Ok(Err(format!("the component is not valid: {error:#}"))),
    };
    let mut stdout = std::io::stdout().lock();
    stdout.write_all(&artefact)?;
    stdout.flush()?;
    Ok(Ok(()))
}

/// Takes the bounds upon itself. There is none on the number of processes: the kernel
/// counts those of the user, the host's among them.
fn step_back(bounds: Bounds) -> anyhow::Result<()> {
    // Nobody wants the artefact of a host that is gone.
    set_parent_process_death_signal(Some(Signal::KILL))?;
    nice(NICENESS)?;
    // When the machine runs out of memory, this one goes first; where the kernel does
    // not let it say so, it says nothing.
    let _ = std::fs::write("/proc/self/oom_score_adj", "1000");
    let limits = [
        (Resource::As, bounds.memory_bytes),
        (Resource::Cpu, bounds.cpu_s),
        (Resource::Core, 0),
        // Pipes do not count.
        (Resource::Fsize, 0),
        (Resource::Nofile, MAX_FILES),
    ];
    for (resource, most) in limits {
        let limit = Rlimit {
            current: Some(most),
            maximum: Some(most),
        };
        setrlimit(resource, limit)?;
    }
    Ok(())
}
