//! What this process knows of the queue: what its incarnations hold, who of it waits
//! for what, and whether there may be work. Redis is the truth; all of this may be
//! lost with the process.

use std::collections::HashMap;
use std::pin::pin;
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::Notify;
use uuid::Uuid;

use crate::job::{JobId, Namespace, NewJob};
use crate::store::given::Gifts;
use crate::store::news::Newsroom;
use crate::store::recent::Recent;
use crate::store::record::Attempt;
use crate::store::waiters::Waiters;
use crate::store::{Cycle, Functions, Models, Result, StoreError, Token};
use crate::time;

use super::alarm::Alarm;
use super::claims::Claims;
use super::known::Known;
use super::tokens::TokenCache;

/// Nothing is due.
pub(super) const NEVER: u64 = u64::MAX;

/// Redis's clock, as far as it is known here.
#[derive(Default)]
pub(super) struct Clock {
    ahead_ms: AtomicI64,
}

impl Clock {
    /// Notes what it shows.
    pub(super) fn set(&self, now_ms: u64) {
        let ahead = now_ms.cast_signed() - time::now_ms().cast_signed();
        self.ahead_ms.store(ahead, Ordering::Relaxed);
    }

    /// What it shows now, about.
    pub(super) fn now_ms(&self) -> u64 {
        time::now_ms().saturating_add_signed(self.ahead_ms.load(Ordering::Relaxed))
    }
}

/// A job that an incarnation of this process holds.
#[derive(Clone)]
pub(super) struct Held {
    pub(super) job: Arc<NewJob>,
    /// The value that Redis keeps for it: attempt, time of the claim, whether there
    /// is a past, and rank.
    pub(super) value: String,
    /// The attempts before this one.
    pub(super) past: Vec<Attempt>,
    /// Whether its host has been, or will be, told to stop it.
    pub(super) stopped: bool,
    /// How many lines of its log were reported.
    pub(super) lines: usize,
    /// What it waits for, if it is parked.
    pub(super) parking: Option<Parking>,
    /// Its end is on its way to Redis.
    pub(super) is_ending: bool,
    /// Its result will be asked for, most likely, in this process.
    pub(super) is_wanted: bool,
}

impl Held {
    /// A job that has only just been taken.
    pub(super) fn new(job: Arc<NewJob>, value: String, past: Vec<Attempt>) -> Self {
        Self {
            job,
            value,
            past,
            stopped: false,
            lines: 0,
            parking: None,
            is_ending: false,
            is_wanted: false,
        }
    }
}

/// A wait of a job that an incarnation of this process holds.
#[derive(Clone)]
pub(super) struct Parking {
    /// Tells it from every other wait of this process.
    pub(super) number: u64,
    /// Whether all that it waited for has ended.
    pub(super) over: Arc<AtomicBool>,
    /// Whether the job goes on, and only Redis does not know it yet.
    pub(super) left: bool,
}

/// What an incarnation of this process knows.
#[derive(Default)]
pub(super) struct Host {
    pub(super) held: HashMap<Token, Held>,
    /// Jobs that it must stop and has not been told of.
    pub(super) stops: Vec<Token>,
    /// The number of its last step, and the answer: it may be asked again.
    pub(super) last_step: (u64, Cycle),
    /// Whether that lets jobs be given.
    pub(super) stands: bool,
    /// How many more it takes as they come.
    pub(super) standing: usize,
    /// How many it would take of posts that are under way.
    pub(super) ordered: usize,
    /// The posts that may have taken jobs for it, of which nobody told.
    pub(super) untold: Vec<Uuid>,
    /// What was given to it.
    pub(super) gifts: Gifts,
    /// Jobs given to it that this version cannot read.
    pub(super) unreadable: Vec<Token>,
}

impl Host {
    /// Gives it jobs that were taken for it.
    pub(super) fn give(&mut self, taken: Claims) {
        self.held.extend(taken.held);
        self.gifts.extend(taken.claimed);
        self.unreadable.extend(taken.unreadable);
    }

    /// Whether it has a reason to make a step though it wants no jobs.
    pub(super) fn is_to_look(&self) -> bool {
        !(self.stops.is_empty() && self.untold.is_empty() && self.unreadable.is_empty())
    }
}

