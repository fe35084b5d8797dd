//! `skep jobs`: the jobs of a namespace.

use clap::builder::PossibleValuesParser;

use super::listing::{self, Columns, Listing, Summary};
use super::table::Head;
use super::{Global, failure::Failure};

/// The states of a job, in the order of its life.
const STATES: [&str; 7] = [
    "queued",
    "scheduled",
    "running",
    "parked",
    "completed",
    "failed",
    "cancelled",
];

/// List jobs, newest first
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Examples:\n  skep jobs\n  skep jobs --state running,parked\n  skep jobs --function multiply --since 1h --limit 1000\n  skep jobs --all --json | jq -r 'select(.attempt > 1) | .id'\n\nThe filters given must all hold. With --json: an object for each job on a line (id, state, functions, priority, posted_at_ms, attempt, short_result, cause, …), as `skep get` has them; with --all they are printed while they come, however many they are."
)]
pub(super) struct Args {
    /// Only jobs in these states; several with commas
    #[arg(long, value_name = "STATES", value_delimiter = ',', value_parser = PossibleValuesParser::new(STATES))]
    state: Vec<String>,
    #[command(flatten)]
    listing: Listing,
}

const COLUMNS: Columns = Columns {
    heads: [
        Head::Number("ID"),
        Head::Text("STATE"),
        Head::Text("FUNCTION"),
        Head::Text("POSTED"),
        Head::Text("RESULT"),
    ],
    spare: &[3, 2],
    row,
    none: "there are no such jobs",
};

fn row(job: &Summary) -> [String; 5] {
    [
        job.id(),
        job.state(),
        job.functions(),
        job.posted(),
        job.outcome(),
    ]
}

/// Prints a table, or lines of JSON.
pub(super) async fn run(args: Args, global: &Global) -> Result<(), Failure> {
    let states = (!args.state.is_empty()).then(|| args.state.join(","));
    listing::list("jobs", states, &args.listing, &COLUMNS, global).await
}
