//! Which jobs a job has posted, and which of its posts became which.
//!
//! The children of one call have consecutive ids, and so do those of many calls while
//! nobody else posts: they are listed as runs, so that a fan-out of thousands is a row.

use rusqlite::{Connection, OptionalExtension, params};

use crate::job::{ChildKey, JobId, MAX_CHILDREN_LISTED};
use crate::store::{Result, StoreError};

use super::key::Key;
use super::writer::{Writer, from_sql, to_sql};

/// Consecutive ids of children.
#[derive(Clone, Copy)]
struct Run {
    first: u64,
    count: u64,
    /// How many children the parent had before.
    before: u64,
}

/// A parent, while one call posts for it.
pub(super) struct Posting {
    parent: Key,
    /// What the call has added.
    added: Option<Run>,
}

impl Posting {
    /// Begins to post for a job that has not ended and is not to stop.
    pub(super) fn begin(db: &Connection, id: JobId, parent: Option<Key>) -> Result<Self> {
        let over = StoreError::ParentOver(id);
        let Some(parent) = parent else {
            return Err(over);
        };
        let cancel = db
            .prepare_cached("SELECT cancel FROM open WHERE key = ?")?
            .query_row([parent.row()], |row| row.get::<_, bool>(0))
            .optional()?;
        match cancel {
            Some(false) => Ok(Self {
                parent,
                added: None,
            }),
            Some(true) | None => Err(over),
        }
    }

    /// The child that a post became before.
    pub(super) fn known(&self, db: &Connection, key: &ChildKey) -> Result<Option<JobId>> {
        let child = db
            .prepare_cached("SELECT child FROM children WHERE parent = ? AND key = ?")?
            .query_row(params![self.parent.row(), key.as_bytes()], |row| {
                row.get::<_, i64>(0)
            })
            .optional()?;
        Ok(child.map(|id| JobId(from_sql(id))))
    }

    /// Gives a post's key to the child that is about to be added; or answers which one
    /// has it. One statement for what is new, as almost all posts are.
    pub(super) fn claim(
        &self,
        db: &Connection,
        key: &ChildKey,
        id: JobId,
    ) -> Result<Option<JobId>> {
        let added = db
            .prepare_cached(
                "INSERT INTO children (parent, key, child) VALUES (?, ?, ?) ON CONFLICT DO NOTHING",
            )?
            .execute(params![self.parent.row(), key.as_bytes(), to_sql(id.0)])?;
        match added {
            0 => self.known(db, key),
            _ => Ok(None),
        }
    }

    /// Notes a child that was added.
    pub(super) fn add(&mut self, id: JobId) {
        // All that one call adds is consecutive.
        let run = self.added.get_or_insert(Run {
            first: id.0,
            count: 0,
            before: 0,
        });
        run.count += 1;
    }

    /// Lists what was added; answers how many.
    pub(super) fn end(self, db: &Connection) -> Result<u64> {
        let Some(added) = self.added else {
            return Ok(0);
        };
        let run = match last_run(db, self.parent)? {
            Some(last) if last.first + last.count == added.first => Run {
                count: last.count + added.count,
                ..last
            },
            Some(last) => Run {
                before: last.before + last.count,
                ..added
            },
            None => added,
        };
        db.prepare_cached("INSERT OR REPLACE INTO broods VALUES (?, ?, ?, ?)")?
            .execute(params![
                self.parent.row(),
                to_sql(run.first),
                to_sql(run.count),
                to_sql(run.before)
            ])?;
        Ok(added.count)
    }
}

fn last_run(db: &Connection, parent: Key) -> Result<Option<Run>> {
    let run = db
        .prepare_cached(
            "SELECT first, count, before FROM broods WHERE parent = ? ORDER BY first DESC LIMIT 1",
        )?
        .query_row([parent.row()], |row| {
            Ok(Run {
                first: from_sql(row.get(0)?),
                count: from_sql(row.get(1)?),
                before: from_sql(row.get(2)?),
            })
        })
        .optional()?;
    Ok(run)
}

/// The children of a job after an id, in the order of their ids, up to `want`.
pub(super) fn children(
    db: &Connection,
    parent: Key,
    after: JobId,
    want: usize,
) -> Result<Vec<JobId>> {
    // The run that the id is in, or else the next one, is where the list begins.
    let mut statement = db.prepare_cached(
        "SELECT first, count FROM broods WHERE parent = ?1 AND first >= ifnull(
             (SELECT max(first) FROM broods WHERE parent = ?1 AND first <= ?2), 0)
         ORDER BY first",
    )?;
    let mut rows = statement.query(params![parent.row(), to_sql(after.0)])?;
    let mut children = Vec::new();
    while children.len() < want
        && let Some(row) = rows.next()?
    {
        let (first, count) = (from_sql(row.get(0)?), from_sql(row.get(1)?));
        let run = first.max(after.0.saturating_add(1))..first.saturating_add(count);
        children.extend(run.take(want - children.len()).map(JobId));
    }
    Ok(children)
}

/// How many children a job has, and the first of them.
pub(super) fn first_children(db: &Connection, parent: Key) -> Result<(u64, Vec<JobId>)> {
    match last_run(db, parent)? {
        None => Ok((0, Vec::new())),
        Some(last) => {
            let first = children(db, parent, JobId(0), MAX_CHILDREN_LISTED)?;
            Ok((last.before + last.count, first))
        }
    }
}

impl Writer {
    /// Forgets which jobs a job has posted.
    pub(super) fn forget_children(&self, parent: Key) -> Result<()> {
        // A child that has a key is in a run.
        let runs = self
            .statement("DELETE FROM broods WHERE parent = ?")?
            .execute([parent.row()])?;
        if runs > 0 {
            self.statement("DELETE FROM children WHERE parent = ?")?
                .execute([parent.row()])?;
        }
        Ok(())
    }
}
