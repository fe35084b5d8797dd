//! What ended a guest that did not return: the trap, the limit or the panic behind
//! an error of wasmtime's, as a cause for the record.

use wasmtime::{PoolConcurrencyLimitError, Store, Trap, WasmBacktrace};
use wasmtime_wasi::I32Exit;

use super::engine::STACK_BYTES;
use super::host::Guest;
use crate::job::{Cause, CauseKind};

/// How many lines of a guest's last words reach the cause.
const MAX_LAST_WORDS: usize = 4;

/// The frames of a backtrace that reach the record.
const MAX_FRAMES: usize = 16;

/// Names what ended a guest that did not return.
pub(super) fn broken(error: &wasmtime::Error, store: &Store<Guest>) -> Cause {
    let trap = error.downcast_ref::<Trap>();
    let (kind, mut text) = match (trap, store.data().memory.denied()) {
        (Some(Trap::OutOfFuel), _) => (
            CauseKind::FuelExhausted,
            "the CPU budget is used up; do less in one job, or have the limit `fuel` raised"
                .to_owned(),
        ),
        (Some(Trap::StackOverflow), _) => (
            CauseKind::StackOverflow,
            format!(
                "the call stack is used up: every guest has {} KiB",
                STACK_BYTES >> 10
            ),
        ),
        (_, Some(wanted)) => (
            CauseKind::MemoryLimit,
            format!(
                "it asked for {wanted} bytes, more than the limit `memory_bytes`, and did not survive the refusal"
            ),
        ),
        (None, _) if error.is::<PoolConcurrencyLimitError>() => {
            (CauseKind::HostError, format!("{error:#}"))
        }
        (None, None) if error.is::<I32Exit>() => (
            CauseKind::Trap,
            "it called `exit`; return an output or a failure instead".to_owned(),
        ),
        (Some(trap), None) => {
            let text = trap.to_string();
            (
                CauseKind::Trap,
                text.strip_prefix("wasm trap: ").unwrap_or(&text).to_owned(),
            )
        }
        (None, None) => (CauseKind::Trap, format!("{error:#}")),
    };
    // The SDK's panic hook logs where and what the panic said right before the trap.
    for line in store.data().voice.last_words(MAX_LAST_WORDS) {
        text.push_str("\n  ");
        text.push_str(&line.text);
    }
    if let Some(backtrace) = error.downcast_ref::<WasmBacktrace>() {
        if kind == CauseKind::Trap && is_recursion(backtrace) {
            text.push_str("; it looks like endless recursion");
        }
        text.push_str(&frames(backtrace));
    }
    Cause::new(kind, text)
}

/// Whether one function called itself all along. A guest whose stack lies first in
/// its memory (as the SDK lays it out) leaves its memory when the stack is used up.
fn is_recursion(backtrace: &WasmBacktrace) -> bool {
    let frames = backtrace.frames();
    frames.len() >= MAX_FRAMES
        && (frames.iter().take(MAX_FRAMES))
            .all(|frame| frames.first().map(|first| first.func_index()) == Some(frame.func_index()))
}

/// The guest's backtrace, a function name a line.
fn frames(backtrace: &WasmBacktrace) -> String {
    let mut text = String::new();
    for frame in backtrace.frames().iter().take(MAX_FRAMES) {
        text.push_str("\n    at ");
        match frame.func_name() {
            // The alternate form leaves out the hash.
            Some(name) => text.push_str(&format!("{:#}", rustc_demangle::demangle(name))),
            None => text.push_str(&format!("function {}", frame.func_index())),
        }
    }
    if backtrace.frames().len() > MAX_FRAMES {
        text.push_str("\n    …");
    }
    text
}