/// See the module.
pub(super) struct Shared {
    pub(super) clock: Arc<Clock>,
    hosts: Mutex<HashMap<Uuid, Host>>,
    /// The functions of each namespace.
    pub(super) functions: Known<Functions>,
    /// The models of each namespace.
    pub(super) models: Known<Models>,
    /// The access tokens.
    pub(super) tokens: TokenCache,
    /// Who waits for ends.
    pub(super) waiters: Arc<Waiters<(Namespace, JobId)>>,
    /// What ended here and is, or will be, waited for.
    pub(super) recent: Recent<(Namespace, JobId)>,
    /// Who watches what.
    pub(super) newsroom: Arc<Newsroom>,
    /// Rings when somebody begins to watch.
    pub(super) watching: Notify,
    /// Rings when a step is answered.
    pub(super) answered: Notify,
    /// Counts waits.
    pub(super) waits: AtomicU64,
    /// Rings when a parked job goes on.
    pub(super) unparked: Notify,
    /// When the next callback is due.
    pub(super) callbacks: Alarm,
    /// Rings when jobs are given, and when an order is over.
    pub(super) gifts: Notify,
    /// Rings when a sleeping incarnation shall look around.
    bell: Notify,
    /// How many incarnations sleep and want jobs.
    pub(super) hungry: AtomicUsize,
    /// Rings when that becomes more than none.
    pub(super) hunger: Notify,
    may_claim: AtomicBool,
    /// Counts the signs of work, so that an answer older than one does not undo it.
    signs: AtomicU64,
    next_due: AtomicU64,
    /// Whether every event is heard, so that what was read before is still so.
    listening: AtomicBool,
    /// Rings when that becomes so.
    listens: Notify,
    epoch: AtomicU64,
}

impl Default for Shared {
    fn default() -> Self {
        Self {
            clock: Arc::default(),
            hosts: Mutex::default(),
            functions: Known::default(),
            models: Known::default(),
            tokens: TokenCache::default(),
            waiters: Arc::default(),
            recent: Recent::default(),
            newsroom: Arc::default(),
            watching: Notify::new(),
            answered: Notify::new(),
            waits: AtomicU64::new(0),
            unparked: Notify::new(),
            callbacks: Alarm::default(),
            gifts: Notify::new(),
            bell: Notify::new(),
            hungry: AtomicUsize::new(0),
            hunger: Notify::new(),
            may_claim: AtomicBool::new(false),
            signs: AtomicU64::new(0),
            next_due: AtomicU64::new(NEVER),
            listening: AtomicBool::new(false),
            listens: Notify::new(),
            epoch: AtomicU64::new(0),
        }
    }
}

