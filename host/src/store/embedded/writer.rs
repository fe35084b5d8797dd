//! The writer's state and its transaction.

use std::collections::HashMap;
use std::num::NonZeroU32;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use rusqlite::{CachedStatement, Connection, params};
use uuid::Uuid;

use crate::access::AccessTokens;
use crate::job::{Namespace, Output, State};
use crate::store::{Claim, Cycle, Functions, Models, News, Result, StoreError, Token};

use super::bodies::Bodies;
use super::committer::Call;
use super::ending::EndRow;
use super::index::Index;
use super::key::{Key, MAX_NAMESPACES};
use super::queue::Saved;
use super::shared::{NamespaceInfo, Shared};
use super::tokens::tokens;

/// A host incarnation.
pub(super) struct Host {
    /// When its lease runs out.
    pub(super) expires: Instant,
    /// The jobs that it must stop and has not been told of.
    pub(super) cancels: Vec<Token>,
    /// The number of the last step that it made, and what was answered.
    pub(super) last_step: (u64, Cycle),
    /// How many jobs it takes as they come: what its last step wanted and did not find.
    pub(super) standing: usize,
}

/// What the outside sees once the transaction is durable.
#[derive(Default)]
pub(super) struct Effects {
    /// Attempts that ended.
    pub(super) over: Vec<Key>,
    /// What jobs do now, in which attempt, in the order in which it happened.
    pub(super) states: Vec<(Key, u32, State)>,
    /// Jobs that ended.
    pub(super) ended: Vec<Key>,
    /// Results for which somebody waits, and that nothing can change any more.
    pub(super) results: Vec<(Key, Output)>,
    /// It may be another time when the next callback is due.
    pub(super) callbacks: bool,
    /// New namespaces.
    pub(super) namespaces: Vec<Arc<NamespaceInfo>>,
    /// Namespaces whose functions changed.
    pub(super) functions: Vec<(Arc<NamespaceInfo>, Functions)>,
    /// Namespaces whose models changed.
    pub(super) models: Vec<(Arc<NamespaceInfo>, Models)>,
    /// Access tokens came or went.
    pub(super) tokens_changed: bool,
    /// The access tokens, if they changed.
    tokens: Option<AccessTokens>,
    /// Wishes to cancel that hosts have been told of.
    pub(super) told: Vec<(Uuid, Vec<Token>)>,
    /// Jobs given to hosts.
    pub(super) given: Vec<(Uuid, Vec<Claim>)>,
    /// What the last step of a host was before the ones of this transaction.
    pub(super) steps: Vec<(Uuid, (u64, Cycle))>,
    /// Something happened that a sleeping host wants to know.
    pub(super) ring: bool,
}

/// The one who writes. The database is the truth; the rest can be loaded from it.
pub(super) struct Writer {
    pub(super) db: Connection,
    pub(super) index: Index,
    pub(super) bodies: Bodies,
    pub(super) hosts: HashMap<Uuid, Host>,
    /// How many jobs each row of `claims` still holds.
    pub(super) batches: HashMap<i64, usize>,
    pub(super) next_batch: i64,
    pub(super) effects: Effects,
    /// Jobs that the action at hand has ended.
    pub(super) ends: Vec<EndRow>,
    pub(super) shared: Arc<Shared>,
    pub(super) lease: Duration,
    /// How long a callback that was taken is its taker's, in ms.
    pub(super) callback_taken_ms: u64,
    next_callback: Option<u64>,
    /// The time of the transaction, in ms since the Unix epoch.
    pub(super) now_ms: u64,
    /// What waits in memory may not be what waits on disk.
    pub(super) stale: bool,
    syncs: Option<bool>,
}

