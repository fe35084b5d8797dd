//! `skep functions`: what is deployed.

use reqwest::Method;
use serde::Deserialize;
use serde_json::Value;

use super::output::plain;
use super::{Global, failure::Failure, output};

/// How much of a component's digest tells it from the others.
const DIGEST_CHARS: usize = 12;

/// List the functions that are deployed
#[derive(Debug, clap::Args)]
#[command(after_help = "Example:\n  skep functions --json")]
pub(super) struct Args {}

/// A function as the server describes it, as far as it is printed.
#[derive(Deserialize)]
pub(super) struct Function {
    pub(super) name: String,
    pub(super) version: u32,
    component: String,
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

#[derive(Deserialize)]
struct List {
    functions: Vec<Value>,
}

/// Prints a table, or one JSON document a line.
pub(super) async fn run(Args {}: Args, global: &Global) -> Result<(), Failure> {
    let client = global.client()?;
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

fn table(functions: &[Function]) -> Vec<String> {
    let widest = functions.iter().map(|function| function.name.len()).max();
    let width = widest.unwrap_or_default().max("NAME".len());
    let header = format!(
        "{:width$}  VERSION  {:DIGEST_CHARS$}  SUMMARY",
        "NAME", "COMPONENT"
    );
    let rows = functions.iter().map(|function| {
        let digest: String = function.component.chars().take(DIGEST_CHARS).collect();
        let summary = plain(&function.summary).replace('\n', " ");
        let row = format!(
            "{:width$}  {:7}  {digest}  {summary}",
            function.name, function.version
        );
        row.trim_end().to_owned()
    });
    std::iter::once(header).chain(rows).collect()
}
