//! What callers read without asking the writer: who runs what, which namespaces
//! and functions there are, and whether anything happened that they wait for.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock};

use tokio::sync::Notify;
use uuid::Uuid;

use crate::access::AccessTokens;
use crate::job::{JobId, LogLine, Namespace, NewJob, Progress};
use crate::store::given::Gifts;
use crate::store::news::Newsroom;
use crate::store::recent::Recent;
use crate::store::waiters::Waiters;
use crate::store::{Claim, Functions, Models};

use super::key::Key;

/// Nothing waits for its time.
const NEVER: u64 = u64::MAX;

/// A namespace, as callers see it.
pub(super) struct NamespaceInfo {
    /// Its number in every key.
    pub(super) number: u32,
    /// Its name.
    pub(super) name: Namespace,
    functions: RwLock<Arc<Functions>>,
    models: RwLock<Arc<Models>>,
}

impl NamespaceInfo {
    /// A namespace.
    pub(super) fn new(number: u32, name: Namespace, functions: Functions, models: Models) -> Self {
        Self {
            number,
            name,
            functions: RwLock::new(Arc::new(functions)),
            models: RwLock::new(Arc::new(models)),
        }
    }

    /// Its functions.
    pub(super) fn functions(&self) -> Arc<Functions> {
        self.functions
            .read()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }

    /// Puts others in their place.
    pub(super) fn set_functions(&self, functions: Functions) {
        *self
            .functions
            .write()
            .unwrap_or_else(PoisonError::into_inner) = Arc::new(functions);
    }

    /// Its models.
    pub(super) fn models(&self) -> Arc<Models> {
        let models = self.models.read().unwrap_or_else(PoisonError::into_inner);
        models.clone()
    }

    /// Puts others in their place.
    pub(super) fn set_models(&self, models: Models) {
        *self.models.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(models);
    }
}

/// A job that a host holds.
#[derive(Clone)]
pub(super) struct Running {
    pub(super) attempt: u32,
    pub(super) incarnation: Uuid,
    /// The row of `claims` that names it.
    pub(super) batch: i64,
    pub(super) claimed_at_ms: u64,
    pub(super) job: Arc<NewJob>,
    pub(super) progress: Option<Progress>,
    /// What it has logged, as far as it was reported.
    pub(super) log: Arc<Vec<LogLine>>,
    /// What it waits for, in order, while it is parked.
    pub(super) awaits: Option<Arc<[Key]>>,
    pub(super) cancel_requested: bool,
    /// The attempt has ended, and the record of that is being written.
    pub(super) over: bool,
}

/// What the writer has for an incarnation that has a lease.
#[derive(Default)]
pub(super) struct Told {
    /// A wish to cancel one of its jobs waits for its next cycle.
    pub(super) cancels: bool,
    /// Jobs given to it.
    pub(super) gifts: Gifts,
}

/// The state that the writer publishes and callers read.
#[derive(Default)]
pub(super) struct Shared {
    namespaces: RwLock<HashMap<Namespace, Arc<NamespaceInfo>>>,
    running: Mutex<HashMap<Key, Running>>,
    tokens: RwLock<Arc<AccessTokens>>,
    waiters: Arc<Waiters<Key>>,
    recent: Recent<Key>,
    newsroom: Arc<Newsroom>,
    /// The incarnations that have a lease.
    hosts: Mutex<HashMap<Uuid, Told>>,
    gifts: Notify,
    work: Notify,
    may_claim: AtomicBool,
    next_due: AtomicU64,
    /// A cap bounds some namespace, as of the last transaction.
    is_capped: AtomicBool,
    /// A job was parked since the last claim, and so left a place below a cap.
    parked_below_caps: AtomicBool,
    outbox: Notify,
    next_callback: AtomicU64,
    closed: AtomicBool,
}

