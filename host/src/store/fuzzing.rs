//! The readers of stored records, for the fuzz target `stored_records`.

use super::record::{Attempt, Bound, Ended, Head, Try, decode, decode_log};
use super::redis;

/// Reads bytes as each kind of record that a store keeps.
pub fn records(bytes: &[u8]) {
    let _ = decode::<Vec<Attempt>>("attempts", bytes);
    let _ = decode::<Bound>("a function", bytes);
    let _ = decode::<Try>("a try", bytes);
    let _ = decode_log("a log", bytes);
    if let Ok(head) = decode::<Head<'static>>("a job", bytes) {
        let _ = head.into_job("a job", bytes::Bytes::new());
    }
    if let Ok(ended) = decode::<Ended>("an end", bytes) {
        let _ = ended.into_outcome("an end", None, 0);
    }
    redis::fuzzing::records(bytes);
}
