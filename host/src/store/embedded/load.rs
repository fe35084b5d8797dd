//! Loads what waits and what is held, and gives back what nobody holds.

use std::collections::HashMap;
use std::num::NonZeroU32;
use std::sync::Arc;

use rusqlite::{Connection, OptionalExtension, Row};
use uuid::Uuid;

use crate::job::Namespace;
use crate::store::{Result, StoreError};

use super::claim::unpack;
use super::deploy::functions;
use super::index::Index;
use super::key::Key;
use super::models::models;
use super::queue::{Rank, Saved};
use super::shared::{NamespaceInfo, Running};
use super::writer::{Writer, from_sql};

/// A job's place in a row of `claims`.
struct Held {
    attempt: u32,
    batch: i64,
    incarnation: Uuid,
    claimed_at_ms: u64,
}

impl Writer {
    /// Replaces what is in memory by what is in the database.
    pub(super) fn load(&mut self) -> Result<()> {
        self.index = Index::default();
        self.batches.clear();
        let said = std::mem::take(&mut *self.shared.running());
        self.load_namespaces()?;
        let held = self.load_claims()?;
        self.load_open(held, &said)?;
        self.effects.tokens_changed = true;
        self.effects.ring = true;
        self.effects.callbacks = true;
        let idle = "DELETE FROM claims WHERE batch = ?";
        for (batch, open) in &self.batches {
            if *open == 0 {
                self.statement(idle)?.execute([batch])?;
            }
        }
        self.batches.retain(|_, open| *open > 0);
        Ok(())
    }

    fn load_namespaces(&mut self) -> Result<()> {
        let named = {
            let mut statement = self
                .db
                .prepare("SELECT number, name FROM namespaces ORDER BY number")?;
            let rows = statement.query_map([], |row| Ok((row.get(0)?, row.get(1)?)))?;
            rows.collect::<rusqlite::Result<Vec<(u32, String)>>>()?
        };
        for (number, name) in named {
            if usize::try_from(number) != Ok(self.index.namespaces()) {
                return Err(StoreError::Unreadable(format!(
                    "namespace {number} is missing"
                )));
            }
            let name: Namespace = name
                .parse()
                .map_err(|error| StoreError::Unreadable(format!("a namespace: {error}")))?;
            let info = match self.shared.namespace(&name) {
                Some(known) => known,
                None => {
                    let functions = functions(&self.db, number)?;
                    let models = models(&self.db, number)?;
                    Arc::new(NamespaceInfo::new(number, name, functions, models))
                }
            };
            self.index
                .add_namespace(info.clone(), saved(&self.db, number)?);
            let dead = dead(&self.db, number)?;
            if let Some(queue) = self.index.queue(number) {
                queue.dead = dead;
            }
            self.effects.namespaces.push(info);
        }
        Ok(())
    }

    fn load_claims(&mut self) -> Result<HashMap<Key, Held>> {
        let mut held = HashMap::new();
        let mut statement = self
            .db
            .prepare("SELECT batch, incarnation, at, jobs FROM claims")?;
        let mut rows = statement.query([])?;
        while let Some(row) = rows.next()? {
            let batch: i64 = row.get(0)?;
            let incarnation = Uuid::from_slice(&row.get::<_, Vec<u8>>(1)?)
                .map_err(|error| StoreError::Unreadable(format!("claims {batch}: {error}")))?;
            let claimed_at_ms = from_sql(row.get(2)?);
            self.next_batch = self.next_batch.max(batch + 1);
            self.batches.insert(batch, 0);
            for (key, attempt) in unpack(&row.get::<_, Vec<u8>>(3)?)? {
                // A job that was given back and taken again is in two rows.
                let newest = held.get(&key).is_none_or(|h: &Held| h.batch < batch);
                if newest {
                    held.insert(
                        key,
                        Held {
                            attempt,
                            batch,
                            incarnation,
                            claimed_at_ms,
                        },
                    );
                }
            }
        }
        Ok(held)
    }

