//! `skep dead`: the jobs that failed for good.

use clap::Subcommand;
use reqwest::Method;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

use super::client::Client;
use super::confirm::confirm;
use super::listing::{self, Columns, Filter, Listing, Summary, ago};
use super::output::one_line;
use super::table::{Head, Table};
use super::{Global, failure::Failure, output};
use crate::job::JobId;

/// Look at the jobs that failed, run them again, delete them
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Examples:\n  skep dead causes\n  skep dead list --cause trap\n  skep dead requeue --function thumbnail\n  skep dead purge --cause invalid"
)]
pub(super) struct Args {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Debug, Subcommand)]
enum Verb {
    /// List failed jobs, newest first
    #[command(
        after_help = "Examples:\n  skep dead list\n  skep dead list --text 'no such file' --since 1d --json\n\nWith --json: an object for each job on a line, as `skep jobs --json` has them."
    )]
    List(Listing),
    /// Count failed jobs by function and cause
    #[command(
        after_help = "Example:\n  skep dead causes\n\nWith --json: {\"causes\": [{\"function\", \"cause\", \"count\", \"newest_id\", \"newest_at_ms\", \"example\"}], \"complete\": true}. `complete` is false if there are more failed jobs than the server looks at for this."
    )]
    Causes,
    /// Run failed jobs again
    #[command(
        after_help = "Examples:\n  skep dead requeue 12 13\n  skep dead requeue --function thumbnail --cause timed-out\n  skep dead requeue\n\nWithout ids and filters: all of them. They keep their ids and their earlier attempts. With --json: {\"requeued\": 2}."
    )]
    Requeue(Chosen),
    /// Delete failed jobs: their records, results, logs and idempotency keys
    #[command(
        after_help = "Examples:\n  skep dead purge 12 13\n  skep dead purge --cause invalid --yes\n\nWithout ids and filters: all of them. Asks before it deletes, unless --yes is given. With --json: {\"deleted\": 2}."
    )]
    Purge(Purge),
}

/// Some of the failed jobs.
#[derive(Debug, clap::Args)]
struct Chosen {
    /// Only these jobs
    #[arg(value_name = "ID")]
    ids: Vec<JobId>,
    #[command(flatten)]
    filter: Filter,
}

#[derive(Debug, clap::Args)]
struct Purge {
    #[command(flatten)]
    chosen: Chosen,
    /// Do not ask
    #[arg(long, short)]
    yes: bool,
}

const COLUMNS: Columns = Columns {
    heads: [
        Head::Number("ID"),
        Head::Text("FUNCTION"),
        Head::Text("POSTED"),
        Head::Text("ENDED"),
        Head::Text("CAUSE"),
    ],
    spare: &[2, 1, 3],
    row,
    none: "there are no such failed jobs",
};

fn row(job: &Summary) -> [String; 5] {
    [
        job.id(),
        job.functions(),
        job.posted(),
        job.ended(),
        job.outcome(),
    ]
}

/// The answer of `GET /dead/causes`.
#[derive(Deserialize)]
struct Causes {
    causes: Vec<Group>,
    complete: bool,
}

/// Failed jobs that failed alike.
#[derive(Deserialize)]
struct Group {
    function: Option<String>,
    cause: String,
    count: u64,
    newest_id: String,
    newest_at_ms: u64,
    example: String,
}

/// Does it.
pub(super) async fn run(args: Args, global: &Global) -> Result<(), Failure> {
    match args.verb {
        Verb::List(listing) => listing::list("dead", None, &listing, &COLUMNS, global).await,
        Verb::Causes => causes(global).await,
        Verb::Requeue(chosen) => requeue(&chosen, global).await,
        Verb::Purge(args) => purge(&args, global).await,
    }
}

