//! Every host function, used as it is meant.

use std::hint::black_box;
use std::time::Duration;

use serde::Deserialize;
use skep_sdk::{Context, Failure, JobId, Output, Payload};

#[derive(Deserialize)]
pub(crate) struct Progress {
    /// Iterations to compute between the reports.
    #[serde(default)]
    iterations: u64,
}

/// Reports 10, 50 and 90 percent, with notes.
#[skep_sdk::listener]
pub(crate) fn progress(msg: Progress, ctx: &Context) -> Result<(), Failure> {
    for (percent, note) in [(10, "begun"), (50, "half way"), (90, "nearly there")] {
        ctx.progress(percent, note)?;
        compute(msg.iterations);
    }
    Ok(())
}

#[derive(Deserialize)]
pub(crate) struct Store {
    data: String,
    key: Option<String>,
    expiry_seconds: Option<u64>,
}

/// Stores text and returns its key.
#[skep_sdk::listener]
pub(crate) fn store(msg: Store, ctx: &Context) -> Result<String, Failure> {
    let data = msg.data.into_bytes();
    let mut store = ctx.store(&data);
    if let Some(key) = msg.key {
        store = store.key(key);
    }
    if let Some(seconds) = msg.expiry_seconds {
        store = store.expiry(Duration::from_secs(seconds));
    }
    Ok(store.save()?)
}

#[derive(Deserialize)]
pub(crate) struct Fetch {
    key: String,
}

/// Returns the bytes under a key, or null.
#[skep_sdk::listener]
pub(crate) fn fetch(msg: Fetch, ctx: &Context) -> Result<Payload, Failure> {
    match ctx.fetch(&msg.key)? {
        Some(data) => Ok(data),
        None => Ok(Payload::json(&())?),
    }
}

#[derive(Deserialize)]
pub(crate) struct Spawn {
    function: String,
    n: usize,
    #[serde(default)]
    message: serde_json::Value,
    /// Post all at once.
    #[serde(default)]
    many: bool,
}

/// Posts children and returns their ids.
#[skep_sdk::listener]
pub(crate) fn spawn(msg: Spawn, ctx: &Context) -> Result<Vec<JobId>, Failure> {
    let child = ctx.post(&msg.message).functions([&msg.function]);
    if msg.many {
        return Ok(ctx.post_many(vec![child; msg.n])?);
    }
    (0..msg.n).map(|_| Ok(child.clone().send()?)).collect()
}

#[derive(Deserialize)]
pub(crate) struct Wait {
    id: String,
    timeout_ms: Option<u64>,
}

/// Waits for a job and returns its output, or the text of the error.
#[skep_sdk::listener]
pub(crate) fn wait(msg: Wait, ctx: &Context) -> Result<Output, Failure> {
    let result = match msg.timeout_ms.map(Duration::from_millis) {
        Some(timeout) => ctx.wait_timeout(&msg.id, timeout),
        None => ctx.wait(&msg.id),
    };
    match result {
        Ok(output) => Ok(output),
        Err(error) => told(error),
    }
}

/// Lists the models, or returns the text of the error.
#[skep_sdk::listener]
pub(crate) fn models(_msg: Payload, ctx: &Context) -> Result<Output, Failure> {
    match ctx.models() {
        Ok(names) => Ok(Output::new(names.join(" "), Payload::json(&names)?)),
        Err(error) => told(error),
    }
}

/// Computes until somebody cancels the job.
#[skep_sdk::listener]
pub(crate) fn cancelled(_msg: Payload, ctx: &Context) -> Result<&'static str, Failure> {
    while !ctx.is_cancelled() {
        compute(10_000);
    }
    Ok("stopped")
}

/// An error as the result of a job, so that a test can read it.
fn told(error: skep_sdk::Error) -> Result<Output, Failure> {
    let text = error.to_string();
    Ok(Output::new(text.clone(), Payload::json(&text)?))
}

/// Keeps the processor busy for so many iterations and answers a checksum.
pub(crate) fn compute(iterations: u64) -> u64 {
    (0..iterations).fold(0x9E37_79B9, |sum, i| {
        black_box(sum ^ i)
            .wrapping_mul(0x5851_F42D_4C95_7F2D)
            .rotate_left(17)
    })
}
