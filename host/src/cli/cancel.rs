//! `skep cancel`: stops jobs.

use reqwest::Method;
use serde::Deserialize;
use serde_json::json;

use super::output::{self, plain};
use super::{Global, failure::Failure};
use crate::job::JobId;

/// Stop jobs, and the jobs that they posted
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Examples:\n  skep cancel 12\n  skep cancel 12 13 --tree=false\n\nA job that waits is cancelled at once; one that runs is told, and has a few seconds to\nend by itself: `skep wait` follows it. The exit code is 1 if one had ended before."
)]
pub(super) struct Args {
    /// The jobs
    #[arg(required = true, value_name = "ID")]
    ids: Vec<JobId>,
    /// Whether the jobs that they posted are stopped too
    #[arg(long, value_name = "BOOL", default_value_t = true, action = clap::ArgAction::Set)]
    tree: bool,
}

/// What the server made of it.
#[derive(Deserialize)]
struct Stopped {
    id: String,
    state: String,
}

/// Stops the jobs; prints what became of each.
pub(super) async fn run(args: Args, global: &Global) -> Result<(), Failure> {
    let client = global.client()?;
    let mut causes = Vec::new();
    for id in args.ids {
        let request = client.request(Method::DELETE, &format!("jobs/{id}"))?;
        match client.json(request.query(&[("tree", args.tree)])).await {
            Ok(Stopped { id, state }) if global.json => {
                output::line(&json!({"id": id, "state": state}).to_string())?;
            }
            Ok(Stopped { id, state }) => output::line(&plain(&format!("{id} {state}")))?,
            // The others are still to be stopped.
            Err(Failure::Failed(cause)) => causes.push(cause),
            Err(other) => return Err(other),
        }
    }
    match causes.is_empty() {
        true => Ok(()),
        false => Err(Failure::failed(causes.join("\nerror: "))),
    }
}
