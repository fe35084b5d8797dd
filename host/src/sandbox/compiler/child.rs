//! The child's side of a compilation: it gives up whatever it does not need, then reads
//! the component, looks at it, unrolls its small loops and compiles it.
//!
//! It is bounded, not confined: it runs as the same user, and sees the same files.

use std::io::{Read as _, Write as _};

use super::unroll::unrolled;
use crate::child::{self, Bounds};
use crate::sandbox::{engine, look};

/// Compiles what comes on stdin to stdout, and answers the exit code.
pub fn compile_from_stdin(bounds: Bounds) -> i32 {
    child::work(bounds, compile)
}

fn compile() -> anyhow::Result<Result<(), String>> {
    let mut component = Vec::new();
    std::io::stdin().lock().read_to_end(&mut component)?;
    if let Err(refusal) = look::look(&component) {
        return Ok(Err(refusal));
    }
    let engine = engine::compiling()?;
    let unrolled = (unrolled(&component).ok())
        .and_then(|unrolled| engine.precompile_component(&unrolled).ok());
    // What is wrong with a component is told of the bytes that were uploaded.
    let artefact = match unrolled.map_or_else(|| engine.precompile_component(&component), Ok) {
        Ok(artefact) => artefact,
        Err(error) => return Ok(Err(format!("the component is not valid: {error:#}"))),
    };
    let mut stdout = std::io::stdout().lock();
    stdout.write_all(&artefact)?;
    stdout.flush()?;
    Ok(Ok(()))
}
