//! The readers of what lies in Redis, for the fuzz target `stored_records`.

use super::posted::{decode_head, decode_job, decode_outcome, decode_past};
use crate::job::JobId;

/// Reads bytes as each kind of value that Redis keeps of a job.
pub(in crate::store) fn records(bytes: &[u8]) {
    let id = JobId(1);
    let _ = decode_head(id, bytes);
    let _ = decode_job(id, bytes.to_vec());
    let _ = decode_past(id, bytes);
    let _ = decode_outcome(id, bytes.to_vec(), 0);
}
