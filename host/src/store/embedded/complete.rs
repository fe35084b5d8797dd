//! Ends attempts.

use rusqlite::params;

use crate::job::{Cause, CauseKind, Output, State, retry_delay_ms};
use crate::store::{Completion, Lease, Result, StoreError, Verdict};

use super::ending::End;
use super::key::Key;
use super::queue::Rank;
use super::shared::Running;
use super::writer::{Writer, to_sql};
use crate::store::record::{Attempt, Fate, encode, encode_log, granted};

impl Writer {
    /// Records the end of an attempt; `false` if the lease does not hold it.
    pub(super) fn complete(&mut self, lease: Lease, done: &Completion) -> Result<bool> {
        let token = &done.token;
        let key = self
            .index
            .number(&token.namespace)
            .and_then(|n| Key::new(n, token.id));
        let Some((key, running)) =
            key.and_then(|key| Some((key, self.end_attempt(lease, key, token.attempt)?)))
        else {
            return Ok(false);
        };
        if self.index.left(key.namespace(), done.charged_us()) {
            self.effects.ring = true;
        }
        self.leave_batch(running.batch)?;
        let cancelled = || {
            Some(Cause::new(
                CauseKind::Cancelled,
                "somebody cancelled the job",
            ))
        };
        let stop = running.cancel_requested;
        match &done.verdict {
            Verdict::Completed(output) => {
                self.finish(key, &running, done, Fate::Completed, None, Some(output))?;
            }
            Verdict::Cancelled => {
                self.finish(key, &running, done, Fate::Cancelled, cancelled(), None)?;
            }
            Verdict::Release { .. } if stop => {
                // It may run again under the same number.
                self.strike_from_batch(running.batch, key)?;
                self.end_waiting(key, true, None)?;
            }
            Verdict::Release { delay_ms } => {
                self.strike_from_batch(running.batch, key)?;
                let due = self.due(*delay_ms);
                if let Some(log) = encode_log(&done.log)? {
                    self.statement("UPDATE open SET due = ?, log = ? WHERE key = ?")?
                        .execute(params![to_sql(due), log, key.row()])?;
                } else if due > 0 {
                    self.statement("UPDATE open SET due = ? WHERE key = ?")?
                        .execute(params![to_sql(due), key.row()])?;
                }
                self.index.add(key, Rank::of(&running.job), due);
                self.waits_again(key, running.attempt, due);
            }
            Verdict::Failed(cause) | Verdict::Retry { cause, .. } if stop => {
                self.finish(
                    key,
                    &running,
                    done,
                    Fate::Cancelled,
                    Some(cause.clone()),
                    None,
                )?;
            }
            Verdict::Failed(cause) => {
                self.finish(key, &running, done, Fate::Failed, Some(cause.clone()), None)?;
            }
            Verdict::Retry { cause, .. } if token.attempt >= running.job.max_attempts => {
                self.finish(key, &running, done, Fate::Failed, Some(cause.clone()), None)?;
            }
            Verdict::Retry { cause, delay_ms } => {
                let attempt = Attempt::of(done, Some(cause.clone()));
                let log = encode_log(&done.log)?;
                let due = self.due(*delay_ms);
                self.put_back(key, Rank::of(&running.job), attempt, Some(log), due)?;
            }
        }
        Ok(true)
    }

    /// When a job is due again after a pause; 0 for at once.
    fn due(&self, delay_ms: u64) -> u64 {
        match delay_ms {
            0 => 0,
            delay_ms => self.now_ms.saturating_add(delay_ms),
        }
    }

