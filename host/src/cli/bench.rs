//! `skep bench`: what skep costs on this machine.

use std::path::PathBuf;

use super::{Global, failure::Failure};
use crate::bench::{self, BenchOptions, Figure};
use crate::job::FunctionName;

/// Measure what a job costs on this machine
#[derive(Debug, clap::Args)]
#[command(after_help = "Example:\n  skep bench target/guests/multiply.wasm --jobs 200000")]
pub(super) struct Args {
    /// A component with a cheap function
    file: PathBuf,
    /// That function
    #[arg(long, default_value = "multiply")]
    function: FunctionName,
    /// A message for it
    #[arg(long, default_value = r#"{"arg1": 6, "arg2": 7}"#)]
    msg: String,
    /// How many jobs to drain
    #[arg(long, default_value_t = 300_000)]
    jobs: usize,
    /// Where to put the stores: their disk is part of what is measured
    #[arg(long, value_name = "DIRECTORY", default_value = ".")]
    directory: PathBuf,
}

/// Measures, and prints a line as each figure is known.
pub(super) fn run(args: Args, global: &Global) -> Result<(), Failure> {
    let failed = |error: anyhow::Error| Failure::failed(format!("{error:#}"));
    let options = BenchOptions {
        component: args.file,
        function: args.function,
        message: args.msg,
        jobs: args.jobs,
        directory: args.directory,
        binary: std::env::current_exe().map_err(|error| failed(error.into()))?,
    };
    // Parts bring runtimes of their own, which must not start inside this one.
    let json = global.json;
    let measured = std::thread::scope(|scope| {
        let measuring = scope.spawn(|| bench::run(&options, |figure| print(figure, json)));
        measuring
            .join()
            .unwrap_or_else(|_| Err(anyhow::anyhow!("the bench panicked")))
    });
    measured.map(drop).map_err(failed)
}

fn print(figure: &Figure, json: bool) {
    let Figure { name, value, unit } = figure;
    if json {
        if let Ok(line) = serde_json::to_string(figure) {
            println!("{line}");
        }
    } else {
        let digits = if *value < 100.0 { 1 } else { 0 };
        println!("{name:<56} {value:>12.digits$} {unit}");
    }
}
