//! Ends jobs.

use bytes::Bytes;
use rusqlite::{OptionalExtension, params};

use crate::job::{Cause, CauseKind, Output};
use crate::store::Result;

use super::key::Key;
use super::writer::{Writer, to_sql};
use crate::store::record::{Attempt, Ended, Fate, decode, encode};

/// How a job ends.
pub(super) struct End<'a> {
    pub(super) fate: Fate,
    pub(super) at_ms: u64,
    pub(super) attempts: Vec<Attempt>,
    pub(super) output: Option<&'a Output>,
    pub(super) log: Option<Vec<u8>>,
    pub(super) retention_s: Option<u64>,
    pub(super) cancel_requested: bool,
    /// Why, where that is not why the last attempt ended.
    pub(super) cause: Option<Cause>,
    /// Whether it is to be called back for.
    pub(super) callback: bool,
}

/// A row of `ended`.
pub(super) struct EndRow {
    key: Key,
    expires_at_ms: Option<u64>,
    record: Vec<u8>,
    log: Option<Vec<u8>>,
    result: Option<Bytes>,
    failed: bool,
    callback: bool,
}

/// What `open` holds of earlier attempts.
#[derive(Default)]
pub(super) struct Past {
    pub(super) attempts: Vec<Attempt>,
    pub(super) log: Option<Vec<u8>>,
}

impl Writer {
    /// Ends a job that does not run, as cancelled.
    pub(super) fn end_waiting(
        &mut self,
        key: Key,
        cancel_requested: bool,
        cause: Option<Cause>,
    ) -> Result<()> {
        let past = self.past(key)?;
        // The callback of a job that went to another store went along.
        let moved = cause.as_ref().is_some_and(|c| c.kind == CauseKind::Moved);
        let callback = !moved && self.has_callback(key)?;
        let end = End {
            fate: Fate::Cancelled,
            at_ms: self.now_ms,
            attempts: past.attempts,
            output: None,
            log: past.log,
            retention_s: None,
            cancel_requested,
            cause,
            callback,
        };
        self.end(key, end)
    }

    /// Ends a job.
    pub(super) fn end(&mut self, key: Key, end: End<'_>) -> Result<()> {
        let expires_at_ms = end
            .output
            .and(end.retention_s)
            .map(|seconds| self.now_ms.saturating_add(seconds.saturating_mul(1000)));
        let result = end.output.map(|output| &output.result);
        let record = encode(&Ended {
            fate: end.fate,
            ended_at_ms: end.at_ms,
            attempts: end.attempts,
            short_result: end.output.and_then(|output| output.short_result.clone()),
            content_type: result.map(|result| result.content_type.clone()),
            result_bytes: result.map(|result| result.data.len() as u64),
            expires_at_ms,
            cancel_requested: end.cancel_requested,
            cause: end.cause,
        })?;
        self.index.change(key.namespace(), |saved| match end.fate {
            Fate::Completed => saved.completed += 1,
            Fate::Failed => saved.failed += 1,
            Fate::Cancelled => saved.cancelled += 1,
        });
        if end.fate == Fate::Failed
            && let Some(queue) = self.index.queue(key.namespace())
        {
            queue.dead += 1;
        }
        self.ends.push(EndRow {
            key,
            expires_at_ms,
            record,
            log: end.log,
            result: result.map(|result| result.data.clone()),
            failed: end.fate == Fate::Failed,
            callback: end.callback,
        });
        if let Some(output) = end.output
            && end.retention_s.is_none()
            && self.shared.waiters().is_awaited(&key)
        {
            self.effects.results.push((key, output.clone()));
        }
        self.index.forget(key);
        self.effects.ended.push(key);
        Ok(())
    }

    /// Writes the ends of an action's jobs, all with the same two statements.
    pub(super) fn write_ends(&mut self) -> Result<()> {
        if self.ends.is_empty() {
            return Ok(());
        }
        let mut insert = self.db.prepare_cached(
            "INSERT INTO ended (key, expires, record, log, result) VALUES (?, ?, ?, ?, ?)",
        )?;
        let mut delete = self.db.prepare_cached("DELETE FROM open WHERE key = ?")?;
        for end in self.ends.drain(..) {
            let expires = end.expires_at_ms.map(to_sql);
            let result = end.result.as_deref();
            insert.execute(params![end.key.row(), expires, end.record, end.log, result])?;
            delete.execute([end.key.row()])?;
            if end.failed {
                self.db
                    .prepare_cached("INSERT INTO dead (key) VALUES (?)")?
                    .execute([end.key.row()])?;
            }
            if end.callback {
                // A job that runs again has a row of its end before.
                self.db
                    .prepare_cached(
                        "INSERT INTO callbacks (key, due, number) VALUES (?, ?, 0)
                         ON CONFLICT DO UPDATE SET due = excluded.due",
                    )?
                    .execute([end.key.row(), to_sql(self.now_ms)])?;
                self.effects.callbacks = true;
            }
        }
        Ok(())
    }

    /// The attempts that an open job has behind it.
    pub(super) fn past(&self, key: Key) -> Result<Past> {
        if self.index.attempts(key) == 0 {
            return Ok(Past::default());
        }
        let past = self
            .statement("SELECT history, log FROM open WHERE key = ?")?
            .query_row([key.row()], |row| Ok((row.get(0)?, row.get(1)?)))
            .optional()?;
        let (history, log): (Option<Vec<u8>>, _) = past.unwrap_or_default();
        let id = key.id();
        let read = |bytes: Vec<u8>| decode(format_args!("the attempts of job {id}"), &bytes);
        let attempts = history.map_or_else(|| Ok(Vec::new()), read)?;
        Ok(Past { attempts, log })
    }
}
