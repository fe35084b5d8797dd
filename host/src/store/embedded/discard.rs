//! Discards jobs that have ended, with those that they posted: for a store that keeps no
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

/// How many jobs one transaction discards: some ms of the writer's time, between which
/// others get their turn.
const DISCARDED_AT_ONCE: usize = 1024;

/// See [`EmbeddedStore::discard`].
struct Discard {
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
    pub async fn discard(&self, namespace: &Namespace, ids: Vec<JobId>) -> Result<Vec<JobId>> {
        let namespace = namespace.clone();
        self.write(Discard { namespace, ids }).await
    }
}

impl Action for Discard {
    type Answer = Vec<JobId>;

    fn is_durable(&self) -> bool {
        false
    }

    fn apply(&self, writer: &mut Writer) -> Result<Vec<JobId>> {
        let Some(namespace) = writer.index.number(&self.namespace) else {
            return Ok(Vec::new());
        };
        writer.shared.recent().clear();
        let mut next = Vec::new();
        for (first, last) in runs(&self.ids) {
            let keys = Key::new(namespace, first).zip(Key::new(namespace, last));
            let Some((first_key, last_key)) = keys else {
                continue;
            };
            if !writer.discard_plain(first_key, last_key)? {
                next.extend((first.0..=last.0).map(JobId));
            }
        }
        let mut left = Vec::new();
        for _ in 0..DISCARDED_AT_ONCE {
            let Some(id) = next.pop() else { break };
            let Some(key) = Key::new(namespace, id) else {
                continue;
            };
            let is_open = "SELECT 1 FROM open WHERE key = ?";
            if writer.statement(is_open)?.exists([key.row()])? {
                left.push(id);
                continue;
            }
            next.extend(children(&writer.db, key, JobId(0), usize::MAX)?);
            writer.discard_ended(namespace, key)?;
        }
        left.extend(next);
        Ok(left)
    }
}

/// The first and the last of ids that follow each other.
fn runs(ids: &[JobId]) -> Vec<(JobId, JobId)> {
    let mut ids: Vec<_> = ids.to_vec();
    ids.sort_unstable();
    let runs = ids.chunk_by(|one, next| next.0 <= one.0.saturating_add(1));
    let ends = runs.filter_map(|run| run.first().copied().zip(run.last().copied()));
    ends.collect()
}

impl Writer {
    /// Discards jobs that follow each other, if they have all ended, none of them has posted
    /// any, and none has an idempotency key; answers whether it did.
    fn discard_plain(&mut self, first: Key, last: Key) -> Result<bool> {
        for needs_care in [
            "SELECT 1 FROM open WHERE key BETWEEN ? AND ? LIMIT 1",
            "SELECT 1 FROM broods WHERE parent BETWEEN ? AND ? LIMIT 1",
            "SELECT 1 FROM keys WHERE ? <= ? LIMIT 1",
        ] {
            let keys = [first.row(), last.row()];
            if self.statement(needs_care)?.exists(keys)? {
                return Ok(false);
            }
        }
        for delete in [
            "DELETE FROM posted WHERE key BETWEEN ? AND ?",
            "DELETE FROM ended WHERE key BETWEEN ? AND ?",
            "DELETE FROM dead WHERE key BETWEEN ? AND ?",
            "DELETE FROM callbacks WHERE key BETWEEN ? AND ?",
        ] {
            self.statement(delete)?.execute([first.row(), last.row()])?;
        }
        Ok(true)
    }

    fn discard_ended(&mut self, namespace: u32, key: Key) -> Result<()> {
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
            "DELETE FROM dead WHERE key = ?",
            "DELETE FROM callbacks WHERE key = ?",
            "DELETE FROM trees WHERE root = ?",
        ] {
            self.statement(delete)?.execute([key.row()])?;
        }
        self.forget_children(key)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_that_follow_each_other_are_one_run() {
        let ids: Vec<_> = [7, 3, 1, 2, 2, 9, 8].map(JobId).into();
        let found: Vec<_> = runs(&ids).iter().map(|(a, b)| (a.0, b.0)).collect();
        assert_eq!(found, [(1, 3), (7, 9)]);
        assert!(runs(&[]).is_empty());
    }
}
