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

/// Rolls back.
pub(super) async fn run(args: Args, global: &Global) -> Result<(), Failure> {
    let read = |value| Function::read(value).map(|function| (function.name, function.version));
    roll_back(&format!("functions/{}", args.name), args.to, global, read).await
}

/// Takes what is at `path` back to a version, and says what is the newest now; `read` has its name
/// and version from the server's answer.
pub(super) async fn roll_back(
    path: &str,
    to: Option<NonZeroU32>,
    global: &Global,
    read: impl FnOnce(Value) -> Result<(String, u32), Failure>,
) -> Result<(), Failure> {
    let client = global.client()?;
    let mut request = client.request(Method::POST, &format!("{path}/rollback"))?;
    if let Some(version) = to {
        request = request.json(&json!({ "version": version }));
    }
    let answer: Value = client.json(request).await?;
    if global.json {
        return output::json(&answer);
    }
    let (name, version) = read(answer)?;
    let name = output::one_line(&name);
    output::line(&match to {
        Some(wanted) => format!("{name} version {version} (as version {wanted})"),
        None => format!("{name} version {version} (as the one before)"),
    })
}
