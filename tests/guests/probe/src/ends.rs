//! Every way for a job to end by its own will.

use std::time::Duration;

use serde::Deserialize;
use skep_sdk::{Context, Failure, Output, Payload};

/// Does nothing and returns null.
#[skep_sdk::listener]
pub(crate) fn noop(_msg: Payload, ctx: &Context) -> Result<(), Failure> {
    Ok(())
}

/// Returns the message, bytes and content type.
#[skep_sdk::listener]
pub(crate) fn echo(msg: Payload, ctx: &Context) -> Result<Payload, Failure> {
    Ok(msg)
}

#[derive(Deserialize)]
pub(crate) struct Big {
    bytes: usize,
}

/// Returns so many bytes.
#[skep_sdk::listener]
pub(crate) fn big(msg: Big, ctx: &Context) -> Result<Vec<u8>, Failure> {
    Ok(vec![b'x'; msg.bytes])
}

/// Returns a short result that differs from the result.
#[skep_sdk::listener]
pub(crate) fn short_long(_msg: Payload, ctx: &Context) -> Result<Output<String>, Failure> {
    Ok(Output::new("short", "a long result".to_owned()))
}

#[derive(Deserialize, schemars::JsonSchema)]
pub(crate) struct Typed {
    /// Whom to greet.
    name: String,
    /// How often; once if not told.
    #[serde(default)]
    #[schemars(range(min = 1, max = 10))]
    times: Option<u8>,
}

/// Greets, and has a JSON Schema.
#[skep_sdk::listener]
pub(crate) fn typed(msg: Typed, ctx: &Context) -> Result<String, Failure> {
    Ok(vec![format!("hello {}", msg.name); msg.times.unwrap_or(1).into()].join(", "))
}

#[derive(Deserialize)]
pub(crate) struct Busy {
    iterations: u64,
}

/// Computes for so many iterations and returns a checksum.
#[skep_sdk::listener]
pub(crate) fn busy(msg: Busy, ctx: &Context) -> Result<u64, Failure> {
    Ok(crate::calls::compute(msg.iterations))
}

/// Fails with `invalid`.
#[skep_sdk::listener]
pub(crate) fn invalid(_msg: Payload, ctx: &Context) -> Result<(), Failure> {
    Err(Failure::invalid("the message is no good"))
}

/// Fails with `failed`.
#[skep_sdk::listener]
pub(crate) fn failed(_msg: Payload, ctx: &Context) -> Result<(), Failure> {
    Err(Failure::failed("the work is no good"))
}

#[derive(Deserialize)]
pub(crate) struct Retry {
    succeed_at: u32,
    #[serde(default)]
    after_ms: u64,
}

/// Asks to be tried again until this attempt, and returns its number then.
#[skep_sdk::listener]
pub(crate) fn retry(msg: Retry, ctx: &Context) -> Result<u32, Failure> {
    let attempt = ctx.job().attempt;
    if attempt < msg.succeed_at {
        let after = Duration::from_millis(msg.after_ms);
        return Err(Failure::retry(
            after,
            format_args!("attempt {attempt} is too early"),
        ));
    }
    Ok(attempt)
}
