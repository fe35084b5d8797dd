//! What a sandbox must survive.

use std::hint::black_box;

use skep_sdk::{Context, Failure, Payload};

/// Loops for ever.
#[skep_sdk::listener]
pub(crate) fn spin(_msg: Payload, ctx: &Context) -> Result<(), Failure> {
    loop {
        black_box(());
    }
}

/// Allocates, and uses what it got, until there is no more.
#[skep_sdk::listener]
pub(crate) fn grow(_msg: Payload, ctx: &Context) -> Result<(), Failure> {
    let mut hoard = Vec::new();
    loop {
        hoard.push(vec![1u8; 1 << 20]);
        black_box(&hoard);
    }
}

/// Recurses without end.
#[skep_sdk::listener]
pub(crate) fn recurse(_msg: Payload, ctx: &Context) -> Result<u64, Failure> {
    Ok(deeper(1))
}

#[expect(unconditional_recursion, reason = "to overflow the stack")]
fn deeper(depth: u64) -> u64 {
    // The frame is used after the call, so that this is no loop in disguise.
    let frame = black_box([depth; 16]);
    deeper(depth + 1) + black_box(frame).iter().sum::<u64>()
}

/// Panics.
#[skep_sdk::listener]
pub(crate) fn panic(_msg: Payload, ctx: &Context) -> Result<(), Failure> {
    panic!("boom")
}

/// Traps at once.
#[skep_sdk::listener]
pub(crate) fn trap(_msg: Payload, ctx: &Context) -> Result<(), Failure> {
    unreachable()
}

/// A trap that says nothing.
pub(crate) fn unreachable() -> ! {
    #[cfg(target_arch = "wasm32")]
    core::arch::wasm32::unreachable();
    #[cfg(not(target_arch = "wasm32"))]
    std::process::abort()
}

/// Logs 10,000 long lines.
#[skep_sdk::listener]
pub(crate) fn flood(_msg: Payload, ctx: &Context) -> Result<(), Failure> {
    let line = "all work and no play ".repeat(50);
    for number in 0..10_000 {
        skep_sdk::info!("{number} {line}");
    }
    Ok(())
}

/// Posts itself again, for ever.
#[skep_sdk::listener]
pub(crate) fn bomb(_msg: Payload, ctx: &Context) -> Result<String, Failure> {
    Ok(ctx.post(&()).functions(["bomb"]).send()?.into())
}
