//! One attempt of one function: a fresh instance, a call, and what became of it.

use std::time::{Duration, Instant};

use tokio::time::timeout;
use wasmtime::{Store, Trap, WasmBacktrace};

use super::bindings::{Listener, types};
pub use super::host::CancelFlag;
use super::host::{Guest, RunningJob};
use super::{AdmitError, Prepared, Sandbox, offer_limits};
use crate::job::{Cause, CauseKind, FunctionName, LogLevel, LogLine, Output, Payload, Usage};
use crate::store::{Claim, Deployment};

/// How long a cancelled job may go on to tidy up.
const CANCEL_GRACE: Duration = Duration::from_secs(5);

/// The longest content type of a result, in bytes; it becomes an HTTP header.
const MAX_CONTENT_TYPE_BYTES: usize = 256;

/// How many lines of a guest's last words reach the cause.
const MAX_LAST_WORDS: usize = 4;

/// The frames of a backtrace that reach the record.
const MAX_FRAMES: usize = 16;

/// What to run.
pub struct Assignment<'a> {
    /// The job.
    pub claim: &'a Claim,
    /// The function, as it is deployed.
    pub deployment: &'a Deployment,
    /// Its component.
    pub component: &'a Prepared,
    /// Set when somebody wants the job stopped.
    pub cancel: CancelFlag,
}

/// Why an attempt did not succeed.
#[derive(Debug)]
pub struct Stop {
    /// The cause, for the record.
    pub cause: Cause,
    /// When the guest wants to be tried again, in ms from now.
    pub retry_after_ms: Option<u64>,
}

impl From<Cause> for Stop {
    fn from(cause: Cause) -> Self {
        Self {
            cause,
            retry_after_ms: None,
        }
    }
}

/// What became of an attempt.
#[derive(Debug)]
pub struct Ended {
    /// Its output, or why there is none.
    pub outcome: Result<Output, Stop>,
    /// What it used.
    pub usage: Usage,
    /// What it logged.
    pub log: Vec<LogLine>,
}

pub(super) async fn run(sandbox: &Sandbox, assignment: Assignment<'_>) -> Ended {
    let Assignment {
        claim,
        deployment,
        component,
        cancel,
    } = assignment;
    let limits = &deployment.limits;
    let timeout_ms =
        (claim.job.timeout_ms).map_or(limits.timeout_ms, |ms| ms.min(limits.timeout_ms));
    let guest = Guest::new(
        limits,
        sandbox.services.clone(),
        Some(RunningJob {
            token: claim.token.clone(),
            depth: claim.job.depth,
            cancel: cancel.clone(),
        }),
    );
    let begun = Instant::now();
    let mut store = match sandbox.store(guest, limits.fuel) {
        Ok(store) => store,
        Err(error) => return Ended::host_error(&error),
    };
    let job = wit_job(claim, &deployment.function, timeout_ms);
    let call = async {
        let listener = component.pre.instantiate_async(&mut store).await?;
        listener
            .skep_jobs_handler()
            .call_handle(&mut store, &job)
            .await
    };
    let stopped = async {
        cancel.wait().await;
        tokio::time::sleep(CANCEL_GRACE).await;
    };
    let answer = tokio::select! {
        biased;
        answer = timeout(Duration::from_millis(timeout_ms), call) => Some(answer),
        () = stopped => None,
    };
    let run_us = begun.elapsed().as_micros() as u64;
    let log = store.data().log.take();
    let outcome = match answer {
        Some(Ok(Ok(Ok(output)))) => accept(output, limits),
        Some(Ok(Ok(Err(failure)))) => Err(wanted(failure)),
        Some(Ok(Err(error))) => Err(broken(&error, &store, &log).into()),
        Some(Err(_)) => Err(Cause::new(
            CauseKind::TimedOut,
            format!("the attempt ran for {timeout_ms} ms, its limit"),
        )
        .into()),
        None => Err(Cause::new(
            CauseKind::Cancelled,
            format!(
                "it went on for {} s after being cancelled",
                CANCEL_GRACE.as_secs()
            ),
        )
        .into()),
    };
    let outcome = match outcome {
        outcome if !cancel.is_set() => outcome,
        // Whoever cancelled it does not want the output of a job that tidied up.
        Ok(_) => Err(Cause::new(CauseKind::Cancelled, "it stopped when it was told").into()),
        Err(stop) => Err(cancelled(stop.cause).into()),
    };
    Ended {
        outcome,
        usage: Usage {
            fuel: limits.fuel.saturating_sub(store.get_fuel().unwrap_or(0)),
            peak_memory_bytes: store.data().memory.peak(),
            run_us,
        },
        log,
    }
}

impl Ended {
    fn host_error(error: &wasmtime::Error) -> Self {
        Self {
            outcome: Err(Cause::new(CauseKind::HostError, format!("{error:#}")).into()),
            usage: Usage::default(),
            log: Vec::new(),
        }
    }
}

