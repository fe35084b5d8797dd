//! The bodies of the next jobs, so that taking a job needs no read.

use std::collections::HashMap;
use std::sync::Arc;

use bytes::Bytes;
use rusqlite::{Row, params};

use crate::job::NewJob;
use crate::store::{Result, StoreError};

use super::key::Key;
use super::writer::{Writer, from_sql};
use crate::store::record::{Head, decode};

/// What the bodies may weigh: some eight thousand small jobs. A backlog that is
/// longer is read ahead of its turn, which costs little more.
const MAX_BYTES: usize = 4 << 20;

/// What a job weighs beside its message: its allocations and map entry.
const JOB_BYTES: usize = 320;

/// How many rows are read at once when a backlog is drained: enough to pay for
/// the search in the tree, few enough to be used before they are cold.
const READ_AHEAD: i64 = 128;

/// What reading ahead may load of large messages.
const READ_AHEAD_BYTES: usize = 1 << 20;

/// A job as it was accepted.
#[derive(Clone)]
pub(super) struct Posted {
    pub(super) job: Arc<NewJob>,
    pub(super) at_ms: u64,
}

/// The bodies of jobs that wait.
#[derive(Default)]
pub(super) struct Bodies {
    kept: HashMap<Key, Posted>,
    bytes: usize,
}

impl Bodies {
    /// Keeps a body, if there is room.
    pub(super) fn offer(&mut self, key: Key, job: &Arc<NewJob>, at_ms: u64) {
        let weight = weight(job);
        if self.bytes + weight <= MAX_BYTES {
            self.bytes += weight;
            self.kept.insert(
                key,
                Posted {
                    job: job.clone(),
                    at_ms,
                },
            );
        }
    }

    /// Takes a body out.
    pub(super) fn take(&mut self, key: Key) -> Option<Posted> {
        let posted = self.kept.remove(&key)?;
        self.bytes = self.bytes.saturating_sub(weight(&posted.job));
        Some(posted)
    }
}

fn weight(job: &NewJob) -> usize {
    job.message.data.len() + JOB_BYTES
}

/// The job of a row of `key, at, head, data`.
pub(super) fn posted(key: Key, row: &Row<'_>) -> Result<Posted> {
    let id = key.id();
    let invalid =
        |error: rusqlite::types::FromSqlError| StoreError::Unreadable(format!("job {id}: {error}"));
    let head: Head<'static> = decode(
        format_args!("job {id}"),
        row.get_ref(2)?.as_blob().map_err(invalid)?,
    )?;
    let data = Bytes::copy_from_slice(row.get_ref(3)?.as_blob().map_err(invalid)?);
    let job = Arc::new(head.into_job(format_args!("job {id}"), data)?);
    Ok(Posted {
        job,
        at_ms: from_sql(row.get(1)?),
    })
}

impl Writer {
    /// The body of a job.
    pub(super) fn posted(&mut self, key: Key) -> Result<Posted> {
        if let Some(posted) = self.bodies.take(key) {
            return Ok(posted);
        }
        let next = Key::from_row(key.row() + 1);
        let rows = if self.index.is_ready(next) {
            READ_AHEAD
        } else {
            1
        };
        let mut statement = self.db.prepare_cached(
            "SELECT key, at, head, data FROM posted WHERE key BETWEEN ? AND ? ORDER BY key",
        )?;
        let mut found = statement.query(params![key.row(), key.row() + rows - 1])?;
        let mut wanted = None;
        let mut bytes = 0;
        while let Some(row) = found.next()? {
            let at = Key::from_row(row.get(0)?);
            if at == key {
                wanted = Some(posted(key, row)?);
            } else if self.index.is_ready(at) && !self.bodies.kept.contains_key(&at) {
                // Its fault, if it has one, is found when it is its turn.
                if let Ok(posted) = posted(at, row) {
                    bytes += weight(&posted.job);
                    self.bodies.offer(at, &posted.job, posted.at_ms);
                }
            }
            if bytes > READ_AHEAD_BYTES {
                break;
            }
        }
        wanted.ok_or_else(|| StoreError::Unreadable(format!("job {} has no body", key.id())))
    }
}