async fn causes(global: &Global) -> Result<(), Failure> {
    let client = global.client()?;
    let answer: Value = client
        .json(client.request(Method::GET, "dead/causes")?)
        .await?;
    if global.json {
        return output::json(&answer);
    }
    let Causes { causes, complete } = Causes::deserialize(answer)
        .map_err(|error| Failure::failed(format!("the server describes causes oddly: {error}")))?;
    if causes.is_empty() {
        output::note("no job has failed");
        return Ok(());
    }
    let row = |group: Group| {
        let function = group.function.unwrap_or_else(|| "-".to_owned());
        let newest = format!("{}, {}", group.newest_id, ago(group.newest_at_ms));
        let example = group.example.lines().next().unwrap_or_default().to_owned();
        let cells = [
            group.count.to_string(),
            function,
            group.cause,
            newest,
            example,
        ];
        cells.map(|cell| one_line(&cell))
    };
    let rows: Vec<_> = causes.into_iter().map(row).collect();
    let (count, newest) = (Head::Number("JOBS"), Head::Text("NEWEST"));
    let (function, cause) = (Head::Text("FUNCTION"), Head::Text("CAUSE"));
    Table::new(
        [count, function, cause, newest, Head::Text("EXAMPLE")],
        &[3, 4, 1],
    )
    .print(&rows)?;
    if !complete {
        output::note("there are more failed jobs than these: the server looked at the newest");
    }
    Ok(())
}

/// What a round of a request did, and where the next one begins.
#[derive(Deserialize)]
struct Round {
    #[serde(alias = "requeued", alias = "deleted")]
    done: u64,
    next: Option<String>,
}

async fn requeue(chosen: &Chosen, global: &Global) -> Result<(), Failure> {
    let client = global.client()?;
    let mut done = 0;
    let mut cursor = None;
    loop {
        let mut wanted: Map<_, _> = chosen.filter.query().into_iter().map(member).collect();
        if !chosen.ids.is_empty() {
            wanted.insert("ids".to_owned(), json!(chosen.ids));
        }
        wanted.extend(cursor.map(|cursor| member(("cursor", cursor))));
        let request = client.request(Method::POST, "dead/requeue")?.json(&wanted);
        let round: Round = told(client.json(request).await, "requeued", done)?;
        done += round.done;
        cursor = round.next;
        if cursor.is_none() {
            return report("requeued", done, global);
        }
    }
}

fn member<T: Serialize>((name, value): (&str, T)) -> (String, Value) {
    (name.to_owned(), json!(value))
}

async fn purge(args: &Purge, global: &Global) -> Result<(), Failure> {
    let client = global.client()?;
    let Purge { chosen, yes } = args;
    if !yes {
        let whose = global.whose();
        confirm(&match (chosen.ids.len(), chosen.filter.is_none()) {
            (0, true) => format!("delete the {}of {whose}?", all(&client).await?),
            (0, false) => format!("delete the failed jobs of {whose} that these filters choose?"),
            (1, _) => format!("delete 1 failed job of {whose}?"),
            (ids, _) => format!("delete {ids} failed jobs of {whose}?"),
        })?;
    }
    let mut query = chosen.filter.query();
    if !chosen.ids.is_empty() {
        let ids: Vec<_> = chosen.ids.iter().map(ToString::to_string).collect();
        query.push(("ids", ids.join(",")));
    }
    let mut done = 0;
    let mut cursor: Option<String> = None;
    loop {
        let request = client.request(Method::DELETE, "dead")?.query(&query);
        let request = request.query(&cursor.map(|cursor| [("cursor", cursor)]));
        let round: Round = told(client.json(request).await, "deleted", done)?;
        done += round.done;
        cursor = round.next;
        if cursor.is_none() {
            return report("deleted", done, global);
        }
    }
}

/// How many failed jobs there are, if that is known.
async fn all(client: &Client) -> Result<String, Failure> {
    let answer: Causes = client
        .json(client.request(Method::GET, "dead/causes")?)
        .await?;
    let count: u64 = answer.causes.iter().map(|group| group.count).sum();
    Ok(match answer.complete {
        true if count == 1 => "1 failed job ".to_owned(),
        true => format!("{count} failed jobs "),
        false => format!("failed jobs, more than {count}, "),
    })
}

/// A failure of a later round says what the earlier ones did.
fn told<T>(done: Result<T, Failure>, verb: &str, before: u64) -> Result<T, Failure> {
    done.map_err(|failure| match before {
        0 => failure,
        _ => failure.and(&format!("{before} jobs were {verb} before")),
    })
}

fn report(verb: &str, done: u64, global: &Global) -> Result<(), Failure> {
    if global.json {
        return output::json(&Value::Object(Map::from_iter([member((verb, done))])));
    }
    let jobs = if done == 1 { "job" } else { "jobs" };
    output::line(&format!("{verb} {done} {jobs}"))
}
