//! `skep models list`.

use reqwest::Method;
use serde::Deserialize;
use serde_json::Value;

use super::super::duration::span;
use super::super::output::{self, one_line};
use super::super::table::{Head, Table};
use super::super::{Global, failure::Failure};
use super::{Model, size, tensors};
use crate::time::now_ms;

/// List the models
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Examples:\n  skep models list\n  skep models list --namespace acme\n\nWith --json: an object for each model (name, version, digest, bytes, config, findings, added_at_ms) on a line."
)]
pub(super) struct Args {}

#[derive(Deserialize)]
struct List {
    models: Vec<Value>,
}

/// Prints a table, or one JSON document a line.
pub(super) async fn run(_: &Args, global: &Global) -> Result<(), Failure> {
    let client = global.client()?;
    let List { models } = client.json(client.request(Method::GET, "models")?).await?;
    if global.json {
        return output::lines_of_json(&models);
    }
    if models.is_empty() {
        output::note("there are no models; add one with `skep models add NAME FILE`");
        return Ok(());
    }
    let row = |value: &Value| {
        let model = Model::read(value)?;
        Ok([
            one_line(&model.name),
            model.version.to_string(),
            size(model.bytes),
            format!("{} ago", span(now_ms().saturating_sub(model.added_at_ms))),
            model.batching().to_owned(),
            tensors(&model.findings.signature.inputs),
            tensors(&model.findings.signature.outputs),
        ])
    };
    let rows: Result<Vec<_>, Failure> = models.iter().map(row).collect();
    let heads = [
        Head::Text("NAME"),
        Head::Number("VERSION"),
        Head::Number("SIZE"),
        Head::Text("ADDED"),
        Head::Text("BATCHING"),
        Head::Text("TAKES"),
        Head::Text("GIVES"),
    ];
    Table::new(heads, &[3, 4, 2]).print(&rows?)
}
