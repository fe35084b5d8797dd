//! `skep compile-component` and `skep probe-model`: the child's side of an upload and of adding a
//! model. Not for people.

use std::process::ExitCode;

use crate::child::Bounds;

// Without documentation, which would take the place of that of each verb.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// The CPU time, in seconds
    #[arg(long)]
    cpu_s: u64,
    /// The address space, in bytes
    #[arg(long)]
    memory_bytes: u64,
}

/// Works within bounds; the exit code is part of the protocol with the parent.
pub(super) fn run(args: &Args, work: fn(Bounds) -> i32) -> ExitCode {
    let code = work(Bounds {
        cpu_s: args.cpu_s,
        memory_bytes: args.memory_bytes,
    });
    ExitCode::from(u8::try_from(code).unwrap_or(1))
}
