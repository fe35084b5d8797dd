//! What people do to a queue: look, pause, release, rezero, purge.

use std::collections::HashMap;
use std::num::NonZeroU32;
use std::time::Instant;

use rusqlite::{OptionalExtension as _, params};

use crate::job::Namespace;
use crate::store::queue::LOOKED_AT;
use crate::store::{MAX_NAMESPACES_SEEN, Overview, QueueStatus, Result, Standing, StoreError};

use super::committer::Action;
use super::key::Key;
use super::queue::Rank;
use super::writer::{Writer, from_sql};
use crate::store::record::{Head, decode};

/// How many jobs one transaction of a purge deletes: some tens of ms of the
/// writer's time, between which others get their turn.
const PURGE_ROWS: usize = 4096;

/// See [`crate::store::Store::status`]. Asked of the writer, so that the numbers
/// are those of one instant.
pub(super) struct Status(pub(super) Namespace);

impl Action for Status {
    type Answer = QueueStatus;

    fn is_durable(&self) -> bool {
        false
    }

    fn apply(&self, writer: &mut Writer) -> Result<QueueStatus> {
        writer.index.promote(writer.now_ms);
        match writer.index.number(&self.0) {
            Some(number) => {
                let held = writer.held();
                writer.status(number, held.get(&number))
            }
            None => Ok(QueueStatus::default()),
        }
    }
}

/// See [`crate::store::Store::overview`].
pub(super) struct Overlook;

impl Action for Overlook {
    type Answer = Overview;

    fn is_durable(&self) -> bool {
        false
    }

    fn apply(&self, writer: &mut Writer) -> Result<Overview> {
        writer.index.promote(writer.now_ms);
        let held = writer.held();
        let seen = writer.index.names(MAX_NAMESPACES_SEEN);
        let queues = seen.into_iter().map(|(number, name)| {
            let status = writer.status(number, held.get(&number))?;
            Ok(Standing {
                namespace: name,
                status,
                dead: writer.index.queue(number).map_or(0, |queue| queue.dead),
            })
        });
        let queues = queues.collect::<Result<_>>()?;
        let now = Instant::now();
        let living = writer.hosts.values().filter(|host| host.expires > now);
        Ok(Overview {
            queues,
            namespaces: writer.index.namespaces() as u64,
            hosts: living.count() as u64,
            now_ms: writer.now_ms,
        })
    }
}

/// How many jobs of a namespace hosts hold.
#[derive(Clone, Copy, Default)]
struct Holding {
    running: u64,
    parked: u64,
}

impl Writer {
    /// How many jobs hosts hold, by the number of their namespace.
    fn held(&self) -> HashMap<u32, Holding> {
        let mut held: HashMap<u32, Holding> = HashMap::new();
        for (key, entry) in self
            .shared
            .running()
            .iter()
            .filter(|(_, entry)| !entry.over)
        {
            let of = held.entry(key.namespace()).or_default();
            match entry.awaits {
                Some(_) => of.parked += 1,
                None => of.running += 1,
            }
        }
        held
    }

    /// How the queue of a namespace stands, of which hosts hold so many jobs.
    fn status(&mut self, number: u32, held: Option<&Holding>) -> Result<QueueStatus> {
        let Some(first) = self.index.queue(number).map(|queue| queue.first(LOOKED_AT)) else {
            return Ok(QueueStatus::default());
        };
        let mut oldest_queued_at_ms = None;
        for id in first {
            let key = Key::new(number, id);
            let due = key.map(|key| self.due_since(key)).transpose()?.flatten();
            oldest_queued_at_ms = [oldest_queued_at_ms, due].into_iter().flatten().min();
        }
        let Some(queue) = self.index.queue(number) else {
            return Ok(QueueStatus::default());
        };
        let Holding { running, parked } = held.copied().unwrap_or_default();
        Ok(QueueStatus {
            queued: queue.queued(),
            scheduled: queue.scheduled,
            running,
            parked,
            moving: queue.held.len() as u64,
            posted: queue.saved.posted,
            completed: queue.saved.completed,
            failed: queue.saved.failed,
            cancelled: queue.saved.cancelled,
            paused: queue.saved.paused,
            concurrency: queue.saved.concurrency,
            oldest_queued_at_ms,
        })
    }

    /// When a job that waits became due: when it was accepted, when its time came, or,
    /// of one that is to be tried again at once, when its last attempt ended.
    fn due_since(&self, key: Key) -> Result<Option<u64>> {
        let row = self
            .statement("SELECT at, due FROM posted JOIN open USING (key) WHERE key = ?")?
            .query_row([key.row()], |row| Ok((row.get(0)?, row.get(1)?)))
            .optional()?;
        let Some((at, due)) = row else {
            return Ok(None);
        };
        let (at, due) = (from_sql(at), from_sql(due));
        let ended = match (due, self.index.attempts(key)) {
            (0, 1..) => self.past(key)?.attempts.last().map(|last| last.ended_at_ms),
            _ => None,
        };
        Ok(Some(ended.unwrap_or(at.max(due))))
    }
}

/// See [`crate::store::Store::pause`].
pub(super) struct Pause {
    pub(super) namespace: Namespace,
    pub(super) paused: bool,
}

impl Action for Pause {
    type Answer = ();

    fn apply(&self, writer: &mut Writer) -> Result<()> {
        let namespace = writer.namespace(&self.namespace)?;
        writer.index.set_paused(namespace, self.paused);
        writer.effects.ring = true;
        Ok(())
    }
}

/// See [`crate::store::Store::set_concurrency`].
pub(super) struct SetConcurrency {
    pub(super) namespace: Namespace,
    pub(super) limit: Option<NonZeroU32>,
}

