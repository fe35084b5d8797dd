//! Lists of jobs, read from the database without asking the writer.

use std::cmp::Reverse;
use std::collections::HashMap;

use rusqlite::{Connection, MAIN_DB, OptionalExtension, Rows};

use crate::job::{JobId, JobSummary};
use crate::store::list::Source;
use crate::store::{JobFilter, JobPage, Result, SEARCHED_BYTES, StoreError};

use super::key::Key;
use super::read::record;
use super::shared::{NamespaceInfo, Running, Shared};
use super::writer::from_sql;

/// What one page may cost, in about as many µs of a reader's time: long enough to pay for
/// the hop to its thread, short enough that lists can take turns.
const PAGE_COST: u64 = 20_000;

/// What it costs to pass a job by, by its time or since there is none of its id.
const PASSED_COST: u64 = 1;

/// What it costs to read the record of one.
const READ_COST: u64 = 15;

/// What it costs to search so many bytes, or to read as many of a record.
const BYTES_PER_COST: u64 = 1_000;

/// A page on its way.
struct Reading<'a> {
    db: &'a Connection,
    namespace: &'a NamespaceInfo,
    filter: &'a JobFilter,
    held: HashMap<Key, Running>,
    want: usize,
    cost: u64,
    jobs: Vec<JobSummary>,
}

/// See [`crate::store::Store::list`].
pub(super) fn list(
    db: &Connection,
    shared: &Shared,
    namespace: &NamespaceInfo,
    filter: &JobFilter,
    before: Option<JobId>,
    want: usize,
) -> Result<JobPage> {
    // Before the database is read: what has ended since is seen there.
    let held = match filter.source() {
        Source::Dead => HashMap::new(),
        _ => held(shared, namespace.number),
    };
    // One transaction, so that the tables agree.
    let db = db.unchecked_transaction()?;
    let mut reading = Reading {
        db: &db,
        namespace,
        filter,
        held,
        want: want.max(1),
        cost: 0,
        jobs: Vec::new(),
    };
    let next = reading.fill(before)?;
    Ok(JobPage {
        jobs: reading.jobs,
        next: next.map(Key::id),
    })
}

/// What hosts hold of a namespace.
fn held(shared: &Shared, number: u32) -> HashMap<Key, Running> {
    let running = shared.running();
    let of = running.iter().filter(|(key, _)| key.namespace() == number);
    of.map(|(key, running)| (*key, running.clone())).collect()
}

impl Reading<'_> {
    /// Reads what there is below an id; answers below which key there may be more.
    fn fill(&mut self, before: Option<JobId>) -> Result<Option<Key>> {
        let number = self.namespace.number;
        // The ids that do not fit into a key are those of no job.
        let below = before.and_then(|before| Key::new(number, before));
        let keys: Vec<Key> = match self.filter.source() {
            Source::Named => {
                let ids = self.filter.named_below(before).into_iter();
                ids.filter_map(|id| Key::new(number, id)).collect()
            }
            Source::Held => {
                let is_below = |key: &Key| below.is_none_or(|below| *key < below);
                let mut keys: Vec<_> = self.held.keys().copied().filter(is_below).collect();
                keys.sort_unstable_by_key(|key| Reverse(*key));
                keys
            }
            Source::Dead => return self.walk("SELECT key FROM dead", below),
            Source::Open => return self.walk("SELECT key FROM open", below),
            Source::All => return self.walk("SELECT key, at FROM posted", below),
        };
        for key in keys {
            if self.look(key, None)? {
                return Ok(Some(key));
            }
        }
        Ok(None)
    }

    /// Goes through a table from the newest job to the oldest.
    fn walk(&mut self, select: &str, below: Option<Key>) -> Result<Option<Key>> {
        let (first, last) = Key::rows_of(self.namespace.number);
        let last = below.map_or(last, |below| below.row() - 1);
        let mut statement = self.db.prepare_cached(&format!(
            "{select} WHERE key BETWEEN ? AND ? ORDER BY key DESC"
        ))?;
        let has_time = statement.column_count() > 1;
        let mut rows: Rows<'_> = statement.query([first, last])?;
        while let Some(row) = rows.next()? {
            let key = Key::from_row(row.get(0)?);
            let at = match has_time {
                true => Some(from_sql(row.get(1)?)),
                false => None,
            };
            if self.look(key, at)? {
                return Ok(Some(key));
            }
        }
        Ok(None)
    }

    /// Looks at a job; answers whether that was enough for a page.
    fn look(&mut self, key: Key, posted_at_ms: Option<u64>) -> Result<bool> {
        self.cost += PASSED_COST;
        if posted_at_ms.is_none_or(|at| self.filter.takes_time(at)) {
            match self.read(key) {
                Ok(()) => {}
                Err(StoreError::Unreadable(error)) => {
                    tracing::error!(%error, "a job is not listed, since it cannot be read");
                }
                Err(error) => return Err(error),
            }
        }
        Ok(self.cost >= PAGE_COST || self.jobs.len() >= self.want)
    }

    fn read(&mut self, key: Key) -> Result<()> {
        let running = self.held.get(&key).cloned();
        let found = record(self.db, self.namespace.name.clone(), key, running)?;
        let Some((record, bytes)) = found else {
            return Ok(());
        };
        self.cost += READ_COST + bytes / BYTES_PER_COST;
        let (db, cost) = (self.db, &mut self.cost);
        let message = || {
            let bytes = beginning(db, key)?;
            *cost += bytes.len() as u64 / BYTES_PER_COST;
            Ok(bytes)
        };
        if self.filter.takes::<StoreError>(&record, message)? {
            self.jobs.push(record.into());
        }
        Ok(())
    }
}

/// The beginning of a message: no more of it is read from the disk.
fn beginning(db: &Connection, key: Key) -> Result<Vec<u8>> {
    let message = db.blob_open(MAIN_DB, "posted", "data", key.row(), true);
    let message = message.optional()?;
    let Some(message) = message else {
        return Ok(Vec::new());
    };
    let mut bytes = vec![0; message.len().min(SEARCHED_BYTES)];
    message.read_at_exact(&mut bytes, 0)?;
    Ok(bytes)
}
