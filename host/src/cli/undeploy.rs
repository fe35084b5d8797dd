//! `skep undeploy`: removes functions.

use reqwest::Method;
use serde_json::json;

use super::failure::{Causes, Failure};
use super::{Global, output};
use crate::job::FunctionName;

/// Remove functions
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Examples:\n  skep undeploy divide\n  skep undeploy multiply divide\n\nJobs that run go on; jobs that wait fail when their turn comes, with the cause no-such-function. The versions are kept: `skep rollback NAME --to N` brings one back. With --json: {\"name\": \"divide\", \"removed\": true} for each, on a line."
)]
pub(super) struct Args {
    /// The functions
    #[arg(required = true, value_name = "NAME")]
    names: Vec<FunctionName>,
}

/// Removes each, and says so.
pub(super) async fn run(args: Args, global: &Global) -> Result<(), Failure> {
    let client = global.client()?;
    let mut causes = Causes::default();
    for name in args.names {
        let request = client.request(Method::DELETE, &format!("functions/{name}"))?;
        if causes.take(client.send(request).await)?.is_some() {
            match global.json {
                true => output::json(&json!({"name": name, "removed": true}))?,
                false => output::line(&format!("removed {name}"))?,
            }
        }
    }
    causes.end()
}
