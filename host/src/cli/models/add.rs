//! `skep models add`.

use std::io::{IsTerminal as _, stderr};
use std::num::NonZeroU32;
use std::path::PathBuf;
use std::time::Duration;

use bytes::Bytes;
use futures_util::stream::iter;
use indicatif::{ProgressBar, ProgressStyle};
use reqwest::header::{CONTENT_LENGTH, CONTENT_TYPE};
use reqwest::{Body, Method};
use serde_json::Value;

use super::super::client::Client;
use super::super::output::{self, one_line};
use super::super::{Global, duration, failure::Failure, message};
use super::{Model, size, tensors};
use crate::job::ModelName;
use crate::models::Modeller;

/// How long a server may be silent: its clock runs while half a gigabyte goes up a slow line,
/// and while the model is looked at.
const SILENCE: Duration = Duration::from_secs(3_600);

/// From what size on an upload shows a bar, in bytes: a smaller one is over before it is read.
const SHOWN_BYTES: usize = 8 << 20;

/// How much goes up at once, in bytes: the steps of the bar.
const STEP_BYTES: usize = 256 << 10;

/// Add a model, or a new version of it
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Examples:\n  skep models add iris iris.onnx\n  skep models add embed minilm.onnx --pad input_ids:1:0 --pad attention_mask:1:0 --max-batch 32\n  skep models add vad silero.onnx --batch-axis state:1 --batch-axis stateN:1 --preload\n\nThe server loads it once in a process of its own, and says why if it cannot be run. What was added becomes the newest version at once; `skep models rollback NAME` goes back. With --json: the model, as `skep models list --json` shows it."
)]
pub(super) struct Args {
    /// What handlers call it
    name: ModelName,
    /// The model, an ONNX file with everything in it
    file: PathBuf,
    /// Whether calls may share a batch: auto, on or off [default: auto, if rows were found to
    /// be independent of each other]
    #[arg(long, value_name = "WHEN", value_parser = ["auto", "on", "off"], hide_possible_values = true)]
    batching: Option<String>,
    /// The most rows of a batch [default: as many as are measured to pay]
    #[arg(long, value_name = "N")]
    max_batch: Option<NonZeroU32>,
    /// How long a call may wait for others although the device is idle, such as 500us
    /// [default: not at all]
    #[arg(long, value_name = "TIME", value_parser = delay)]
    max_delay: Option<Duration>,
    /// Where it runs: auto, cpu or cuda [default: auto, the GPU if there is one]
    #[arg(long, value_parser = ["auto", "cpu", "cuda"], hide_possible_values = true)]
    device: Option<String>,
    /// Which engine runs it: auto, rten or onnxruntime [default: auto, ONNX Runtime if the
    /// host has it]
    #[arg(long, value_parser = ["auto", "rten", "onnxruntime"], hide_possible_values = true)]
    engine: Option<String>,
    /// Let rows of different lengths share a batch, padded along this axis of an input or
    /// output with this value [default: 0]
    #[arg(long, value_name = "NAME:AXIS[:VALUE]")]
    pad: Vec<String>,
    /// Where an input or output has a row for each call, if it is not where it was found
    #[arg(long, value_name = "NAME:AXIS")]
    batch_axis: Vec<String>,
    /// Let hosts load it when it arrives, rather than at its first use
    #[arg(long)]
    preload: bool,
    /// Let it have `Loop` and `Scan`, which may run without end: for an admin
    #[arg(long)]
    allow_loops: bool,
}

impl Args {
    /// The query of the upload.
    fn query(&self) -> Vec<(&'static str, String)> {
        let named = |name, value: &Option<String>| value.clone().map(|value| (name, value));
        let each = |name, values: &[String]| -> Vec<_> {
            values.iter().map(|value| (name, value.clone())).collect()
        };
        let mut query = Vec::new();
        query.extend(named("batching", &self.batching));
        query.extend(named("device", &self.device));
        query.extend(named("engine", &self.engine));
        query.extend(self.max_batch.map(|rows| ("max_batch", rows.to_string())));
        let delay = self.max_delay.map(|delay| delay.as_micros().to_string());
        query.extend(delay.map(|us| ("max_delay_us", us)));
        query.extend(each("pad", &self.pad));
        query.extend(each("batch_axis", &self.batch_axis));
        query.extend(self.preload.then(|| ("preload", "true".to_owned())));
        query.extend(self.allow_loops.then(|| ("allow_loops", "true".to_owned())));
        query
    }
}

/// A short time.
fn delay(text: &str) -> Result<Duration, String> {
    match text.strip_suffix("us").or(text.strip_suffix("µs")) {
        Some(us) => (us.parse().map(Duration::from_micros))
            .map_err(|_| "write a whole number and a unit: 500us or 2ms".to_owned()),
        None => duration::parse(text),
    }
}

/// Uploads the model.
pub(super) async fn run(args: Args, global: &Global) -> Result<(), Failure> {
    let client = Client::patient(global, SILENCE)?;
    let bytes = Bytes::from(message::read(&args.file)?);
    if bytes.len() > Modeller::MAX_BYTES {
        return Err(Failure::failed(format!(
            "{} has {} bytes, and a model may have at most {}",
            args.file.display(),
            bytes.len(),
            Modeller::MAX_BYTES
        )));
    }
    let request = client.request(Method::PUT, &format!("models/{}", args.name))?;
    let bar = bar(bytes.len());
    let request = request
        .query(&args.query())
        .header(CONTENT_TYPE, "application/octet-stream")
        .header(CONTENT_LENGTH, bytes.len())
        .body(body(bytes, bar.clone()));
    let added: Result<Value, _> = client.json(request).await;
    bar.finish_and_clear();
    let added = added?;
    if global.json {
        return output::json(&added);
    }
    let model = Model::read(&added)?;
    output::line(&format!(
        "added {} version {} ({})",
        one_line(&model.name),
        model.version,
        size(model.bytes)
    ))?;
    let signature = &model.findings.signature;
    output::line(&format!("takes     {}", tensors(&signature.inputs)))?;
    output::line(&format!("gives     {}", tensors(&signature.outputs)))?;
    let (batching, note) = (model.batching(), one_line(&model.findings.note));
    output::line(&format!("batching  {batching} ({note})"))
}

/// The bytes, which the bar follows.
fn body(bytes: Bytes, bar: ProgressBar) -> Body {
    let steps = (0..bytes.len()).step_by(STEP_BYTES).map(move |from| {
        let to = bytes.len().min(from + STEP_BYTES);
        bar.set_position(to as u64);
        if to == bytes.len() {
            bar.set_message("; the server looks at it");
        }
        Ok::<_, std::convert::Infallible>(bytes.slice(from..to))
    });
    Body::wrap_stream(iter(steps))
}

/// A bar on a terminal, for what takes a while.
fn bar(bytes: usize) -> ProgressBar {
    if bytes < SHOWN_BYTES || !stderr().is_terminal() {
        return ProgressBar::hidden();
    }
    let bar = ProgressBar::new(bytes as u64);
    // The template is a constant; without it the bar is only plainer.
    if let Ok(style) =
        ProgressStyle::with_template("{bar:30.cyan/dim} {bytes} of {total_bytes}{msg}")
    {
        bar.set_style(style);
    }
    bar
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_delay_may_be_of_microseconds() {
        assert_eq!(delay("500us"), Ok(Duration::from_micros(500)));
        assert_eq!(delay("2ms"), Ok(Duration::from_millis(2)));
        assert!(delay("x us").is_err() && delay("500").is_err());
    }
}
