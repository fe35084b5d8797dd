//! How many jobs each tree has had.
//!
//! A tree has a row from the first post of its root on, as long as the records of its
//! jobs: for ever, also if some of them are purged, since the others may go on to post.

use rusqlite::{Connection, OptionalExtension, params};

use crate::job::{JobId, Namespace, NewJob};
use crate::store::{Result, StoreError};

use super::key::Key;
use super::writer::{Writer, from_sql, to_sql};

/// A tree, and how large it may become.
#[derive(Clone, Copy)]
pub(super) struct Tree {
    root: JobId,
    limit: u64,
}

impl Tree {
    /// The tree that a job is to be added to, if its jobs are counted.
    pub(super) fn of(job: &NewJob) -> Option<Self> {
        let (root, limit) = job.root.zip(job.tree_jobs)?;
        Some(Self { root, limit })
    }

    /// Refuses to add more jobs than there is room for; `at_most` without a look at which
    /// of them are new, or else `new`.
    pub(super) fn check(
        self,
        writer: &Writer,
        namespace: &Namespace,
        at_most: usize,
        new: impl FnOnce() -> Result<usize>,
    ) -> Result<()> {
        let jobs = match self.key(writer, namespace) {
            Some(key) => jobs(&writer.db, key)?,
            None => 1,
        };
        let fits = |added: usize| jobs.saturating_add(added as u64) <= self.limit;
        if fits(at_most) || fits(new()?) {
            return Ok(());
        }
        Err(StoreError::TreeFull {
            root: self.root,
            jobs,
            limit: self.limit,
        })
    }

    /// Counts jobs that were added.
    pub(super) fn add(self, writer: &Writer, namespace: &Namespace, added: u64) -> Result<()> {
        if let Some(key) = self.key(writer, namespace).filter(|_| added > 0) {
            writer
                .statement(
                    "INSERT INTO trees (root, jobs) VALUES (?1, 1 + ?2)
                     ON CONFLICT DO UPDATE SET jobs = jobs + ?2",
                )?
                .execute(params![key.row(), to_sql(added)])?;
        }
        Ok(())
    }

    fn key(self, writer: &Writer, namespace: &Namespace) -> Option<Key> {
        Key::new(writer.index.number(namespace)?, self.root)
    }
}

/// How many jobs a tree has had. A root that has posted nothing is its whole tree.
fn jobs(db: &Connection, root: Key) -> Result<u64> {
    let jobs = db
        .prepare_cached("SELECT jobs FROM trees WHERE root = ?")?
        .query_row([root.row()], |row| row.get(0))
        .optional()?;
    Ok(jobs.map_or(1, from_sql))
}
