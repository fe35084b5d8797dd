//! What `skep bench` composes: jobs that cost as little as jobs can, so that what is
//! measured is the host; and one that computes, to see what its bounds cost.

mod compute;

use skep_sdk::{Context, Failure, Payload};

#[skep_sdk::listener]
/// Does nothing.
fn nothing(_: (), _: &Context) -> Result<(), Failure> {
    Ok(())
}

#[skep_sdk::listener]
/// Runs jobs that do nothing, so many, each after the one before.
fn chain(stages: u32, ctx: &Context) -> Result<u32, Failure> {
    for _ in 0..stages {
        let id = ctx.post(&()).functions(["nothing"]).send()?;
        ctx.wait::<()>(&id)?;
    }
    Ok(stages)
}

#[skep_sdk::listener]
/// Runs jobs that do nothing, so many, at once.
fn fan_out(children: u32, ctx: &Context) -> Result<usize, Failure> {
    let posts = (0..children).map(|_| ctx.post(&()).functions(["nothing"]));
    let ids = ctx.post_many(posts)?;
    Ok(ctx.wait_all::<Payload>(&ids)?.len())
}

#[skep_sdk::listener]
/// Waits for a job.
fn waits(id: String, ctx: &Context) -> Result<(), Failure> {
    Ok(ctx.wait(id)?)
}

skep_sdk::export!(nothing, chain, fan_out, waits, compute::compute);
