//! Accepts jobs: new ones, and those of another store.

use std::collections::HashSet;
use std::sync::Arc;

use rusqlite::{Connection, OptionalExtension, params};

use crate::job::{ChildKey, JobId, Namespace, NewJob};
use crate::store::{Origin, Parcel, Result, StoreError};

use super::children::Posting;
use super::committer::Action;
use super::key::Key;
use super::keys::{Keys, id_of};
use super::queue::Rank;
use super::trees::Tree;
use super::writer::{Writer, to_sql};
use crate::store::record::{Attempt, Head, encode};

/// A job with its record: the caller encodes, so that the writer need not.
struct Encoded {
    job: Arc<NewJob>,
    child_key: Option<ChildKey>,
    head: Vec<u8>,
    past: Option<Past>,
}

/// What a job of another store brings along.
struct Past {
    origin: Origin,
    attempts: u32,
    history: Option<Vec<u8>>,
}

/// See [`crate::store::Store::submit`] and [`crate::store::Store::deliver`].
pub(super) struct Submit {
    namespace: Namespace,
    /// The job that posts, if one does.
    parent: Option<JobId>,
    tree: Option<Tree>,
    jobs: Vec<Encoded>,
}

impl Submit {
    pub(super) fn new(namespace: Namespace, jobs: Vec<NewJob>) -> Result<Self> {
        let parent = jobs.first().and_then(|job| job.parent);
        if jobs.iter().any(|job| job.parent != parent) {
            let text = "the jobs of one call have different parents";
            return Err(StoreError::Refused(text.into()));
        }
        let tree = jobs.first().and_then(Tree::of);
        let jobs = jobs.into_iter().map(|job| Encoded::new(job, None));
        let jobs = jobs.collect::<Result<_>>()?;
        Ok(Self {
            namespace,
            parent,
            tree,
            jobs,
        })
    }

    pub(super) fn parcels(namespace: Namespace, parcels: Vec<Parcel>) -> Result<Self> {
        let encoded = |parcel: Parcel| {
            let attempts: Vec<_> = parcel.attempts.iter().map(Attempt::from_record).collect();
            let past = Past {
                origin: parcel.origin,
                attempts: attempts.last().map_or(0, |last| last.number),
                history: (!attempts.is_empty())
                    .then(|| encode(&attempts))
                    .transpose()?,
            };
            Encoded::new(parcel.job, Some(past))
        };
        let jobs = parcels.into_iter().map(encoded).collect::<Result<_>>()?;
        Ok(Self {
            namespace,
            parent: None,
            tree: None,
            jobs,
        })
    }
}

impl Encoded {
    fn new(mut job: NewJob, past: Option<Past>) -> Result<Self> {
        let head = encode(&Head::of(&job))?;
        let child_key = job.child_key.take();
        Ok(Self {
            job: Arc::new(job),
            child_key,
            head,
            past,
        })
    }
}

impl Action for Submit {
    type Answer = Vec<JobId>;

    fn apply(&self, writer: &mut Writer) -> Result<Vec<JobId>> {
        if self.jobs.is_empty() {
            return Ok(Vec::new());
        }
        let mut posting = match self.parent {
            Some(id) => Some(self.begin(writer, id)?),
            None => None,
        };
        self.check_keys(writer, posting.as_ref())?;
        if let Some(tree) = self.tree {
            let new = || self.count_new(writer, posting.as_ref());
            tree.check(writer, &self.namespace, self.jobs.len(), new)?;
        }
        let namespace = writer.namespace(&self.namespace)?;
        let now_ms = writer.now_ms;
        let db = &writer.db;
        let mut post =
            db.prepare_cached("INSERT INTO posted (key, at, head, data) VALUES (?, ?, ?, ?)")?;
        let mut open = db.prepare_cached(
            "INSERT INTO open (key, rank, due, attempts, cancel, history) VALUES (?, ?, ?, ?, 0, ?)",
        )?;
        let mut ids = Vec::with_capacity(self.jobs.len());
        for encoded in &self.jobs {
            let Encoded {
                job,
                child_key,
                head,
                past,
            } = encoded;
            let origin = past.as_ref().map(|past| &past.origin);
            if let Some(origin) = origin
                && let Some(id) = delivered_as(db, namespace, origin)?
            {
                ids.push(id);
                continue;
            }
            let as_child = posting.as_ref().zip(child_key.as_ref());
            if let Some((posting, child_key)) = as_child
                && job.idempotency_key.is_some()
                && let Some(id) = posting.known(db, child_key)?
            {
                ids.push(id);
                continue;
            }
            if let Some(name) = &job.idempotency_key
                && let Some(id) = id_of(db, namespace, name)?
            {
                remember(db, namespace, origin, id)?;
                ids.push(id);
                continue;
            }
            let full = || StoreError::Full("the namespace has no more job ids".into());
            let queue = writer.index.queue(namespace).ok_or_else(full)?;
            let key = Key::new(namespace, JobId(queue.saved.next_id)).ok_or_else(full)?;
            if let Some((posting, child_key)) = as_child
                && let Some(id) = posting.claim(db, child_key, key.id())?
            {
                ids.push(id);
                continue;
            }
            writer.index.change(namespace, |saved| {
                saved.next_id += 1;
                saved.posted += 1;
            });
            let rank = Rank::of(job);
            let due = match job.delay_ms {
                0 => 0,
                delay_ms => now_ms.saturating_add(delay_ms),
            };
            post.execute(params![key.row(), to_sql(now_ms), head, &*job.message.data])?;
            let attempts = past.as_ref().map_or(0, |past| past.attempts);
            let history = past.as_ref().and_then(|past| past.history.as_deref());
            open.execute(params![
                key.row(),
                rank.to_byte(),
                to_sql(due),
                attempts,
                history
            ])?;
            remember(db, namespace, origin, key.id())?;
            if let Some(posting) = &mut posting {
                posting.add(key.id());
            }
            if let Some(name) = &job.idempotency_key {
                db.prepare_cached("INSERT INTO keys (namespace, name, id) VALUES (?, ?, ?)")?
                    .execute(params![namespace, name, to_sql(key.id().0)])?;
            }
            writer.index.set_attempts(key, attempts);
            writer.index.add(key, rank, due);
            writer.bodies.offer(key, job, now_ms);
            ids.push(key.id());
        }
        if let Some(posting) = posting {
            let added = posting.end(db)?;
            if let Some(tree) = self.tree {
                tree.add(writer, &self.namespace, added)?;
            }
        }
        writer.effects.ring = true;
        Ok(ids)
    }
}

