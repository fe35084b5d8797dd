//! Forgets jobs that have ended, with those that they posted: for a store that keeps no
//! record, since whoever ran the jobs has had what came of them.

use rusqlite::params;

use crate::job::{JobId, Namespace};
use crate::store::Result;
use crate::store::record::{Head, decode};

use super::EmbeddedStore;
use super::children::children;
use super::committer::Action;
use super::key::Key;
use super::writer::Writer;

/// How many jobs one transaction forgets: some ms of the writer's time, between which
/// others get their turn.
const FORGOTTEN_AT_ONCE: usize = 1024;

/// See [`EmbeddedStore::forget`].
struct Forget {
    namespace: Namespace,
    ids: Vec<JobId>,
}

impl EmbeddedStore {
    /// Deletes jobs and all below them in their trees, as if they had never been, but for
    /// the totals and the data that they stored; answers which of them have not ended or
    /// have not had their turn. To be called again with those.
    ///
    /// # Errors
    ///
    /// `Unavailable` when the store does not work any more.
    pub async fn forget(&self, namespace: &Namespace, ids: Vec<JobId>) -> Result<Vec<JobId>> {
        let namespace = namespace.clone();
        self.write(Forget { namespace, ids }).await
    }
}

impl Action for Forget {
    type Answer = Vec<JobId>;

    fn is_durable(&self) -> bool {
        false
    }

    fn apply(&self, writer: &mut Writer) -> Result<Vec<JobId>> {
        let Some(namespace) = writer.index.number(&self.namespace) else {
            return Ok(Vec::new());
        };
        let mut next = self.ids.clone();
        let mut left = Vec::new();
        for _ in 0..FORGOTTEN_AT_ONCE {
            let Some(id) = next.pop() else { break };
            let Some(key) = Key::new(namespace, id) else {
                continue;
            };
            let mut is_open = writer.statement("SELECT 1 FROM open WHERE key = ?")?;
            if is_open.exists([key.row()])? {
                left.push(id);
                continue;
            }
            drop(is_open);
            next.extend(children(&writer.db, key, JobId(0), usize::MAX)?);
            writer.forget_ended(namespace, key)?;
        }
        left.extend(next);
        Ok(left)
    }
}

impl Writer {
    fn forget_ended(&mut self, namespace: u32, key: Key) -> Result<()> {
        let head = self
            .statement("DELETE FROM posted WHERE key = ? RETURNING head")?
            .query_map([key.row()], |row| row.get::<_, Vec<u8>>(0))?
            .next()
            .transpose()?;
        if let Some(head) = head {
            let head: Head<'static> = decode(format_args!("job {}", key.id()), &head)?;
            if let Some(name) = head.idempotency_key() {
                self.statement("DELETE FROM keys WHERE namespace = ? AND name = ?")?
                    .execute(params![namespace, name])?;
            }
        }
        for delete in [
            "DELETE FROM ended WHERE key = ?",
            "DELETE FROM callbacks WHERE key = ?",
            "DELETE FROM trees WHERE root = ?",
        ] {
            self.statement(delete)?.execute([key.row()])?;
        }
        self.forget_children(key)
    }
}
