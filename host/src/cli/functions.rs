//! `skep functions`: what is deployed, the limits of each, and its versions.

use std::collections::BTreeMap;

use reqwest::Method;
use serde::Deserialize;
use serde_json::Value;

use super::client::Client;
use super::duration::span;
use super::output::one_line;
use super::table::{Head, Table};
use super::{Global, failure::Failure, output};
use crate::job::{FunctionName, LIMITS, Unit};
use crate::sandbox::FIXED;
use crate::time::now_ms;

/// How much of a component's digest tells it from the others.
const DIGEST_CHARS: usize = 12;

/// List the functions that are deployed, or show one with its limits
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Examples:\n  skep functions\n  skep functions multiply\n  skep functions multiply --versions\n\nWith --json: an object for each function (name, version, component, summary, message_schema, limits, concurrency, deployed_at_ms), or version, on a line."
)]
pub(super) struct Args {
    /// Show only this one, with all its limits
    name: Option<FunctionName>,
    /// Show all versions of it, newest first, to roll back to; also once it is removed
    #[arg(long, requires = "name")]
    versions: bool,
}

/// A function as the server describes it, as far as it is printed.
#[derive(Deserialize)]
pub(super) struct Function {
    pub(super) name: String,
    pub(super) version: u32,
    component: String,
    concurrency: Option<u32>,
    summary: String,
    deployed_at_ms: u64,
}

impl Function {
    /// Reads a function's description.
    pub(super) fn read(value: Value) -> Result<Self, Failure> {
        serde_json::from_value(value).map_err(|error| {
            Failure::failed(format!("the server describes a function oddly: {error}"))
        })
    }

    fn digest(&self) -> String {
        one_line(&self.component)
            .chars()
            .take(DIGEST_CHARS)
            .collect()
    }

    /// How many jobs of it may run at once.
    fn cap(&self) -> String {
        self.concurrency.map_or("-".into(), |n| n.to_string())
    }
}

/// The limits of a function as the server tells them: it may know others than we do.
#[derive(Deserialize)]
struct Bounds {
    limits: BTreeMap<String, u64>,
    default_limits: BTreeMap<String, u64>,
    fixed_limits: BTreeMap<String, u64>,
}

impl Bounds {
    fn read(value: &Value) -> Result<Self, Failure> {
        Self::deserialize(value).map_err(|error| {
            Failure::failed(format!(
                "the server tells a function's limits oddly: {error}"
            ))
        })
    }
}

#[derive(Deserialize)]
struct List {
    functions: Vec<Value>,
}

/// A page of a function's versions.
#[derive(Deserialize)]
struct Versions {
    versions: Vec<Value>,
    next: Option<String>,
}

/// Prints a table, or one JSON document a line.
pub(super) async fn run(args: Args, global: &Global) -> Result<(), Failure> {
    let client = global.client()?;
    match args.name {
        Some(name) if args.versions => return versions(&client, &name, global).await,
        Some(name) => return one(&client, &name, global).await,
        None => {}
    }
    let request = client.request(Method::GET, "functions")?;
    let List { functions } = client.json(request).await?;
    if global.json {
        return output::lines_of_json(&functions);
    }
    if functions.is_empty() {
        output::note("no function is deployed; deploy some with `skep deploy FILE`");
        return Ok(());
    }
    let functions: Result<Vec<_>, _> = functions.into_iter().map(Function::read).collect();
    list(&functions?)
}

fn list(functions: &[Function]) -> Result<(), Failure> {
    let (name, version) = (Head::Text("NAME"), Head::Number("VERSION"));
    let (component, summary) = (Head::Text("COMPONENT"), Head::Text("SUMMARY"));
    // Most namespaces cap none.
    if functions.iter().all(|one| one.concurrency.is_none()) {
        let row = |one: &Function| {
            let summary = one_line(&one.summary);
            [
                one_line(&one.name),
                one.version.to_string(),
                one.digest(),
                summary,
            ]
        };
        let rows: Vec<_> = functions.iter().map(row).collect();
        return Table::new([name, version, component, summary], &[2]).print(&rows);
    }
    let row = |one: &Function| {
        let (name, summary) = (one_line(&one.name), one_line(&one.summary));
        [
            name,
            one.version.to_string(),
            one.cap(),
            one.digest(),
            summary,
        ]
    };
    let rows: Vec<_> = functions.iter().map(row).collect();
    let cap = Head::Number("CONCURRENCY");
    Table::new([name, version, cap, component, summary], &[3, 2]).print(&rows)
}

