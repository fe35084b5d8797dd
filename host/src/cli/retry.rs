//! `skep retry`: runs failed or cancelled jobs again.

use reqwest::Method;

use super::client::Client;
use super::{Global, each, failure::Failure};
use crate::job::JobId;

/// Run failed or cancelled jobs again
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Examples:\n  skep retry 12\n  skep retry 12 13 && skep wait 12 13\n\nA job keeps its id and its earlier attempts, and may take as many as before once more. The exit code is 1 if one waits, runs or has completed. `skep dead requeue` runs many. With --json: {\"id\": \"12\", \"state\": \"queued\"} for each, on a line."
)]
pub(super) struct Args {
    /// The jobs
    #[arg(required = true, value_name = "ID")]
    ids: Vec<JobId>,
}

/// Queues each again, and says so.
pub(super) async fn run(args: Args, global: &Global) -> Result<(), Failure> {
    let retry = |client: &Client, id| client.request(Method::POST, &format!("jobs/{id}/retry"));
    each::ask(&args.ids, global, retry).await
}
