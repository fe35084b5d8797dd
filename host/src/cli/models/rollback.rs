//! `skep models rollback`.

use std::num::NonZeroU32;

use super::super::rollback::roll_back;
use super::super::{Global, failure::Failure};
use super::Model;
use crate::job::ModelName;

/// Take a model back to an earlier version
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Examples:\n  skep models rollback iris\n  skep models show iris --versions\n  skep models rollback iris --to 3\n\nThat version's bytes, and how they are run, become the newest version; calls that run go on with theirs. With --json: the model, as `skep models list --json` shows it."
)]
pub(super) struct Args {
    /// The model
    name: ModelName,
    /// Which version [default: the one before the newest]
    #[arg(long, value_name = "VERSION")]
    to: Option<NonZeroU32>,
}

/// Rolls back.
pub(super) async fn run(args: Args, global: &Global) -> Result<(), Failure> {
    let read = |value| Model::read(&value).map(|model| (model.name, model.version));
    roll_back(&format!("models/{}", args.name), args.to, global, read).await
}