/// No thread panics while it holds one of these locks; if one did, the data
/// would still be whole.
pub(super) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Shared {
    /// A namespace.
    pub(super) fn namespace(&self, name: &Namespace) -> Option<Arc<NamespaceInfo>> {
        let namespaces = self
            .namespaces
            .read()
            .unwrap_or_else(PoisonError::into_inner);
        namespaces.get(name).cloned()
    }

    /// Makes a namespace known.
    pub(super) fn add_namespace(&self, info: Arc<NamespaceInfo>) {
        let mut namespaces = self
            .namespaces
            .write()
            .unwrap_or_else(PoisonError::into_inner);
        namespaces.insert(info.name.clone(), info);
    }

    /// The key of a job that may be there.
    pub(super) fn key(&self, namespace: &Namespace, id: JobId) -> Option<Key> {
        Key::new(self.namespace(namespace)?.number, id)
    }

    /// What runs.
    pub(super) fn running(&self) -> MutexGuard<'_, HashMap<Key, Running>> {
        lock(&self.running)
    }

    /// The access tokens.
    pub(super) fn tokens(&self) -> Arc<AccessTokens> {
        let tokens = self.tokens.read().unwrap_or_else(PoisonError::into_inner);
        tokens.clone()
    }

    /// Puts others in their place.
    pub(super) fn set_tokens(&self, tokens: AccessTokens) {
        *self.tokens.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(tokens);
    }

    /// The leases.
    pub(super) fn hosts(&self) -> MutexGuard<'_, HashMap<Uuid, Told>> {
        lock(&self.hosts)
    }

    /// Gives jobs to an incarnation.
    pub(super) fn give(&self, incarnation: Uuid, jobs: Vec<Claim>) {
        if let Some(told) = self.hosts().get_mut(&incarnation) {
            told.gifts.extend(jobs);
        }
        self.gifts.notify_waiters();
    }

    /// The bell for jobs that were given.
    pub(super) fn gifts(&self) -> &Notify {
        &self.gifts
    }

    /// Publishes whether something can be taken, now or later.
    pub(super) fn set_work(&self, may_claim: bool, next_due: Option<u64>) {
        self.may_claim.store(may_claim, Ordering::SeqCst);
        self.next_due
            .store(next_due.unwrap_or(NEVER), Ordering::SeqCst);
    }

    /// Whether something can be taken.
    pub(super) fn may_claim(&self) -> bool {
        self.may_claim.load(Ordering::SeqCst) || self.parked_below_caps.load(Ordering::SeqCst)
    }

    /// Publishes whether a cap bounds some namespace.
    pub(super) fn set_capped(&self, is_capped: bool) {
        self.is_capped.store(is_capped, Ordering::SeqCst);
    }

    /// Notes that a job was parked, which may let another one pass.
    pub(super) fn note_parked(&self) {
        if self.is_capped.load(Ordering::SeqCst) {
            self.parked_below_caps.store(true, Ordering::SeqCst);
            self.ring();
        }
    }

    /// Whether a job was parked below a cap since this was last asked.
    pub(super) fn take_parked_below_caps(&self) -> bool {
        self.parked_below_caps.swap(false, Ordering::SeqCst)
    }

    /// When the next scheduled job is due, in ms since the Unix epoch.
    pub(super) fn next_due(&self) -> Option<u64> {
        Some(self.next_due.load(Ordering::SeqCst)).filter(|due| *due != NEVER)
    }

    /// Rings for everyone who waits for work.
    pub(super) fn ring(&self) {
        self.work.notify_waiters();
    }

    /// The bell for work.
    pub(super) fn bell(&self) -> &Notify {
        &self.work
    }

    /// Who waits for the ends of jobs.
    pub(super) fn waiters(&self) -> &Arc<Waiters<Key>> {
        &self.waiters
    }

    /// What they came to who were waited for.
    pub(super) fn recent(&self) -> &Recent<Key> {
        &self.recent
    }

    /// Who watches jobs.
    pub(super) fn newsroom(&self) -> &Arc<Newsroom> {
        &self.newsroom
    }

    /// Publishes when the next callback is due, and rings for everyone who waits for one.
    pub(super) fn set_next_callback(&self, due: Option<u64>) {
        self.next_callback
            .store(due.unwrap_or(NEVER), Ordering::SeqCst);
        self.outbox.notify_waiters();
    }

    /// When the next callback is due, in ms since the Unix epoch.
    pub(super) fn next_callback(&self) -> Option<u64> {
        Some(self.next_callback.load(Ordering::SeqCst)).filter(|due| *due != NEVER)
    }

    /// The bell for callbacks.
    pub(super) fn outbox(&self) -> &Notify {
        &self.outbox
    }

    /// Whether the writer has stopped for good.
    pub(super) fn is_closed(&self) -> bool {
        self.closed.load(Ordering::SeqCst)
    }

    /// Notes that the writer has stopped, and lets go all who wait.
    pub(super) fn close(&self) {
        self.closed.store(true, Ordering::SeqCst);
        self.ring();
        self.gifts.notify_waiters();
        self.outbox.notify_waiters();
        self.waiters.look_again();
        self.newsroom.missed();
    }
}
