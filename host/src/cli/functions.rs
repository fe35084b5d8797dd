//! `skep functions`: what is deployed, and the limits of each.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use reqwest::Method;
use serde::Deserialize;
use serde_json::Value;

use super::output::one_line;
use super::{Global, failure::Failure, output};
use crate::job::{FunctionName, LIMITS, Unit};
use crate::sandbox::FIXED;

/// How much of a component's digest tells it from the others.
const DIGEST_CHARS: usize = 12;

/// List the functions that are deployed, or show one with its limits
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:\n  skep functions --json\n  skep functions multiply")]
pub(super) struct Args {
    /// Show only this one, with all its limits
    name: Option<FunctionName>,
}

/// A function as the server describes it, as far as it is printed.
#[derive(Deserialize)]
pub(super) struct Function {
    pub(super) name: String,
    pub(super) version: u32,
    component: String,
    concurrency: Option<u32>,
    summary: String,
}

impl Function {
    /// Reads a function's description.
    pub(super) fn read(value: Value) -> Result<Self, Failure> {
        serde_json::from_value(value).map_err(|error| {
            Failure::failed(format!("the server describes a function oddly: {error}"))
        })
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

/// Prints a table, or one JSON document a line.
pub(super) async fn run(args: Args, global: &Global) -> Result<(), Failure> {
    let client = global.client()?;
    if let Some(name) = args.name {
        let request = client.request(Method::GET, &format!("functions/{name}"))?;
        let function: Value = client.json(request).await?;
        if global.json {
            return output::line(&function.to_string());
        }
        let limits = Bounds::read(&function)?;
        return output::line(describe(&Function::read(function)?, &limits).trim_end());
    }
    let request = client.request(Method::GET, "functions")?;
    let List { functions } = client.json(request).await?;
    if global.json {
        return functions
            .iter()
            .try_for_each(|function| output::line(&function.to_string()));
    }
    if functions.is_empty() {
        output::note("no function is deployed; deploy some with `skep deploy FILE`");
        return Ok(());
    }
    let functions: Result<Vec<_>, _> = functions.into_iter().map(Function::read).collect();
    for line in table(&functions?) {
        output::line(&line)?;
    }
    Ok(())
}

/// A function with its limits, for people. Writing to a String cannot fail.
fn describe(function: &Function, bounds: &Bounds) -> String {
    let mut text = String::new();
    let summary = one_line(&function.summary);
    let _ = writeln!(
        text,
        "function   {} version {}",
        function.name, function.version
    );
    let _ = writeln!(text, "summary    {summary}");
    let _ = writeln!(text, "component  {}\n", one_line(&function.component));
    let _ = writeln!(text, "{:24} {:>16}  DEFAULT", "LIMIT", "VALUE");
    // In our order those that we know.
    let known = LIMITS.iter().map(|limit| (limit.name, limit.unit));
    let unknown = bounds
        .limits
        .keys()
        .map(|name| (name.as_str(), Unit::Count));
    let unknown = unknown.filter(|(name, _)| LIMITS.iter().all(|limit| limit.name != *name));
    for (name, unit) in known.chain(unknown) {
        let Some(value) = bounds.limits.get(name) else {
            continue;
        };
        let default = bounds.default_limits.get(name);
        let other = default.filter(|default| *default != value);
        let other = other.map_or_else(String::new, |default| unit.show(*default));
        let row = format!("{:24} {:>16}  {other}", one_line(name), unit.show(*value));
        let _ = writeln!(text, "{}", row.trim_end());
    }
    let _ = writeln!(text, "\nFIXED, FOR EVERY FUNCTION");
    for (name, value) in &bounds.fixed_limits {
        let known = FIXED.iter().find(|fixed| fixed.name == name);
        let unit = known.map_or(Unit::Count, |fixed| fixed.unit);
        let _ = writeln!(text, "{:24} {:>16}", one_line(name), unit.show(*value));
    }
    text
}

fn table(functions: &[Function]) -> Vec<String> {
    let widest = functions.iter().map(|function| function.name.len()).max();
    let width = widest.unwrap_or_default().max("NAME".len());
    // Most namespaces cap none.
    let is_capped = functions.iter().any(|one| one.concurrency.is_some());
    let cap = |text: &str| match is_capped {
        true => format!("  {text:11}"),
        false => String::new(),
    };
    let header = format!(
        "{:width$}  VERSION{}  {:DIGEST_CHARS$}  SUMMARY",
        "NAME",
        cap("CONCURRENCY"),
        "COMPONENT"
    );
    let rows = functions.iter().map(|function| {
        let digest: String = function.component.chars().take(DIGEST_CHARS).collect();
        let summary = one_line(&function.summary);
        let concurrency = function.concurrency.map_or("-".into(), |n| n.to_string());
        let row = format!(
            "{:width$}  {:7}{}  {digest}  {summary}",
            function.name,
            function.version,
            cap(&concurrency)
        );
        row.trim_end().to_owned()
    });
    std::iter::once(header).chain(rows).collect()
}
