//! `skep bench`: what skep costs on this machine.

use std::path::PathBuf;

use super::hosting::this_binary;
use super::{Global, failure::Failure, message, output};
use crate::bench::{self, BenchOptions, Figure};
use crate::job::FunctionName;
use crate::store::StoreUrl;

/// Measure what a job costs on this machine
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Example:\n  skep bench target/guests/multiply.wasm --jobs 100000 --directory /var/tmp"
)]
pub(super) struct Args {
    /// A component with a cheap function
    file: PathBuf,
    /// That function
    #[arg(long, value_name = "NAME", default_value = "multiply")]
    function: FunctionName,
    /// A message for it, as JSON text
    #[arg(long, value_name = "JSON", default_value = r#"{"arg1": 6, "arg2": 7}"#)]
    msg: String,
    /// The component `stages` of skep's sources, to measure jobs that make jobs, too
    #[arg(long, value_name = "FILE")]
    stages: Option<PathBuf>,
    /// How many jobs to drain
    #[arg(long, default_value_t = 300_000)]
    jobs: usize,
    /// Where to put the stores; their disk is part of what is measured [default: here]
    #[arg(
        long,
        value_name = "DIR",
        default_value = ".",
        hide_default_value = true
    )]
    directory: PathBuf,
    /// Measure on this store instead, a Redis whose database is empty; it is emptied
    /// again in the end
    #[arg(long, value_name = "URL")]
    store: Option<StoreUrl>,
}

/// Measures, and prints each figure as it is known.
pub(super) fn run(args: &Args, global: &Global) -> Result<(), Failure> {
    message::json(&args.msg)?;
    let options = BenchOptions {
        component: args.file.clone(),
        stages: args.stages.clone(),
        function: args.function.clone(),
        message: args.msg.clone(),
        jobs: args.jobs,
        directory: args.directory.clone(),
        binary: this_binary()?,
        redis: match &args.store {
            None => None,
            Some(StoreUrl::Redis(address)) => Some((**address).clone()),
            Some(StoreUrl::Embedded(_)) => {
                return Err(Failure::usage(
                    "the built-in store is measured by default, in a directory of its own: leave --store out, or name a Redis",
                ));
            }
        },
    };
    let mut unread = Ok(());
    let print = |figure: &Figure| {
        let printed = output::line(&format(figure, global.json));
        unread = std::mem::replace(&mut unread, Ok(())).and(printed);
    };
    bench::run(&options, print)?;
    unread
}

fn format(figure: &Figure, as_json: bool) -> String {
    if as_json {
        return serde_json::json!(figure).to_string();
    }
    let value = match figure.value {
        value if value.abs() >= 1000.0 => format!("{value:.0}"),
        value if value.abs() >= 10.0 => format!("{value:.1}"),
        value => format!("{value:.3}"),
    };
    format!("{:<58} {value:>12} {}", figure.name, figure.unit)
}
