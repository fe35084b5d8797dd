//! `skep retry`: runs failed or cancelled jobs again.

use reqwest::Method;
use serde::Deserialize;
use serde_json::json;

use super::failure::{Causes, Failure};
use super::output::one_line;
use super::{Global, output};
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

/// What the server made of it.
#[derive(Deserialize)]
struct Retried {
    id: String,
    state: String,
}

/// Queues each again, and says so.
pub(super) async fn run(args: Args, global: &Global) -> Result<(), Failure> {
    let client = global.client()?;
    let mut causes = Causes::default();
    for id in args.ids {
        let request = client.request(Method::POST, &format!("jobs/{id}/retry"))?;
        if let Some(Retried { id, state }) = causes.take(client.json(request).await)? {
            match global.json {
                true => output::json(&json!({"id": id, "state": state}))?,
                false => output::line(&one_line(&format!("{id} {state}")))?,
            }
        }
    }
    causes.end()
}
