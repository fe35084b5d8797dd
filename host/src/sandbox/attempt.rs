//! One attempt of one function: a fresh instance, a call, and what became of it.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

use super::bindings::{Listener, types};
use super::ending::broken;
use super::host::{Guest, Ordinals, RunningJob};
use super::slot::Slot;
use super::{AdmitError, Prepared, Sandbox, Voice, offer_limits};
use crate::job::{Cause, CauseKind, FunctionName, Output, Payload, Usage};
use crate::store::{Claim, Deployment, Lease};

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
    /// The function, as it is deployed.
    pub deployment: &'a Deployment,
    /// Its component.
    pub component: &'a Prepared,
    /// Set when somebody wants the job stopped.
    pub cancel: CancellationToken,
    /// Where its log goes, and how far it is.
    pub voice: &'a Voice,
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
        deployment,
        component,
        cancel,
        voice,
    } = assignment;
    let limits = &deployment.limits;
    let timeout_ms =
        (claim.job.timeout_ms).map_or(limits.timeout_ms, |ms| ms.min(limits.timeout_ms));
    let guest = Guest::new(
        limits,
        sandbox.services.clone(),
        Some(RunningJob {
            token: claim.token.clone(),
            lease,
            depth: claim.job.depth,
            place,
            cancel: cancel.clone(),
            slot: slot.clone(),
            parked_limit: Duration::from_millis(limits.parked_ms),
            ordinals: Ordinals::default(),
            voice: voice.clone(),
        }),
    );
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
            format!("the attempt ran for {timeout_ms} ms, its limit"),
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
        Ok(_) | Err(Stop::NoPlace) => {
            Err(Cause::new(CauseKind::Cancelled, "it stopped when it was told").into())
        }
        Err(Stop::Ended { cause, .. }) => Err(cancelled(cause).into()),
    };
    Ended {
        outcome,
        usage: Usage {
            fuel: limits.fuel.saturating_sub(store.get_fuel().unwrap_or(0)),
            peak_memory_bytes: store.data().memory.peak(),
            run_us,
        },
    }
}

/// What a call of the handler came to.
enum Answer {
    Given(wasmtime::Result<Result<types::Output, types::Failure>>),
    NoPlace,
    TimedOut,
    Stopped,
}

impl Ended {
    fn host_error(error: &wasmtime::Error) -> Self {
        Self {
            outcome: Err(Cause::new(CauseKind::HostError, format!("{error:#}")).into()),
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
        Ok(Err(error)) => Err(AdmitError::Refused(format!(
            "the component's `functions()` ended with {}",
            broken(&error, &store)
        ))),
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