/// Prints all versions of a function.
async fn versions(client: &Client, name: &FunctionName, global: &Global) -> Result<(), Failure> {
    let heads = [
        Head::Number("VERSION"),
        Head::Text("DEPLOYED"),
        Head::Text("COMPONENT"),
        Head::Number("CONCURRENCY"),
    ];
    let mut table = Table::new(heads, &[]);
    let mut cursor = None;
    loop {
        let request = client.request(Method::GET, &format!("functions/{name}/versions"))?;
        let request = request.query(&cursor.map(|cursor: String| [("cursor", cursor)]));
        let page: Versions = client.json(request).await?;
        if global.json {
            output::lines_of_json(&page.versions)?;
        } else {
            let row = |value| {
                let one = Function::read(value)?;
                let age = span(now_ms().saturating_sub(one.deployed_at_ms));
                Ok([
                    one.version.to_string(),
                    format!("{age} ago"),
                    one.digest(),
                    one.cap(),
                ])
            };
            let rows: Result<Vec<_>, Failure> = page.versions.into_iter().map(row).collect();
            table.print(&rows?)?;
        }
        cursor = page.next;
        if cursor.is_none() {
            return Ok(());
        }
    }
}

/// Prints a function with its limits.
async fn one(client: &Client, name: &FunctionName, global: &Global) -> Result<(), Failure> {
    let request = client.request(Method::GET, &format!("functions/{name}"))?;
    let value: Value = client.json(request).await?;
    if global.json {
        return output::line(&value.to_string());
    }
    let bounds = Bounds::read(&value)?;
    let function = Function::read(value)?;
    let (name, version) = (one_line(&function.name), function.version);
    output::line(&format!("function   {name} version {version}"))?;
    output::line(&format!("summary    {}", one_line(&function.summary)))?;
    output::line(&format!("component  {}\n", one_line(&function.component)))?;
    let (limit, value) = (Head::Text("LIMIT"), Head::Number("VALUE"));
    Table::new([limit, value, Head::Text("DEFAULT")], &[]).print(&bounds.rows())?;
    output::line("\nFIXED, FOR EVERY FUNCTION")?;
    Table::new([limit, value], &[]).print(&bounds.fixed())
}

impl Bounds {
    /// Each limit that can be set, with its default where that differs.
    fn rows(&self) -> Vec<[String; 3]> {
        // In our order those that we know.
        let known = LIMITS.iter().map(|limit| (limit.name, limit.unit));
        let unknown = self.limits.keys().map(|name| (name.as_str(), Unit::Count));
        let unknown = unknown.filter(|(name, _)| LIMITS.iter().all(|limit| limit.name != *name));
        let row = |(name, unit): (&str, Unit)| {
            let value = self.limits.get(name)?;
            let default = self.default_limits.get(name);
            let other = default.filter(|default| *default != value);
            let other = other.map_or_else(String::new, |default| unit.show(*default));
            Some([one_line(name), unit.show(*value), other])
        };
        known.chain(unknown).filter_map(row).collect()
    }

    /// Each limit that nobody can change.
    fn fixed(&self) -> Vec<[String; 2]> {
        let row = |(name, value): (&String, &u64)| {
            let known = FIXED.iter().find(|fixed| fixed.name == name);
            let unit = known.map_or(Unit::Count, |fixed| fixed.unit);
            [one_line(name), unit.show(*value)]
        };
        self.fixed_limits.iter().map(row).collect()
    }
}
