//! `skep rollback`: brings an earlier version of a function back.

use std::num::NonZeroU32;

use reqwest::Method;
use serde_json::{Value, json};

use super::functions::Function;
use super::{Global, failure::Failure, output};
use crate::job::FunctionName;

/// Bring an earlier version of a function back
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Examples:\n  skep rollback multiply\n  skep functions multiply --versions\n  skep rollback multiply --to 3\n\nThat version's component, limits and concurrency become the newest version; jobs that run go on with the one that they began with. With --json: the function, as `skep functions NAME --json` shows it."
)]
pub(super) struct Args {
    /// The function
    name: FunctionName,
    /// Which version [default: the one before the newest]
    #[arg(long, value_name = "VERSION")]
    to: Option<NonZeroU32>,
}

/// Rolls back, and says what is the newest version now.
pub(super) async fn run(args: Args, global: &Global) -> Result<(), Failure> {
    let client = global.client()?;
    let path = format!("functions/{}/rollback", args.name);
    let mut request = client.request(Method::POST, &path)?;
    if let Some(version) = args.to {
        request = request.json(&json!({ "version": version }));
    }
    let deployed: Value = client.json(request).await?;
    if global.json {
        return output::json(&deployed);
    }
    let Function { name, version, .. } = Function::read(deployed)?;
    let name = output::one_line(&name);
    output::line(&match args.to {
        Some(wanted) => format!("{name} version {version} (as version {wanted})"),
        None => format!("{name} version {version} (as the one before)"),
    })
}
