//! `skep models remove`.

use reqwest::Method;
use serde_json::json;

use super::super::failure::{Causes, Failure};
use super::super::{Global, output};
use crate::job::ModelName;

/// Remove models, with all their versions
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Examples:\n  skep models remove iris\n  skep models remove iris magika\n\nCalls that run go on; later ones find no such model. Nothing of it can be brought back. With --json: {\"name\": \"iris\", \"removed\": true} for each, on a line."
)]
pub(super) struct Args {
    /// The models
    #[arg(required = true, value_name = "NAME")]
    names: Vec<ModelName>,
}

/// Removes each, and says so.
pub(super) async fn run(args: Args, global: &Global) -> Result<(), Failure> {
    let client = global.client()?;
    let mut causes = Causes::default();
    for name in args.names {
        let request = client.request(Method::DELETE, &format!("models/{name}"))?;
        if causes.take(client.send(request).await)?.is_some() {
            match global.json {
                true => output::json(&json!({"name": name, "removed": true}))?,
                false => output::line(&format!("removed {name}"))?,
            }
        }
    }
    causes.end()
}
