//! Where a guest is: in a worker's slot while it runs, in a parking place while it
//! waits for other jobs; and its clock, which stands still meanwhile. While it waits for
//! an inference it lends its slot to others, and its clock goes on.
//!
//! A pool has an instance for each slot and each place, so that whoever holds one of
//! them gets its instance, and whoever waits in line for one holds none.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::{Notify, OwnedSemaphorePermit, Semaphore};
use tokio::time::{Instant, sleep_until};

use super::ticker::{self, Ticker};

/// What parked guests may hold of memory, all together, in bytes: four of the
/// largest that are granted by default, or one of the largest that an admin grants.
/// Ordinary ones hold some 60 KiB, so that their number is the bound.
const MAX_PARKED_BYTES: usize = 1 << 30;

/// How many guests may have lent their slots: four of the largest batches, so that one is
/// ready while another runs. Beyond that a host would take jobs that wait here for what
/// another host could do now.
const MAX_LENT: usize = 256;

/// What those may hold of memory, all together, in bytes: half of what parked ones may,
/// since they wait for less long.
const MAX_LENT_BYTES: usize = MAX_PARKED_BYTES / 2;

/// The unit in which that is counted, in bytes: a page of WASM's.
const PAGE_BYTES: usize = 64 << 10;

/// The slots and places of a host.
#[derive(Debug)]
pub(super) struct Slots {
    ticker: Arc<Ticker>,
    total: usize,
    running: Arc<Semaphore>,
    places: Arc<Semaphore>,
    parked_pages: Arc<Semaphore>,
    parked: AtomicUsize,
    changed: Notify,
    may_lend: Arc<Semaphore>,
    lent_pages: Arc<Semaphore>,
    lent: AtomicUsize,
    lent_changed: Notify,
}

impl Slots {
    /// Room for this many guests that run, while `ticker` ticks, and that are parked.
    pub(super) fn new(running: usize, parked: usize, ticker: Arc<Ticker>) -> Arc<Self> {
        Arc::new(Self {
            ticker,
            total: running,
            running: Arc::new(Semaphore::new(running)),
            places: Arc::new(Semaphore::new(parked)),
            parked_pages: Arc::new(Semaphore::new(MAX_PARKED_BYTES / PAGE_BYTES)),
            parked: AtomicUsize::new(0),
            changed: Notify::new(),
            // They take parking places, of which half are left to those that wait for jobs.
            may_lend: Arc::new(Semaphore::new((parked / 2).min(MAX_LENT))),
            lent_pages: Arc::new(Semaphore::new(MAX_LENT_BYTES / PAGE_BYTES)),
            lent: AtomicUsize::new(0),
            lent_changed: Notify::new(),
        })
    }

    /// A slot, as soon as one is free.
    pub(super) async fn take(self: &Arc<Self>) -> Arc<Slot> {
        Arc::new(Slot {
            place: Mutex::new(self.worker().await),
            slots: self.clone(),
            clock: Mutex::new(Clock {
                begun: Instant::now(),
                stood: Duration::ZERO,
                stopped: None,
                away: Duration::ZERO,
                left: None,
            }),
            resumed: Notify::new(),
            no_place: Notify::new(),
        })
    }

    async fn worker(&self) -> Option<Place> {
        // The semaphore is never closed.
        let permit = self.running.clone().acquire_owned().await.ok()?;
        Some(Place::Running(permit, self.ticker.begin()))
    }

    /// How many guests run.
    pub(super) fn running(&self) -> usize {
        self.total.saturating_sub(self.running.available_permits())
    }

    /// How many guests are parked.
    pub(super) fn parked(&self) -> usize {
        self.parked.load(Ordering::SeqCst)
    }

    /// Resolves when that has changed since this was last asked.
    pub(super) async fn parked_changed(&self) {
        self.changed.notified().await;
    }

    /// How many guests have lent their slots, and do not want them back yet.
    pub(super) fn lent(&self) -> usize {
        self.lent.load(Ordering::SeqCst)
    }

    /// Resolves when there are more of them than when this was last asked.
    pub(super) async fn lent_more(&self) {
        self.lent_changed.notified().await;
    }
}

