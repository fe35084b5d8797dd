//! What a step records: the ends of attempts, as the script `cycle` wants them.

use redis::Cmd;

use crate::job::{Cause, CauseKind, Output};
use crate::store::record::{Attempt, Ended, Fate, encode, encode_log};
use crate::store::{Completion, Result, Token, Verdict};

use super::posted::encode_end;
use super::shared::Held;

/// An end for the script.
struct End<'a> {
    token: &'a Token,
    verdict: &'static str,
    delay_ms: u64,
    expires_at_ms: Option<u64>,
    /// To be recorded instead, if somebody has cancelled the job.
    cancelled: Vec<u8>,
    records: Vec<(&'static str, Vec<u8>)>,
}

impl End<'_> {
    fn add_to(&self, command: &mut Cmd) {
        let expires = self
            .expires_at_ms
            .map_or_else(String::new, |ms| ms.to_string());
        command
            .arg(self.token.namespace.as_str())
            .arg(self.token.id.0)
            .arg(self.token.attempt)
            .arg(self.verdict)
            .arg(self.delay_ms)
            .arg(expires)
            .arg(&self.cancelled)
            .arg(self.records.len());
        for (kind, bytes) in &self.records {
            command.arg(*kind).arg(bytes);
        }
    }
}

/// Adds the end of an attempt to a step. `now_ms` is Redis's time.
pub(super) fn add(command: &mut Cmd, done: &Completion, held: &Held, now_ms: u64) -> Result<()> {
    let past = || held.past.clone();
    let with = |cause: Option<Cause>| {
        let mut attempts = past();
        attempts.push(Attempt::of(done, cause));
        attempts
    };
    let mut end = End {
        token: &done.token,
        verdict: "c",
        delay_ms: 0,
        expires_at_ms: None,
        cancelled: Vec::new(),
        records: Vec::with_capacity(2),
    };
    let ended = |fate, attempts| Ended {
        fate,
        ended_at_ms: done.ended_at_ms,
        attempts,
        short_result: None,
        content_type: None,
        result_bytes: None,
        expires_at_ms: None,
        cancel_requested: false,
    };
    let stopped = |attempts| {
        let ended = Ended {
            cancel_requested: true,
            ..ended(Fate::Cancelled, attempts)
        };
        encode_end(&ended, None)
    };
    match &done.verdict {
        Verdict::Completed(output) => {
            let retention_ms = held
                .job
                .retention_s
                .map(|seconds| seconds.saturating_mul(1000));
            end.expires_at_ms = retention_ms.map(|ms| now_ms.saturating_add(ms));
            let ended = Ended {
                expires_at_ms: end.expires_at_ms,
                ..completed(ended(Fate::Completed, with(None)), output)
            };
            end.records.push(("e", encode_end(&ended, Some(output))?));
        }
        Verdict::Cancelled => {
            end.verdict = "x";
            let cause = Cause::new(CauseKind::Cancelled, "somebody cancelled the job");
            let ended = ended(Fate::Cancelled, with(Some(cause)));
            end.records.push(("e", encode_end(&ended, None)?));
        }
        Verdict::Release { delay_ms } => {
            end.verdict = "l";
            end.delay_ms = *delay_ms;
            end.cancelled = stopped(past())?;
        }
        Verdict::Retry { cause, delay_ms } if done.token.attempt < held.job.max_attempts => {
            end.verdict = "r";
            end.delay_ms = *delay_ms;
            let attempts = with(Some(cause.clone()));
            end.records.push(("h", encode(&attempts)?));
            end.cancelled = stopped(attempts)?;
        }
        Verdict::Failed(cause) | Verdict::Retry { cause, .. } => {
            end.verdict = "f";
            if matches!(done.verdict, Verdict::Retry { .. }) {
                end.cancelled = stopped(with(Some(cause.clone())))?;
            }
            let ended = ended(Fate::Failed, with(Some(cause.clone())));
            end.records.push(("e", encode_end(&ended, None)?));
        }
    }
    if let Some(log) = encode_log(&done.log)? {
        end.records.push(("l", log));
    }
    end.add_to(command);
    Ok(())
}

fn completed(ended: Ended, output: &Output) -> Ended {
    Ended {
        short_result: output.short_result.clone(),
        content_type: Some(output.result.content_type.clone()),
        result_bytes: Some(output.result.data.len() as u64),
        ..ended
    }
}
