//! Reads what is stored, without asking the writer.

use std::path::PathBuf;
use std::sync::{Arc, Mutex};

use bytes::Bytes;
use rusqlite::{Connection, OptionalExtension, params};
use tokio::sync::Semaphore;

use crate::job::{Digest, JobRecord, LogLine, Namespace, Output, Payload, State};
use crate::store::{Result, StoreError, Stored};

use super::key::Key;
use super::schema::open_reader;
use super::shared::{Running, lock};
use super::writer::{from_sql, now_ms, to_sql};
use crate::store::record::{
    Ended, Fate, Head, decode, decode_log, fill_attempts, fill_ended, fill_running, record_of,
};

/// How many reads go on at once: each has a connection with a cache of its own,
/// and more than the cores of a small machine only wait for the same disk.
const READERS: usize = 8;

/// Connections for reading.
pub(super) struct Readers {
    directory: PathBuf,
    idle: Arc<Mutex<Vec<Connection>>>,
    turns: Arc<Semaphore>,
}

impl Readers {
    /// Readers of the database in a directory.
    pub(super) fn new(directory: PathBuf) -> Self {
        let turns = Arc::new(Semaphore::new(READERS));
        Self {
            directory,
            idle: Arc::default(),
            turns,
        }
    }

    /// Reads, on a thread that may block.
    pub(super) async fn read<T, F>(&self, read: F) -> Result<T>
    where
        T: Send + 'static,
        F: FnOnce(&Connection) -> Result<T> + Send + 'static,
    {
        let stopped = |_| StoreError::Unavailable("the store has been closed".into());
        let turn = self.turns.clone().acquire_owned().await.map_err(stopped)?;
        let (directory, idle) = (self.directory.clone(), self.idle.clone());
        let work = move || {
            let _turn = turn;
            let connection = lock(&idle).pop();
            let connection = connection.map_or_else(|| open_reader(&directory), Ok)?;
            let answer = read(&connection);
            lock(&idle).push(connection);
            answer
        };
        let fault = |error| StoreError::Unavailable(format!("a read failed: {error}"));
        tokio::task::spawn_blocking(work).await.map_err(fault)?
    }
}

/// A job's record; `running` as it was before the database was read.
pub(super) fn job(
    db: &Connection,
    namespace: Namespace,
    key: Key,
    running: Option<Running>,
) -> Result<Option<JobRecord>> {
    // One transaction, so that the tables agree.
    let db = db.unchecked_transaction()?;
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
        Some(bytes) => fill_ended(&mut record, decode(&what, &bytes)?),
        None => fill_open(&mut record, &db, key, running)?,
    }
    Ok(Some(record))
}

fn fill_open(
    record: &mut JobRecord,
    db: &Connection,
    key: Key,
    running: Option<Running>,
) -> Result<()> {
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
        return Ok(());
    }
    let due = from_sql(due);
    if moving {
        record.state = State::Scheduled;
    } else if due > now_ms() {
        record.state = State::Scheduled;
        record.due_at_ms = Some(due);
    }
    Ok(())
}

/// A job's output.
pub(super) fn output(db: &Connection, key: Key) -> Result<Option<Stored>> {
    let ended = db
        .prepare_cached("SELECT record, result FROM ended WHERE key = ?")?
        .query_row([key.row()], |row| Ok((row.get(0)?, row.get(1)?)))
        .optional()?;
    let Some((record, result)): Option<(Vec<u8>, Option<Vec<u8>>)> = ended else {
        return Ok(None);
    };
    let ended: Ended = decode(format_args!("job {}", key.id()), &record)?;
    if ended.fate != Fate::Completed {
        return Ok(None);
    }
    let expired = ended.expires_at_ms.is_some_and(|at| at <= now_ms());
    let Some(data) = result.filter(|_| !expired) else {
        return Ok(Some(Stored::Expired));
    };
    Ok(Some(Stored::Output(Output {
        short_result: ended.short_result,
        result: Payload {
            content_type: ended.content_type.unwrap_or_default(),
            data: data.into(),
        },
    })))
}

/// What a job's last attempt that ended has logged.
pub(super) fn log(db: &Connection, key: Key) -> Result<Vec<LogLine>> {
    let log = db
        .prepare_cached(
            "SELECT log FROM ended WHERE key = ?1 UNION ALL SELECT log FROM open WHERE key = ?1",
        )?
        .query_row([key.row()], |row| row.get::<_, Option<Vec<u8>>>(0))
        .optional()?;
    let what = format!("the log of job {}", key.id());
    log.flatten()
        .map_or_else(|| Ok(Vec::new()), |bytes| decode_log(&what, &bytes))
}

/// Whether a job waits or runs.
pub(super) fn is_open(db: &Connection, key: Key) -> Result<bool> {
    Ok(db
        .prepare_cached("SELECT 1 FROM open WHERE key = ?")?
        .exists([key.row()])?)
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

/// A component's bytes.
pub(super) fn component(db: &Connection, digest: Digest) -> Result<Option<Bytes>> {
    let found = db
        .prepare_cached("SELECT content FROM components WHERE digest = ?")?
        .query_row([digest.as_bytes()], |row| row.get::<_, Vec<u8>>(0))
        .optional()?;
    Ok(found.map(Bytes::from))
}