impl Submit {
    fn begin(&self, writer: &Writer, parent: JobId) -> Result<Posting> {
        let number = writer.index.number(&self.namespace);
        let key = number.and_then(|number| Key::new(number, parent));
        Posting::begin(&writer.db, parent, key)
    }

    /// Refuses posts under the keys of other jobs. A child that its parent has posted before
    /// is that one, and a job of another store is whatever it was there.
    fn check_keys(&self, writer: &Writer, posting: Option<&Posting>) -> Result<()> {
        let mut keys = Keys::new(writer, &self.namespace);
        for (place, encoded) in self.jobs.iter().enumerate() {
            if encoded.past.is_some() || encoded.job.idempotency_key.is_none() {
                continue;
            }
            let known = match posting.zip(encoded.child_key.as_ref()) {
                Some((posting, key)) => posting.known(&writer.db, key)?,
                None => None,
            };
            if known.is_none() {
                keys.check(place, &encoded.job)?;
            }
        }
        keys.end()
    }

    /// How many of the jobs would be added.
    fn count_new(&self, writer: &Writer, posting: Option<&Posting>) -> Result<usize> {
        let (db, number) = (&writer.db, writer.index.number(&self.namespace));
        let mut names: HashSet<&str> = HashSet::new();
        let mut keys: HashSet<ChildKey> = HashSet::new();
        let mut new = 0;
        for Encoded { job, child_key, .. } in &self.jobs {
            let name = job.idempotency_key.as_deref();
            let is_known = match posting.zip(child_key.as_ref()) {
                Some((posting, key)) => keys.contains(key) || posting.known(db, key)?.is_some(),
                None => false,
            };
            let is_taken = match number.zip(name) {
                Some((number, name)) => names.contains(name) || id_of(db, number, name)?.is_some(),
                None => false,
            };
            if !is_known && !is_taken {
                new += 1;
                keys.extend(child_key);
                names.extend(name);
            }
        }
        Ok(new)
    }
}

/// The job that another store's job became here.
fn delivered_as(db: &Connection, namespace: u32, origin: &Origin) -> Result<Option<JobId>> {
    let id = db
        .prepare_cached(
            "SELECT id FROM delivered WHERE namespace = ? AND store = ? AND origin = ?
             AND origin_id = ? AND origin_at = ?",
        )?
        .query_row(
            params![
                namespace,
                origin.store.as_bytes(),
                origin.namespace.as_str(),
                to_sql(origin.id.0),
                to_sql(origin.posted_at_ms)
            ],
            |row| row.get::<_, i64>(0),
        )
        .optional()?;
    Ok(id.map(|id| JobId(id.unsigned_abs())))
}

/// Notes which job another store's job became.
fn remember(db: &Connection, namespace: u32, origin: Option<&Origin>, id: JobId) -> Result<()> {
    let Some(origin) = origin else { return Ok(()) };
    db.prepare_cached(
        "INSERT INTO delivered (namespace, store, origin, origin_id, origin_at, id)
         VALUES (?, ?, ?, ?, ?, ?)",
    )?
    .execute(params![
        namespace,
        origin.store.as_bytes(),
        origin.namespace.as_str(),
        to_sql(origin.id.0),
        to_sql(origin.posted_at_ms),
        to_sql(id.0)
    ])?;
    Ok(())
}
