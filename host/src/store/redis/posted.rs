//! How a job and its end lie under their keys.
//!
//! A job is the time of its acceptance (13 digits, put there by the script), its rank
//! (2 characters), the length of its head (8 hexadecimal digits), the head and the
//! message. An end is a mark (`1` if somebody wished to cancel, else `0`), the length
//! of its record (8 hexadecimal digits), the record and the result. So the scripts can
//! read either without what may be large.

use bytes::Bytes;

use crate::job::{JobId, NewJob, Output};
use crate::store::record::{Attempt, Ended, Head, decode, encode};
use crate::store::{Outcome, Result, StoreError};

const AT: usize = 13;
const RANK: usize = 2;
const LENGTH: usize = 8;
const MARK: usize = 1;

/// Where a job stands among those that wait; part of its member in every queue.
fn rank(job: &NewJob) -> String {
    let kind = match (job.functions.is_empty(), job.callback.is_some()) {
        (false, false) => '.',
        (true, false) => '*',
        (false, true) => '!',
        (true, true) => '+',
    };
    format!("{}{kind}", u8::from(job.priority))
}

/// A job to be accepted, but for the time of that.
pub(super) fn encode_job(job: &NewJob) -> Result<Vec<u8>> {
    let head = encode(&Head::of(job))?;
    let data = &job.message.data;
    let mut bytes = Vec::with_capacity(RANK + LENGTH + head.len() + data.len());
    bytes.extend_from_slice(rank(job).as_bytes());
    bytes.extend_from_slice(format!("{:08x}", head.len()).as_bytes());
    bytes.extend_from_slice(&head);
    bytes.extend_from_slice(data);
    Ok(bytes)
}

/// The head of a job as it is stored, with or without the message.
pub(super) fn decode_head(id: JobId, bytes: &[u8]) -> Result<&[u8]> {
    let torn = || StoreError::Unreadable(format!("job {id}: its record is cut short"));
    let length = digits(bytes, AT + RANK, LENGTH, 16).ok_or_else(torn)?;
    let start = AT + RANK + LENGTH;
    let end = usize::try_from(length)
        .ok()
        .and_then(|length| start.checked_add(length));
    end.and_then(|end| bytes.get(start..end)).ok_or_else(torn)
}

/// A job as it is stored: when it was accepted, in ms, and the job.
pub(super) fn decode_job(id: JobId, bytes: Vec<u8>) -> Result<(u64, NewJob)> {
    let what = format!("job {id}");
    let torn = || StoreError::Unreadable(format!("{what}: its record is cut short"));
    let bytes = Bytes::from(bytes);
    let at = digits(&bytes, 0, AT, 10).ok_or_else(torn)?;
    let front = decode_head(id, &bytes)?;
    let end = AT + RANK + LENGTH + front.len();
    let head: Head<'static> = decode(&what, front)?;
    Ok((at, head.into_job(&what, bytes.slice(end..))?))
}

/// The past attempts of a job; none if there is nothing.
pub(super) fn decode_past(id: JobId, bytes: &[u8]) -> Result<Vec<Attempt>> {
    match bytes {
        [] => Ok(Vec::new()),
        bytes => decode(format_args!("the attempts of job {id}"), bytes),
    }
}

/// An end, and the result if there is one.
pub(super) fn encode_end(ended: &Ended, output: Option<&Output>) -> Result<Vec<u8>> {
    let record = encode(ended)?;
    let data = output
        .map(|output| &*output.result.data)
        .unwrap_or_default();
    let mut bytes = Vec::with_capacity(MARK + LENGTH + record.len() + data.len());
    bytes.push(if ended.cancel_requested { b'1' } else { b'0' });
    bytes.extend_from_slice(format!("{:08x}", record.len()).as_bytes());
    bytes.extend_from_slice(&record);
    bytes.extend_from_slice(data);
    Ok(bytes)
}

/// An end, and where its result begins.
pub(super) fn decode_end(id: JobId, bytes: &[u8]) -> Result<(Ended, usize)> {
    let what = format!("job {id}");
    let torn = || StoreError::Unreadable(format!("{what}: the record of its end is cut short"));
    let length = digits(bytes, MARK, LENGTH, 16).ok_or_else(torn)?;
    let start = MARK + LENGTH;
    let end = usize::try_from(length)
        .ok()
        .and_then(|length| start.checked_add(length));
    let end = end.ok_or_else(torn)?;
    let mut ended: Ended = decode(&what, bytes.get(start..end).ok_or_else(torn)?)?;
    ended.cancel_requested |= bytes.first() == Some(&b'1');
    Ok((ended, end))
}

/// What became of a job that has ended.
pub(super) fn decode_outcome(id: JobId, bytes: Vec<u8>, now_ms: u64) -> Result<Outcome> {
    let (ended, start) = decode_end(id, &bytes)?;
    let result = Bytes::from(bytes).slice(start..);
    ended.into_outcome(format_args!("job {id}"), Some(result), now_ms)
}

fn digits(bytes: &[u8], from: usize, count: usize, radix: u32) -> Option<u64> {
    let text = str::from_utf8(bytes.get(from..from + count)?).ok()?;
    u64::from_str_radix(text, radix).ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::job::Payload;

    fn stored() -> (NewJob, Vec<u8>) {
        let mut job = NewJob::new(Payload::json("[1]"), vec!["f".parse().unwrap()]);
        job.idempotency_key = Some("k".into());
        let mut bytes = b"1700000000123".to_vec();
        bytes.extend(encode_job(&job).unwrap());
        (job, bytes)
    }

    #[test]
    fn a_job_survives_its_record() {
        let (job, bytes) = stored();
        let (at, read) = decode_job(JobId(7), bytes).unwrap();
        assert_eq!((at, read), (1_700_000_000_123, job));
    }

    #[test]
    fn what_is_torn_is_refused_and_never_a_panic() {
        let (_, bytes) = stored();
        let message = 3;
        for cut in 0..bytes.len() - message {
            let torn = decode_job(JobId(7), bytes[..cut].to_vec());
            assert!(matches!(torn, Err(StoreError::Unreadable(_))), "{cut}");
        }
        for bytes in [&b""[..], b"0", b"0ffffffff", b"00000000zz", b"000000001"] {
            let torn = decode_end(JobId(7), bytes);
            assert!(matches!(torn, Err(StoreError::Unreadable(_))), "{bytes:?}");
        }
    }
}
