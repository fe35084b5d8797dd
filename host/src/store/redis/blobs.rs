//! Content in chunks: `c:<digest>` is the first, `c:<digest>:1` the next. The first is
//! written last, so that what is seen is whole.

use bytes::Bytes;
use tokio::task::spawn_blocking;

use crate::job::Digest;
use crate::store::blob::{Gathered, UNNAMED_KEPT, chunks, damaged};
use crate::store::{Result, StoreError};

use super::{RedisStore, reply, script};

/// How long content is kept that nothing names, ms.
pub(super) fn unnamed_kept_ms() -> u64 {
    u64::try_from(UNNAMED_KEPT.as_millis()).unwrap_or(u64::MAX)
}

impl RedisStore {
    /// See [`crate::store::Store::put_blob`].
    pub(super) async fn write_blob(&self, digest: Digest, bytes: &Bytes) -> Result<()> {
        let chunks = chunks(bytes);
        for (place, chunk) in chunks.iter().enumerate().rev() {
            let mut command = self.link.command(script::PUT_CHUNK);
            command
                .arg(digest.to_string())
                .arg(place)
                .arg(chunks.len())
                .arg(unnamed_kept_ms())
                .arg(&**chunk);
            if reply::number(self.link.run(script::PUT_CHUNK, &command).await?)? == 0 {
                return Err(StoreError::Unavailable(format!(
                    "a part of the content {digest} was lost while the rest was written: upload it again"
                )));
            }
        }
        Ok(())
    }

    /// See [`crate::store::Store::blob`].
    pub(super) async fn read_blob(&self, digest: Digest) -> Result<Option<Bytes>> {
        let first = format!("c:{digest}");
        let mut chunk = match self.get(&first).await? {
            Some(chunk) => chunk,
            None => return Ok(None),
        };
        let mut gathered = Gathered::new(digest);
        for place in 1_u64.. {
            // Some ten ms for each, which no other task on this thread is to wait.
            let adding = spawn_blocking(move || (gathered.add(&chunk), gathered));
            let fault = |error| StoreError::Unavailable(format!("a read failed: {error}"));
            let is_whole;
            (is_whole, gathered) = adding.await.map_err(fault)?;
            if is_whole {
                return Ok(Some(gathered.into_bytes()));
            }
            match self.get(&format!("{first}:{place}")).await? {
                Some(next) => chunk = next,
                None => break,
            }
        }
        // It may have been dropped while it was read.
        match self.get(&first).await? {
            Some(_) => Err(damaged(digest)),
            None => Ok(None),
        }
    }
}
