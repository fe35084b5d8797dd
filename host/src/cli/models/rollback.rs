//! `skep models rollback`.

use std::num::NonZeroU32;

use reqwest::Method;
use serde_json::{Value, json};

use super::super::output::{self, one_line};
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

/// Rolls back, and says what is the newest version now.
pub(super) async fn run(args: Args, global: &Global) -> Result<(), Failure> {
    let client = global.client()?;
    let path = format!("models/{}/rollback", args.name);
    let mut request = client.request(Method::POST, &path)?;
    if let Some(version) = args.to {
        request = request.json(&json!({ "version": version }));
    }
    let value: Value = client.json(request).await?;
    if global.json {
        return output::json(&value);
    }
    let Model { name, version, .. } = Model::read(&value)?;
    let name = one_line(&name);
    output::line(&match args.to {
        Some(wanted) => format!("{name} version {version} (as version {wanted})"),
        None => format!("{name} version {version} (as the one before)"),
    })
}
