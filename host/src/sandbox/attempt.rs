//! One attempt of one function: a fresh instance, a call, and what became of it.

use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

use super::bindings::{Listener, types};
use super::ending::broken;
use super::host::{Guest, Ordinals, RunningJob, Tree};
use super::slot::Slot;
use super::{About, AdmitError, Prepared, Sandbox, Voice, offer_limits};
use crate::inference::Joined;
use crate::job::{Cause, CauseKind, FunctionName, Limits, Output, Payload, TraceContext, Usage};
use crate::store::{Claim, Lease};

/// How long a cancelled job may go on to tidy up.
const CANCEL_GRACE: Duration = Duration::from_secs(5);

/// The longest content type of a result, in bytes; it becomes an HTTP header.
const MAX_CONTENT_TYPE_BYTES: usize = 256;

/// What to run.
pub struct Assignment<'a> {
    /// The job.
    pub claim: &'a Claim,
    /// The lease under which it was taken.
    pub lease: Lease,
    /// Which of the job's functions is to run, from 0.
    pub place: usize,
    /// The function.
    pub function: &'a FunctionName,
    /// What it may use.
    pub limits: &'a Limits,
    /// What the functions before it have used.
    pub used: &'a Usage,
    /// Its component.
    pub component: &'a Prepared,
    /// Set when somebody wants the job stopped.
    pub cancel: CancellationToken,
    /// Where its log goes, and how far it is.
    pub voice: &'a Voice,
    /// What it posts comes from this, if it is traced.
    pub trace: Option<TraceContext>,
}

/// Why an attempt has no output.
#[derive(Debug)]
pub enum Stop {
    /// It did not succeed.
    Ended {
        /// The cause, for the record.
        cause: Cause,
        /// When the guest wants to be tried again, in ms from now.
        retry_after_ms: Option<u64>,
    },
    /// It waits for other jobs, and this host has no place to park it.
    NoPlace,
    /// It has not begun: the slots are taken by jobs that take longer than the host
    /// thought when it took this one.
    NoTurn,
}