    /// Gives back a job whose host is gone, to the front of its queue, or to the
    /// dead letter when it has no attempt left.
    pub(super) fn lose(
        &mut self,
        key: Key,
        attempt: u32,
        began_ms: u64,
        cancel: bool,
    ) -> Result<()> {
        let cause = Cause::new(
            CauseKind::HostLost,
            "the host that ran this attempt stopped or was out of reach for longer than its lease",
        );
        let job = match self.posted(key) {
            Ok(posted) => posted.job,
            Err(StoreError::Unreadable(error)) => {
                // It stays on disk as it is, and does not keep the store shut.
                tracing::error!(%error, "a lost job is set aside, since it cannot be read");
                return Ok(());
            }
            Err(error) => return Err(error),
        };
        let mut past = self.past(key)?;
        let most = job.max_attempts.saturating_add(granted(&past.attempts));
        let again = retry_delay_ms(&cause, attempt, most, Some(0), 0.0).is_some();
        let record = Attempt::unreported(attempt, began_ms, self.now_ms, cause);
        if again && !cancel {
            return self.put_back(key, Rank::of(&job), record, None, 0);
        }
        past.attempts.push(record);
        let callback = job.callback.is_some();
        let end = End {
            fate: if cancel {
                Fate::Cancelled
            } else {
                Fate::Failed
            },
            at_ms: self.now_ms,
            attempts: past.attempts,
            output: None,
            log: past.log,
            retention_s: None,
            cancel_requested: cancel,
            cause: None,
            callback,
        };
        self.end(key, end)
    }

    /// Ends an attempt that the lease holds.
    pub(super) fn end_attempt(&mut self, lease: Lease, key: Key, attempt: u32) -> Option<Running> {
        let mut running = self.shared.running();
        let entry = running.get_mut(&key)?;
        let held = entry.incarnation == lease.incarnation && entry.attempt == attempt;
        if !held || entry.over {
            return None;
        }
        entry.over = true;
        self.effects.over.push(key);
        Some(entry.clone())
    }

    fn finish(
        &mut self,
        key: Key,
        running: &Running,
        done: &Completion,
        fate: Fate,
        cause: Option<Cause>,
        output: Option<&Output>,
    ) -> Result<()> {
        let mut attempts = self.past(key)?.attempts;
        attempts.push(Attempt::of(done, cause));
        let end = End {
            fate,
            at_ms: done.ended_at_ms,
            attempts,
            output,
            log: encode_log(&done.log)?,
            retention_s: running.job.retention_s,
            cancel_requested: running.cancel_requested,
            cause: None,
            callback: running.job.callback.is_some(),
        };
        self.end(key, end)
    }

    /// Gives back a job that a person took from its host: to the front of its
    /// queue, whether it has an attempt left or not.
    pub(super) fn release(&mut self, key: Key, running: &Running) -> Result<()> {
        let cause = Cause::new(
            CauseKind::Released,
            "a person took the job from its host while this attempt ran",
        );
        let attempt =
            Attempt::unreported(running.attempt, running.claimed_at_ms, self.now_ms, cause);
        let rank = Rank::of(&running.job);
        self.put_back(key, rank, attempt, None, 0)?;
        if running.cancel_requested {
            self.index.remove(key, rank, 0);
            self.end_waiting(key, true, None)?;
        }
        Ok(())
    }

    /// Lets a job wait for its next attempt; a log of `None` leaves the one that
    /// is there.
    fn put_back(
        &mut self,
        key: Key,
        rank: Rank,
        attempt: Attempt,
        log: Option<Option<Vec<u8>>>,
        due: u64,
    ) -> Result<()> {
        let number = attempt.number;
        let mut past = self.past(key)?;
        past.attempts.push(attempt);
        self.statement(
            "UPDATE open SET due = ?, attempts = ?, history = ?, log = ? WHERE key = ?",
        )?
        .execute(params![
            to_sql(due),
            number,
            encode(&past.attempts)?,
            log.unwrap_or(past.log),
            key.row()
        ])?;
        self.index.set_attempts(key, number);
        self.index.add(key, rank, due);
        self.waits_again(key, number, due);
        Ok(())
    }

    /// Tells that a job waits again after an attempt, until `due` if that is not 0.
    fn waits_again(&mut self, key: Key, attempt: u32, due: u64) {
        let state = match due {
            0 => State::Queued,
            _ => State::Scheduled,
        };
        self.effects.states.push((key, attempt, state));
        self.effects.ring = true;
    }
}
