//! Where guests run: one [`Sandbox`] per process holds the engine, the pool of
//! instances and the compiled components, and runs each attempt of each function
//! in a fresh instance with fuel, time and memory limits.
//!
//! A guest reaches the outside only through the host functions in [`host`]. What
//! is not here: which job to run, and what its end means for it (`worker`).

mod about;
mod artefacts;
mod attempt;
mod bindings;
mod compiler;
mod component;
mod ending;
mod engine;
mod failures;
mod fixed;
#[cfg(fuzzing)]
pub mod fuzzing;
mod host;
mod look;
mod memory;
mod reports;
mod slot;
mod ticker;
mod upload;

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use tokio::sync::Semaphore;
use tokio::time::timeout;
use wasmtime::component::Linker;
use wasmtime::{Engine, Store};

pub(crate) use about::About;
pub(crate) use artefacts::check_private;
pub use attempt::{Assignment, Ended, Stop};
pub(crate) use engine::{check_pool, code_config};

pub use compiler::{CHILD_CPU_S, compile_from_stdin};
pub use component::Prepared;
pub use fixed::{FIXED, FixedLimit};
pub use reports::{ReportBoard, Voice};
pub use upload::{AdmitError, MAX_COMPONENT_BYTES, Offer};

use crate::child::Bounds;
use crate::inference::Inference;
use crate::intake::Intake;
use crate::job::{Digest, Limits, Namespace};
use crate::metrics::Metrics;
use crate::store;
use host::Guest;
use slot::Slots;

/// Instances kept back for asking uploads what they offer, so that a full house
/// of jobs cannot shut out a deployment.
const UPLOAD_SLOTS: usize = 1;

/// How long a job that has not begun waits here for a slot: ten times as long as the jobs
/// should take that a host takes ahead. One that waits for longer has been taken in the
/// belief that those before it are short; elsewhere, or after another namespace's jobs, it
/// is as well off.
const TURN: Duration = Duration::from_millis(100);

/// How a [`Sandbox`] is set up.
#[derive(Debug)]
pub struct SandboxConfig {
    /// How many guests may run at once.
    pub slots: usize,
    /// How many more may wait for other jobs meanwhile.
    pub max_parked: usize,
    /// Where compiled artefacts are kept; only the host writes there.
    pub artefacts: PathBuf,
    /// The `skep` binary, run as a child to compile what was uploaded.
    pub compiler: PathBuf,
    /// What that child may take.
    pub compiler_bounds: Bounds,
}

/// What guests reach through host functions.
#[derive(Clone)]
pub struct Services {
    /// For stored data.
    pub store: Arc<dyn store::Store>,
    /// For posting jobs.
    pub intake: Arc<Intake>,
    /// For running models.
    pub inference: Arc<Inference>,
    /// Where what happens here is counted.
    pub metrics: Arc<Metrics>,
}

/// The engine, its pool and its compiled components.
pub struct Sandbox {
    engine: Engine,
    linker: Linker<Guest>,
    slots: Arc<Slots>,
    uploads: Semaphore,
    line: compiler::Line,
    prepared: component::Cache,
    artefacts: artefacts::Artefacts,
    compiler: compiler::Compiler,
    /// Components that cannot be compiled or loaded.
    unprepared: failures::Failures,
    /// Components whose `functions()` were no good.
    offended: failures::Failures,
    services: Services,
    ticker: Arc<ticker::Ticker>,
}

impl Sandbox {
    /// Sets up the engine and a pool for all guests that run or are parked.
    pub fn new(config: &SandboxConfig, services: Services) -> anyhow::Result<Self> {
        let engine = engine::pooled(config.slots + config.max_parked + UPLOAD_SLOTS)?;
        let mut linker = Linker::new(&engine);
        host::link(&mut linker)?;
        let ticker = Arc::new(ticker::Ticker::start(&engine)?);
        Ok(Self {
            slots: Slots::new(config.slots, config.max_parked, ticker.clone()),
            uploads: Semaphore::new(UPLOAD_SLOTS),
            line: compiler::Line::default(),
            prepared: component::Cache::default(),
            artefacts: artefacts::Artefacts::open(&config.artefacts, &engine)?,
            compiler: compiler::Compiler::new(config.compiler.clone(), config.compiler_bounds),
            unprepared: failures::Failures::default(),
            offended: failures::Failures::default(),
            ticker,
            engine,
            linker,
            services,
        })
    }

    /// Looks at an upload, compiles it and asks it for its functions. Nothing is
    /// kept but the compiled artefact.
    pub async fn admit(
        &self,
        namespace: &Namespace,
        component: &Bytes,
    ) -> Result<Offer, AdmitError> {
        upload::admit(self, namespace, component).await
    }

