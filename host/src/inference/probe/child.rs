//! The child's side: it gives up whatever it does not need, then reads the model, looks at it,
//! loads it and runs it.
//!
//! It is bounded, not confined: it runs as the same user, and sees the same files.

use std::io::{BufRead as _, Read as _, Write as _};

use anyhow::Context as _;

use super::{Request, rows};
use crate::child::{self, Bounds};
use crate::inference::bounded;
use crate::inference::engine::EngineError;
use crate::inference::engines::Engines;
use crate::inference::validate::{MAX_MODEL_BYTES, validate};
use crate::model::{DeviceChoice, EngineChoice, Findings, ModelConfig};

/// Probes the model that comes on stdin, writes what is found to stdout, and answers the exit code.
pub fn probe_from_stdin(bounds: Bounds) -> i32 {
    child::work(bounds, run)
}

fn run() -> anyhow::Result<Result<(), String>> {
    // Panics of engines are answers here, not news.
    std::panic::set_hook(Box::new(|_| {}));
    let mut stdin = std::io::stdin().lock();
    let mut line = Vec::new();
    stdin.read_until(b'\n', &mut line)?;
    let request: Request = serde_json::from_slice(&line).context("reading what is asked")?;
    let mut model = Vec::new();
    // One more than is allowed, for it to be told.
    stdin
        .take(MAX_MODEL_BYTES as u64 + 1)
        .read_to_end(&mut model)?;
    let engines = Engines::on_the_cpu(&request.engines);
    Ok(match findings(&engines, &model, &request.config) {
        Ok(findings) => {
            let mut stdout = std::io::stdout().lock();
            stdout.write_all(&serde_json::to_vec(&findings)?)?;
            stdout.flush()?;
            Ok(())
        }
        Err(refusal) => Err(refusal),
    })
}

/// What a model is found to be, with these engines.
pub(in crate::inference) fn findings(
    engines: &Engines,
    file: &[u8],
    config: &ModelConfig,
) -> Result<Findings, String> {
    let signature = validate(file, config)?;
    rows::check_names(&signature, config)?;
    let here = ModelConfig {
        engine: match (config.engine, config.device) {
            // The same library as on the GPU.
            (EngineChoice::Auto, DeviceChoice::Cuda) => EngineChoice::Onnxruntime,
            (engine, _) => engine,
        },
        device: DeviceChoice::Cpu,
        ..config.clone()
    };
    if let Some(inputs) = rows::smallest(&signature)
        && !config.allow_loops
    {
        bounded::check(file, &signature, &inputs).map_err(text)?;
    }
    let before = resident();
    let engine = engines.choose(&here).map_err(text)?;
    let model = bounded::load(&**engine, file, config).map_err(text)?;
    let (batch, note) = rows::learn(&*model, file, config)?;
    // An allocator may have had room already; the weights are there in any case.
    let grown = resident().saturating_sub(before);
    Ok(Findings {
        signature,
        batch,
        note,
        memory_bytes: grown.max(file.len() as u64),
    })
}

fn text(error: EngineError) -> String {
    error.to_string()
}

/// What this process has in memory, in bytes; 0 where the kernel does not tell.
fn resident() -> u64 {
    let pages = std::fs::read_to_string("/proc/self/statm")
        .ok()
        .and_then(|statm| {
            let pages = statm.split_ascii_whitespace().nth(1)?;
            pages.parse::<u64>().ok()
        });
    pages.unwrap_or(0) * rustix::param::page_size() as u64
}
