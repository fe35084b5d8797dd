//! `skep bench`: what skep costs on this machine.

use std::io::Write as _;
use std::path::PathBuf;

use tempfile::NamedTempFile;

use super::hosting::this_binary;
use super::{Global, failure::Failure, message, output};
use crate::bench::{self, BenchOptions, Figure, NOOP};
use crate::job::FunctionName;
use crate::store::StoreUrl;

/// Measure what a job costs on this machine
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Measured are, on real stores and with real sandboxes:\n  an fsync of the disk; the sandbox alone; the store alone\n  jobs that wait in a queue and are run, and what of their CPU goes where\n  the time from a post over HTTP to its result, alone and at half load\n  a file of messages over HTTP (--stream-jobs): rate, CPU and memory of both sides\n  `skep run --jobs`; `skep --help`\n  with --stages: guests that compute, jobs that make jobs, parked jobs\n  with --inferring: jobs that call a model, in batches and without\n  what an idle server holds; thousands of followers, of idle and of slow clients\nIt takes some minutes, and judges nothing.\n\nExamples:\n  skep bench\n  skep bench multiply.wasm --function multiply --msg '{\"arg1\": 6, \"arg2\": 7}' --directory /var/tmp\n  skep bench --stream-jobs 5000000 --json\n  skep bench --store redis://127.0.0.1:6399/0"
)]
pub(super) struct Args {
    /// A component with a cheap function [default: one that does nothing]
    file: Option<PathBuf>,
    /// That function [default: multiply]
    #[arg(long, value_name = "NAME", requires = "file")]
    function: Option<FunctionName>,
    /// A message for it, as JSON text [default: {"arg1": 6, "arg2": 7}]
    #[arg(long, value_name = "JSON", requires = "file")]
    msg: Option<String>,
    /// The component `stages` of skep's sources, to measure jobs that make jobs, too
    #[arg(long, value_name = "FILE")]
    stages: Option<PathBuf>,
    /// The component `infer` of skep's sources, to measure jobs that call models, too
    #[arg(long, value_name = "FILE")]
    inferring: Option<PathBuf>,
    /// How many jobs to drain
    #[arg(long, default_value_t = 300_000)]
    jobs: usize,
    /// How many messages of a file to post over HTTP; 0 leaves that out
    #[arg(long, value_name = "N", default_value_t = 1_000_000)]
    stream_jobs: usize,
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
    let redis = match &args.store {
        None => None,
        Some(StoreUrl::Redis(address)) => Some((**address).clone()),
        Some(StoreUrl::Embedded(_)) => {
            return Err(Failure::usage(
                "the built-in store is measured by default, in a directory of its own: leave --store out, or name a Redis",
            ));
        }
    };
    let (component, own) = match &args.file {
        Some(file) => (file.clone(), None),
        None => {
            let own = noop()?;
            (own.path().to_owned(), Some(own))
        }
    };
    let (function, msg) = match own {
        None => ("multiply", r#"{"arg1": 6, "arg2": 7}"#),
        Some(_) => (NOOP, "null"),
    };
    let function = match &args.function {
        Some(function) => function.clone(),
        None => (function.parse()).map_err(|error| Failure::usage(format!("{error}")))?,
    };
    let message = args.msg.as_deref().unwrap_or(msg).to_owned();
    message::json(&message)?;
    let options = BenchOptions {
        component,
        stages: args.stages.clone(),
        inferring: args.inferring.clone(),
        function,
        message,
        jobs: args.jobs,
        stream_jobs: args.stream_jobs,
        directory: args.directory.clone(),
        binary: this_binary()?,
        redis,
    };
    let mut unread = Ok(());
    let print = |figure: &Figure| {
        let printed = output::line(&format(figure, global.json));
        unread = std::mem::replace(&mut unread, Ok(())).and(printed);
    };
    bench::run(&options, print)?;
    unread
}

/// A file of the component that needs none.
fn noop() -> Result<NamedTempFile, Failure> {
    let bytes = bench::noop()?;
    let made = NamedTempFile::with_suffix(".wasm").and_then(|mut file| {
        file.write_all(&bytes)?;
        Ok(file)
    });
    made.map_err(|error| Failure::failed(format!("cannot write a component: {error}")))
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
