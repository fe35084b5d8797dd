//! `skep queue`: a namespace's queue as a whole.

mod carry;
mod watch;

use std::num::NonZeroU32;

use clap::Subcommand;
use reqwest::Method;
use serde_json::{Value, json};

use super::confirm::confirm;
use super::{Global, failure::Failure, output};
use crate::http::queue_text;
use crate::store::QueueStatus;
use crate::time::now_ms;

/// Look at the queue of a namespace, pause it, empty it, move it
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Examples:\n  skep queue status\n  skep queue pause\n  skep queue mv embedded:old embedded:new\n\nWith --json each prints one object, as the server answers it: {\"paused\": true}."
)]
pub(super) struct Args {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Debug, Subcommand)]
enum Verb {
    /// Show how many jobs wait, run and have ended
    #[command(
        after_help = "Examples:\n  skep queue status\n  skep queue status --watch\n\nWith --json: {\"queued\": 0, \"running\": 1, \"completed\": 7, \"paused\": false, …}"
    )]
    Status(Status),
    /// Let jobs wait: they are accepted, and none is begun
    #[command(after_help = "Example:\n  skep queue pause")]
    Pause,
    /// Go on after a pause
    #[command(after_help = "Example:\n  skep queue resume")]
    Resume,
    /// Let at most so many jobs run at once, on all hosts together
    #[command(
        after_help = "Jobs that run go on, and jobs that wait for others do not count.\n\nExamples:\n  skep queue limit --concurrency 8\n  skep queue limit --concurrency none"
    )]
    Limit(Limit),
    /// Take all running jobs back from their hosts, and from moves that were cut off
    #[command(
        after_help = "For hosts and moves that are gone for good: a job whose host still runs it will run twice, and one that a move has delivered already runs in both stores.\n\nExample:\n  skep queue release"
    )]
    Release,
    /// Start the totals of `queue status` again at 0
    #[command(after_help = "Example:\n  skep queue rezero")]
    Rezero,
    /// Delete all jobs that wait, and start the totals again at 0
    #[command(after_help = "Example:\n  skep queue purge --yes")]
    Purge(Purge),
    /// Copy the waiting jobs of a store to another one, with their functions and models
    #[command(
        after_help = "Copying again doubles nothing. Servers on either directory must be stopped.\n\nExample:\n  skep queue cp embedded:skep-data embedded:/mnt/copy"
    )]
    Cp(carry::Args),
    /// Move the waiting jobs of a store to another one, with their functions and models
    #[command(
        after_help = "If it is cut off, run it again: nothing is lost and nothing doubled. Servers on either directory must be stopped.\n\nExample:\n  skep queue mv embedded:skep-data embedded:/mnt/new"
    )]
    Mv(carry::Args),
}

#[derive(Debug, clap::Args)]
struct Status {
    /// Show it again each second, with rates and the time until the queue is empty, until
    /// Ctrl-C; in a pipe a line each time, with --json an object
    #[arg(long)]
    watch: bool,
}

#[derive(Debug, clap::Args)]
struct Limit {
    /// How many, or `none` for no bound
    #[arg(long, value_name = "N|none", value_parser = concurrency)]
    concurrency: Concurrency,
}

#[derive(Clone, Copy, Debug)]
struct Concurrency(Option<NonZeroU32>);

fn concurrency(given: &str) -> Result<Concurrency, String> {
    if given == "none" {
        return Ok(Concurrency(None));
    }
    let number = given.parse::<NonZeroU32>();
    let number = number.map_err(|error| format!("{error}; give a number from 1, or none"))?;
    Ok(Concurrency(Some(number)))
}

#[derive(Debug, clap::Args)]
struct Purge {
    /// Do not ask
    #[arg(long, short)]
    yes: bool,
}

/// Does it, over HTTP but for `cp` and `mv`.
pub(super) async fn run(args: Args, global: &Global) -> Result<(), Failure> {
    match args.verb {
        Verb::Status(Status { watch: true }) => watch::run(global).await,
        Verb::Status(_) => status(global).await,
        Verb::Pause => {
            let text =
                |_: &Value| "paused; jobs are accepted and wait until `skep queue resume`".into();
            post(global, "pause", text).await
        }
        Verb::Resume => post(global, "resume", |_| "resumed".into()).await,
        Verb::Limit(args) => limit(&args, global).await,
        Verb::Release => {
            let text = |answer: &Value| format!("released {}", jobs(&answer["released"]));
            post(global, "release", text).await
        }
        Verb::Rezero => post(global, "rezero", |_| "the totals are 0".into()).await,
        Verb::Purge(args) => purge(&args, global).await,
        Verb::Cp(args) => carry::copy(args, global).await,
        Verb::Mv(args) => carry::carry(args, global).await,
    }
}

async fn ask_status(global: &Global) -> Result<QueueStatus, Failure> {
    let client = global.client()?;
    client.json(client.request(Method::GET, "queue")?).await
}

async fn status(global: &Global) -> Result<(), Failure> {
    let status = ask_status(global).await?;
    if global.json {
        return output::line(&serde_json::json!(status).to_string());
    }
    if status.moving > 0 {
        output::note(
            "a `skep queue mv` was cut off and holds jobs: run it again, or give them back with `skep queue release`",
        );
    }
    output::line(queue_text(&status, now_ms()).trim_end())
}

/// Posts to a route and prints the answer: as it is, or in words.
async fn post(
    global: &Global,
    route: &str,
    words: impl Fn(&Value) -> String,
) -> Result<(), Failure> {
    let client = global.client()?;
    let request = client.request(Method::POST, &format!("queue/{route}"))?;
    let answer: Value = client.json(request).await?;
    if global.json {
        return output::line(&answer.to_string());
    }
    output::line(&words(&answer))
}

async fn limit(args: &Limit, global: &Global) -> Result<(), Failure> {
    let Concurrency(limit) = args.concurrency;
    let client = global.client()?;
    let request = client.request(Method::PUT, "queue/concurrency")?;
    let answer: Value = client
        .json(request.json(&json!({ "limit": limit })))
        .await?;
    if global.json {
        return output::line(&answer.to_string());
    }
    output::line(&match limit {
        Some(limit) => format!("at most {} at once", jobs(&json!(limit))),
        None => "as many jobs run at once as find a worker".into(),
    })
}

async fn purge(args: &Purge, global: &Global) -> Result<(), Failure> {
    if !args.yes {
        let waiting = ask_status(global).await?.waiting();
        confirm(&format!(
            "delete the {} of {}?",
            match waiting {
                1 => "1 waiting job".to_owned(),
                _ => format!("{waiting} waiting jobs"),
            },
            global.whose()
        ))?;
    }
    let text = |answer: &Value| format!("deleted {}", jobs(&answer["purged"]));
    post(global, "purge", text).await
}

fn jobs(number: &Value) -> String {
    match number.as_u64() {
        Some(1) => "1 job".to_owned(),
        _ => format!("{number} jobs"),
    }
}
