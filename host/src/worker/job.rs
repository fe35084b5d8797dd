//! One attempt of one job: each of its functions in order, each in a sandbox of its
//! own, and the verdict.

use std::ops::RangeInclusive;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;

use futures_util::FutureExt as _;
use tokio_util::sync::CancellationToken;
use tracing::Span;

use super::Tools;
use crate::job::{
    Cause, CauseKind, FunctionName, LogLevel, LogLine, Output, TraceContext, Usage, retry_delay_ms,
};
use crate::metrics::{FunctionMeter, Outcome};
use crate::sandbox::{About, AdmitError, Assignment, Ended, Stop, Voice};
use crate::store::{Claim, Completion, Deployment, Lease, StoreError, Verdict};
use crate::time::now_ms;

/// How long a job that this host cannot run is left to others, in ms: long enough
/// not to be in their way, short enough that a fault that passes is hardly noticed.
const RELEASED_FOR_MS: u64 = 5_000;

/// The bounds of how long a job is left alone that waits for others and found no place
/// to be parked, in ms. In between it is as long again as the job has been there: then
/// however long its tree takes, it is run in vain only some twenty times, and the jobs
/// that it waits for always get their turn.
const UNPARKED_FOR_MS: RangeInclusive<u64> = 1_000..=300_000;

/// Why an attempt has no output.
enum Unfinished {
    /// It ended.
    Stopped(Stop),
    /// This host could not run it, through no fault of the job.
    NotRun {
        /// Why, for the poster.
        text: String,
        /// What else is for the log of the host: it may name addresses and paths.
        cause: Option<String>,
    },
}

impl<T: Into<Stop>> From<T> for Unfinished {
    fn from(stop: T) -> Self {
        Self::Stopped(stop.into())
    }
}

/// Runs a job to the end of this attempt. A panic of the host's own code ends the
/// attempt, not the host.
pub(super) async fn run(
    tools: &Tools,
    lease: Lease,
    claim: Claim,
    cancel: CancellationToken,
) -> Completion {
    let mut completion = Completion {
        token: claim.token.clone(),
        verdict: Verdict::Release { delay_ms: 0 },
        started_at_ms: now_ms(),
        ended_at_ms: 0,
        usage: Usage::default(),
        limits: None,
        components: Vec::new(),
        log: Vec::new(),
    };
    let span = tools.traces.attempt(&claim);
    let voice = Voice::new(claim.token.clone(), tools.reports.clone());
    let mut course = Course {
        tools,
        lease,
        claim: &claim,
        cancel,
        voice: &voice,
        trace: span.context(),
        last: None,
    };
    let outcome = AssertUnwindSafe(run_functions(&mut course, &mut completion))
        .catch_unwind()
        .await
        .unwrap_or_else(|_| Err(host_error("the host panicked while it ran the job").into()));
    let last = course.last;
    completion.log = voice.end();
    completion.ended_at_ms = now_ms();
    completion.verdict = match outcome {
        Ok(output) => Verdict::Completed(output),
        Err(Unfinished::Stopped(stop)) => verdict(stop, &claim),
        Err(Unfinished::NotRun { text, cause }) => {
            let function = last.as_ref().map(|(function, _)| function);
            about(lease, &claim, function)
                .in_scope(|| tracing::warn!(cause, "gave a job back: {text}"));
            completion.log.push(LogLine {
                at_ms: completion.ended_at_ms,
                level: LogLevel::Warn,
                text: format!("a host gave this job back unrun: {text}"),
            });
            Verdict::Release {
                delay_ms: RELEASED_FOR_MS,
            }
        }
    };
    let outcome = outcome_of(&completion.verdict);
    let (function, meter) = match last {
        Some((function, meter)) => (Some(function), meter),
        None => (None, tools.metrics.no_function(&claim.token.namespace)),
    };
    meter.ended(outcome);
    if tracing::enabled!(tracing::Level::DEBUG) {
        let (outcome, cause) = outcome.as_labels();
        let Usage { fuel, run_us, .. } = completion.usage;
        about(lease, &claim, function.as_ref())
            .in_scope(|| tracing::debug!(outcome, cause, run_us, fuel, "an attempt ended"));
    }
    span.end(outcome, &completion.usage);
    completion
}

/// A verdict, as it is counted.
fn outcome_of(verdict: &Verdict) -> Outcome {
    match verdict {
        Verdict::Completed(_) => Outcome::Completed,
        Verdict::Failed(cause) => Outcome::Failed(cause.kind),
        Verdict::Retry { cause, .. } => Outcome::Retried(cause.kind),
        Verdict::Release { .. } => Outcome::Released,
        Verdict::Cancelled => Outcome::Cancelled,
    }
}

/// How long a job had been due when it was taken, in ms. Of one that was tried before it
/// is not known when it became due again.
fn waited_ms(claim: &Claim) -> Option<u64> {
    let due_ms = claim.posted_at_ms.saturating_add(claim.job.delay_ms);
    (claim.token.attempt == 1).then(|| claim.claimed_at_ms.saturating_sub(due_ms))
}

