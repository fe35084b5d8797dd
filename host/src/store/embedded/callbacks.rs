//! The outbox of callbacks: what is due, who has it, and what came of it.

use rusqlite::{Connection, OptionalExtension, params};

use crate::job::{CallbackRecord, Delivery};
use crate::store::{Callback, Result, StoreError};

use super::committer::Action;
use super::key::Key;
use super::writer::{Writer, from_sql, to_sql};
use crate::store::record::{Ended, Fate, Head, Try, decode, encode};

/// How many callbacks are taken at once: a millisecond of the writer's time.
const MAX_TAKEN: usize = 256;

/// See [`crate::store::Store::take_callbacks`].
pub(super) struct TakeCallbacks(pub(super) usize);

impl Action for TakeCallbacks {
    type Answer = Vec<Callback>;

    /// After a loss of power one may be tried twice, as after any other crash.
    fn is_durable(&self) -> bool {
        false
    }

    fn apply(&self, writer: &mut Writer) -> Result<Vec<Callback>> {
        let most = to_sql(self.0.min(MAX_TAKEN) as u64);
        let due: Vec<(Key, u32, Option<Vec<u8>>)> = writer
            .statement(
                "SELECT key, number, deliveries FROM callbacks
                 WHERE due <= ? ORDER BY due, key LIMIT ?",
            )?
            .query_map(params![to_sql(writer.now_ms), most], |row| {
                Ok((Key::from_row(row.get(0)?), row.get(1)?, row.get(2)?))
            })?
            .collect::<rusqlite::Result<_>>()?;
        writer.effects.callbacks |= !due.is_empty();
        let mut taken = Vec::with_capacity(due.len());
        for (key, before, deliveries) in due {
            let number = before.saturating_add(1);
            let callback = writer.callback(key, number, deliveries);
            let callback = match callback {
                Ok(callback) => Some(callback),
                Err(StoreError::Unreadable(error)) => {
                    tracing::error!(%error, "a callback is given up, since it cannot be read");
                    None
                }
                Err(error) => return Err(error),
            };
            let taken_until = writer.now_ms.saturating_add(writer.callback_taken_ms);
            let due = callback.is_some().then(|| to_sql(taken_until));
            writer
                .statement("UPDATE callbacks SET due = ?, number = ? WHERE key = ?")?
                .execute(params![due, number, key.row()])?;
            taken.extend(callback);
        }
        Ok(taken)
    }
}

/// See [`crate::store::Store::called_back`].
pub(super) struct CalledBack {
    pub(super) callback: Callback,
    pub(super) delivery: Delivery,
    pub(super) again_in_ms: Option<u64>,
}

impl Action for CalledBack {
    type Answer = ();

    /// After a loss of power it is tried once more.
    fn is_durable(&self) -> bool {
        false
    }

    fn apply(&self, writer: &mut Writer) -> Result<()> {
        let number = writer.index.number(&self.callback.namespace);
        let Some(key) = number.and_then(|number| Key::new(number, self.callback.id)) else {
            return Ok(());
        };
        // Neither one that was taken by somebody else meanwhile nor one that is done.
        let deliveries = writer
            .statement(
                "SELECT deliveries FROM callbacks
                 WHERE key = ? AND number = ? AND due IS NOT NULL",
            )?
            .query_row(params![key.row(), self.callback.number], |row| {
                row.get::<_, Option<Vec<u8>>>(0)
            })
            .optional()?;
        let Some(deliveries) = deliveries else {
            return Ok(());
        };
        let mut tries = read_tries(key, deliveries)?;
        tries.push(Try::of(&self.delivery));
        let due = self
            .again_in_ms
            .map(|pause| to_sql(writer.now_ms.saturating_add(pause)));
        writer
            .statement("UPDATE callbacks SET due = ?, deliveries = ? WHERE key = ?")?
            .execute(params![due, encode(&tries)?, key.row()])?;
        writer.effects.callbacks = true;
        Ok(())
    }
}

fn read_tries(key: Key, tries: Option<Vec<u8>>) -> Result<Vec<Try>> {
    let what = format!("the callback of job {}", key.id());
    tries.map_or_else(|| Ok(Vec::new()), |bytes| decode(&what, &bytes))
}

/// Adds what became of the callback of a job that has ended.
pub(super) fn fill_callback(record: &mut CallbackRecord, db: &Connection, key: Key) -> Result<()> {
    let found = db
        .prepare_cached("SELECT due, deliveries FROM callbacks WHERE key = ?")?
        .query_row([key.row()], |row| Ok((row.get(0)?, row.get(1)?)))
        .optional()?;
    if let Some((due, tries)) = found {
        record.due_at_ms = Option::<i64>::map(due, from_sql);
        let tries = read_tries(key, tries)?.into_iter();
        record.deliveries = tries.map(Try::into_delivery).collect();
    }
    Ok(())
}

impl Writer {
    /// Whether a job that does not run is to be called back for.
    pub(super) fn has_callback(&self, key: Key) -> Result<bool> {
        let head: Option<Vec<u8>> = self
            .statement("SELECT head FROM posted WHERE key = ?")?
            .query_row([key.row()], |row| row.get(0))
            .optional()?;
        let Some(head) = head else {
            return Ok(false);
        };
        match decode::<Head<'static>>(format_args!("job {}", key.id()), &head) {
            Ok(head) => Ok(head.callback().is_some()),
            Err(error) => {
                tracing::error!(%error, "a job has no callback, since it cannot be read");
                Ok(false)
            }
        }
    }

    /// When the next callback is due, in ms since the Unix epoch.
    pub(super) fn next_callback_due(&self) -> Result<Option<u64>> {
        let due = self
            .statement("SELECT min(due) FROM callbacks WHERE due IS NOT NULL")?
            .query_row([], |row| row.get::<_, Option<i64>>(0))?;
        Ok(due.map(from_sql))
    }

    fn callback(&mut self, key: Key, number: u32, deliveries: Option<Vec<u8>>) -> Result<Callback> {
        let deliveries = read_tries(key, deliveries)?;
        let what = format!("job {}", key.id());
        let found = self
            .statement(
                "SELECT head, record FROM posted JOIN ended USING (key) WHERE posted.key = ?",
            )?
            .query_row([key.row()], |row| Ok((row.get(0)?, row.get(1)?)))
            .optional()?;
        let lost = || StoreError::Unreadable(format!("{what}, which has a callback, is gone"));
        let (head, ended): (Vec<u8>, Vec<u8>) = found.ok_or_else(lost)?;
        let head: Head<'static> = decode(&what, &head)?;
        let ended: Ended = decode(&what, &ended)?;
        Ok(Callback {
            namespace: self.name_of(key)?,
            id: key.id(),
            url: head.callback().ok_or_else(lost)?.to_owned(),
            number,
            tried: u32::try_from(deliveries.len()).unwrap_or(u32::MAX),
            success: ended.fate == Fate::Completed,
            short_result: ended.short_result,
            ended_at_ms: ended.ended_at_ms,
            trace: head.trace(),
        })
    }
}
