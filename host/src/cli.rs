//! The command line: one binary, a verb for each thing that people do.
//!
//! Results go to stdout; progress, notes and errors to stderr. The exit code is 0
//! for success, 1 when a job or an operation failed, 2 for a command that makes
//! no sense.
//!
//! Not here: what the verbs do. `serve` and `run` start a [`host`](crate::host);
//! `queue cp`, `queue mv` and `token --store` open stores; the rest talks to a host over HTTP.

mod bench;
mod callbacks;
mod cancel;
mod client;
mod compile;
mod deploy;
mod duration;
mod events;
mod failure;
mod files;
mod follow;
mod functions;
mod get;
mod hosting;
mod limits;
mod lines;
mod logging;
mod logs;
mod message;
mod meter;
mod output;
mod post;
mod queue;
mod result;
mod run;
mod serve;
mod stream;
mod token;
mod trust;
mod wait;
mod worker;

use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Args, Parser, Subcommand};

use crate::job::Namespace;
use client::{Client, Shown};
use failure::Failure;

/// Threads of the runtime: HTTP and terminals need no more, and guests run on
/// threads of their own.
const THREADS: usize = 2;

/// skep: a serverless function host for jobs.
#[derive(Debug, Parser)]
#[command(
    name = "skep",
    version,
    about,
    after_help = "Start with:\n  skep serve &\n  skep deploy multiply.wasm\n  skep post '{\"arg1\": 6, \"arg2\": 3}' --function multiply --wait"
)]
struct Cli {
    #[command(flatten)]
    global: Global,
    #[command(subcommand)]
    verb: Verb,
}

/// The options of every verb.
#[derive(Args, Clone, Debug)]
struct Global {
    /// The server to talk to
    #[arg(
        long,
        env = "SKEP_URL",
        default_value = "http://127.0.0.1:5000",
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
}

impl Global {
    fn client(&self) -> Result<Client, Failure> {
        Client::new(self)
    }

    /// The namespace, where no server decides it.
    fn namespace(&self) -> Namespace {
        self.namespace.clone().unwrap_or_default()
    }
}

#[derive(Debug, Subcommand)]
enum Verb {
    Serve(serve::Args),
    Deploy(deploy::Args),
    Functions(functions::Args),
    Post(post::Args),
    Queue(queue::Args),
    Token(token::Args),
    Wait(wait::Args),
    Get(get::Args),
    Logs(logs::Args),
    Cancel(cancel::Args),
    Result(result::Args),
    Run(run::Args),
    Worker(worker::Args),
    Bench(bench::Args),
    CompileComponent(compile::Args),
}

/// Runs the command that the process was started with.
pub fn main() -> ExitCode {
    let Cli { global, verb } = Cli::parse();
    logging::start(match &verb {
        Verb::Serve(args) => Some(args.log_format()),
        Verb::Worker(args) => Some(args.log_format()),
        _ => None,
    });
    files::allow_many();
    trust::use_ring();
    let done = match verb {
        Verb::Bench(args) => bench::run(&args, &global),
        Verb::Cancel(args) => block_on(cancel::run(args, &global)),
        Verb::CompileComponent(args) => return compile::run(&args),
        Verb::Deploy(args) => block_on(deploy::run(args, &global)),
        Verb::Functions(args) => block_on(functions::run(args, &global)),
        Verb::Get(args) => block_on(get::run(args, &global)),
        Verb::Logs(args) => block_on(logs::run(args, &global)),
        Verb::Post(args) => block_on(post::run(args, &global)),
        Verb::Queue(args) => block_on(queue::run(args, &global)),
        Verb::Result(args) => block_on(result::run(args, &global)),
        Verb::Run(args) => block_on(run::run(args, &global)),
        Verb::Serve(args) => block_on(serve::run(args)),
        Verb::Token(args) => block_on(token::run(args, &global)),
        Verb::Wait(args) => block_on(wait::run(args, &global)),
        Verb::Worker(args) => block_on(worker::run(args)),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => failure.report(),
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