impl Writer {
    /// A writer that has loaded what the database holds; jobs of earlier
    /// processes are given back.
    pub(super) fn new(
        db: Connection,
        shared: Arc<Shared>,
        lease: Duration,
        callback_taken: Duration,
    ) -> Result<Self> {
        let mut writer = Self {
            db,
            index: Index::default(),
            bodies: Bodies::default(),
            hosts: HashMap::new(),
            batches: HashMap::new(),
            next_batch: 1,
            effects: Effects::default(),
            ends: Vec::new(),
            shared,
            lease,
            callback_taken_ms: u64::try_from(callback_taken.as_millis()).unwrap_or(u64::MAX),
            next_callback: None,
            now_ms: now_ms(),
            stale: true,
            syncs: None,
        };
        writer.transact(&mut [])?;
        Ok(writer)
    }

    /// Applies a group of calls as one transaction.
    pub(super) fn transact(&mut self, group: &mut [Box<dyn Call>]) -> Result<()> {
        let durable = self.stale || group.iter().any(|call| call.is_durable());
        self.sync_on_commit(durable)?;
        self.now_ms = now_ms();
        self.statement("BEGIN IMMEDIATE")?.execute([])?;
        if self.stale {
            self.load()?;
            self.write_ends()?;
        }
        for call in group {
            call.apply(self)?;
            // The next action may look for them.
            self.write_ends()?;
        }
        self.give()?;
        self.save_queues()?;
        if self.effects.callbacks {
            self.next_callback = self.next_callback_due()?;
        }
        if self.effects.tokens_changed {
            self.effects.tokens = Some(tokens(&self.db)?);
        }
        self.statement("COMMIT")?.execute([])?;
        self.stale = false;
        self.publish();
        Ok(())
    }

    /// Undoes a transaction that failed.
    pub(super) fn restore(&mut self) {
        if !self.db.is_autocommit()
            && let Err(error) = self.db.execute_batch("ROLLBACK")
        {
            tracing::error!(%error, "a transaction cannot be rolled back");
        }
        self.ends.clear();
        // An id that was given and taken back will be another job's.
        self.bodies = Bodies::default();
        let effects = std::mem::take(&mut self.effects);
        for (incarnation, cancels) in effects.told {
            if let Some(host) = self.hosts.get_mut(&incarnation) {
                host.cancels.extend(cancels);
            }
        }
        for (incarnation, step) in effects.steps.into_iter().rev() {
            if let Some(host) = self.hosts.get_mut(&incarnation) {
                host.last_step = step;
            }
        }
        // Steps that were undone may have left these.
        self.hosts.values_mut().for_each(|host| host.standing = 0);
        self.stale = true;
    }

    fn publish(&mut self) {
        let effects = std::mem::take(&mut self.effects);
        for info in effects.namespaces {
            self.shared.add_namespace(info);
        }
        for (info, functions) in effects.functions {
            info.set_functions(functions);
        }
        for (info, models) in effects.models {
            info.set_models(models);
        }
        if let Some(tokens) = effects.tokens {
            self.shared.set_tokens(tokens);
        }
        if !effects.over.is_empty() {
            let mut running = self.shared.running();
            for key in &effects.over {
                // It may be taken again already.
                if running.get(key).is_some_and(|r| r.over) {
                    running.remove(key);
                }
            }
        }
        for (incarnation, _) in effects.told {
            let tell = self
                .hosts
                .get(&incarnation)
                .is_some_and(|h| !h.cancels.is_empty());
            if let Some(told) = self.shared.hosts().get_mut(&incarnation) {
                told.cancels = tell;
            }
        }
        for (incarnation, given) in effects.given {
            if let Some(host) = self.hosts.get_mut(&incarnation) {
                host.standing = host.standing.saturating_sub(given.len());
            }
            self.shared.give(incarnation, given);
        }
        // Whoever is told of an end asks for its result next.
        for (key, output) in &effects.results {
            self.shared.recent().keep(key, output);
        }
        self.tell(&effects.states, &effects.ended);
        self.shared.set_capped(self.index.is_capped());
        self.shared
            .set_work(self.index.may_pop(), self.index.next_due());
        if effects.callbacks {
            self.shared.set_next_callback(self.next_callback);
        }
        if effects.ring {
            self.shared.ring();
        }
    }