impl From<Cause> for Stop {
    fn from(cause: Cause) -> Self {
        Self::Ended {
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
}

pub(super) async fn run(sandbox: &Sandbox, slot: Arc<Slot>, assignment: Assignment<'_>) -> Ended {
    let Assignment {
        claim,
        lease,
        place,
        function,
        limits,
        used,
        component,
        cancel,
        voice,
        trace,
    } = assignment;
    if let Err(cause) = check_message(claim, limits) {
        return Ended::unrun(cause);
    }
    let logged = voice.log_bytes();
    let parked_left = limits.parked_ms.saturating_sub(used.parked_ms);
    let guest = Guest::new(
        limits,
        used,
        sandbox.services.clone(),
        Some(RunningJob {
            token: claim.token.clone(),
            lease,
            depth: claim.job.depth,
            place,
            cancel: cancel.clone(),
            slot: slot.clone(),
            parked_limit: Duration::from_millis(parked_left),
            parked_before: Duration::from_millis(limits.parked_ms - parked_left),
            tree: Tree::new(claim.job.root.unwrap_or(claim.token.id), limits),
            data_bytes: claim.data_bytes,
            trace,
            ordinals: Ordinals::default(),
            joined: Joined::default(),
            voice: voice.clone(),
        }),
    );
    let mut store = match sandbox.store(guest, limits.fuel) {
        Ok(store) => store,
        Err(error) => {
            return Ended::unrun(Cause::new(CauseKind::HostError, format!("{error:#}")));
        }
    };
    let timeout_ms = limits.timeout_ms;
    let job = wit_job(claim, function, timeout_ms);
    let about = About {
        token: claim.token.clone(),
        lease,
        function: Some(function.clone()),
    };
    let call = about.scope(async {
        let begun = Instant::now();
        let listener = component.pre.instantiate_async(&mut store).await?;
        sandbox.services.metrics.instantiated(begun.elapsed());
        listener
            .skep_jobs_handler()
            .call_handle(&mut store, &job)
            .await
    });
    let stopped = async {
        cancel.cancelled().await;
        tokio::time::sleep(CANCEL_GRACE).await;
    };
    let answer = tokio::select! {
        biased;
        answer = call => Answer::Given(answer),
        () = slot.no_place() => Answer::NoPlace,
        () = slot.has_run_for(Duration::from_millis(timeout_ms)) => Answer::TimedOut,
        () = stopped => Answer::Stopped,
    };
    let run_us = slot.run_for().as_micros() as u64;
    let outcome = match answer {
        Answer::Given(Ok(Ok(output))) => accept(output, limits),
        Answer::Given(Ok(Err(failure))) => Err(wanted(failure)),
        Answer::Given(Err(error)) => Err(broken(&error, &store).into()),
        Answer::NoPlace => Err(Stop::NoPlace),
        Answer::TimedOut => Err(Cause::new(
            CauseKind::TimedOut,
            format!("the attempt ran for {timeout_ms} ms, the limit `timeout_ms`"),
        )
        .into()),
        Answer::Stopped => Err(Cause::new(
            CauseKind::Cancelled,
            format!(
                "it went on for {} s after being cancelled",
                CANCEL_GRACE.as_secs()
            ),
        )
        .into()),
    };
    let outcome = match outcome {
        outcome if !cancel.is_cancelled() => outcome,
        // Whoever cancelled it does not want the output of a job that tidied up.
        Ok(_) | Err(Stop::NoPlace | Stop::NoTurn) => {
            Err(Cause::new(CauseKind::Cancelled, "it stopped when it was told").into())
        }
        Err(Stop::Ended { cause, .. }) => Err(cancelled(cause).into()),
    };
    let output = outcome.as_ref().ok();
    let short_result = output.and_then(|output| output.short_result.as_ref());
    let usage = Usage {
        fuel: limits.fuel.saturating_sub(store.get_fuel().unwrap_or(0)),
        peak_memory_bytes: store.data().memory.peak(),
        run_us,
        result_bytes: output.map_or(0, |output| output.result.data.len() as u64),
        short_result_bytes: short_result.map_or(0, |text| text.len() as u64),
        log_bytes: voice.log_bytes() - logged,
        parked_ms: slot.parked_for().as_millis() as u64,
        inference_wait_us: slot.lent_for().as_micros() as u64,
        ..store.data().asked()
    };
    Ended { outcome, usage }
}

/// What a call of the handler came to.
enum Answer {
    Given(wasmtime::Result<Result<types::Output, types::Failure>>),
    NoPlace,
    TimedOut,
    Stopped,
}

impl Ended {
    /// The end of an attempt that did not begin.
    pub(super) fn no_turn() -> Self {
        Self {
            outcome: Err(Stop::NoTurn),
            usage: Usage::default(),
        }
    }

    fn unrun(cause: Cause) -> Self {
        Self {
            outcome: Err(cause.into()),
            usage: Usage::default(),
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
    let guest = Guest::new(&limits, &Usage::default(), sandbox.services.clone(), None);
    let host = |error: wasmtime::Error| AdmitError::Host(format!("{error:#}"));
    let _ticks = sandbox.ticker.begin();
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
        Ok(Err(error)) => Err(AdmitError::Refused(format!(
            "the component's `functions()` ended with {}",
            broken(&error, &store)
        ))),
        // On a host with less to do it may be in time.
        Err(_) => Err(AdmitError::TooHard(format!(
            "the component's `functions()` did not return within {} ms",
            limits.timeout_ms
        ))),
    }
}

/// `intake` has checked the messages of jobs that name their functions, by the limits of
/// then.
fn check_message(claim: &Claim, limits: &Limits) -> Result<(), Cause> {
    let bytes = claim.job.message.data.len() as u64;
    if bytes <= limits.message_bytes {
        return Ok(());
    }
    let text = format!(
        "the message has {bytes} bytes, {} are allowed (the limit `message_bytes`)",
        limits.message_bytes
    );
    Err(Cause::new(CauseKind::Invalid, text))
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
fn accept(output: types::Output, limits: &Limits) -> Result<Output, Stop> {
    let bounds = [
        (
            "the result",
            output.result.data.len(),
            limits.result_bytes,
            " (the limit `result_bytes`)",
        ),
        (
            "the short result",
            output.short_result.as_ref().map_or(0, String::len),
            limits.short_result_bytes,
            " (the limit `short_result_bytes`)",
        ),
        (
            "the result's content type",
            output.result.content_type.len(),
            MAX_CONTENT_TYPE_BYTES as u64,
            "",
        ),
    ];
    for (what, length, limit, name) in bounds {
        if length as u64 > limit {
            return Err(Cause::new(
                CauseKind::OutputTooLarge,
                format!("{what} has {length} bytes, {limit} are allowed{name}"),
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
        types::Failure::Retry(request) => Stop::Ended {
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
