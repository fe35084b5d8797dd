//! Reads what is stored, without asking the writer.

use bytes::Bytes;
use rusqlite::{Connection, OptionalExtension, params};

use crate::job::{JobRecord, Namespace, State};
use crate::store::{AttemptLog, Result, StoreError};

use super::callbacks::fill_callback;
use super::children::first_children;
use super::key::Key;
use super::shared::Running;
use super::writer::{from_sql, now_ms, to_sql};
use crate::store::record::{
    Ended, Head, decode, decode_log, fill_attempts, fill_ended, fill_running, record_of,
};

/// A job's record; `running` as it was before the database was read.
pub(super) fn job(
    db: &Connection,
    namespace: Namespace,
    key: Key,
    running: Option<Running>,
) -> Result<Option<JobRecord>> {
    // One transaction, so that the tables agree.
    let db = db.unchecked_transaction()?;
    let Some((mut record, _)) = record(&db, namespace, key, running)? else {
        return Ok(None);
    };
    if let Some(callback) = record
        .callback
        .as_mut()
        .filter(|_| record.state.has_ended())
    {
        fill_callback(callback, &db, key)?;
    }
    (record.child_count, record.children) = first_children(&db, key)?;
    Ok(Some(record))
}

/// A job's record but for its children and what became of its callback, and how many bytes
/// were read for it.
pub(super) fn record(
    db: &Connection,
    namespace: Namespace,
    key: Key,
    running: Option<Running>,
) -> Result<Option<(JobRecord, u64)>> {
    let posted = db
        .prepare_cached("SELECT at, head, length(data) FROM posted WHERE key = ?")?
        .query_row([key.row()], |row| {
            Ok((row.get(0)?, row.get(1)?, row.get(2)?))
        })
        .optional()?;
    let Some((at, head, message_bytes)): Option<(i64, Vec<u8>, i64)> = posted else {
        return Ok(None);
    };
    let what = format!("job {}", key.id());
    let mut bytes = head.len() as u64;
    let head: Head<'static> = decode(&what, &head)?;
    let job = head.into_job(&what, Bytes::new())?;
    let mut record = record_of(
        key.id(),
        namespace,
        from_sql(at),
        job,
        from_sql(message_bytes),
    );
    let ended = db
        .prepare_cached("SELECT record FROM ended WHERE key = ?")?
        .query_row([key.row()], |row| row.get::<_, Vec<u8>>(0))
        .optional()?;
    match ended {
        Some(ended) => {
            bytes += ended.len() as u64;
            fill_ended(&mut record, decode(&what, &ended)?);
        }
        None => bytes += fill_open(&mut record, db, key, running)?,
    }
    Ok(Some((record, bytes)))
}

fn fill_open(
    record: &mut JobRecord,
    db: &Connection,
    key: Key,
    running: Option<Running>,
) -> Result<u64> {
    let open = db
        .prepare_cached(
            "SELECT due, attempts, cancel, history, mover IS NOT NULL FROM open WHERE key = ?",
        )?
        .query_row([key.row()], |row| {
            Ok((
                row.get(0)?,
                row.get(1)?,
                row.get(2)?,
                row.get(3)?,
                row.get(4)?,
            ))
        })
        .optional()?;
    let lost = || StoreError::Unreadable(format!("job {} neither waits nor has ended", key.id()));
    let (due, attempts, cancel, history, moving): (i64, u32, bool, Option<Vec<u8>>, bool) =
        open.ok_or_else(lost)?;
    let bytes = history.as_ref().map_or(0, |history| history.len() as u64);
    if let Some(history) = history {
        fill_attempts(
            record,
            decode(format_args!("the attempts of job {}", key.id()), &history)?,
        );
    }
    record.cancel_requested = cancel;
    // What ran when we looked may have been given back before we read.
    if let Some(running) = running.filter(|running| running.attempt > attempts) {
        record.progress = running.progress;
        fill_running(record, running.attempt, running.claimed_at_ms);
        if running.awaits.is_some() {
            record.state = State::Parked;
        }
        return Ok(bytes);
    }
    let due = from_sql(due);
    if moving {
        record.state = State::Scheduled;
    } else if due > now_ms() {
        record.state = State::Scheduled;
        record.due_at_ms = Some(due);
    }
    Ok(bytes)
}

/// What a job's last attempt that ended has logged.
pub(super) fn log(db: &Connection, key: Key) -> Result<AttemptLog> {
    let found = db
        .prepare_cached(
            "SELECT log, 0, record FROM ended WHERE key = ?1
             UNION ALL SELECT log, attempts, NULL FROM open WHERE key = ?1",
        )?
        .query_row([key.row()], |row| {
            let bytes = |column| row.get::<_, Option<Vec<u8>>>(column);
            Ok((bytes(0)?, row.get(1)?, bytes(2)?))
        })
        .optional()?;
    let Some((log, attempts, record)) = found else {
        return Ok(AttemptLog::default());
    };
    let attempt = match record {
        None => attempts,
        Some(record) => {
            let ended: Ended = decode(format_args!("job {}", key.id()), &record)?;
            ended.attempts.last().map_or(0, |last| last.number)
        }
    };
    let what = format!("the log of job {}", key.id());
    let lines = log.map_or_else(|| Ok(Vec::new()), |bytes| decode_log(&what, &bytes))?;
    Ok(AttemptLog { attempt, lines })
}

/// Data under a key.
pub(super) fn data(db: &Connection, namespace: u32, name: &str) -> Result<Option<Bytes>> {
    let found = db
        .prepare_cached(
            "SELECT content FROM data WHERE namespace = ? AND name = ?
             AND (expires IS NULL OR expires > ?)",
        )?
        .query_row(params![namespace, name, to_sql(now_ms())], |row| {
            row.get::<_, Vec<u8>>(0)
        })
        .optional()?;
    Ok(found.map(Bytes::from))
}
