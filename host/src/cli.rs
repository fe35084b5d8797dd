//! The command line: one binary, a verb for each thing that people do.
//!
//! Results go to stdout; progress, notes and errors to stderr. How a command ends is in
//! [`failure`]. What is not on the command line is in `SKEP_*`, or in a file ([`config`]).
//!
//! Not here: what the verbs do. `serve` and `run` start a [`host`](crate::host);
//! `queue cp`, `queue mv` and `token --store` open stores; the rest talks to a host over HTTP.

mod bench;
mod callbacks;
mod cancel;
mod child;
mod client;
mod colors;
mod completions;
mod config;
mod confirm;
mod dead;
mod deploy;
mod doctor;
mod duration;
mod each;
mod engines;
mod events;
mod failure;
mod files;
mod follow;
mod functions;
mod get;
mod hosting;
mod jobs;
mod limits;
mod lines;
mod listing;
mod logging;
mod logs;
mod man;
mod message;
mod meter;
mod models;
mod new;
mod output;
mod place;
mod post;
mod queue;
mod reference;
mod result;
mod retry;
mod rollback;
mod run;
mod serve;
mod stream;
mod table;
mod telemetry;
mod token;
mod trust;
mod undeploy;
mod wait;
mod worker;

use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Args, Parser, Subcommand};

use crate::inference::probe_from_stdin;
use crate::job::Namespace;
use crate::sandbox::compile_from_stdin;
use client::{Client, Shown};
use colors::When;
use failure::Failure;
use logging::Level;

/// Threads of the runtime: HTTP and terminals need no more, and guests run on
/// threads of their own.
const THREADS: usize = 2;

/// The server that is talked to unless another is named: where `skep serve` listens.
const DEFAULT_URL: &str = "http://127.0.0.1:5000";

/// Help is not wider than this: longer lines are hard to read.
const MAX_HELP_COLUMNS: usize = 100;

/// skep: a serverless function host for jobs.
#[derive(Debug, Parser)]
#[command(
    name = "skep",
    version,
    about,
    max_term_width = MAX_HELP_COLUMNS,
    after_help = "Start with:\n  skep serve &\n  skep deploy multiply.wasm\n  skep post '{\"arg1\": 6, \"arg2\": 3}' --function multiply --wait\n\nExit codes: 0 done, 1 a job or an operation failed, 2 the command makes no sense, 3 the server or the store is away or too busy, 130 Ctrl-C, 141 nobody reads the output."
)]
struct Cli {
    #[command(flatten)]
    global: Global,
    #[command(subcommand)]
    verb: Verb,
}

/// The options of every verb.
#[derive(Args, Clone, Debug)]
#[command(next_help_heading = "Options of all verbs")]
struct Global {
    /// The server to talk to
    #[arg(
        long,
        env = "SKEP_URL",
        default_value = DEFAULT_URL,
        global = true
    )]
    url: String,
    /// The tenant whose jobs and functions are meant [default: the token's, or `default`]
    #[arg(long, env = "SKEP_NAMESPACE", global = true)]
    namespace: Option<Namespace>,
    /// The access token to show to the server; put it into SKEP_TOKEN, where `ps` does
    /// not show it
    #[arg(
        long,
        value_name = "TOKEN",
        env = "SKEP_TOKEN",
        hide_env_values = true,
        global = true
    )]
    token: Option<Shown>,
    /// Certificates, in PEM, to trust beside the system's
    #[arg(long, env = "SKEP_CA", value_name = "FILE", global = true)]
    ca: Option<PathBuf>,
    /// Answer in JSON, for programs
    #[arg(long, global = true)]
    json: bool,
    /// Color what is shown; NO_COLOR=1 is `never`
    #[arg(long, value_name = "WHEN", value_enum, default_value_t, global = true)]
    color: When,
    /// Options are also read from this file [default: skep.toml here, else
    /// ~/.config/skep/skep.toml]
    #[arg(long, env = "SKEP_CONFIG", value_name = "FILE", global = true)]
    config: Option<PathBuf>,
}

impl Global {
    fn client(&self) -> Result<Client, Failure> {
        Client::new(self)
    }

    /// Whose jobs these are, for people.
    fn whose(&self) -> String {
        match (&self.namespace, &self.token) {
            // Only the server knows which that is.
            (None, Some(_)) => "the token's namespace".to_owned(),
            _ => format!("namespace {}", self.namespace()),
        }
    }

    /// The namespace, where no server decides it.
    fn namespace(&self) -> Namespace {
        self.namespace.clone().unwrap_or_default()
    }
}

