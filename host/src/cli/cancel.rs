//! `skep cancel`: stops jobs.

use reqwest::Method;

use super::client::Client;
use super::{Global, each, failure::Failure};
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

/// Stops the jobs; prints what became of each.
pub(super) async fn run(args: Args, global: &Global) -> Result<(), Failure> {
    let cancel = |client: &Client, id| {
        let request = client.request(Method::DELETE, &format!("jobs/{id}"))?;
        Ok(request.query(&[("tree", args.tree)]))
    };
    each::ask(&args.ids, global, cancel).await
}
