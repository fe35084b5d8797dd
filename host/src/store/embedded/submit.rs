//! Accepts jobs.

use std::sync::Arc;

use rusqlite::{OptionalExtension, params};

use crate::job::{JobId, Namespace, NewJob};
use crate::store::{Result, StoreError};

use super::committer::Action;
use super::index::Rank;
use super::key::Key;
use super::record::{Head, encode};
use super::writer::{Writer, to_sql};

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
        let mut ids = Vec::with_capacity(self.jobs.len());
        for Encoded { job, head } in &self.jobs {
            if let Some(name) = &job.idempotency_key
                && let Some(id) = writer.id_of_key(namespace, name)?
            {
                ids.push(id);
                continue;
            }
            let key = writer.accept(namespace, job, head)?;
            if let Some(name) = &job.idempotency_key {
                writer
                    .statement("INSERT INTO keys (namespace, name, id) VALUES (?, ?, ?)")?
                    .execute(params![namespace, name, to_sql(key.id().0)])?;
            }
            ids.push(key.id());
        }
        writer.effects.ring = true;
        Ok(ids)
    }
}

impl Writer {
    fn id_of_key(&self, namespace: u32, name: &str) -> Result<Option<JobId>> {
        let id = self
            .statement("SELECT id FROM keys WHERE namespace = ? AND name = ?")?
            .query_row(params![namespace, name], |row| row.get::<_, i64>(0))
            .optional()?;
        Ok(id.map(|id| JobId(id.unsigned_abs())))
    }

    fn accept(&mut self, namespace: u32, job: &Arc<NewJob>, head: &[u8]) -> Result<Key> {
        let full = || StoreError::Full("the namespace has no more job ids".into());
        let queue = self.index.queue(namespace).ok_or_else(full)?;
        let key = Key::new(namespace, JobId(queue.next_id)).ok_or_else(full)?;
        queue.next_id += 1;
        let rank = Rank::of(job);
        let due = if job.delay_ms == 0 {
            0
        } else {
            self.now_ms.saturating_add(job.delay_ms)
        };
        self.statement("INSERT INTO posted (key, at, head, data) VALUES (?, ?, ?, ?)")?
            .execute(params![
                key.row(),
                to_sql(self.now_ms),
                head,
                &*job.message.data
            ])?;
        self.statement(
            "INSERT INTO open (key, rank, due, attempts, cancel) VALUES (?, ?, ?, 0, 0)",
        )?
        .execute(params![key.row(), rank.to_byte(), to_sql(due)])?;
        self.index.add(key, rank, due);
        self.bodies.offer(key, job, self.now_ms);
        Ok(key)
    }
}
