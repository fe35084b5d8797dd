//! Idempotency keys: which job has one, and whether a post under it is a post of that job.
//!
//! Not here: what comes of a post under a key that is taken (`submit`).

use std::collections::HashMap;
use std::collections::hash_map::Entry;

use rusqlite::{Connection, OptionalExtension, params};

use crate::job::{JobId, Namespace, NewJob};
use crate::store::record::{Head, decode};
use crate::store::{Result, Reused, StoreError};

use super::key::Key;
use super::writer::{Writer, from_sql, to_sql};

/// The keys that the posts of a call name.
pub(super) struct Keys<'w> {
    db: &'w Connection,
    /// Not there while the namespace has no job.
    namespace: Option<u32>,
    /// Those that no job has yet, and the post that will.
    new: HashMap<&'w str, &'w NewJob>,
    reused: Vec<Reused>,
}

impl<'w> Keys<'w> {
    pub(super) fn new(writer: &'w Writer, namespace: &Namespace) -> Self {
        Self {
            db: &writer.db,
            namespace: writer.index.number(namespace),
            new: HashMap::new(),
            reused: Vec::new(),
        }
    }

    /// Looks whether a post is of the job that has its key.
    pub(super) fn check(&mut self, place: usize, job: &'w NewJob) -> Result<()> {
        let Some(name) = job.idempotency_key.as_deref() else {
            return Ok(());
        };
        let first = match self.namespace {
            Some(number) => id_of(self.db, number, name)?.zip(self.namespace),
            None => None,
        };
        let is_same = match first {
            Some((id, number)) => is_same(self.db, number, id, job)?,
            None => match self.new.entry(name) {
                Entry::Vacant(new) => {
                    new.insert(job);
                    true
                }
                Entry::Occupied(other) => {
                    let other = other.get();
                    other.functions == job.functions && other.message == job.message
                }
            },
        };
        if !is_same {
            self.reused.push(Reused {
                place,
                key: name.to_owned(),
                first: first.map(|(id, _)| id),
            });
        }
        Ok(())
    }

    /// Refuses the call if one of its posts is to be.
    pub(super) fn end(self) -> Result<()> {
        match self.reused.is_empty() {
            true => Ok(()),
            false => Err(StoreError::KeyReused(self.reused)),
        }
    }
}

/// The job that has an idempotency key.
pub(super) fn id_of(db: &Connection, namespace: u32, name: &str) -> Result<Option<JobId>> {
    let id = db
        .prepare_cached("SELECT id FROM keys WHERE namespace = ? AND name = ?")?
        .query_row(params![namespace, name], |row| row.get::<_, i64>(0))
        .optional()?;
    Ok(id.map(|id| JobId(from_sql(id))))
}

/// Whether a post is of this job; one that is gone, or that this version cannot read, is
/// taken for it.
fn is_same(db: &Connection, namespace: u32, id: JobId, job: &NewJob) -> Result<bool> {
    let Some(key) = Key::new(namespace, id) else {
        return Ok(true);
    };
    // A message of another length is not read: it may be large, and the post small.
    let same = db
        .prepare_cached(
            "SELECT head, CASE length(data) WHEN ?2 THEN data END FROM posted WHERE key = ?1",
        )?
        .query_row(
            params![key.row(), to_sql(job.message.data.len() as u64)],
            |row| {
                let data = row.get_ref(1)?.as_blob_or_null()?;
                if data != Some(&*job.message.data) {
                    return Ok(false);
                }
                let head = decode::<Head<'_>>("", row.get_ref(0)?.as_blob()?);
                Ok(head.map_or(true, |head| head.runs_as(job)))
            },
        )
        .optional()?;
    Ok(same.unwrap_or(true))
}
