//! `skep wait`: follows jobs to their end.

use futures_util::StreamExt as _;
use futures_util::stream;
use serde_json::json;

use super::failure::{Causes, Failure};
use super::follow::{Display, verdict, word};
use super::output::one_line;
use super::{Global, output};
use crate::following::Standing;
use crate::job::JobId;

/// How many jobs are followed at once; each costs a connection. The others may end
/// meanwhile.
const AT_ONCE: usize = 16;

/// Follow jobs to their end
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Examples:\n  skep wait 12\n  skep wait 12 13 14 && echo all completed\n\nThe exit code is 1 if any of them failed or was cancelled. With --json, prints the record of each job on a line."
)]
pub(super) struct Args {
    /// The jobs
    #[arg(required = true, value_name = "ID")]
    ids: Vec<JobId>,
}

/// Follows the jobs; prints each as it ends.
pub(super) async fn run(args: Args, global: &Global) -> Result<(), Failure> {
    let client = global.client()?;
    let display = Display::new(args.ids.len());
    let order = args.ids.clone();
    let follow = |id| display.follow(&client, id);
    let mut ends = stream::iter(args.ids).map(follow).buffer_unordered(AT_ONCE);
    let mut causes = Causes::default();
    let mut ended = Vec::new();
    while let Some(end) = ends.next().await {
        if let Some(end) = causes.take(end)? {
            causes.take(verdict(&end))?;
            ended.push(end);
        }
    }
    ended.sort_by_key(|end| order.iter().position(|id| *id == end.id));
    // Printed last, so that bars and lines do not mix.
    for end in &ended {
        match global.json {
            true => output::line(&json!(client.record(end.id).await?).to_string())?,
            false => print(end)?,
        }
    }
    causes.end()
}

fn print(end: &Standing) -> Result<(), Failure> {
    let short_result = end.short_result.as_deref().unwrap_or_default();
    let text = format!("{} {} {}", end.id, word(end.state), one_line(short_result));
    output::line(text.trim_end())
}
