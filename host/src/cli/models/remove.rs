//! `skep models remove`.

use super::super::{Global, each, failure::Failure};
use crate::job::ModelName;

/// Remove models, with all their versions
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Examples:\n  skep models remove iris\n  skep models remove iris magika\n\nCalls that run go on; later ones find no such model. Nothing of it can be brought back. With --json: {\"name\": \"iris\", \"removed\": true} for each, on a line."
)]
pub(super) struct Args {
    /// The models
    #[arg(required = true, value_name = "NAME")]
    names: Vec<ModelName>,
}

/// Removes each, and says so.
pub(super) async fn run(args: Args, global: &Global) -> Result<(), Failure> {
    each::remove("models", &args.names, global).await
}
