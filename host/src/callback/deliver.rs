//! The loop that sends callbacks: takes what is due from the store's outbox, begins
//! what there are slots for, and notes what became of each try.

use std::sync::Arc;
use std::time::Duration;

use tokio::task::JoinSet;
use tokio::time::{Instant, sleep, sleep_until};
use tokio_util::sync::CancellationToken;

use super::call::{Caller, Tried};
use super::pace::pause_ms;
use super::slots::{Slot, Slots};
use super::waiting::{LOOK_ON_EVERY, Waiting};
use crate::job::Delivery;
use crate::metrics::Metrics;
use crate::store::{CALLBACK_TAKEN, Callback, STORE_PAUSE, Store, StoreError};
use crate::time::now_ms;
use crate::traces::Traces;

/// How long to pause when the store called for nothing.
const FOR_NOTHING: Duration = Duration::from_millis(20);

/// What the loop works with.
pub(super) struct Deliverer {
    pub(super) store: Arc<dyn Store>,
    pub(super) caller: Caller,
    /// The pause after the first try.
    pub(super) first_pause: Duration,
    pub(super) metrics: Arc<Metrics>,
    pub(super) traces: Traces,
}

/// Delivers until it is told to stop, and then lets the tries under way end.
pub(super) async fn run(deliverer: Arc<Deliverer>, stopping: CancellationToken) {
    let slots = Arc::new(Slots::default());
    let mut waiting = Waiting::new(deliverer.caller.timeouts.whole);
    let mut tries = JoinSet::new();
    let mut look_at = Instant::now();
    loop {
        for (callback, slot) in waiting.begin(&slots) {
            tries.spawn(deliverer.clone().deliver(callback, slot));
        }
        let due = async {
            sleep_until(look_at).await;
            deliverer.store.callback_due().await
        };
        tokio::select! {
            () = stopping.cancelled() => break,
            Some(ended) = tries.join_next() => {
                if let Err(error) = ended {
                    tracing::error!(%error, "a try of a callback broke down; it comes again");
                }
            }
            () = slots.freed() => {}
            due = due, if waiting.room() > 0 => {
                let pause = match due {
                    Ok(()) => deliverer.take(&mut waiting).await,
                    Err(error) => away(&error),
                };
                look_at = Instant::now() + pause;
            }
            () = sleep(LOOK_ON_EVERY), if waiting.room() == 0 => waiting.let_go(),
        }
    }
    while tries.join_next().await.is_some() {}
}

fn away(error: &StoreError) -> Duration {
    // The store itself says in the log that it is away.
    tracing::debug!(%error, "could not look for callbacks");
    STORE_PAUSE
}

impl Deliverer {
    /// Takes what is due; answers when to look again. Not to be dropped meanwhile:
    /// what was taken would be nobody's for a while.
    async fn take(&self, waiting: &mut Waiting) -> Duration {
        // Before the store counts, so that we never believe to have one for longer.
        let at = Instant::now();
        match self.store.take_callbacks(waiting.room()).await {
            Ok(none) if none.is_empty() => FOR_NOTHING,
            Ok(callbacks) => {
                waiting.add(callbacks, at);
                Duration::ZERO
            }
            Err(error) => away(&error),
        }
    }

    /// Makes one try, and notes it.
    async fn deliver(self: Arc<Self>, callback: Callback, slot: Slot) {
        let at_ms = now_ms();
        let span = self.traces.callback(&callback);
        let call = self.caller.call(&callback, span.context(), &slot);
        let tried = call.await;
        drop(slot);
        let again_in_ms = match tried.may_pass() {
            true => pause_ms(
                callback.tried.saturating_add(1),
                self.first_pause,
                fastrand::f64(),
            ),
            false => None,
        };
        let outcome = match (&tried, again_in_ms) {
            (Tried::Arrived(_), _) => "delivered",
            (_, Some(_)) => "retried",
            (_, None) => "given_up",
        };
        self.metrics.called_back(outcome);
        span.end(outcome, tried.status());
        if outcome == "given_up" {
            tracing::debug!(
                namespace = %callback.namespace, job = %callback.id, ?tried,
                "a callback did not arrive and is given up"
            );
        }
        let delivery = Delivery {
            at_ms,
            status: tried.status(),
            error: match tried {
                Tried::Failed(failure) => Some(failure.to_string()),
                _ => None,
            },
        };
        let until = Instant::now() + CALLBACK_TAKEN;
        loop {
            let noted = self
                .store
                .called_back(&callback, delivery.clone(), again_in_ms);
            match noted.await {
                Ok(()) => return,
                Err(error) if Instant::now() > until => {
                    tracing::warn!(%error, "a try of a callback could not be noted; it comes again");
                    return;
                }
                Err(_) => sleep(STORE_PAUSE).await,
            }
        }
    }
}
