//! What a step records: the ends of attempts, as the script `cycle` wants them.

use redis::Cmd;

use crate::job::{Cause, CauseKind, Namespace, Output};
use crate::store::record::{Attempt, Ended, Fate, encode, encode_log};
use crate::store::{Completion, Result, Verdict};

use super::posted::encode_end;
use super::shared::Held;

/// An end for the script.
struct End {
    /// Where it stands among the completions of the step.
    index: usize,
    id: u64,
    value: String,
    verdict: &'static str,
    delay_ms: u64,
    expires_at_ms: Option<u64>,
    /// To be recorded instead, if somebody has cancelled the job.
    cancelled: Vec<u8>,
    records: Vec<(&'static str, Vec<u8>)>,
    calls_back: bool,
}

impl End {
    /// The record, if that is all there is to say: the job completed at first try,
    /// logged nothing, and nobody is to be called back.
    fn plain(&self) -> Option<&[u8]> {
        match self.records.as_slice() {
            [("e", record)]
                if self.verdict == "c"
                    && !self.calls_back
                    && self.expires_at_ms.is_none()
                    && self.value.starts_with("1:")
                    && !has_past(&self.value) =>
            {
                Some(record)
            }
            _ => None,
        }
    }
}

fn has_past(value: &str) -> bool {
    value.split(':').nth(2) == Some("1")
}

/// The ends of one namespace: the plain ones, and the others.
struct Group {
    namespace: Namespace,
    plain: Vec<End>,
    others: Vec<End>,
    /// How many of them ran, and are not released, and for how long together, in µs.
    runs: u64,
    run_us: u64,
}

/// The ends of a step.
pub(super) struct Ends {
    /// Redis's time, in ms.
    now_ms: u64,
    groups: Vec<Group>,
}

impl Ends {
    /// None yet.
    pub(super) fn new(now_ms: u64) -> Self {
        Self {
            now_ms,
            groups: Vec::new(),
        }
    }

    /// Adds the end of an attempt, the `index`th completion of its step.
    pub(super) fn add(&mut self, index: usize, done: &Completion, held: &Held) -> Result<()> {
        let end = end(index, done, held, self.now_ms)?;
        let namespace = &done.token.namespace;
        // A step seldom has ends of more than a few namespaces.
        let known = (self.groups.iter()).position(|group| group.namespace == *namespace);
        let group = match known {
            Some(at) => self.groups.get_mut(at),
            None => {
                self.groups.push(Group {
                    namespace: namespace.clone(),
                    plain: Vec::new(),
                    others: Vec::new(),
                    runs: 0,
                    run_us: 0,
                });
                self.groups.last_mut()
            }
        };
        let Some(group) = group else { return Ok(()) };
        if let Some(run_us) = done.charged_us() {
            group.runs += 1;
            group.run_us = group.run_us.saturating_add(run_us);
        }
        let list = match end.plain() {
            Some(_) => &mut group.plain,
            None => &mut group.others,
        };
        list.push(end);
        Ok(())
    }

    /// Adds them all to a command; answers the indexes in the order of the script.
    pub(super) fn add_to(&self, command: &mut Cmd) -> Vec<usize> {
        let mut order = Vec::new();
        command.arg(self.groups.len());
        for group in &self.groups {
            let field = |end: &End| format!("{}/{}", group.namespace, end.id);
            command
                .arg(group.namespace.as_str())
                .arg(group.plain.len())
                .arg(group.others.len())
                .arg(group.runs)
                .arg(group.run_us);
            for end in &group.plain {
                order.push(end.index);
                let record = end.plain().unwrap_or_default();
                command.arg(field(end)).arg(record);
            }
            for end in &group.others {
                order.push(end.index);
                let expires = end
                    .expires_at_ms
                    .map_or_else(String::new, |ms| ms.to_string());
                command
                    .arg(field(end))
                    .arg(&end.value)
                    .arg(end.verdict)
                    .arg(end.delay_ms)
                    .arg(expires)
                    .arg(&end.cancelled)
                    .arg(end.records.len());
                for (kind, bytes) in &end.records {
                    command.arg(*kind).arg(bytes);
                }
            }
        }
        order
    }
}

fn end(index: usize, done: &Completion, held: &Held, now_ms: u64) -> Result<End> {
    let with = |cause: Option<Cause>| {
        let mut attempts = held.past.clone();
        attempts.push(Attempt::of(done, cause));
        attempts
    };
    let mut end = End {
        index,
        id: done.token.id.0,
        value: held.value.clone(),
        verdict: "c",
        delay_ms: 0,
        expires_at_ms: None,
        cancelled: Vec::new(),
        records: Vec::with_capacity(2),
        calls_back: held.job.callback.is_some(),
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
        cause: None,
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
            let retention_ms = (held.job.retention_s).map(|seconds| seconds.saturating_mul(1000));
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
            end.cancelled = stopped(held.past.clone())?;
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
            let attempts = with(Some(cause.clone()));
            end.cancelled = stopped(attempts.clone())?;
            let ended = ended(Fate::Failed, attempts);
            end.records.push(("e", encode_end(&ended, None)?));
        }
    }
    if let Some(log) = encode_log(&done.log)? {
        end.records.push(("l", log));
    }
    Ok(end)
}

fn completed(ended: Ended, output: &Output) -> Ended {
    Ended {
        short_result: output.short_result.clone(),
        content_type: Some(output.result.content_type.clone()),
        result_bytes: Some(output.result.data.len() as u64),
        ..ended
    }
}
