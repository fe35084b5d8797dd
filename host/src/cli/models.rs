//! `skep models`: the models that functions run through their host.

mod add;
mod list;
mod remove;
mod rollback;
mod show;

use clap::Subcommand;
use serde::Deserialize;
use serde_json::Value;

use super::output::one_line;
use super::{Global, failure::Failure};
use crate::model::{BatchLayout, ModelConfig, Signature, TensorSpec};

/// How much of a digest tells it from the others.
const DIGEST_CHARS: usize = 12;

/// Add ONNX models, list them, take them back to earlier versions, remove them
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Examples:\n  skep models add iris iris.onnx\n  skep models list\n  skep models show iris\n  skep models rollback iris\n  skep models remove iris\n\nA handler runs them by their names: docs/inference.md."
)]
pub(super) struct Args {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Debug, Subcommand)]
enum Verb {
    Add(add::Args),
    List(list::Args),
    Show(show::Args),
    Rollback(rollback::Args),
    Remove(remove::Args),
}

/// Does it.
pub(super) async fn run(args: Args, global: &Global) -> Result<(), Failure> {
    match args.verb {
        Verb::Add(args) => add::run(args, global).await,
        Verb::List(args) => list::run(&args, global).await,
        Verb::Show(args) => show::run(&args, global).await,
        Verb::Rollback(args) => rollback::run(args, global).await,
        Verb::Remove(args) => remove::run(args, global).await,
    }
}

/// A model as the server describes it, as far as it is printed.
#[derive(Deserialize)]
struct Model {
    name: String,
    version: u32,
    digest: String,
    bytes: u64,
    config: ModelConfig,
    findings: Findings,
    added_at_ms: u64,
}

/// What a model was found to be, as far as it is printed.
#[derive(Deserialize)]
struct Findings {
    signature: Signature,
    batch: Option<BatchLayout>,
    note: String,
    memory_bytes: u64,
}

impl Model {
    /// Reads a model's description.
    fn read(value: &Value) -> Result<Self, Failure> {
        Self::deserialize(value).map_err(|error| {
            Failure::failed(format!("the server describes a model oddly: {error}"))
        })
    }

    fn brief_digest(&self) -> String {
        one_line(&self.digest).chars().take(DIGEST_CHARS).collect()
    }

    /// Whether calls share batches.
    fn batching(&self) -> &'static str {
        match self.findings.batch {
            Some(_) => "on",
            None => "off",
        }
    }
}

/// A tensor as people read it: `x f32 [N, 4]`.
fn tensor(spec: &TensorSpec) -> String {
    let sizes = spec.shape.iter();
    let sizes = sizes.map(|size| size.map_or_else(|| "N".to_owned(), |size| size.to_string()));
    let sizes = sizes.collect::<Vec<_>>().join(", ");
    let dtype = format!("{:?}", spec.dtype).to_lowercase();
    format!("{} {dtype} [{sizes}]", one_line(&spec.name))
}

/// Tensors on a line.
fn tensors(specs: &[TensorSpec]) -> String {
    specs.iter().map(tensor).collect::<Vec<_>>().join(", ")
}

/// Bytes in the unit that people say.
fn size(bytes: u64) -> String {
    indicatif::BinaryBytes(bytes).to_string()
}
