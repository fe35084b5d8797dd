//! What a person does with the dead letter: lets jobs run again, or deletes them.

use rusqlite::{OptionalExtension, params};

use crate::job::{JobId, Namespace, State};
use crate::store::{Result, Retriable, Retried, StoreError};

use super::committer::Action;
use super::key::Key;
use super::queue::Rank;
use super::writer::{Writer, to_sql};
use crate::store::record::{Ended, Fate, Head, decode, encode};

/// See [`crate::store::Store::retry`].
pub(super) struct Retry {
    pub(super) namespace: Namespace,
    pub(super) ids: Vec<JobId>,
    pub(super) which: Retriable,
}

impl Action for Retry {
    type Answer = Vec<Retried>;

    fn apply(&self, writer: &mut Writer) -> Result<Vec<Retried>> {
        let number = writer.index.number(&self.namespace);
        let key = |id: &JobId| number.and_then(|number| Key::new(number, *id));
        let retried = self.ids.iter().map(|id| match key(id) {
            Some(key) => writer.retry(key, self.which),
            None => Ok(Retried::Unknown),
        });
        retried.collect()
    }
}

/// See [`crate::store::Store::forget`].
pub(super) struct Forget {
    pub(super) namespace: Namespace,
    pub(super) ids: Vec<JobId>,
}

impl Action for Forget {
    type Answer = usize;

    fn apply(&self, writer: &mut Writer) -> Result<usize> {
        let Some(number) = writer.index.number(&self.namespace) else {
            return Ok(0);
        };
        let mut forgotten = 0;
        for id in &self.ids {
            if let Some(key) = Key::new(number, *id) {
                forgotten += usize::from(writer.forget(number, key)?);
            }
        }
        // Keeps the next id, whatever was deleted.
        writer.index.change(number, |_| {});
        Ok(forgotten)
    }
}

impl Writer {
    /// Lets a job run again.
    fn retry(&mut self, key: Key, which: Retriable) -> Result<Retried> {
        let what = format!("job {}", key.id());
        let ended = self
            .statement("SELECT record, log FROM ended WHERE key = ?")?
            .query_row([key.row()], |row| Ok((row.get(0)?, row.get(1)?)))
            .optional()?;
        let Some((record, log)): Option<(Vec<u8>, Option<Vec<u8>>)> = ended else {
            let is_open = self
                .statement("SELECT 1 FROM open WHERE key = ?")?
                .exists([key.row()])?;
            return Ok(if is_open {
                Retried::NotEnded
            } else {
                Retried::Unknown
            });
        };
        let mut ended: Ended = decode(&what, &record)?;
        if let Some(refused) = ended.refuses_retry(which) {
            return Ok(refused);
        }
        let head = self.head(key)?;
        let job = head.into_job(&what, bytes::Bytes::new())?;
        let rank = Rank::of(&job);
        if let Some(last) = ended.attempts.last_mut() {
            last.was_last();
        }
        let attempts = ended.attempts.last().map_or(0, |last| last.number);
        let history = match ended.attempts.as_slice() {
            [] => None,
            attempts => Some(encode(&attempts)?),
        };
        self.statement("DELETE FROM ended WHERE key = ?")?
            .execute([key.row()])?;
        self.leave_dead(key)?;
        // A try of the old end that is on its way is not one of the new end.
        self.statement(
            "UPDATE callbacks SET due = NULL, number = number + 1, deliveries = NULL WHERE key = ?",
        )?
        .execute([key.row()])?;
        self.statement(
            "INSERT INTO open (key, rank, due, attempts, cancel, history, log)
             VALUES (?, ?, ?, ?, 0, ?, ?)",
        )?
        .execute(params![
            key.row(),
            rank.to_byte(),
            // It is due at once, and was not before.
            to_sql(self.now_ms),
            attempts,
            history,
            log
        ])?;
        self.index.change(key.namespace(), |saved| {
            let total = match ended.fate {
                Fate::Cancelled => &mut saved.cancelled,
                Fate::Completed | Fate::Failed => &mut saved.failed,
            };
            // They may have begun again at 0 since it ended.
            *total = total.saturating_sub(1);
        });
        self.index.set_attempts(key, attempts);
        self.index.add(key, rank, 0);
        self.effects.states.push((key, attempts, State::Queued));
        self.effects.callbacks = true;
        self.effects.ring = true;
        Ok(Retried::Done)
    }

    /// Deletes a job of the dead letter, unless its parent goes on.
    fn forget(&mut self, namespace: u32, key: Key) -> Result<bool> {
        let is_dead = self
            .statement("SELECT 1 FROM dead WHERE key = ?")?
            .exists([key.row()])?;
        if !is_dead {
            return Ok(false);
        }
        match self.head(key) {
            Ok(head) => {
                let parent = head.parent().and_then(|id| Key::new(namespace, id));
                if let Some(parent) = parent
                    && self
                        .statement("SELECT 1 FROM open WHERE key = ?")?
                        .exists([parent.row()])?
                {
                    return Ok(false);
                }
                if let Some(name) = head.idempotency_key() {
                    self.statement("DELETE FROM keys WHERE namespace = ? AND name = ? AND id = ?")?
                        .execute(params![namespace, name, to_sql(key.id().0)])?;
                }
            }
            Err(StoreError::Unreadable(error)) => {
                tracing::error!(%error, "a job is not deleted, since it cannot be read");
                return Ok(false);
            }
            Err(error) => return Err(error),
        }
        self.leave_dead(key)?;
        for delete in [
            "DELETE FROM ended WHERE key = ?",
            "DELETE FROM posted WHERE key = ?",
            "DELETE FROM callbacks WHERE key = ?",
        ] {
            self.statement(delete)?.execute([key.row()])?;
        }
        self.forget_children(key)?;
        self.effects.callbacks = true;
        Ok(true)
    }

    /// Takes a job out of the dead letter, if it is there.
    fn leave_dead(&mut self, key: Key) -> Result<()> {
        let left = self
            .statement("DELETE FROM dead WHERE key = ?")?
            .execute([key.row()])?;
        if let Some(queue) = self.index.queue(key.namespace()) {
            queue.dead = queue.dead.saturating_sub(left as u64);
        }
        Ok(())
    }

    fn head(&self, key: Key) -> Result<Head<'static>> {
        let head: Vec<u8> = self
            .statement("SELECT head FROM posted WHERE key = ?")?
            .query_row([key.row()], |row| row.get(0))?;
        decode(format_args!("job {}", key.id()), &head)
    }
}
