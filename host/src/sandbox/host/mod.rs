//! The host functions: everything a guest can reach. Each bounds what one call and
//! one attempt may cost, and answers a guest that asks for too much with a WIT
//! error, never with a trap.

mod budget;
mod identity;
mod inference;
mod log;
mod posting;
mod queue;
mod waiting;
mod wasi;

use std::sync::Arc;
use std::time::Duration;

use tokio_util::sync::CancellationToken;
use wasmtime::UpdateDeadline;
use wasmtime::component::{HasSelf, Linker};

use self::budget::Budget;
pub(super) use self::identity::Ordinals;
pub(super) use self::log::JobLog;
pub(super) use self::posting::MAX_POST_MANY;
pub(super) use self::waiting::{MAX_RESULTS_BYTES, MAX_WAIT_MANY};
use self::wasi::Wasi;
pub(super) use self::wasi::{MAX_RANDOM_BYTES, MAX_RESOURCES};
use super::bindings::{Listener, types};
use super::engine::YIELD_EVERY_TICKS;
use super::memory::MemoryLimiter;
use super::slot::Slot;
use super::ticker::TICK;
use super::{Services, Voice, about};
use crate::inference::Joined;
use crate::job::{JobId, Limits, SomeLimits, TraceContext, Usage};
use crate::store::{Lease, Token};

/// The job on whose behalf a guest runs.
pub(super) struct RunningJob {
    pub(super) token: Token,
    pub(super) lease: Lease,
    pub(super) depth: u32,
    /// Which of the job's functions the guest runs, from 0.
    pub(super) place: usize,
    pub(super) cancel: CancellationToken,
    pub(super) slot: Arc<Slot>,
    /// How long it may still be parked, beside the time before this function began.
    pub(super) parked_limit: Duration,
    pub(super) parked_before: Duration,
    /// The tree that its posts go to.
    pub(super) tree: Tree,
    /// What its earlier attempts have stored of data, in bytes.
    pub(super) data_bytes: u64,
    /// What its posts come from, if that is traced.
    pub(super) trace: Option<TraceContext>,
    pub(super) ordinals: Ordinals,
    /// The models that it has called, and may call again.
    pub(super) joined: Joined,
    pub(super) voice: Voice,
}

/// The tree of a job, and its bounds.
pub(super) struct Tree {
    pub(super) root: JobId,
    pub(super) depth: u64,
    pub(super) jobs: u64,
    /// The limits of its children.
    pub(super) handed_down: SomeLimits,
}

impl Tree {
    /// The tree of this root, within these limits.
    pub(super) fn new(root: JobId, limits: &Limits) -> Self {
        Self {
            root,
            depth: limits.tree_depth,
            jobs: limits.tree_jobs,
            handed_down: SomeLimits::of_children(limits),
        }
    }
}

/// All that the host keeps for one instance.
pub(super) struct Guest {
    pub(super) memory: MemoryLimiter,
    /// Its log, and how far it is.
    pub(super) voice: Voice,
    /// `None` while a component is only asked for its functions: then every host
    /// call but `log` is denied.
    job: Option<RunningJob>,
    budget: Budget,
    services: Services,
    wasi: Option<Box<Wasi>>,
    /// How long it had been parked when the clock of its thread was last looked at.
    parked: Duration,
}

impl Guest {
    /// A guest within these limits, of which earlier functions of its attempt have
    /// `used` some.
    pub(super) fn new(
        limits: &Limits,
        used: &Usage,
        services: Services,
        job: Option<RunningJob>,
    ) -> Self {
        let data_bytes = job.as_ref().map_or(0, |job| job.data_bytes);
        let voice = (job.as_ref()).map_or_else(Voice::unheard, |job| job.voice.clone());
        voice.begin(limits.log_bytes);
        Self {
            memory: MemoryLimiter::new(limits.memory_bytes),
            voice,
            budget: Budget::new(limits, used, data_bytes),
            job,
            services,
            wasi: None,
            parked: Duration::ZERO,
        }
    }

    /// What the guest does when a tick has passed: it gives its thread back. One that was
    /// parked meanwhile has just done so, and to send it to the end of the line once more
    /// would bring what it works on into the cache in vain.
    pub(super) fn ticked(&mut self) -> UpdateDeadline {
        let slot = self.job.as_ref().map(|job| &job.slot);
        let parked = slot.map_or(Duration::ZERO, |slot| slot.parked_for());
        let before = std::mem::replace(&mut self.parked, parked);
        match parked.saturating_sub(before) < TICK {
            true => UpdateDeadline::Yield(YIELD_EVERY_TICKS),
            false => UpdateDeadline::Continue(YIELD_EVERY_TICKS),
        }
    }

    /// What it has asked of the host.
    pub(super) fn asked(&self) -> Usage {
        self.budget.used()
    }

    /// The job, after taking one call off the budget.
    fn job_for_call(&mut self) -> Result<&mut RunningJob, types::Error> {
        self.budget.call()?;
        self.job()
    }

    fn job(&mut self) -> Result<&mut RunningJob, types::Error> {
        self.job.as_mut().ok_or_else(|| {
            types::Error::Denied(
                "host calls are not available while `functions()` is asked; call them from `handle`"
                    .to_owned(),
            )
        })
    }
}

impl types::Host for Guest {}

/// Offers the host functions to guests.
pub(super) fn link(linker: &mut Linker<Guest>) -> wasmtime::Result<()> {
    Listener::add_to_linker::<_, HasSelf<_>>(linker, |guest| guest)?;
    wasi::link(linker)
}

/// What a store's failure means to a guest.
fn unavailable(error: crate::store::StoreError) -> types::Error {
    // A guest is a stranger: where the store is, and why it fails, is not for it.
    about::current().in_scope(|| tracing::warn!(%error, "a host call of a guest failed"));
    types::Error::Unavailable(match error {
        crate::store::StoreError::Full(_) => "the store is full".to_owned(),
        _ => "the store does not answer; try again later".to_owned(),
    })
}
