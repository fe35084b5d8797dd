//! Which jobs have ended, and what became of them.

use bytes::Bytes;
use rusqlite::{Connection, OptionalExtension, params};

use crate::store::{Outcome, Result};

use super::key::Key;
use super::writer::{now_ms, to_sql};
use crate::store::record::{Ended, decode};

/// How many jobs are looked up in place: some 30 µs.
pub(super) const MAX_IN_PLACE: usize = 16;

/// How many bytes of results are read in place: what lies in a few pages.
pub(super) const MAX_BYTES_IN_PLACE: u64 = 32 << 10;

/// Jobs that lie no sparser than one in so many ids are read from the first to the
/// last, which costs a tenth of a search for each.
const MAX_SPARSENESS: u64 = 4;

/// Which of these jobs, in the order of their keys, have not ended.
pub(super) fn still_open(db: &Connection, keys: &[Key]) -> Result<Vec<Key>> {
    let (Some(first), Some(last)) = (keys.first(), keys.last()) else {
        return Ok(Vec::new());
    };
    let mut open = Vec::new();
    let ids = last.row().abs_diff(first.row());
    if keys.len() > MAX_IN_PLACE && ids / MAX_SPARSENESS <= keys.len() as u64 {
        let mut statement =
            db.prepare_cached("SELECT key FROM open WHERE key BETWEEN ? AND ? ORDER BY key")?;
        let mut rows = statement.query([first.row(), last.row()])?;
        while let Some(row) = rows.next()? {
            let key = Key::from_row(row.get(0)?);
            if keys.binary_search(&key).is_ok() {
                open.push(key);
            }
        }
        return Ok(open);
    }
    let mut statement = db.prepare_cached("SELECT 1 FROM open WHERE key = ?")?;
    for key in keys {
        if statement.exists([key.row()])? {
            open.push(*key);
        }
    }
    Ok(open)
}

/// What became of jobs; see [`crate::store::Store::outcomes`]. Nothing if that is more
/// than `most` bytes of results.
pub(super) fn outcomes(
    db: &Connection,
    keys: &[Option<Key>],
    max_bytes: u64,
    most: u64,
) -> Result<Option<Vec<Outcome>>> {
    let mut outcomes = Vec::with_capacity(keys.len());
    let mut bytes: u64 = 0;
    for key in keys {
        let room = match outcomes.len() {
            0 => u64::MAX,
            _ => max_bytes.saturating_sub(bytes),
        };
        let left = most.saturating_sub(bytes);
        let Some(outcome) = outcome(db, *key, room.min(left))? else {
            if left < room {
                return Ok(None);
            }
            break;
        };
        if let Outcome::Completed(output) = &outcome {
            bytes = bytes.saturating_add(output.result.data.len() as u64);
        }
        outcomes.push(outcome);
    }
    Ok(Some(outcomes))
}

/// What became of a job; nothing if its result has more than `most` bytes.
fn outcome(db: &Connection, key: Option<Key>, most: u64) -> Result<Option<Outcome>> {
    let Some(key) = key else {
        return Ok(Some(Outcome::Unknown));
    };
    // One statement, so that a job that ends now is seen in one of the tables.
    let found = db
        .prepare_cached(
            "SELECT record, length(result), CASE WHEN length(result) <= ?2 THEN result END
             FROM ended WHERE key = ?1
             UNION ALL SELECT NULL, NULL, NULL FROM open WHERE key = ?1",
        )?
        .query_row(params![key.row(), to_sql(most)], |row| {
            Ok((row.get(0)?, row.get(1)?, row.get(2)?))
        })
        .optional()?;
    let (record, bytes, result): (Option<Vec<u8>>, Option<i64>, Option<Vec<u8>>) = match found {
        None => return Ok(Some(Outcome::Unknown)),
        Some(found) => found,
    };
    let Some(record) = record else {
        return Ok(Some(Outcome::Open));
    };
    let (what, now_ms) = (format!("job {}", key.id()), now_ms());
    let ended: Ended = decode(&what, &record)?;
    if bytes.is_some() && result.is_none() && !ended.has_expired(now_ms) {
        return Ok(None);
    }
    let result = result.map(Bytes::from);
    ended.into_outcome(what, result, now_ms).map(Some)
}
