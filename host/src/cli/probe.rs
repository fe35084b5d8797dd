//! `skep probe-model`: the child's side of adding a model. Not for people.

use std::process::ExitCode;

use crate::inference::probe_from_stdin;
use crate::sandbox::CompilerBounds;

/// Look at the model on stdin, in a process with bounds
#[derive(Debug, clap::Args)]
#[command(hide = true)]
pub(super) struct Args {
    /// The CPU time, in seconds
    #[arg(long)]
    cpu_s: u64,
    /// The address space, in bytes
    #[arg(long)]
    memory_bytes: u64,
}

/// Probes; the exit code is part of the protocol with the parent.
pub(super) fn run(args: &Args) -> ExitCode {
    let code = probe_from_stdin(CompilerBounds {
        cpu_s: args.cpu_s,
        memory_bytes: args.memory_bytes,
    });
    ExitCode::from(u8::try_from(code).unwrap_or(1))
}
