//! The clock that makes a guest give its thread back: a thread that counts the engine's
//! epoch on while guests run.
//!
//! Fuel makes them yield too, but fuel does not count what the host does for a guest: a
//! loop of host calls that bring 80 MB each burns hardly any, and would hold its thread
//! for hours, so that neither its timeout nor another guest had a turn.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread::{self, Thread};
use std::time::Duration;

use anyhow::Context as _;
use wasmtime::Engine;

/// How long a guest holds its thread at most, if no single host call takes longer.
/// Timers need not be finer, and a shorter tick wakes a busy host for nothing.
pub(super) const TICK: Duration = Duration::from_millis(10);

/// Ticks without a guest before the thread goes to sleep: a host that runs short jobs
/// one after the other wakes it ten times a second at most, and not for each.
const IDLE_TICKS: u32 = 10;

/// Ticks while guests run; not for those that are parked or have lent their slots.
#[derive(Debug)]
pub(super) struct Ticker {
    guests: Arc<Guests>,
    thread: Thread,
}

#[derive(Debug, Default)]
struct Guests {
    running: AtomicUsize,
    asleep: AtomicBool,
    /// Whether the thread is to end.
    over: AtomicBool,
}

/// A guest that runs; it does until this is dropped.
#[derive(Debug)]
pub(super) struct Running(Arc<Guests>);

impl Ticker {
    /// Starts the thread. It ends with this.
    pub(super) fn start(engine: &Engine) -> anyhow::Result<Self> {
        let guests = Arc::new(Guests::default());
        let thread = thread::Builder::new()
            .name("skep-tick".to_owned())
            .spawn({
                let (guests, engine) = (guests.clone(), engine.clone());
                move || tick(&guests, &engine)
            })
            .context("starting the guests' clock")?;
        Ok(Self {
            guests,
            thread: thread.thread().clone(),
        })
    }

    /// A guest begins to run.
    pub(super) fn begin(&self) -> Running {
        self.guests.running.fetch_add(1, Ordering::SeqCst);
        if self.guests.asleep.load(Ordering::SeqCst) {
            self.thread.unpark();
        }
        Running(self.guests.clone())
    }
}

impl Drop for Ticker {
    fn drop(&mut self) {
        self.guests.over.store(true, Ordering::SeqCst);
        self.thread.unpark();
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.0.running.fetch_sub(1, Ordering::SeqCst);
    }
}

fn tick(guests: &Guests, engine: &Engine) {
    let mut idle = 0;
    while !guests.over.load(Ordering::SeqCst) {
        engine.increment_epoch();
        idle = match guests.running.load(Ordering::SeqCst) {
            0 => idle + 1,
            _ => 0,
        };
        if idle < IDLE_TICKS {
            thread::sleep(TICK);
            continue;
        }
        guests.asleep.store(true, Ordering::SeqCst);
        // Whoever began before this was stored did not wake the thread; whoever begins
        // after it does, even before it sleeps.
        if guests.running.load(Ordering::SeqCst) == 0 {
            thread::park();
        }
        guests.asleep.store(false, Ordering::SeqCst);
        idle = 0;
    }
}
