//! The child's side of a compilation: it gives up whatever it does not need, then reads
//! the component, looks at it and compiles it.
//!
//! It is bounded, not confined: it runs as the same user, and sees the same files.

use std::io::{Read as _, Write as _};

use anyhow::Context as _;

use super::{FAILED, MAX_COMPLAINT_BYTES, REFUSED};
use crate::child::{Bounds, step_back};
use crate::sandbox::{engine, look};

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
