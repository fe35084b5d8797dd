//! Stores data, and drops what has expired.

use bytes::Bytes;
use rusqlite::params;

use crate::job::Namespace;
use crate::store::Result;

use super::committer::Action;
use super::writer::{Writer, to_sql};

/// How many rows one sweep drops: some milliseconds of the writer's time.
const SWEEP_ROWS: usize = 256;

/// See [`crate::store::Store::put_data`].
pub(super) struct PutData {
    pub(super) namespace: Namespace,
    pub(super) key: String,
    pub(super) data: Bytes,
    pub(super) expires_at_ms: Option<u64>,
}

impl Action for PutData {
    type Answer = ();

    fn apply(&self, writer: &mut Writer) -> Result<()> {
        let namespace = writer.namespace(&self.namespace)?;
        writer
            .statement(
                "INSERT INTO data (namespace, name, expires, content) VALUES (?, ?, ?, ?)
                 ON CONFLICT DO UPDATE SET expires = excluded.expires, content = excluded.content",
            )?
            .execute(params![
                namespace,
                self.key,
                self.expires_at_ms.map(to_sql),
                &*self.data
            ])?;
        Ok(())
    }
}

/// See [`crate::store::Store::sweep`].
pub(super) struct Sweep;

impl Action for Sweep {
    type Answer = usize;

    fn is_durable(&self) -> bool {
        false
    }

    fn apply(&self, writer: &mut Writer) -> Result<usize> {
        let now = to_sql(writer.now_ms);
        let results = writer
            .statement(
                "UPDATE ended SET expires = NULL, result = NULL WHERE key IN
                 (SELECT key FROM ended WHERE expires <= ? LIMIT ?)",
            )?
            .execute(params![now, SWEEP_ROWS as i64])?;
        let data = writer
            .statement(
                "DELETE FROM data WHERE number IN
                 (SELECT number FROM data WHERE expires <= ? LIMIT ?)",
            )?
            .execute(params![now, SWEEP_ROWS.saturating_sub(results) as i64])?;
        Ok(results + data + writer.sweep_blobs()?)
    }
}
