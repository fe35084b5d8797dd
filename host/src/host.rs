//! Everything that one `skep` process runs, put together: the store, the sandbox,
//! the workers, the models, the callbacks, and the ways in (`intake` for jobs, `deploy` for
//! components, `models` for models).

use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::callback::{CallbackOptions, Callbacks};
use crate::child::Bounds;
use crate::deploy::Deployer;
use crate::inference::{Inference, InferenceOptions, Prober};
use crate::intake::Intake;
use crate::metrics::Metrics;
use crate::models::Modeller;
use crate::sandbox::{CHILD_CPU_S, ReportBoard, Sandbox, SandboxConfig, Services};
use crate::scrape::Scraper;
use crate::store::{Metered, Store};
use crate::traces::Traces;
use crate::worker::{Tools, Workers};

/// How many jobs are parked at most, unless somebody says otherwise. An ordinary guest
/// holds some 60 KiB while it waits, and each place takes 16 GiB of the 128 TiB of
/// addresses that a process has.
pub const MAX_PARKED: u16 = 1000;

/// What a host is to be.
#[derive(Debug)]
pub struct HostOptions {
    /// Where compiled components are kept, for this host alone: what lies there is
    /// trusted as much as its binary.
    pub cache_dir: PathBuf,
    /// How many jobs run at once; with 0, this host only accepts and serves.
    pub workers: usize,
    /// How many more may wait for other jobs meanwhile.
    pub max_parked: u16,
    /// The `skep` binary, which also compiles components.
    pub binary: PathBuf,
    /// The CPU time that compiling one component may take, in seconds.
    pub compile_cpu_s: u64,
    /// How callbacks are sent, and which are accepted.
    pub callbacks: CallbackOptions,
    /// How models are run.
    pub inference: InferenceOptions,
    /// Where spans go.
    pub traces: Traces,
}

impl HostOptions {
    /// A host of this `skep` binary that runs so many jobs at once, and is otherwise what hosts
    /// are unless somebody says more.
    pub fn new(binary: PathBuf, cache_dir: PathBuf, workers: usize) -> Self {
        Self {
            cache_dir,
            workers,
            max_parked: MAX_PARKED,
            binary,
            compile_cpu_s: CHILD_CPU_S,
            callbacks: CallbackOptions::default(),
            inference: InferenceOptions::default(),
            traces: Traces::default(),
        }
    }
}

/// A running host.
pub struct Host {
    /// Where everything is kept.
    pub store: Arc<dyn Store>,
    /// Takes jobs in.
    pub intake: Arc<Intake>,
    /// Takes components in.
    pub deployer: Arc<Deployer>,
    /// Runs models.
    pub inference: Arc<Inference>,
    /// Takes models in.
    pub modeller: Arc<Modeller>,
    /// Shows what it does.
    pub scraper: Arc<Scraper>,
    /// Records what happens to jobs.
    pub traces: Traces,
    workers: Option<Workers>,
    callbacks: Option<Callbacks>,
}

impl Host {
    /// Starts the workers and the sender of callbacks on a store.
    ///
    /// # Errors
    ///
    /// When the cache cannot be written, or threads or memory are not to be had.
    pub fn start(store: Arc<dyn Store>, options: HostOptions) -> anyhow::Result<Self> {
        let HostOptions {
            cache_dir,
            workers,
            max_parked,
            binary,
            compile_cpu_s,
            callbacks,
            inference,
            traces,
        } = options;
        let policy = callbacks.policy.clone();
        let metrics = Arc::new(Metrics::new());
        let store: Arc<dyn Store> = Arc::new(Metered::new(store, &metrics));
        let prober = Prober::new(binary.clone(), inference.engines.clone());
        let modeller = Arc::new(Modeller::new(store.clone(), prober));
        let inference = Inference::new(store.clone(), inference, metrics.clone())?;
        if workers > 0 {
            inference.keep_tending();
        }
        let intake = Arc::new(Intake::new(store.clone(), policy));
        let config = SandboxConfig {
            slots: workers,
            max_parked: if workers == 0 { 0 } else { max_parked.into() },
            artefacts: cache_dir.join("compiled"),
            compiler: binary,
            compiler_bounds: Bounds::here(compile_cpu_s),
        };
        let services = Services {
            store: store.clone(),
            intake: intake.clone(),
            inference: inference.clone(),
            metrics: metrics.clone(),
        };
        let sandbox = Arc::new(Sandbox::new(&config, services)?);
        let deployer = Arc::new(Deployer::new(store.clone(), sandbox.clone()));
        let scraper = Arc::new(Scraper::new(
            store.clone(),
            sandbox.clone(),
            inference.clone(),
            workers,
            metrics.clone(),
        ));
        let workers = match workers {
            0 => None,
            slots => Some(Workers::start(Tools {
                store: store.clone(),
                sandbox,
                reports: Arc::new(ReportBoard::default()),
                slots,
                metrics: metrics.clone(),
                traces: traces.clone(),
            })?),
        };
        let callbacks = callbacks
            .send
            .then(|| Callbacks::start(store.clone(), callbacks, metrics, traces.clone()));
        Ok(Self {
            store,
            intake,
            deployer,
            inference,
            modeller,
            scraper,
            traces,
            workers,
            callbacks,
        })
    }

    /// Stops the workers: running jobs may go on for `grace`, the rest is given
    /// back unrun. Then callbacks under way get what is left of it.
    pub async fn stop(self, grace: Duration) {
        let begun = Instant::now();
        if let Some(workers) = self.workers {
            workers.stop(grace).await;
        }
        if let Some(callbacks) = self.callbacks {
            callbacks.stop(grace.saturating_sub(begun.elapsed())).await;
        }
        self.traces.stop().await;
    }
}