/// What a guest holds of the host.
#[derive(Debug)]
enum Place {
    Running(
        #[expect(dead_code, reason = "held")] OwnedSemaphorePermit,
        #[expect(dead_code, reason = "held")] ticker::Running,
    ),
    Parked(#[expect(dead_code, reason = "held")] [OwnedSemaphorePermit; 2]),
    Lent(Away),
    /// It waits for a slot to go on in.
    Returning(#[expect(dead_code, reason = "held")] Away),
}

/// What a guest takes that has lent its slot.
type Away = [OwnedSemaphorePermit; 3];

/// When a guest has run, and for how long.
#[derive(Debug)]
struct Clock {
    begun: Instant,
    /// How long it stood still, up to the last time it was stopped.
    stood: Duration,
    stopped: Option<Instant>,
    /// How long its slot was lent, up to the last time.
    away: Duration,
    left: Option<Instant>,
}

/// A guest's place, from its first moment until its instance is gone.
#[derive(Debug)]
pub(super) struct Slot {
    slots: Arc<Slots>,
    place: Mutex<Option<Place>>,
    clock: Mutex<Clock>,
    resumed: Notify,
    no_place: Notify,
}

impl Slot {
    /// Gives the worker to the next job, and stops the clock; answers whether there was
    /// a place to park a guest of `bytes`.
    pub(super) fn park(&self, bytes: usize) -> bool {
        let pages = u32::try_from(bytes.div_ceil(PAGE_BYTES)).unwrap_or(u32::MAX);
        let place = self.slots.places.clone().try_acquire_owned();
        let memory = self
            .slots
            .parked_pages
            .clone()
            .try_acquire_many_owned(pages);
        let (Ok(place), Ok(memory)) = (place, memory) else {
            return false;
        };
        lock(&self.clock).stopped = Some(Instant::now());
        *lock(&self.place) = Some(Place::Parked([place, memory]));
        self.slots.parked.fetch_add(1, Ordering::SeqCst);
        self.slots.changed.notify_one();
        true
    }

    /// Notes that the guest cannot go on without a place to be parked in.
    pub(super) fn gives_up(&self) {
        self.no_place.notify_one();
    }

    /// Gets a parked guest a worker again, and lets its clock go on.
    pub(super) async fn resume(&self) {
        if !self.is_parked() {
            return;
        }
        let worker = self.slots.worker().await;
        self.leave_place(worker);
        let mut clock = lock(&self.clock);
        if let Some(stopped) = clock.stopped.take() {
            clock.stood += stopped.elapsed();
        }
        self.resumed.notify_one();
    }

    /// Lends the slot to the next job; answers whether there was room to wait for a guest
    /// of `bytes`. If there was not, it keeps its slot.
    pub(super) fn lend(&self, bytes: usize) -> bool {
        let slots = &self.slots;
        let pages = u32::try_from(bytes.div_ceil(PAGE_BYTES)).unwrap_or(u32::MAX);
        let one = |of: &Arc<Semaphore>| of.clone().try_acquire_owned();
        let memory = slots.lent_pages.clone().try_acquire_many_owned(pages);
        let (Ok(may), Ok(place), Ok(memory)) = (one(&slots.may_lend), one(&slots.places), memory)
        else {
            return false;
        };
        lock(&self.clock).left = Some(Instant::now());
        slots.lent.fetch_add(1, Ordering::SeqCst);
        *lock(&self.place) = Some(Place::Lent([may, place, memory]));
        slots.lent_changed.notify_one();
        true
    }

    /// Gets a guest that has lent its slot one again.
    pub(super) async fn take_back(&self) {
        // Also while it waits for a slot, so that no job is taken ahead of it.
        {
            let mut place = lock(&self.place);
            *place = match place.take() {
                Some(Place::Lent(away)) => {
                    self.slots.lent.fetch_sub(1, Ordering::SeqCst);
                    Some(Place::Returning(away))
                }
                other => other,
            };
        }
        let worker = self.slots.worker().await;
        self.leave_place(worker);
        lock(&self.clock).come_back();
    }

    /// Whether the guest is parked.
    fn is_parked(&self) -> bool {
        matches!(*lock(&self.place), Some(Place::Parked(_)))
    }

    fn leave_place(&self, next: Option<Place>) {
        let left = std::mem::replace(&mut *lock(&self.place), next);
        match left {
            Some(Place::Parked(_)) => {
                self.slots.parked.fetch_sub(1, Ordering::SeqCst);
                self.slots.changed.notify_one();
            }
            Some(Place::Lent(_)) => {
                self.slots.lent.fetch_sub(1, Ordering::SeqCst);
            }
            _ => {}
        }
    }

    /// Resolves when the guest has given up for want of a place.
    pub(super) async fn no_place(&self) {
        self.no_place.notified().await;
    }

    /// Resolves when the guest has run for this long, not counting the time parked.
    pub(super) async fn has_run_for(&self, limit: Duration) {
        loop {
            let end = {
                let clock = lock(&self.clock);
                let end = clock.begun.checked_add(limit + clock.stood);
                clock.stopped.is_none().then_some(end)
            };
            match end {
                None => self.resumed.notified().await,
                // Beyond what a clock can show.
                Some(None) => std::future::pending().await,
                Some(Some(end)) if end <= Instant::now() => return,
                Some(Some(end)) => sleep_until(end).await,
            }
        }
    }

    /// How long the guest has been parked, in all.
    pub(super) fn parked_for(&self) -> Duration {
        let clock = lock(&self.clock);
        let now = clock.stopped.map(|stopped| stopped.elapsed());
        clock.stood + now.unwrap_or_default()
    }

    /// How long the guest has run, not counting the time parked.
    pub(super) fn run_for(&self) -> Duration {
        let begun = lock(&self.clock).begun;
        begun.elapsed().saturating_sub(self.parked_for())
    }

    /// How long its slot was lent, in all.
    pub(super) fn lent_for(&self) -> Duration {
        let mut clock = lock(&self.clock);
        clock.come_back();
        clock.away
    }
}

impl Clock {
    /// Counts the time that the slot was lent up to now.
    fn come_back(&mut self) {
        if let Some(left) = self.left.take() {
            self.away += left.elapsed();
        }
    }
}

impl Drop for Slot {
    fn drop(&mut self) {
        self.leave_place(None);
    }
}

/// What these locks guard is whole between any two operations on it.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn slots(running: usize, parked: usize) -> Arc<Slots> {
        let ticker = Ticker::start(&wasmtime::Engine::default()).expect("starts");
        Slots::new(running, parked, Arc::new(ticker))
    }

