//! Which jobs have ended, and what became of them.

use std::iter::Peekable;
use std::sync::Arc;

use bytes::Bytes;
use rusqlite::{Connection, OptionalExtension, Row, params};

use crate::store::{Outcome, Result};

use super::EmbeddedStore;
use super::key::Key;
use super::writer::{from_sql, now_ms, to_sql};
use crate::store::record::{Ended, decode};

/// How many jobs are looked up in place: some 30 µs.
pub(super) const MAX_IN_PLACE: usize = 16;

/// How many bytes of results are read in place: what lies in a few pages.
pub(super) const MAX_BYTES_IN_PLACE: u64 = 32 << 10;

/// How many bytes a result may have to be read with its neighbours: it lies within its row's
/// page. Larger ones are read one by one, as far as there is room for them.
const MAX_SCANNED_BYTES: i64 = 2 << 10;

/// Jobs that lie no sparser than one in so many ids are read from the first to the
/// last, which costs a tenth of a search for each.
const MAX_SPARSENESS: u64 = 4;

/// Which of these jobs, in the order of their keys, have not ended.
pub(super) fn still_open(db: &Connection, keys: &[Key]) -> Result<Vec<Key>> {
    let (Some(first), Some(last)) = (keys.first(), keys.last()) else {
        return Ok(Vec::new());
    };
    let mut open = Vec::new();
    if lie_close(keys.len(), *first, *last) {
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

impl EmbeddedStore {
    /// What became of jobs; see [`crate::store::Store::outcomes`].
    pub(super) async fn read_outcomes(
        &self,
        keys: Arc<[Option<Key>]>,
        max_bytes: u64,
    ) -> Result<Vec<Outcome>> {
        if keys.is_empty() {
            return Ok(Vec::new());
        }
        if keys.len() <= MAX_IN_PLACE {
            let keys = keys.clone();
            let read = move |db: &_| outcomes(db, &keys, max_bytes, MAX_BYTES_IN_PLACE);
            if let Some(outcomes) = self.readers.read_briefly(read).await? {
                return Ok(outcomes);
            }
        }
        let read = move |db: &_| outcomes(db, &keys, max_bytes, u64::MAX);
        Ok(self.readers.read(read).await?.unwrap_or_default())
    }
}

/// What became of jobs; see [`crate::store::Store::outcomes`]. Nothing if that is more
/// than `most` bytes of results.
pub(super) fn outcomes(
    db: &Connection,
    keys: &[Option<Key>],
    max_bytes: u64,
    most: u64,
) -> Result<Option<Vec<Outcome>>> {
    let mut scan = db.prepare_cached(
        "SELECT record, length(result), CASE WHEN length(result) <= ?3 THEN result END, key
         FROM ended WHERE key BETWEEN ?1 AND ?2 ORDER BY key",
    )?;
    let ends = near_each_other(keys).map(|[first, last]| {
        let between = params![first, last, MAX_SCANNED_BYTES];
        scan.query_map(between, |row| Ok((Key::from_row(row.get(3)?), end(row)?)))
    });
    let mut ends = ends.transpose()?.into_iter().flatten().peekable();
    let mut outcomes = Vec::with_capacity(keys.len());
    let mut bytes: u64 = 0;
    let now_ms = now_ms();
    for key in keys {
        let room = match outcomes.len() {
            0 => u64::MAX,
            _ => max_bytes.saturating_sub(bytes),
        };
        let left = most.saturating_sub(bytes);
        let scanned = key.map_or(Ok(None), |key| take(&mut ends, key))?;
        let Some(outcome) = outcome(db, *key, scanned, room.min(left), now_ms)? else {
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

/// The rows of the first and the last of these jobs, if they are many, come in the order of
/// their ids, and lie close together.
fn near_each_other(keys: &[Option<Key>]) -> Option<[i64; 2]> {
    let (first, last) = ((*keys.first()?)?, (*keys.last()?)?);
    let ascend = |pair: &[Option<Key>]| matches!(pair, [Some(one), Some(next)] if one < next);
    let near = lie_close(keys.len(), first, last) && keys.windows(2).all(ascend);
    near.then(|| [first.row(), last.row()])
}

/// Whether so many jobs are to be read from the first to the last.
fn lie_close(jobs: usize, first: Key, last: Key) -> bool {
    let ids = last.row().abs_diff(first.row());
    jobs > MAX_IN_PLACE && ids / MAX_SPARSENESS <= jobs as u64
}

/// How a job ended, as it is stored.
struct End {
    record: Vec<u8>,
    result_bytes: Option<i64>,
    /// Not there if it has more bytes than were asked for.
    result: Option<Vec<u8>>,
}

/// From three columns; nothing if they are of a job that has not ended.
fn end(row: &Row<'_>) -> rusqlite::Result<Option<End>> {
    let (result_bytes, result) = (row.get(1)?, row.get(2)?);
    let record: Option<Vec<u8>> = row.get(0)?;
    Ok(record.map(|record| End {
        record,
        result_bytes,
        result,
    }))
}

/// The end of a job, out of those that come in the order of their ids.
fn take(
    ends: &mut Peekable<impl Iterator<Item = rusqlite::Result<(Key, Option<End>)>>>,
    key: Key,
) -> rusqlite::Result<Option<End>> {
    let is_before = |end: &rusqlite::Result<(Key, _)>| matches!(end, Ok((next, _)) if *next < key);
    while ends.next_if(is_before).is_some() {}
    let is_it = |end: &rusqlite::Result<(Key, _)>| !matches!(end, Ok((next, _)) if *next > key);
    let found = ends.next_if(is_it).transpose()?;
    Ok(found.and_then(|(_, end)| end))
}

/// What became of a job; nothing if its result has more than `most` bytes. `scanned` is what
/// is known of its end.
fn outcome(
    db: &Connection,
    key: Option<Key>,
    scanned: Option<End>,
    most: u64,
    now_ms: u64,
) -> Result<Option<Outcome>> {
    let Some(key) = key else {
        return Ok(Some(Outcome::Unknown));
    };
    let is_whole = |end: &End| match (end.result_bytes, &end.result) {
        (Some(bytes), result) => result.is_some() && from_sql(bytes) <= most,
        (None, _) => true,
    };
    let found = match scanned.filter(is_whole) {
        Some(end) => Some(Some(end)),
        // One statement, so that a job that ends now is seen in one of the tables.
        None => db
            .prepare_cached(
                "SELECT record, length(result), CASE WHEN length(result) <= ?2 THEN result END
                 FROM ended WHERE key = ?1
                 UNION ALL SELECT NULL, NULL, NULL FROM open WHERE key = ?1",
            )?
            .query_row(params![key.row(), to_sql(most)], end)
            .optional()?,
    };
    let End {
        record,
        result_bytes,
        result,
    } = match found {
        None => return Ok(Some(Outcome::Unknown)),
        Some(None) => return Ok(Some(Outcome::Open)),
        Some(Some(end)) => end,
    };
    let id = key.id();
    let ended: Ended = decode(format_args!("job {id}"), &record)?;
    if result_bytes.is_some() && result.is_none() && !ended.has_expired(now_ms) {
        return Ok(None);
    }
    let result = result.map(Bytes::from);
    let outcome = ended.into_outcome(format_args!("job {id}"), result, now_ms)?;
    Ok(Some(outcome))
}
