//! Child processes that do for a host what strangers' bytes make dangerous: what they may take,
//! how they give up the rest, and how they say what came of it. Not here: what they do
//! (`sandbox::compiler`, `inference::probe`).

mod bounds;
mod program;

use anyhow::Context as _;
use rustix::process::{Resource, Rlimit, Signal, nice, set_parent_process_death_signal, setrlimit};

pub use bounds::Bounds;
pub(crate) use bounds::{machine_memory, threads};
pub(crate) use program::{ChildError, Program};

/// The files that the child may have open: its pipes, and what a library looks at in
/// passing.
const MAX_FILES: u64 = 16;

/// A third of the weight of jobs and requests, which come first; the least there is (19)
/// would leave an upload to a host full of busy guests with a hundredth of a core, and so
/// without an end.
const NICENESS: i32 = 5;

/// The exit code when what the child was given is at fault.
const REFUSED: i32 = 3;

/// The exit code when this host is at fault: no memory to begin with, for one.
const FAILED: i32 = 4;

/// How much of the child's complaint is kept, in bytes. It is a stranger's text in part.
const MAX_COMPLAINT_BYTES: usize = 4096;

/// Does a child's work within its bounds, complains on stderr of what was refused or failed, and
/// answers the exit code.
pub(crate) fn work(
    bounds: Bounds,
    work: impl FnOnce() -> anyhow::Result<Result<(), String>>,
) -> i32 {
    let done = step_back(bounds).context("setting its own bounds");
    let (complaint, code) = match done.and_then(|()| work()) {
        Ok(Ok(())) => return 0,
        Ok(Err(refusal)) => (refusal, REFUSED),
        Err(error) => (format!("{error:#}"), FAILED),
    };
    // As much as the parent keeps, which would cut a character in two.
    let cut = complaint.floor_char_boundary(MAX_COMPLAINT_BYTES - 1);
    eprintln!("{}", complaint.get(..cut).unwrap_or_default());
    code
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
