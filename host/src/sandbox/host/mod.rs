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
use wasmtime::component::{HasSelf, Linker};

use self::budget::Budget;
pub(super) use self::identity::Ordinals;
pub(super) use self::log::JobLog;
use self::wasi::Wasi;
use super::bindings::{Listener, types};
use super::memory::MemoryLimiter;
use super::slot::Slot;
use super::{Services, Voice};
use crate::job::Limits;
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
    pub(super) parked_limit: Duration,
    pub(super) ordinals: Ordinals,
    pub(super) voice: Voice,
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
}

impl Guest {
    pub(super) fn new(limits: &Limits, services: Services, job: Option<RunningJob>) -> Self {
        let voice = (job.as_ref()).map_or_else(Voice::unheard, |job| job.voice.clone());
        voice.begin(limits.log_bytes);
        Self {
            memory: MemoryLimiter::new(limits.memory_bytes),
            voice,
            budget: Budget::new(limits),
            job,
            services,
            wasi: None,
        }
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
fn unavailable(error: impl std::fmt::Display) -> types::Error {
    types::Error::Unavailable(error.to_string())
}
