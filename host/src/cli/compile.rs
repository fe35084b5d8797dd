//! `skep compile-component`: the child's side of an upload. Not for people.

use std::path::PathBuf;
use std::process::ExitCode;

use crate::sandbox::compile_from_stdin;

/// Compile a component from stdin, in a process with bounds
#[derive(Debug, clap::Args)]
#[command(hide = true)]
pub(super) struct Args {
    /// Where the artefact goes
    target: PathBuf,
}

/// Compiles; the exit code is part of the protocol with the parent.
pub(super) fn run(args: &Args) -> ExitCode {
    let code = compile_from_stdin(&args.target);
    ExitCode::from(u8::try_from(code).unwrap_or(1))
}
