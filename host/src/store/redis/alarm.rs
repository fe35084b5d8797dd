//! When to look for something next, as far as this process knows.

use std::pin::pin;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use tokio::sync::Notify;

use super::shared::{Clock, NEVER};

/// The longest sleep: then the clocks are compared again.
const LONGEST_SLEEP: Duration = Duration::from_secs(60);

/// A time that may be set to an earlier one by anybody, and to a later one by who looked.
pub(super) struct Alarm {
    /// In ms of Redis's clock, or [`NEVER`].
    due_ms: AtomicU64,
    bell: Notify,
    /// Counts what was set earlier, so that an answer older than that does not undo it.
    changes: AtomicU64,
}

impl Default for Alarm {
    fn default() -> Self {
        Self {
            due_ms: AtomicU64::new(NEVER),
            bell: Notify::new(),
            changes: AtomicU64::new(0),
        }
    }
}

impl Alarm {
    /// Rings now.
    pub(super) fn ring(&self) {
        self.ring_at(0);
    }

    /// Rings at a time, unless it does before.
    pub(super) fn ring_at(&self, due_ms: u64) {
        self.changes.fetch_add(1, Ordering::SeqCst);
        if self.due_ms.fetch_min(due_ms, Ordering::SeqCst) > due_ms {
            self.bell.notify_waiters();
        }
    }

    /// What [`looked`](Self::looked) wants to know, of before the look.
    pub(super) fn changes(&self) -> u64 {
        self.changes.load(Ordering::SeqCst)
    }

    /// Rings no more before a time, as a look has found.
    pub(super) fn looked(&self, due_ms: u64, changes: u64) {
        self.due_ms.store(due_ms, Ordering::SeqCst);
        if self.changes() != changes {
            self.ring();
        }
    }

    /// Resolves when it rings.
    pub(super) async fn rung(&self, clock: &Clock) {
        loop {
            // Listen first, then look: what happens in between rings.
            let mut earlier = pin!(self.bell.notified());
            earlier.as_mut().enable();
            let due_ms = self.due_ms.load(Ordering::SeqCst);
            if due_ms == NEVER {
                earlier.await;
                continue;
            }
            let pause = Duration::from_millis(due_ms.saturating_sub(clock.now_ms()));
            if pause.is_zero() {
                return;
            }
            tokio::select! {
                () = earlier => {}
                () = tokio::time::sleep(pause.min(LONGEST_SLEEP)) => {}
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_look_that_is_older_than_a_ring_does_not_undo_it() {
        let (alarm, clock) = (Alarm::default(), Clock::default());
        let before = alarm.changes();
        alarm.ring_at(u64::MAX - 1);
        alarm.looked(NEVER, before);
        alarm.rung(&clock).await;
        alarm.looked(NEVER, alarm.changes());
        let waits = tokio::time::timeout(Duration::from_millis(5), alarm.rung(&clock));
        assert!(waits.await.is_err());
    }
}