impl Action for SetConcurrency {
    type Answer = ();

    fn apply(&self, writer: &mut Writer) -> Result<()> {
        let namespace = writer.namespace(&self.namespace)?;
        writer.index.set_concurrency(namespace, self.limit);
        writer.effects.ring = true;
        Ok(())
    }
}

/// See [`crate::store::Store::release`].
pub(super) struct Release(pub(super) Namespace);

impl Action for Release {
    type Answer = usize;

    fn apply(&self, writer: &mut Writer) -> Result<usize> {
        let Some(namespace) = writer.index.number(&self.0) else {
            return Ok(0);
        };
        let mut running = Vec::new();
        for (key, entry) in writer.shared.running().iter_mut() {
            if key.namespace() == namespace && !entry.over {
                entry.over = true;
                running.push((*key, entry.clone()));
            }
        }
        for (key, running) in &running {
            writer.effects.over.push(*key);
            writer.index.left(key.namespace(), None);
            writer.leave_batch(running.batch)?;
            writer.release(*key, running)?;
        }
        let queue = writer.index.queue(namespace);
        let held = queue.map(|queue| std::mem::take(&mut queue.held));
        let held = held.unwrap_or_default();
        for id in held.keys() {
            if let Some(key) = Key::new(namespace, *id) {
                writer.release_held(key)?;
            }
        }
        writer.effects.ring = true;
        Ok(running.len() + held.len())
    }
}

impl Writer {
    /// Gives back a job that a mover held.
    fn release_held(&mut self, key: Key) -> Result<()> {
        let (rank, due, cancel) = self
            .statement("UPDATE open SET mover = NULL WHERE key = ? RETURNING rank, due, cancel")?
            .query_row([key.row()], |row| {
                Ok((row.get(0)?, row.get(1)?, row.get::<_, bool>(2)?))
            })?;
        if cancel {
            return self.end_waiting(key, true, None);
        }
        let rank = rank_of(key, rank)?;
        self.index.add(key, rank, from_sql(due));
        Ok(())
    }
}

/// See [`crate::store::Store::rezero`].
pub(super) struct Rezero(pub(super) Namespace);

impl Action for Rezero {
    type Answer = ();

    fn apply(&self, writer: &mut Writer) -> Result<()> {
        if let Some(namespace) = writer.index.number(&self.0) {
            writer.index.change(namespace, |saved| saved.rezero());
        }
        Ok(())
    }
}

/// A part of [`crate::store::Store::purge`]; answers how many jobs it deleted, and
/// what is left to do.
pub(super) struct Purge {
    namespace: Namespace,
    /// The last key that is done, and the last of all; all of the namespace's
    /// jobs if there is none yet.
    range: Option<(Key, Key)>,
}

impl Purge {
    pub(super) fn all(namespace: Namespace) -> Self {
        Self {
            namespace,
            range: None,
        }
    }
}

impl Action for Purge {
    type Answer = (usize, Option<Purge>);

    fn apply(&self, writer: &mut Writer) -> Result<Self::Answer> {
        let Some(namespace) = writer.index.number(&self.namespace) else {
            return Ok((0, None));
        };
        let (after, last) = self.range.unwrap_or_else(|| {
            let (first, _) = Key::rows_of(namespace);
            let next_id = writer.index.queue(namespace).map_or(0, |q| q.saved.next_id);
            let first = Key::from_row(first);
            (
                first,
                Key::from_row(first.row().saturating_add_unsigned(next_id)),
            )
        });
        let waiting = writer.waiting(after, last, PURGE_ROWS)?;
        let mut purged = 0;
        for job in &waiting.jobs {
            purged += usize::from(writer.purge(namespace, job.key, job.rank, job.due)?);
        }
        if let Some(after) = waiting.next {
            let rest = Purge {
                namespace: self.namespace.clone(),
                range: Some((after, last)),
            };
            return Ok((purged, Some(rest)));
        }
        // Also keeps the next id, whatever was deleted.
        writer.index.change(namespace, |saved| saved.rezero());
        Ok((purged, None))
    }
}

impl Writer {
    /// Deletes a job that waits; `false` if its record cannot be read, and so is
    /// left as it is.
    fn purge(&mut self, namespace: u32, key: Key, rank: Rank, due: u64) -> Result<bool> {
        let head: Vec<u8> = self
            .statement("SELECT head FROM posted WHERE key = ?")?
            .query_row([key.row()], |row| row.get(0))?;
        let head: Head<'static> = match decode(format_args!("job {}", key.id()), &head) {
            Ok(head) => head,
            Err(error) => {
                tracing::error!(%error, "a job is not purged, since it cannot be read");
                return Ok(false);
            }
        };
        if let Some(name) = head.idempotency_key() {
            self.statement("DELETE FROM keys WHERE namespace = ? AND name = ?")?
                .execute(params![namespace, name])?;
        }
        for delete in [
            "DELETE FROM open WHERE key = ?",
            "DELETE FROM posted WHERE key = ?",
            // One that ran before, and was to run again, may have a row.
            "DELETE FROM callbacks WHERE key = ?",
        ] {
            self.statement(delete)?.execute([key.row()])?;
        }
        self.forget_children(key)?;
        self.index.remove(key, rank, due);
        self.index.forget(key);
        self.bodies.take(key);
        // Whoever waits for it shall learn that it is gone.
        self.effects.ended.push(key);
        Ok(true)
    }
}

/// The rank in a row of `open`.
pub(super) fn rank_of(key: Key, rank: u8) -> Result<Rank> {
    Rank::from_byte(rank)
        .ok_or_else(|| StoreError::Unreadable(format!("job {} has no rank", key.id())))
}
