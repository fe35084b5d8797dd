//! `skep result`: what a job gave back.

use std::path::PathBuf;

use super::{Global, failure::Failure, output};
use crate::job::JobId;

/// Print or save the result of a job
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Examples:\n  skep result 12\n  skep result 12 -o thumbnail.png\n\nThe result is printed as the handler gave it, also with --json."
)]
pub(super) struct Args {
    /// The job
    id: JobId,
    /// Write the result to this file
    #[arg(long, short, value_name = "FILE")]
    output: Option<PathBuf>,
}

/// Writes the result to stdout or a file.
pub(super) async fn run(args: Args, global: &Global) -> Result<(), Failure> {
    let result = global.client()?.result(args.id).await?;
    output::result(&format!("job {}", args.id), &result, args.output.as_deref())
}