    /// The component of a digest, ready to be instantiated; compiled if this host
    /// has not seen it yet.
    pub async fn prepare(&self, digest: Digest) -> Result<Arc<Prepared>, AdmitError> {
        let host = |text: String| AdmitError::Host(text);
        self.prepare_from(digest, async || {
            let component = (self.services.store.blob(digest).await)
                .map_err(|error| host(error.to_string()))?
                .ok_or_else(|| host(format!("component {digest} is not in the store")))?;
            match Digest::of(&component) == digest {
                true => Ok(component),
                false => Err(host(format!(
                    "the store's component {digest} is damaged; deploy it again"
                ))),
            }
        })
        .await
    }

    /// As [`prepare`](Self::prepare), with the bytes from elsewhere.
    async fn prepare_from(
        &self,
        digest: Digest,
        bytes: impl AsyncFnOnce() -> Result<Bytes, AdmitError>,
    ) -> Result<Arc<Prepared>, AdmitError> {
        let prepare = async || {
            if let Some(error) = self.unprepared.of(digest) {
                return Err(error);
            }
            let prepared = match self.find(digest).await? {
                Some(artefact) => self.load(&artefact),
                None => match self.compile(digest, bytes).await {
                    Ok(artefact) => self.load(&artefact),
                    Err(error) => Err(error),
                },
            };
            prepared.inspect_err(|error| self.unprepared.remember(digest, error))
        };
        self.prepared.get_or_prepare(digest, prepare).await
    }

    /// The artefact of a component, if there is one that fits.
    async fn find(&self, digest: Digest) -> Result<Option<PathBuf>, AdmitError> {
        // It is read whole, to be checked.
        let artefacts = self.artefacts.clone();
        let found = tokio::task::spawn_blocking(move || artefacts.find(digest)).await;
        found
            .map_err(std::io::Error::other)
            .flatten()
            .map_err(|error| AdmitError::Host(format!("looking for an artefact: {error}")))
    }

    fn load(&self, artefact: &Path) -> Result<Arc<Prepared>, AdmitError> {
        Prepared::load(&self.engine, &self.linker, artefact)
    }

    /// Runs one attempt of one function in a fresh instance.
    pub async fn run(&self, assignment: Assignment<'_>) -> Ended {
        // The pool answers with an error when it is exhausted, so wait in front of it.
        let slot = match assignment.place {
            0 => match timeout(TURN, self.slots.take()).await {
                Ok(slot) => slot,
                Err(_) => return Ended::no_turn(),
            },
            _ => self.slots.take().await,
        };
        attempt::run(self, slot, assignment).await
    }

    /// How many guests run.
    pub fn running(&self) -> usize {
        self.slots.running()
    }

    /// How many guests are parked.
    pub fn parked(&self) -> usize {
        self.slots.parked()
    }

    /// Resolves when that has changed since this was last asked.
    pub async fn parked_changed(&self) {
        self.slots.parked_changed().await;
    }

    /// How many guests wait for an inference, and have lent their slots meanwhile.
    pub fn lent(&self) -> usize {
        self.slots.lent()
    }

    /// Resolves when there are more of them than when this was last asked.
    pub async fn lent_more(&self) {
        self.slots.lent_more().await;
    }

    async fn compile(
        &self,
        digest: Digest,
        bytes: impl AsyncFnOnce() -> Result<Bytes, AdmitError>,
    ) -> Result<PathBuf, AdmitError> {
        let turn = self.compiler.turn().await;
        // Another host of this user may have been quicker.
        if let Some(artefact) = self.find(digest).await? {
            return Ok(artefact);
        }
        let mut artefact = self.artefacts.begin(digest)?;
        let bytes = bytes().await?;
        let begun = Instant::now();
        let compiled = self.compiler.compile(&turn, &bytes, &mut artefact).await;
        let metrics = &self.services.metrics;
        metrics.compiled(begun.elapsed(), compiled.is_ok());
        compiled?;
        artefact.keep().await
    }

    fn store(&self, guest: Guest, fuel: u64) -> wasmtime::Result<Store<Guest>> {
        let mut store = Store::new(&self.engine, guest);
        store.limiter(|guest| &mut guest.memory);
        store.set_hostcall_fuel(engine::HOSTCALL_BYTES);
        store.set_fuel(fuel)?;
        store.fuel_async_yield_interval(Some(engine::YIELD_EVERY_FUEL))?;
        store.set_epoch_deadline(engine::YIELD_EVERY_TICKS);
        store.epoch_deadline_callback(|mut store| Ok(store.data_mut().ticked()));
        Ok(store)
    }
}

/// The limits under which an upload is asked for its functions: a moment's work
/// for any language's runtime to start.
fn offer_limits() -> Limits {
    Limits {
        fuel: 10_000_000_000,
        timeout_ms: Duration::from_secs(10).as_millis() as u64,
        ..Limits::default()
    }
}
