//! `skep cancel`: stops jobs.

use reqwest::Method;
use serde::Deserialize;
use serde_json::json;

use super::failure::{Causes, Failure};
use super::output::one_line;
use super::{Global, output};
use crate::job::JobId;

/// Stop jobs, and the jobs that they posted
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Examples:\n  skep cancel 12\n  skep cancel 12 13 --tree=false\n\nA job that waits is cancelled at once; one that runs is told, and has a few seconds to end by itself: `skep wait` follows it. The exit code is 1 if one had ended before. With --json: {\"id\": \"12\", \"state\": \"cancelled\"} for each, on a line."
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
    let mut causes = Causes::default();
    for id in args.ids {
        let request = client.request(Method::DELETE, &format!("jobs/{id}"))?;
        let stopped = client.json(request.query(&[("tree", args.tree)])).await;
        if let Some(Stopped { id, state }) = causes.take(stopped)? {
            match global.json {
                true => output::json(&json!({"id": id, "state": state}))?,
                false => output::line(&one_line(&format!("{id} {state}")))?,
            }
        }
    }
    causes.end()
}
