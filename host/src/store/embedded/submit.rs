//! Accepts jobs.

use std::sync::Arc;

use rusqlite::{Connection, OptionalExtension, params};

use crate::job::{JobId, Namespace, NewJob};
use crate::store::{Result, StoreError};

use super::committer::Action;
use super::index::Rank;
use super::key::Key;
use super::writer::{Writer, to_sql};
use crate::store::record::{Head, encode};

/// A job with its record: the caller encodes, so that the writer need not.
struct Encoded {
    job: Arc<NewJob>,
    head: Vec<u8>,
}

/// See [`crate::store::Store::submit`].
pub(super) struct Submit {
    namespace: Namespace,
    jobs: Vec<Encoded>,
}

impl Submit {
    pub(super) fn new(namespace: Namespace, jobs: Vec<NewJob>) -> Result<Self> {
        let encoded = |job: NewJob| {
            let head = encode(&Head::of(&job))?;
            Ok(Encoded {
                job: Arc::new(job),
                head,
            })
        };
        let jobs = jobs.into_iter().map(encoded).collect::<Result<_>>()?;
        Ok(Self { namespace, jobs })
    }
}

impl Action for Submit {
    type Answer = Vec<JobId>;

    fn apply(&self, writer: &mut Writer) -> Result<Vec<JobId>> {
        if self.jobs.is_empty() {
            return Ok(Vec::new());
        }
        let namespace = writer.namespace(&self.namespace)?;
        let now_ms = writer.now_ms;
        let db = &writer.db;
        let mut post =
            db.prepare_cached("INSERT INTO posted (key, at, head, data) VALUES (?, ?, ?, ?)")?;
        let mut open = db.prepare_cached(
            "INSERT INTO open (key, rank, due, attempts, cancel) VALUES (?, ?, ?, 0, 0)",
        )?;
        let mut ids = Vec::with_capacity(self.jobs.len());
        for Encoded { job, head } in &self.jobs {
            if let Some(name) = &job.idempotency_key
                && let Some(id) = id_of(db, namespace, name)?
            {
                ids.push(id);
                continue;
            }
            let full = || StoreError::Full("the namespace has no more job ids".into());
            let queue = writer.index.queue(namespace).ok_or_else(full)?;
            let key = Key::new(namespace, JobId(queue.next_id)).ok_or_else(full)?;
            queue.next_id += 1;
            let rank = Rank::of(job);
            let due = match job.delay_ms {
                0 => 0,
                delay_ms => now_ms.saturating_add(delay_ms),
            };
            post.execute(params![key.row(), to_sql(now_ms), head, &*job.message.data])?;
            open.execute(params![key.row(), rank.to_byte(), to_sql(due)])?;
            if let Some(name) = &job.idempotency_key {
                db.prepare_cached("INSERT INTO keys (namespace, name, id) VALUES (?, ?, ?)")?
                    .execute(params![namespace, name, to_sql(key.id().0)])?;
            }
            writer.index.add(key, rank, due);
            writer.bodies.offer(key, job, now_ms);
            ids.push(key.id());
        }
        writer.effects.ring = true;
        Ok(ids)
    }
}

/// The job that has an idempotency key.
fn id_of(db: &Connection, namespace: u32, name: &str) -> Result<Option<JobId>> {
    let id = db
        .prepare_cached("SELECT id FROM keys WHERE namespace = ? AND name = ?")?
        .query_row(params![namespace, name], |row| row.get::<_, i64>(0))
        .optional()?;
    Ok(id.map(|id| JobId(id.unsigned_abs())))
}