// In the order in which people meet them.
#[derive(Debug, Subcommand)]
enum Verb {
    Serve(serve::Args),
    Worker(worker::Args),
    New(new::Args),
    Deploy(deploy::Args),
    Functions(functions::Args),
    Undeploy(undeploy::Args),
    Rollback(rollback::Args),
    Models(models::Args),
    Post(post::Args),
    Wait(wait::Args),
    Get(get::Args),
    Result(result::Args),
    Logs(logs::Args),
    Jobs(jobs::Args),
    Cancel(cancel::Args),
    Retry(retry::Args),
    Dead(dead::Args),
    Queue(queue::Args),
    Token(token::Args),
    Run(run::Args),
    Bench(bench::Args),
    Doctor(doctor::Args),
    Completions(completions::Args),
    Man(man::Args),
    Reference(reference::Args),
    /// Compile a component from stdin to stdout, in a process with bounds
    #[command(hide = true)]
    CompileComponent(child::Args),
    /// Look at the model on stdin, in a process with bounds
    #[command(hide = true)]
    ProbeModel(child::Args),
}

/// Runs the command that the process was started with.
pub fn main() -> ExitCode {
    let Cli { global, verb } = match config::parse() {
        Ok(Ok(cli)) => cli,
        Ok(Err(error)) => return answer(&error),
        Err(failure) => return failure.report(),
    };
    // Before there are threads.
    let opens_onnxruntime = match &verb {
        Verb::Serve(args) => args.engines().name_onnxruntime(),
        Verb::Worker(args) => args.engines().name_onnxruntime(),
        Verb::Run(args) => args.engines.name_onnxruntime(),
        Verb::Doctor(args) => args.engines.name_onnxruntime(),
        Verb::Bench(_) => std::env::var_os("ORT_DYLIB_PATH").is_some(),
        _ => false,
    };
    if opens_onnxruntime && let Err(failure) = telemetry::off() {
        return failure.report();
    }
    colors::choose(global.color);
    logging::start(match &verb {
        Verb::Serve(args) => Level::Server(args.log_format()),
        Verb::Worker(args) => Level::Server(args.log_format()),
        // It finds out by itself, and says it better.
        Verb::Doctor(_) => Level::Nothing,
        _ => Level::Warnings,
    });
    files::allow_many();
    trust::use_ring();
    let done = match verb {
        Verb::Bench(args) => bench::run(&args, &global),
        Verb::Cancel(args) => block_on(cancel::run(args, &global)),
        Verb::CompileComponent(args) => return child::run(&args, compile_from_stdin),
        Verb::ProbeModel(args) => return child::run(&args, probe_from_stdin),
        Verb::Completions(args) => completions::run(&args),
        Verb::Dead(args) => block_on(dead::run(args, &global)),
        Verb::Deploy(args) => block_on(deploy::run(args, &global)),
        Verb::Doctor(args) => block_on(doctor::run(args, &global)),
        Verb::Functions(args) => block_on(functions::run(args, &global)),
        Verb::Get(args) => block_on(get::run(args, &global)),
        Verb::Jobs(args) => block_on(jobs::run(args, &global)),
        Verb::Logs(args) => block_on(logs::run(args, &global)),
        Verb::Man(args) => man::run(&args),
        Verb::Models(args) => block_on(models::run(args, &global)),
        Verb::New(args) => new::run(&args, &global),
        Verb::Post(args) => block_on(post::run(args, &global)),
        Verb::Queue(args) => block_on(queue::run(args, &global)),
        Verb::Reference(_) => reference::run(),
        Verb::Result(args) => block_on(result::run(args, &global)),
        Verb::Retry(args) => block_on(retry::run(args, &global)),
        Verb::Rollback(args) => block_on(rollback::run(args, &global)),
        Verb::Run(args) => block_on(run::run(args, &global)),
        Verb::Serve(args) => block_on(serve::run(args)),
        Verb::Token(args) => block_on(token::run(args, &global)),
        Verb::Undeploy(args) => block_on(undeploy::run(args, &global)),
        Verb::Wait(args) => block_on(wait::run(args, &global)),
        Verb::Worker(args) => block_on(worker::run(args)),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => failure.report(),
    }
}

/// What clap answers by itself: help, the version, or what makes no sense.
fn answer(error: &clap::Error) -> ExitCode {
    match error.print() {
        Err(unwritten) if !error.use_stderr() => output::unwritten(&unwritten).report(),
        _ => ExitCode::from(u8::try_from(error.exit_code()).unwrap_or(2)),
    }
}

/// Runs a verb to its end on a runtime of its own.
fn block_on(verb: impl Future<Output = Result<(), Failure>>) -> Result<(), Failure> {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(THREADS)
        .thread_name("skep-io")
        .enable_all()
        .build()
        .map_err(|error| Failure::failed(format!("cannot start threads: {error}")))?;
    runtime.block_on(Box::pin(verb))
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;

    use super::*;

    #[test]
    fn the_command_line_is_sound_and_every_verb_shows_an_example() {
        let mut command = Cli::command();
        command.build();
        command.clone().debug_assert();
        let mut verbs: Vec<_> = command.get_subcommands().collect();
        while let Some(verb) = verbs.pop() {
            if verb.get_name() == "help" || verb.is_hide_set() {
                continue;
            }
            let help = verb.get_after_help().map(ToString::to_string);
            assert!(
                help.is_some_and(|help| help.contains("skep ")),
                "{}",
                verb.get_name()
            );
            verbs.extend(verb.get_subcommands());
        }
    }
}