    /// `said` is what ran before, of which what it said is only in memory.
    fn load_open(
        &mut self,
        mut held: HashMap<Key, Held>,
        said: &HashMap<Key, Running>,
    ) -> Result<()> {
        let mut lost = Vec::new();
        let mut kept = Vec::new();
        {
            let mut statement = self
                .db
                .prepare("SELECT key, rank, due, attempts, cancel, mover FROM open ORDER BY key")?;
            let mut rows = statement.query([])?;
            while let Some(row) = rows.next()? {
                let key = Key::from_row(row.get(0)?);
                let rank = Rank::from_byte(row.get(1)?).ok_or_else(|| {
                    StoreError::Unreadable(format!("job {} has no rank", key.id()))
                })?;
                let (attempts, cancel): (u32, bool) = (row.get(3)?, row.get(4)?);
                self.index.set_attempts(key, attempts);
                match held.remove(&key).filter(|held| held.attempt > attempts) {
                    None => match row.get::<_, Option<[u8; 16]>>(5)? {
                        None => self.index.add(key, rank, from_sql(row.get(2)?)),
                        Some(mover) => self.index.set_held(key, Uuid::from_bytes(mover)),
                    },
                    Some(by) if self.hosts.contains_key(&by.incarnation) => {
                        kept.push((key, by, cancel));
                    }
                    Some(by) => lost.push((key, by, cancel)),
                }
            }
        }
        for (key, by, cancel_requested) in kept {
            *self.batches.entry(by.batch).or_default() += 1;
            let said = said.get(&key).filter(|said| said.attempt == by.attempt);
            let posted = self.posted(key)?;
            let (job, _) = self.with_past(key, posted.job)?;
            let running = Running {
                attempt: by.attempt,
                incarnation: by.incarnation,
                batch: by.batch,
                claimed_at_ms: by.claimed_at_ms,
                job,
                progress: said.and_then(|said| said.progress.clone()),
                log: said.map(|said| said.log.clone()).unwrap_or_default(),
                awaits: said.and_then(|said| said.awaits.clone()),
                cancel_requested,
                over: false,
            };
            self.shared.running().insert(key, running);
            self.index.holds(key.namespace());
        }
        for (key, by, cancel) in lost {
            self.lose(key, by.attempt, by.claimed_at_ms, cancel)?;
        }
        Ok(())
    }
}

/// What is kept of a namespace beside its jobs.
/// How many jobs of a namespace are in the dead letter.
fn dead(db: &Connection, namespace: u32) -> Result<u64> {
    let dead = db
        .prepare_cached("SELECT count(*) FROM dead WHERE key BETWEEN ? AND ?")?
        .query_row(Key::rows_of(namespace), |row| row.get::<_, i64>(0))?;
    Ok(dead.unsigned_abs())
}

fn saved(db: &Connection, namespace: u32) -> Result<Saved> {
    let number = |row: &Row<'_>, n| row.get(n).map(from_sql);
    let saved = db
        .prepare_cached(
            "SELECT next_id, paused, posted, completed, failed, cancelled, concurrency FROM queues WHERE namespace = ?",
        )?
        .query_row([namespace], |row| {
            Ok(Saved {
                next_id: number(row, 0)?,
                paused: row.get(1)?,
                posted: number(row, 2)?,
                completed: number(row, 3)?,
                failed: number(row, 4)?,
                cancelled: number(row, 5)?,
                concurrency: row.get::<_, Option<u32>>(6)?.and_then(NonZeroU32::new),
            })
        })
        .optional()?
        .unwrap_or_default();
    // A store of version 1 has no row yet, and never deleted a job.
    let last: Option<i64> = db.query_row(
        "SELECT MAX(key) FROM posted WHERE key BETWEEN ? AND ?",
        Key::rows_of(namespace),
        |row| row.get(0),
    )?;
    let next_id = last.map_or(1, |row| Key::from_row(row).id().0 + 1);
    Ok(Saved {
        next_id: saved.next_id.max(next_id),
        ..saved
    })
}
