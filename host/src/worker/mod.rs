//! Workers: take jobs from the store, run them in the sandbox, give back what
//! became of them, and keep the lease on them alive meanwhile.
//!
//! Guests run on threads of their own ([`Workers::start`] makes a runtime for
//! them), so that a host full of busy guests still answers HTTP, and still renews its
//! lease: a thread that runs guests looks at its timers only now and then.

mod dispatch;
mod housekeeping;
mod job;
mod outbox;

use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use preempt_rt::sched::{Pid, Scheduler, SchedulerParams, set_scheduler};
use tokio::runtime::{Handle, Runtime};
use tokio::sync::watch;
use tokio::task::{JoinHandle, JoinSet};

use crate::metrics::Metrics;
use crate::sandbox::{ReportBoard, Sandbox};
use crate::store::Store;
use crate::traces::Traces;

/// What workers work with.
#[derive(Clone)]
pub(crate) struct Tools {
    pub(crate) store: Arc<dyn Store>,
    pub(crate) sandbox: Arc<Sandbox>,
    pub(crate) reports: Arc<ReportBoard>,
    /// How many guests run at once.
    pub(crate) slots: usize,
    pub(crate) metrics: Arc<Metrics>,
    pub(crate) traces: Traces,
}

/// Whether workers go on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    Working,
    /// No new jobs; the running ones may go on for this long.
    Draining(Duration),
}

/// The running workers of this process.
pub struct Workers {
    runtime: Option<Runtime>,
    phase: watch::Sender<Phase>,
    dispatcher: JoinHandle<()>,
    /// Ends with this.
    _housekeeping: JoinSet<()>,
}

impl Workers {
    /// Starts them, on one thread a core, and the housekeeping on the caller's.
    pub(crate) fn start(tools: Tools) -> anyhow::Result<Self> {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .thread_name("skep-guest")
            .on_thread_start(yield_to_others)
            .enable_all()
            .build()
            .context("starting the guests' threads")?;
        let (phase, watched) = watch::channel(Phase::Working);
        let (lease, leases) = watch::channel(None);
        let here = Handle::try_current().context("starting the housekeeping")?;
        let mut housekeeping = JoinSet::new();
        housekeeping.spawn_on(housekeeping::renew(tools.store.clone(), leases), &here);
        housekeeping.spawn_on(housekeeping::reap(tools.store.clone()), &here);
        housekeeping.spawn_on(housekeeping::sweep(tools.store.clone()), &here);
        let board = tools.reports.clone();
        let reports = housekeeping::report(tools.store.clone(), board, lease.subscribe());
        housekeeping.spawn_on(reports, &here);
        let dispatcher = runtime.spawn(dispatch::run(tools, watched, lease));
        Ok(Self {
            runtime: Some(runtime),
            phase,
            dispatcher,
            _housekeeping: housekeeping,
        })
    }

    /// Takes no more jobs, lets the running ones go on for `grace`, gives the rest
    /// back unrun, and returns.
    pub async fn stop(mut self, grace: Duration) {
        self.phase.send_replace(Phase::Draining(grace));
        if let Err(error) = (&mut self.dispatcher).await {
            tracing::error!(%error, "the dispatcher did not end well");
        }
    }
}

/// Says that this thread computes: it takes no core from one that works already when it is
/// woken, such as the store's or HTTP's, whose work is short and is waited for.
fn yield_to_others() {
    let no_priority = SchedulerParams { priority: 0 };
    if let Err(error) = set_scheduler(Pid::current_thread(), Scheduler::SCHED_BATCH, no_priority) {
        tracing::debug!(%error, "guests' threads are scheduled as all others");
    }
}

impl Drop for Workers {
    fn drop(&mut self) {
        // A runtime must not be dropped where blocking is not allowed; a guest that
        // spins is left at its next yield.
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}
