//! Stores content in chunks, each in a transaction of its own, and drops what nothing names.

use bytes::Bytes;
use rusqlite::{Connection, OptionalExtension, params};

use crate::job::Digest;
use crate::store::blob::{Gathered, UNNAMED_KEPT, damaged};
use crate::store::{Result, StoreError};

use super::committer::Action;
use super::writer::{Writer, to_sql};

/// How many chunks of dropped content one sweep deletes: some ten ms of the writer's time.
const SWEEP_CHUNKS: usize = 4;

/// One chunk of [`crate::store::Store::put_blob`]. The content can be read once the last
/// one is there.
pub(super) struct PutChunk {
    pub(super) digest: Digest,
    /// From 0.
    pub(super) place: usize,
    /// How many there are.
    pub(super) of: usize,
    pub(super) bytes: Bytes,
}

impl Action for PutChunk {
    type Answer = ();

    fn apply(&self, writer: &mut Writer) -> Result<()> {
        let digest = self.digest.as_bytes();
        let expires = unnamed_until(writer);
        if self.place == 0 {
            // What is there and named stays so, also while it is written anew.
            writer
                .statement(
                    "INSERT INTO blobs (digest, content, expires, whole) VALUES (?, ?, ?, ?)
                     ON CONFLICT DO UPDATE SET whole = MAX(whole, excluded.whole),
                         content = excluded.content,
                         expires = CASE WHEN expires IS NULL THEN NULL ELSE excluded.expires END",
                )?
                .execute(params![digest, &*self.bytes, expires, self.of == 1])?;
            return Ok(());
        }
        writer
            .statement(
                "INSERT INTO chunks (digest, place, content) VALUES (?, ?, ?)
                 ON CONFLICT DO UPDATE SET content = excluded.content",
            )?
            .execute(params![digest, self.place as i64, &*self.bytes])?;
        let is_last = self.place + 1 == self.of;
        let kept = writer
            .statement(
                "UPDATE blobs SET whole = MAX(whole, ?2),
                     expires = CASE WHEN expires IS NULL THEN NULL ELSE ?3 END WHERE digest = ?1",
            )?
            .execute(params![digest, is_last, expires])?;
        let chunks: i64 = writer
            .statement("SELECT count(*) FROM chunks WHERE digest = ? AND place <= ?")?
            .query_row(params![digest, self.place as i64], |row| row.get(0))?;
        if kept == 1 && chunks == self.place as i64 {
            return Ok(());
        }
        Err(StoreError::Unavailable(format!(
            "the content {} took too long to be written and was dropped: upload it again",
            self.digest
        )))
    }
}

/// Content, if all of it is there.
pub(super) fn blob(db: &Connection, digest: Digest) -> Result<Option<Bytes>> {
    // One transaction, so that what is dropped meanwhile stays whole.
    let db = db.unchecked_transaction()?;
    let mut gathered = Gathered::new(digest);
    let mut first = db.prepare_cached("SELECT content FROM blobs WHERE digest = ? AND whole")?;
    let whole = first
        .query_row([digest.as_bytes()], |row| {
            Ok(gathered.add(row.get_ref(0)?.as_blob()?))
        })
        .optional()?;
    match whole {
        None => return Ok(None),
        Some(true) => return Ok(Some(gathered.into_bytes())),
        Some(false) => {}
    }
    let mut rest =
        db.prepare_cached("SELECT content FROM chunks WHERE digest = ? ORDER BY place")?;
    let mut rows = rest.query([digest.as_bytes()])?;
    while let Some(row) = rows.next()? {
        let chunk = row.get_ref(0)?.as_blob();
        if gathered.add(chunk.map_err(rusqlite::Error::from)?) {
            return Ok(Some(gathered.into_bytes()));
        }
    }
    Err(damaged(digest))
}

/// When content is dropped that nothing names from now on.
fn unnamed_until(writer: &Writer) -> i64 {
    let kept = u64::try_from(UNNAMED_KEPT.as_millis()).unwrap_or(u64::MAX);
    to_sql(writer.now_ms.saturating_add(kept))
}

impl Writer {
    /// Keeps content, since something names it; answers whether it is there.
    pub(super) fn keep_blob(&self, digest: Digest) -> Result<bool> {
        let kept = self
            .statement("UPDATE blobs SET expires = NULL WHERE digest = ? AND whole")?
            .execute([digest.as_bytes()])?;
        Ok(kept > 0)
    }

    /// Lets go of the content of a model, unless another one names it. No component is
    /// that: it begins with a byte that no model begins with.
    pub(super) fn release_blob(&self, digest: Digest) -> Result<()> {
        self.statement(
            "UPDATE blobs SET expires = ?2 WHERE digest = ?1
             AND NOT EXISTS (SELECT 1 FROM model_versions WHERE digest = ?1)",
        )?
        .execute(params![digest.as_bytes(), unnamed_until(self)])?;
        Ok(())
    }

    /// Drops some of what nothing names; answers how much.
    pub(super) fn sweep_blobs(&self) -> Result<usize> {
        let expired = self
            .statement("SELECT digest FROM blobs WHERE expires <= ? LIMIT 1")?
            .query_row([to_sql(self.now_ms)], |row| row.get::<_, [u8; 32]>(0))
            .optional()?;
        let Some(digest) = expired else {
            return Ok(0);
        };
        let chunks = self
            .statement(
                "DELETE FROM chunks WHERE number IN
                 (SELECT number FROM chunks WHERE digest = ? LIMIT ?)",
            )?
            .execute(params![digest, SWEEP_CHUNKS as i64])?;
        if chunks > 0 {
            self.statement("UPDATE blobs SET whole = 0 WHERE digest = ?")?
                .execute([digest])?;
            return Ok(chunks);
        }
        Ok(self
            .statement("DELETE FROM blobs WHERE digest = ?")?
            .execute([digest])?)
    }
}
