//! `skep models show`.

use reqwest::Method;
use serde::Deserialize;
use serde_json::Value;

use super::super::client::Client;
use super::super::duration::span;
use super::super::output::{self, one_line};
use super::super::table::{Head, Table};
use super::super::{Global, failure::Failure};
use super::{Model, size, tensors};
use crate::job::ModelName;
use crate::model::ModelConfig;
use crate::time::now_ms;

/// Show what a model takes and gives, and how it is run
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Examples:\n  skep models show iris\n  skep models show iris --versions\n\nWith --json: the model (name, version, digest, bytes, config, findings, added_at_ms, versions_kept, loaded), or each version on a line."
)]
pub(super) struct Args {
    /// The model
    name: ModelName,
    /// Show all versions that are kept, newest first, to roll back to
    #[arg(long)]
    versions: bool,
}

#[derive(Deserialize)]
struct Loaded {
    engine: String,
    device: String,
    max_batch: u32,
}

#[derive(Deserialize)]
struct Versions {
    versions: Vec<Value>,
}

/// Prints it.
pub(super) async fn run(args: &Args, global: &Global) -> Result<(), Failure> {
    let client = global.client()?;
    if args.versions {
        return versions(&client, &args.name, global).await;
    }
    let request = client.request(Method::GET, &format!("models/{}", args.name))?;
    let value: Value = client.json(request).await?;
    if global.json {
        return output::json(&value);
    }
    let model = Model::read(&value)?;
    let found = &model.findings;
    let rows = [
        (
            "model",
            format!("{} version {}", one_line(&model.name), model.version),
        ),
        ("digest", one_line(&model.digest)),
        ("size", size(model.bytes)),
        ("memory", format!("{}, about", size(found.memory_bytes))),
        ("takes", tensors(&found.signature.inputs)),
        ("gives", tensors(&found.signature.outputs)),
        (
            "batching",
            format!("{} ({})", model.batching(), one_line(&found.note)),
        ),
        ("run", configured(&model.config)),
        ("loaded", loaded(&value)),
    ];
    rows.iter()
        .try_for_each(|(name, value)| output::line(&format!("{name:9}  {value}")))
}

/// Where it runs, on the host that answered.
fn loaded(model: &Value) -> String {
    let loaded = model.get("loaded").cloned().unwrap_or_default();
    let loaded: Option<Loaded> = serde_json::from_value(loaded).ok();
    loaded.map_or_else(
        || "not on this host; its first call loads it".to_owned(),
        |loaded| {
            format!(
                "by {} on {}, {} rows a batch at most",
                one_line(&loaded.engine),
                one_line(&loaded.device),
                loaded.max_batch
            )
        },
    )
}

/// What somebody asked for, as the options of `skep models add` have it.
fn configured(config: &ModelConfig) -> String {
    let lower = |value: &dyn std::fmt::Debug| format!("{value:?}").to_lowercase();
    let mut said = vec![
        format!("--engine {}", lower(&config.engine)),
        format!("--device {}", lower(&config.device)),
        format!("--batching {}", lower(&config.batching)),
    ];
    said.extend(config.max_batch.map(|rows| format!("--max-batch {rows}")));
    if config.max_delay_us > 0 {
        said.push(format!("--max-delay {}us", config.max_delay_us));
    }
    let axes = config.batch_axes.iter();
    said.extend(axes.map(|(name, axis)| format!("--batch-axis {}:{axis}", one_line(name))));
    let pads = config.pad.iter();
    said.extend(pads.map(|(name, pad)| {
        let (name, axis, value) = (one_line(name), pad.axis, pad.value);
        format!("--pad {name}:{axis}:{value}")
    }));
    said.extend(config.preload.then(|| "--preload".to_owned()));
    said.extend(config.allow_loops.then(|| "--allow-loops".to_owned()));
    said.join(" ")
}

/// Prints all versions of a model.
async fn versions(client: &Client, name: &ModelName, global: &Global) -> Result<(), Failure> {
    let request = client.request(Method::GET, &format!("models/{name}/versions"))?;
    let Versions { versions } = client.json(request).await?;
    if global.json {
        return output::lines_of_json(&versions);
    }
    let row = |value: &Value| {
        let model = Model::read(value)?;
        Ok([
            model.version.to_string(),
            format!("{} ago", span(now_ms().saturating_sub(model.added_at_ms))),
            model.brief_digest(),
            size(model.bytes),
            configured(&model.config),
        ])
    };
    let rows: Result<Vec<_>, Failure> = versions.iter().map(row).collect();
    let heads = [
        Head::Number("VERSION"),
        Head::Text("ADDED"),
        Head::Text("DIGEST"),
        Head::Number("SIZE"),
        Head::Text("RUN"),
    ];
    Table::new(heads, &[3, 2]).print(&rows?)
}
