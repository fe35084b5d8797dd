//! `skep compile-component`: the compiler's process, started by hosts only.

use std::path::PathBuf;

use super::failure::Failure;

/// Compile a component from stdin; hosts start this for themselves
#[derive(Debug, clap::Args)]
#[command(hide = true)]
pub(super) struct Args {
    /// Where the artefact goes
    target: PathBuf,
}

/// Compiles, and ends the process with the answer.
pub(super) fn run(args: &Args) -> Result<(), Failure> {
    std::process::exit(crate::sandbox::compile_from_stdin(&args.target))
}
