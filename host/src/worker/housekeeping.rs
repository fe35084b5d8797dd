//! What every host does beside running jobs: renew its lease, take jobs from hosts
//! that are gone, drop what has expired, and pass on what running jobs say.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;
use tokio::time::sleep;

use crate::sandbox::ReportBoard;
use crate::store::{Lease, STORE_PAUSE, Store, StoreError};

/// How many times a host renews its lease while that lasts: one renewal may be lost,
/// and the next be late.
const RENEWALS: u32 = 3;

/// How often expired results and data are looked for.
const SWEEP_EVERY: Duration = Duration::from_secs(60);

/// How often what running jobs say goes to the store: watchers see it within 100 ms,
/// and a thousand reports a second cost twenty calls.
const FLUSH_EVERY: Duration = Duration::from_millis(50);

/// Renews whatever lease the dispatcher holds. That it was lost is noticed by the
/// dispatcher at its next cycle.
pub(super) async fn renew(store: Arc<dyn Store>, lease: watch::Receiver<Option<Lease>>) {
    loop {
        sleep(store.lease() / RENEWALS).await;
        let held = *lease.borrow();
        if let Some(held) = held
            && let Err(error) = store.renew(held).await
        {
            tracing::warn!(%error, "could not renew the lease");
        }
    }
}

/// Looks for hosts that are gone, at moments that differ from host to host.
pub(super) async fn reap(store: Arc<dyn Store>) {
    loop {
        let half = store.lease() / 2;
        sleep(half.mul_f64(0.75 + fastrand::f64() / 2.0)).await;
        match store.reap().await {
            Ok(0) => {}
            Ok(jobs) => tracing::warn!(jobs, "took back the jobs of hosts that are gone"),
            Err(error) => tracing::warn!(%error, "could not look for hosts that are gone"),
        }
    }
}

/// Drops what has expired.
pub(super) async fn sweep(store: Arc<dyn Store>) {
    loop {
        match store.sweep().await {
            Ok(0) => sleep(SWEEP_EVERY).await,
            Ok(dropped) => tracing::debug!(dropped, "dropped what has expired"),
            Err(error) => {
                tracing::warn!(%error, "could not drop what has expired");
                sleep(SWEEP_EVERY).await;
            }
        }
    }
}

/// Passes on what running jobs say, in batches.
pub(super) async fn report(
    store: Arc<dyn Store>,
    board: Arc<ReportBoard>,
    lease: watch::Receiver<Option<Lease>>,
) {
    loop {
        board.spoken().await;
        // Whatever ends meanwhile needs no report.
        sleep(FLUSH_EVERY).await;
        let batch = board.take();
        let reports = batch.reports();
        let held = *lease.borrow();
        // Without a lease, what runs here is void.
        let Some(held) = held.filter(|_| !reports.is_empty()) else {
            continue;
        };
        match store.report(held, reports).await {
            Ok(()) | Err(StoreError::LeaseLost) => {}
            Err(error) => {
                tracing::debug!(%error, "what running jobs say was not stored");
                batch.put_back();
                sleep(STORE_PAUSE).await;
            }
        }
    }
}
