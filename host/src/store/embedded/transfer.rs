//! Moves jobs to another store: holds them, lets them go, and looks at what waits.

use rusqlite::params;
use uuid::Uuid;

use crate::job::{Cause, CauseKind, JobId, Namespace};
use crate::store::{MAX_PARCELS_BYTES, Origin, Parcel, Result, StoreError};

use super::administer::rank_of;
use super::committer::Action;
use super::key::Key;
use super::queue::Rank;
use super::writer::{Writer, from_sql};
use crate::store::record::{Attempt, granted};

/// A job that waits.
pub(super) struct Waiting {
    pub(super) key: Key,
    pub(super) rank: Rank,
    pub(super) due: u64,
}

/// Some of the jobs that wait, in the order of their ids.
pub(super) struct Page {
    pub(super) jobs: Vec<Waiting>,
    /// Where the next page begins, if there may be one.
    pub(super) next: Option<Key>,
}

/// See [`crate::store::Store::hold`].
pub(super) struct Hold {
    pub(super) store: Uuid,
    pub(super) namespace: Namespace,
    pub(super) mover: Uuid,
    pub(super) want: usize,
}

/// See [`crate::store::Store::let_go`].
pub(super) struct LetGo {
    pub(super) namespace: Namespace,
    pub(super) mover: Uuid,
    pub(super) moved: Vec<(JobId, String)>,
}

/// See [`crate::store::Store::peek`].
pub(super) struct Peek {
    pub(super) store: Uuid,
    pub(super) namespace: Namespace,
    pub(super) after: JobId,
    pub(super) want: usize,
}

/// The parcels of one answer, within its bounds.
struct Batch<'a> {
    store: Uuid,
    namespace: &'a Namespace,
    want: usize,
    bytes: usize,
    parcels: Vec<Parcel>,
}

impl Action for Hold {
    type Answer = Vec<Parcel>;

    fn apply(&self, writer: &mut Writer) -> Result<Vec<Parcel>> {
        let mut batch = Batch::new(self.store, &self.namespace, self.want);
        if let Some(number) = writer.index.number(&self.namespace) {
            self.fill(writer, number, &mut batch)?;
        }
        let mut parcels = batch.parcels;
        parcels.sort_unstable_by_key(|parcel| parcel.origin.id);
        Ok(parcels)
    }
}

impl Hold {
    fn fill(&self, writer: &mut Writer, number: u32, batch: &mut Batch<'_>) -> Result<()> {
        let Some(queue) = writer.index.queue(number) else {
            return Ok(());
        };
        let mine = queue.held.iter().filter(|(_, mover)| **mover == self.mover);
        let mine = mine.filter_map(|(id, _)| Key::new(number, *id));
        for key in mine.take(self.want).collect::<Vec<_>>() {
            let due = writer.due_of(key)?;
            if !batch.add(writer, key, due)? {
                return Ok(());
            }
        }
        let (first, last) = Key::rows_of(number);
        let (mut after, last) = (Key::from_row(first), Key::from_row(last));
        while batch.has_room() {
            let page = writer.waiting(after, last, self.want)?;
            for job in &page.jobs {
                let before = batch.parcels.len();
                if !batch.add(writer, job.key, job.due)? {
                    return Ok(());
                }
                if batch.parcels.len() > before {
                    writer.hold(job, self.mover)?;
                }
            }
            let Some(next) = page.next else { break };
            after = next;
        }
        Ok(())
    }
}

impl Action for Peek {
    type Answer = Vec<Parcel>;

    fn is_durable(&self) -> bool {
        false
    }

    fn apply(&self, writer: &mut Writer) -> Result<Vec<Parcel>> {
        let mut batch = Batch::new(self.store, &self.namespace, self.want);
        let number = writer.index.number(&self.namespace);
        let Some(mut after) = number.and_then(|number| Key::new(number, self.after)) else {
            return Ok(batch.parcels);
        };
        let (_, last) = Key::rows_of(after.namespace());
        while batch.has_room() {
            let page = writer.waiting(after, Key::from_row(last), self.want)?;
            for job in &page.jobs {
                if !batch.add(writer, job.key, job.due)? {
                    return Ok(batch.parcels);
                }
            }
            let Some(next) = page.next else { break };
            after = next;
        }
        Ok(batch.parcels)
    }
}

