//! `skep compile-component`: the child's side of an upload. Not for people.

use std::process::ExitCode;

use crate::sandbox::{CompilerBounds, compile_from_stdin};

/// Compile a component from stdin to stdout, in a process with bounds
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

/// Compiles; the exit code is part of the protocol with the parent.
pub(super) fn run(args: &Args) -> ExitCode {
    let code = compile_from_stdin(CompilerBounds {
        cpu_s: args.cpu_s,
        memory_bytes: args.memory_bytes,
    });
    ExitCode::from(u8::try_from(code).unwrap_or(1))
}