/// Asks a component for its functions, in a sandbox where nothing else is to be had.
pub(super) async fn ask_functions(
    sandbox: &Sandbox,
    component: &Prepared,
) -> Result<Vec<types::FunctionInfo>, AdmitError> {
    let _slot = sandbox.uploads.acquire().await;
    let limits = offer_limits();
    let guest = Guest::new(&limits, sandbox.services.clone(), None);
    let host = |error: wasmtime::Error| AdmitError::Host(format!("{error:#}"));
    let mut store = sandbox.store(guest, limits.fuel).map_err(host)?;
    let call = async {
        let listener: Listener = component.pre.instantiate_async(&mut store).await?;
        listener
            .skep_jobs_handler()
            .call_functions(&mut store)
            .await
    };
    match timeout(Duration::from_millis(limits.timeout_ms), call).await {
        Ok(Ok(functions)) => Ok(functions),
        Ok(Err(error)) => {
            let log = store.data().log.take();
            Err(AdmitError::Refused(format!(
                "the component's `functions()` ended with {}",
                broken(&error, &store, &log)
            )))
        }
        Err(_) => Err(AdmitError::Refused(format!(
            "the component's `functions()` did not return within {} ms",
            limits.timeout_ms
        ))),
    }
}

fn wit_job(claim: &Claim, function: &FunctionName, timeout_ms: u64) -> types::Job {
    let job = &claim.job;
    types::Job {
        id: claim.token.id.to_string(),
        function: function.to_string(),
        message: types::Payload {
            content_type: job.message.content_type.clone(),
            data: job.message.data.to_vec(),
        },
        attempt: claim.token.attempt,
        max_attempts: job.max_attempts,
        posted_at_ms: claim.posted_at_ms,
        started_at_ms: claim.claimed_at_ms,
        timeout_ms,
        priority: job.priority.into(),
        functions: job.functions.iter().map(ToString::to_string).collect(),
        parent: job.parent.map(|id| id.to_string()),
        depth: job.depth,
    }
}

/// Checks what a handler gave back.
fn accept(output: types::Output, limits: &crate::job::Limits) -> Result<Output, Stop> {
    let bounds = [
        ("the result", output.result.data.len(), limits.result_bytes),
        (
            "the short result",
            output.short_result.as_ref().map_or(0, String::len),
            limits.short_result_bytes,
        ),
        (
            "the result's content type",
            output.result.content_type.len(),
            MAX_CONTENT_TYPE_BYTES as u64,
        ),
    ];
    for (what, length, limit) in bounds {
        if length as u64 > limit {
            return Err(Cause::new(
                CauseKind::OutputTooLarge,
                format!("{what} has {length} bytes, {limit} are allowed"),
            )
            .into());
        }
    }
    Ok(Output {
        short_result: output.short_result,
        result: Payload {
            content_type: output.result.content_type,
            data: output.result.data.into(),
        },
    })
}

/// What a handler that says no wants.
fn wanted(failure: types::Failure) -> Stop {
    match failure {
        types::Failure::Invalid(text) => Cause::new(CauseKind::Invalid, text).into(),
        types::Failure::Failed(text) => Cause::new(CauseKind::Failed, text).into(),
        types::Failure::Retry(request) => Stop {
            cause: Cause::new(CauseKind::Retry, request.reason),
            retry_after_ms: Some(request.after_ms),
        },
    }
}

/// A job that ends after somebody cancelled it is cancelled, however it ended.
fn cancelled(cause: Cause) -> Cause {
    match cause.kind {
        CauseKind::Cancelled => cause,
        _ => Cause::new(CauseKind::Cancelled, format!("it stopped with {cause}")),
    }
}

/// Names what ended a guest that did not return.
fn broken(error: &wasmtime::Error, store: &Store<Guest>, log: &[LogLine]) -> Cause {
    let trap = error.downcast_ref::<Trap>();
    let (kind, mut text) = match (trap, store.data().memory.denied()) {
        (Some(Trap::OutOfFuel), _) => (
            CauseKind::FuelExhausted,
            "the CPU budget is used up; do less in one job, or have the limit `fuel` raised"
                .to_owned(),
        ),
        (Some(Trap::StackOverflow), _) => (
            CauseKind::StackOverflow,
            "the call stack is used up".to_owned(),
        ),
        (_, Some(wanted)) => (
            CauseKind::MemoryLimit,
            format!(
                "it asked for {wanted} bytes, more than the limit `memory_bytes`, and did not survive the refusal"
            ),
        ),
        (None, _) if error.is::<wasmtime::PoolConcurrencyLimitError>() => {
            (CauseKind::HostError, format!("{error:#}"))
        }
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
    for line in last_words(log) {
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

/// The error lines at the end of a log: what a guest said last.
fn last_words(log: &[LogLine]) -> &[LogLine] {
    let others = log.iter().rposition(|line| line.level != LogLevel::Error);
    let from = others
        .map_or(0, |last| last + 1)
        .max(log.len().saturating_sub(MAX_LAST_WORDS));
    log.get(from..).unwrap_or_default()
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