/// No thread panics while it holds one of these locks; if one did, the data would
/// still be whole.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Shared {
    /// The incarnations of this process.
    pub(super) fn hosts(&self) -> MutexGuard<'_, HashMap<Uuid, Host>> {
        lock(&self.hosts)
    }

    /// Rings when anything happened that a sleeping incarnation may want to know.
    pub(super) fn bell(&self) -> &Notify {
        &self.bell
    }

    /// Notes a sign of work.
    pub(super) fn sign_of_work(&self) {
        self.signs.fetch_add(1, Ordering::SeqCst);
        self.may_claim.store(true, Ordering::SeqCst);
        self.bell.notify_waiters();
    }

    /// The signs of work so far.
    pub(super) fn signs(&self) -> u64 {
        self.signs.load(Ordering::SeqCst)
    }

    /// Notes what a step found: whether jobs are left to take. `signs` are those of
    /// the time before the step; a later one stands.
    pub(super) fn set_work(&self, left: bool, signs: u64) {
        if left {
            self.may_claim.store(true, Ordering::SeqCst);
        } else {
            self.may_claim.store(false, Ordering::SeqCst);
            if self.signs() != signs {
                self.may_claim.store(true, Ordering::SeqCst);
            }
        }
    }

    /// Whether there may be jobs to take.
    pub(super) fn may_claim(&self) -> bool {
        self.may_claim.load(Ordering::SeqCst)
    }

    /// Notes when the next job is due, as a step has found it.
    pub(super) fn set_due(&self, due_ms: u64) {
        self.next_due.store(due_ms, Ordering::SeqCst);
    }

    /// Notes that a job is due at a time, perhaps sooner than what was known.
    pub(super) fn due_at(&self, due_ms: u64) {
        if self.next_due.fetch_min(due_ms, Ordering::SeqCst) > due_ms {
            self.bell.notify_waiters();
        }
    }

    /// When the next job is due, or [`NEVER`].
    pub(super) fn next_due(&self) -> u64 {
        self.next_due.load(Ordering::SeqCst)
    }

    /// Notes a wish to stop a job, if one of our incarnations runs it.
    pub(super) fn stop(&self, namespace: &Namespace, id: JobId) {
        let mut told = false;
        for host in self.hosts().values_mut() {
            let Host { held, stops, .. } = host;
            let wanted = held.iter_mut().filter(|(token, held)| {
                token.id == id && &token.namespace == namespace && !held.stopped
            });
            for (token, held) in wanted {
                held.stopped = true;
                stops.push(token.clone());
                told = true;
            }
        }
        if told {
            self.bell.notify_waiters();
        }
    }

    /// Whether the end of one of some jobs is on its way to Redis, in its first attempt, as
    /// most are.
    pub(super) fn is_ending(&self, namespace: &Namespace, ids: &[JobId]) -> bool {
        let mut tokens = ids.iter().map(|id| Token {
            namespace: namespace.clone(),
            id: *id,
            attempt: 1,
        });
        let hosts = self.hosts();
        tokens.any(|token| {
            let mut held = hosts.values().filter_map(|host| host.held.get(&token));
            held.any(|held| held.is_ending)
        })
    }

    /// Forgets a job that was taken from its host.
    pub(super) fn taken(&self, token: &Token) {
        for host in self.hosts().values_mut() {
            host.held.remove(token);
        }
    }

    /// Notes that a job waits for others, if it is held; answers its wait before that.
    pub(super) fn park(
        &self,
        incarnation: Uuid,
        token: &Token,
        parking: Parking,
    ) -> Result<Option<Option<Parking>>> {
        let mut hosts = self.hosts();
        let host = hosts.get_mut(&incarnation).ok_or(StoreError::LeaseLost)?;
        let held = host.held.get_mut(token);
        Ok(held.map(|held| held.parking.replace(parking)))
    }

    /// Notes that a job of ours goes on; answers what it waited for.
    pub(super) fn leave(&self, incarnation: Uuid, token: &Token) -> Option<Parking> {
        let mut hosts = self.hosts();
        let held = hosts.get_mut(&incarnation)?.held.get_mut(token)?;
        let parking = held.parking.as_mut()?;
        parking.left = true;
        Some(parking.clone())
    }

    /// The jobs of ours that go on, though Redis has them parked.
    pub(super) fn left(&self) -> Vec<(Uuid, Token, u64)> {
        let hosts = self.hosts();
        let all = hosts.iter().flat_map(|(incarnation, host)| {
            host.held
                .iter()
                .map(move |(token, held)| (incarnation, token, held))
        });
        all.filter_map(|(incarnation, token, held)| {
            let parking = held.parking.as_ref().filter(|parking| parking.left)?;
            Some((*incarnation, token.clone(), parking.number))
        })
        .collect()
    }

    /// Notes that Redis knows that a wait is over.
    pub(super) fn unpark(&self, incarnation: Uuid, token: &Token, number: u64) {
        let mut hosts = self.hosts();
        let host = hosts.get_mut(&incarnation);
        if let Some(held) = host.and_then(|host| host.held.get_mut(token)) {
            held.parking.take_if(|parking| parking.number == number);
        }
    }

    /// Forgets an incarnation whose lease has ended, and wakes it to learn of that.
    pub(super) fn lost(&self, incarnation: Uuid) {
        if self.hosts().remove(&incarnation).is_some() {
            // Somebody may have emptied Redis, and then too.
            self.recent.clear();
            self.gifts.notify_waiters();
            self.bell.notify_waiters();
        }
    }

    /// What is known of a namespace, if it is surely still so.
    pub(super) fn known<T>(&self, of: &Known<T>, namespace: &Namespace) -> Option<Arc<T>> {
        let listening = self.listening.load(Ordering::SeqCst);
        listening.then(|| of.get(namespace)).flatten()
    }

    /// Changes when events may have been missed.
    pub(super) fn epoch(&self) -> u64 {
        self.epoch.load(Ordering::SeqCst)
    }

    /// Resolves while events are heard.
    pub(super) async fn listening(&self) {
        loop {
            let mut rung = pin!(self.listens.notified());
            rung.as_mut().enable();
            if self.listening.load(Ordering::SeqCst) {
                return;
            }
            rung.await;
        }
    }

    /// Whether events are heard from now on. Whoever waits for one looks again, since
    /// it may have been missed.
    pub(super) fn listen(&self, listening: bool) {
        self.listening.store(listening, Ordering::SeqCst);
        // If Redis was away, it may have lost jobs and give their ids out again.
        self.recent.clear();
        if listening {
            let first = self.epoch() == 0;
            let (mut functions, mut models) = (self.functions.lock(), self.models.lock());
            self.epoch.fetch_add(1, Ordering::SeqCst);
            functions.clear();
            models.clear();
            drop((functions, models));
            self.listens.notify_waiters();
            self.waiters.look_again();
            self.newsroom.missed();
            if !first {
                self.sign_of_work();
            }
        }
    }
}