impl Action for LetGo {
    type Answer = usize;

    fn apply(&self, writer: &mut Writer) -> Result<usize> {
        let Some(number) = writer.index.number(&self.namespace) else {
            return Ok(0);
        };
        let mut gone = 0;
        for (id, text) in &self.moved {
            let Some(queue) = writer.index.queue(number) else {
                break;
            };
            let (Some(key), Some(true)) = (
                Key::new(number, *id),
                queue.held.get(id).map(|mover| *mover == self.mover),
            ) else {
                continue;
            };
            queue.held.remove(id);
            let cancel = writer
                .statement("SELECT cancel FROM open WHERE key = ?")?
                .query_row([key.row()], |row| row.get(0))?;
            let cause = Cause::new(CauseKind::Moved, text);
            writer.end_waiting(key, cancel, Some(cause))?;
            gone += 1;
        }
        Ok(gone)
    }
}

impl<'a> Batch<'a> {
    fn new(store: Uuid, namespace: &'a Namespace, want: usize) -> Self {
        Self {
            store,
            namespace,
            want,
            bytes: 0,
            parcels: Vec::new(),
        }
    }

    fn has_room(&self) -> bool {
        self.parcels.len() < self.want
    }

    /// Adds a job, unless it cannot be read; `false` if there is no room for it.
    fn add(&mut self, writer: &mut Writer, key: Key, due: u64) -> Result<bool> {
        if !self.has_room() {
            return Ok(false);
        }
        let posted = match writer.posted(key) {
            Ok(posted) => posted,
            Err(StoreError::Unreadable(error)) => {
                tracing::error!(%error, "a job stays where it is, since it cannot be read");
                return Ok(true);
            }
            Err(error) => return Err(error),
        };
        let bytes = posted.job.message.data.len();
        if !self.parcels.is_empty() && self.bytes + bytes > MAX_PARCELS_BYTES {
            return Ok(false);
        }
        self.bytes += bytes;
        let attempts = writer.past(key)?.attempts;
        let mut job = (*posted.job).clone();
        job.max_attempts = job.max_attempts.saturating_add(granted(&attempts));
        job.delay_ms = due.saturating_sub(writer.now_ms);
        job.parent = None;
        job.root = None;
        self.parcels.push(Parcel {
            origin: Origin {
                store: self.store,
                namespace: self.namespace.clone(),
                id: key.id(),
                posted_at_ms: posted.at_ms,
            },
            job,
            attempts: attempts.into_iter().map(Attempt::into_record).collect(),
        });
        Ok(true)
    }
}

impl Writer {
    /// Up to `most` jobs after a key that wait and that no mover holds.
    pub(super) fn waiting(&self, after: Key, last: Key, most: usize) -> Result<Page> {
        let mut statement = self.statement(
            "SELECT key, rank, due FROM open
             WHERE key > ? AND key <= ? AND mover IS NULL ORDER BY key LIMIT ?",
        )?;
        let limit = i64::try_from(most).unwrap_or(i64::MAX);
        let mut rows = statement.query(params![after.row(), last.row(), limit])?;
        let mut page = Page {
            jobs: Vec::new(),
            next: None,
        };
        let mut seen = 0;
        let running = self.shared.running();
        while let Some(row) = rows.next()? {
            let key = Key::from_row(row.get(0)?);
            seen += 1;
            if seen == most {
                page.next = Some(key);
            }
            if running.get(&key).is_none_or(|running| running.over) {
                page.jobs.push(Waiting {
                    key,
                    rank: rank_of(key, row.get(1)?)?,
                    due: from_sql(row.get(2)?),
                });
            }
        }
        Ok(page)
    }

    fn due_of(&self, key: Key) -> Result<u64> {
        let mut statement = self.statement("SELECT due FROM open WHERE key = ?")?;
        Ok(from_sql(
            statement.query_row([key.row()], |row| row.get(0))?,
        ))
    }

    fn hold(&mut self, job: &Waiting, mover: Uuid) -> Result<()> {
        self.statement("UPDATE open SET mover = ? WHERE key = ?")?
            .execute(params![mover.as_bytes(), job.key.row()])?;
        self.index.remove(job.key, job.rank, job.due);
        self.index.set_held(job.key, mover);
        Ok(())
    }
}