/// An attempt on its way.
struct Course<'a> {
    tools: &'a Tools,
    lease: Lease,
    claim: &'a Claim,
    cancel: CancellationToken,
    voice: &'a Voice,
    trace: Option<TraceContext>,
    /// The function that was begun last, and its meter.
    last: Option<(FunctionName, Arc<FunctionMeter>)>,
}

/// What a line of the log is about.
fn about(lease: Lease, claim: &Claim, function: Option<&FunctionName>) -> Span {
    let token = claim.token.clone();
    let function = function.or(claim.job.functions.first()).cloned();
    let about = About {
        token,
        lease,
        function,
    };
    about.span()
}

async fn run_functions(
    course: &mut Course<'_>,
    completion: &mut Completion,
) -> Result<Output, Unfinished> {
    let Course {
        tools,
        lease,
        claim,
        cancel,
        voice,
        trace,
        last: begun,
    } = course;
    let (tools, lease, claim, trace) = (*tools, *lease, *claim, *trace);
    let mut last = None;
    for (place, deployment) in deployments(tools, claim).await?.into_iter().enumerate() {
        if cancel.is_cancelled() {
            return Err(Cause::new(CauseKind::Cancelled, "it had not begun").into());
        }
        let component = (tools.sandbox.prepare(deployment.component).await).map_err(unprepared)?;
        completion.components.push(deployment.component);
        let namespace = &claim.token.namespace;
        let meter = tools.metrics.function(namespace, &deployment.function);
        *begun = Some((deployment.function.clone(), meter.clone()));
        let running = meter.begin();
        let limits = claim.job.limits.narrow(&deployment.limits);
        let before = completion.limits;
        completion.limits = Some(before.map_or(limits, |before| before.and(limits)));
        let Ended { outcome, usage } = tools
            .sandbox
            .run(Assignment {
                claim,
                lease,
                place,
                function: &deployment.function,
                limits: &limits,
                used: &completion.usage,
                component: &component,
                cancel: cancel.clone(),
                voice,
                trace,
            })
            .await;
        drop(running);
        if usage.run_us > 0 {
            meter.used(&usage);
            if let (0, Some(ms)) = (place, waited_ms(claim)) {
                meter.waited(ms);
            }
        }
        completion.usage = completion.usage.and(usage);
        last = Some(outcome?);
    }
    // The store gives no nameless job to a namespace without functions.
    last.ok_or_else(|| host_error("the namespace has no functions any more").into())
}

/// The functions of a job, as they are deployed now.
async fn deployments(tools: &Tools, claim: &Claim) -> Result<Vec<Arc<Deployment>>, Unfinished> {
    let deployed = (tools.store.functions(&claim.token.namespace).await)
        .map_err(|error: StoreError| hidden("its store does not answer", &error))?;
    if claim.job.functions.is_empty() {
        return Ok(deployed.to_vec());
    }
    let find = |name| {
        deployed
            .iter()
            .find(|deployment| &deployment.function == name)
    };
    (claim.job.functions.iter())
        .map(|name| {
            find(name).cloned().ok_or_else(|| {
                let text = format!("the function `{name}` is not deployed any more");
                Cause::new(CauseKind::NoSuchFunction, text).into()
            })
        })
        .collect()
}

fn unprepared(error: AdmitError) -> Unfinished {
    match error {
        // It was admitted once, perhaps by another version of skep.
        AdmitError::Refused(text) | AdmitError::TooLarge(text) => {
            let text = format!("its component is refused now: {text}");
            Cause::new(CauseKind::Trap, text).into()
        }
        AdmitError::Host(text) => hidden("it cannot prepare the component", &text),
        AdmitError::TooHard(text) | AdmitError::Busy(text) => {
            Unfinished::NotRun { text, cause: None }
        }
    }
}

/// The poster is not told the cause.
fn hidden(what: &str, cause: &dyn std::fmt::Display) -> Unfinished {
    Unfinished::NotRun {
        text: format!("{what}; its own log has the cause"),
        cause: Some(cause.to_string()),
    }
}

fn host_error(text: impl ToString) -> Stop {
    Cause::new(CauseKind::HostError, text.to_string()).into()
}

fn verdict(stop: Stop, claim: &Claim) -> Verdict {
    let (cause, retry_after_ms) = match stop {
        Stop::Ended {
            cause,
            retry_after_ms,
        } => (cause, retry_after_ms),
        Stop::NoPlace => {
            let age = now_ms().saturating_sub(claim.posted_at_ms);
            let delay_ms = age.clamp(*UNPARKED_FOR_MS.start(), *UNPARKED_FOR_MS.end());
            return Verdict::Release { delay_ms };
        }
        Stop::NoTurn => return Verdict::Release { delay_ms: 0 },
    };
    if cause.kind == CauseKind::Cancelled {
        return Verdict::Cancelled;
    }
    let delay_ms = retry_delay_ms(
        &cause,
        claim.token.attempt,
        claim.job.max_attempts,
        retry_after_ms,
        fastrand::f64(),
    );
    match delay_ms {
        Some(delay_ms) => Verdict::Retry { cause, delay_ms },
        None => Verdict::Failed(cause),
    }
}
