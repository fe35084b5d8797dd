//! `skep undeploy`: removes functions.

use super::{Global, each, failure::Failure};
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
    each::remove("functions", &args.names, global).await
}
