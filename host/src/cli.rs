//! The command line: one binary, a verb for each thing that people do.
//!
//! Results go to stdout; progress, notes and errors to stderr. The exit code is 0
//! for success, 1 when a job or an operation failed, 2 for a command that makes
//! no sense.
//!
//! Not here: what the verbs do. `serve` and `run` start a [`host`](crate::host);
//! the rest talks to one over HTTP.

mod bench;
mod client;
mod compile;
mod deploy;
mod duration;
mod failure;
mod follow;
mod functions;
mod get;
mod logging;
mod message;
mod output;
mod post;
mod result;
mod run;
mod serve;
mod wait;

use std::process::ExitCode;

use clap::{Args, Parser, Subcommand};

use crate::job::Namespace;
use client::Client;
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
    /// The tenant whose jobs and functions are meant
    #[arg(long, env = "SKEP_NAMESPACE", default_value = "default", global = true)]
    namespace: Namespace,
    /// Answer in JSON, for programs
    #[arg(long, global = true)]
    json: bool,
}

impl Global {
    fn client(&self) -> Result<Client, Failure> {
        Client::new(&self.url, &self.namespace)
    }
}

#[derive(Debug, Subcommand)]
enum Verb {
    Serve(serve::Args),
    Deploy(deploy::Args),
    Functions(functions::Args),
    Post(post::Args),
    Wait(wait::Args),
    Get(get::Args),
    Result(result::Args),
    Run(run::Args),
    Bench(bench::Args),
    CompileComponent(compile::Args),
}

impl Verb {
    async fn run(self, global: &Global) -> Result<(), Failure> {
        match self {
            Self::Serve(args) => serve::run(args).await,
            Self::Deploy(args) => deploy::run(args, global).await,
            Self::Functions(args) => functions::run(args, global).await,
            Self::Post(args) => post::run(args, global).await,
            Self::Wait(args) => wait::run(args, global).await,
            Self::Get(args) => get::run(args, global).await,
            Self::Result(args) => result::run(args, global).await,
            Self::Run(args) => run::run(args, global).await,
            Self::Bench(args) => bench::run(args, global),
            Self::CompileComponent(args) => compile::run(&args),
        }
    }
}

/// Runs the command that the process was started with.
pub fn main() -> ExitCode {
    let Cli { global, verb } = Cli::parse();
    logging::start(matches!(verb, Verb::Serve(_)));
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(THREADS)
        .thread_name("skep-io")
        .enable_all()
        .build();
    let runtime = match runtime {
        Ok(runtime) => runtime,
        Err(error) => return Failure::failed(format!("no threads to be had: {error}")).report(),
    };
    match runtime.block_on(Box::pin(verb.run(&global))) {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => failure.report(),
    }
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
        for verb in command
            .get_subcommands()
            .filter(|verb| verb.get_name() != "help" && !verb.is_hide_set())
        {
            let help = verb.get_after_help().map(ToString::to_string);
            assert!(
                help.is_some_and(|help| help.contains("skep ")),
                "{}",
                verb.get_name()
            );
        }
    }
}