    /// Tells those who watch jobs or wait for their ends.
    fn tell(&mut self, states: &[(Key, u32, State)], ended: &[Key]) {
        let shared = self.shared.clone();
        if !shared.newsroom().is_empty() {
            let states = states.iter().map(|(key, attempt, state)| {
                let (attempt, state) = (*attempt, *state);
                (*key, News::State { attempt, state })
            });
            let ends = ended.iter().map(|key| (*key, News::Ended));
            for (key, news) in states.chain(ends) {
                if let Some(queue) = self.index.queue(key.namespace()) {
                    shared.newsroom().tell(&queue.info.name, key.id(), news);
                }
            }
        }
        if !shared.waiters().is_empty() {
            for key in ended {
                shared.waiters().ended(key);
            }
        }
    }

    /// A statement, parsed once.
    pub(super) fn statement(&self, sql: &str) -> Result<CachedStatement<'_>> {
        Ok(self.db.prepare_cached(sql)?)
    }

    /// The number of a namespace, which is made if it is not there.
    pub(super) fn namespace(&mut self, name: &Namespace) -> Result<u32> {
        if let Some(number) = self.index.number(name) {
            return Ok(number);
        }
        let number = u32::try_from(self.index.namespaces())
            .ok()
            .filter(|number| *number < MAX_NAMESPACES)
            .ok_or_else(|| StoreError::Full("there are too many namespaces".into()))?;
        self.statement("INSERT INTO namespaces (number, name) VALUES (?, ?)")?
            .execute((number, name.as_str()))?;
        let info = NamespaceInfo::new(number, name.clone(), Functions::new(), Models::new());
        let info = Arc::new(info);
        let saved = Saved {
            next_id: 1,
            ..Saved::default()
        };
        self.index.add_namespace(info.clone(), saved);
        self.effects.namespaces.push(info);
        Ok(number)
    }

    /// Writes what changed of the queues: once for all calls of a transaction.
    fn save_queues(&mut self) -> Result<()> {
        for (namespace, saved) in self.index.take_unsaved() {
            self.statement("INSERT OR REPLACE INTO queues VALUES (?, ?, ?, ?, ?, ?, ?, ?)")?
                .execute(params![
                    namespace,
                    to_sql(saved.next_id),
                    saved.paused,
                    to_sql(saved.posted),
                    to_sql(saved.completed),
                    to_sql(saved.failed),
                    to_sql(saved.cancelled),
                    saved.concurrency.map(NonZeroU32::get),
                ])?;
        }
        Ok(())
    }

    /// The name of the namespace of a key.
    pub(super) fn name_of(&mut self, key: Key) -> Result<Namespace> {
        let queue = self.index.queue(key.namespace());
        queue
            .map(|q| q.info.name.clone())
            .ok_or_else(|| StoreError::Unreadable(format!("job {} is of no namespace", key.row())))
    }

    /// With or without an fsync at the end of a transaction. Without, the kernel
    /// has the data, and a later fsync covers it.
    fn sync_on_commit(&mut self, syncs: bool) -> Result<()> {
        // In memory there is nothing to sync.
        let syncs = syncs && self.db.path().is_some_and(|path| !path.is_empty());
        if self.syncs != Some(syncs) {
            let mode = if syncs { "FULL" } else { "NORMAL" };
            self.db.pragma_update(None, "synchronous", mode)?;
            self.syncs = Some(syncs);
        }
        Ok(())
    }
}

/// Now, in ms since the Unix epoch.
pub(super) fn now_ms() -> u64 {
    let since = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default();
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
}

/// A time as SQLite holds it; what is beyond its range is never reached.
pub(super) fn to_sql(ms: u64) -> i64 {
    i64::try_from(ms).unwrap_or(i64::MAX)
}

/// A time as SQLite held it.
pub(super) fn from_sql(ms: i64) -> u64 {
    u64::try_from(ms).unwrap_or(0)
}
