//! How large content lies in a store: in chunks, so that none takes the store's time, or
//! meets a limit of its own, that a job waits for.

use std::time::Duration;

use bytes::Bytes;
use sha2::{Digest as _, Sha256};

use super::StoreError;
use crate::job::Digest;

/// The most bytes that are written at once: some ten ms of a disk, and less of Redis, which
/// takes no more than 512 MiB in one value. Whoever reads takes chunks of any size.
pub(in crate::store) const CHUNK_BYTES: usize = 8 << 20;

/// How long content is kept that nothing names: longer than an upload takes from its first
/// chunk to its name, and than a host takes to load what was removed meanwhile.
pub(in crate::store) const UNNAMED_KEPT: Duration = Duration::from_secs(3_600);

/// Content in chunks, at least one.
pub(in crate::store) fn chunks(bytes: &Bytes) -> Vec<Bytes> {
    let ends = (0..bytes.len().div_ceil(CHUNK_BYTES).max(1))
        .map(|n| (n * CHUNK_BYTES, ((n + 1) * CHUNK_BYTES).min(bytes.len())));
    ends.map(|(from, to)| bytes.slice(from..to)).collect()
}

/// Content that is read chunk by chunk, until it is what its digest says.
pub(in crate::store) struct Gathered {
    digest: Digest,
    hash: Sha256,
    bytes: Vec<u8>,
}

impl Gathered {
    /// Nothing yet.
    pub(in crate::store) fn new(digest: Digest) -> Self {
        Self {
            digest,
            hash: Sha256::new(),
            bytes: Vec::new(),
        }
    }

    /// Adds a chunk; answers whether this is all.
    pub(in crate::store) fn add(&mut self, chunk: &[u8]) -> bool {
        self.hash.update(chunk);
        self.bytes.extend_from_slice(chunk);
        Digest::from_bytes(self.hash.clone().finalize().into()) == self.digest
    }

    /// All of it.
    pub(in crate::store) fn into_bytes(self) -> Bytes {
        self.bytes.into()
    }
}

/// What is there is not what was uploaded.
pub(in crate::store) fn damaged(digest: Digest) -> StoreError {
    StoreError::Unreadable(format!(
        "the content {digest} in the store is not what was uploaded: upload it again"
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn content_is_whole_with_its_last_chunk_and_not_before() {
        for size in [0, 1, CHUNK_BYTES, CHUNK_BYTES + 1, 3 * CHUNK_BYTES] {
            let bytes = Bytes::from(vec![7; size]);
            let chunks = chunks(&bytes);
            assert!(chunks.iter().all(|chunk| chunk.len() <= CHUNK_BYTES));
            let mut gathered = Gathered::new(Digest::of(&bytes));
            let (last, first) = chunks.split_last().unwrap();
            assert!(first.iter().all(|chunk| !gathered.add(chunk)), "{size}");
            assert!(gathered.add(last), "{size}");
            assert_eq!(gathered.into_bytes(), bytes);
        }
    }
}