    #[tokio::test]
    async fn a_parked_guest_gives_its_slot_away_and_its_clock_stands_still() {
        let slots = slots(1, 1);
        let parent = slots.take().await;
        assert!(parent.park(PAGE_BYTES));
        assert_eq!(slots.parked(), 1);
        let child = slots.take().await;
        let (limit, long) = (Duration::from_millis(50), Duration::from_millis(200));
        let late = tokio::time::timeout(long, parent.has_run_for(limit));
        assert!(late.await.is_err(), "it was parked all the time");
        drop(child);
        parent.resume().await;
        assert_eq!(slots.parked(), 0);
        assert!(parent.parked_for() >= long);
        parent.has_run_for(limit).await;
        assert!(parent.run_for() >= limit);
    }

    #[tokio::test]
    async fn a_lent_slot_is_anothers_and_the_clock_goes_on() {
        let slots = slots(1, 2);
        let waits = slots.take().await;
        assert!(waits.lend(PAGE_BYTES));
        assert_eq!((slots.lent(), slots.parked()), (1, 0));
        slots.lent_more().await;
        let other = slots.take().await;
        assert!(!other.lend(PAGE_BYTES), "half of the places are for others");
        let limit = Duration::from_millis(50);
        waits.has_run_for(limit).await;
        let mut back = Box::pin(waits.take_back());
        let early = tokio::time::timeout(limit, &mut back).await;
        assert!(early.is_err(), "the other one has the slot");
        assert_eq!(slots.lent(), 0, "it wants its slot back");
        drop(other);
        back.await;
        assert_eq!(slots.running(), 1);
        assert!(waits.lent_for() >= 2 * limit);
        assert!(waits.run_for() >= waits.lent_for());
        assert_eq!(waits.parked_for(), Duration::ZERO);
    }

    #[tokio::test]
    async fn who_ends_away_from_its_slot_leaves_nothing_behind() {
        let slots = slots(1, 2);
        for comes_back in [false, true] {
            let waits = slots.take().await;
            assert!(waits.lend(0));
            let other = slots.take().await;
            if comes_back {
                let cut = tokio::time::timeout(Duration::from_millis(5), waits.take_back());
                assert!(cut.await.is_err());
            }
            drop(waits);
            assert_eq!(slots.lent(), 0);
            drop(other);
            assert_eq!(slots.running(), 0);
        }
    }

    #[tokio::test]
    async fn who_finds_no_place_keeps_its_slot() {
        let slots = slots(2, 1);
        let (first, second) = (slots.take().await, slots.take().await);
        assert!(first.park(0));
        assert!(!second.park(0));
        let limit = Duration::from_millis(5);
        let waits = tokio::time::timeout(limit, second.no_place()).await;
        assert!(waits.is_err(), "it may not need a place");
        second.gives_up();
        second.no_place().await;
        drop(first);
        assert_eq!(slots.parked(), 0);
        assert!(!second.park(MAX_PARKED_BYTES + 1), "too large to be parked");
        assert!(second.park(MAX_PARKED_BYTES));
    }
}
