//! `skep bench`: what skep costs on this machine, measured on the real parts. Prints
//! a table; judges nothing, so that no slow machine can fail a test with it.

mod alone;
mod composing;
mod computing;
mod crowd;
mod drain;
mod followers;
mod inferring;
mod loaded;
mod meter;
mod onnx;
mod redis;
mod resident;
mod roundtrip;
mod sandbox;
mod store;
mod stream;

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use bytes::Bytes;
use serde::Serialize;

use crate::callback::CallbackPolicy;
use crate::child::Bounds;
use crate::deploy::{Deployer, Grant};
use crate::host::MAX_PARKED;
use crate::inference::{Inference, InferenceOptions};
use crate::intake::Intake;
use crate::job::{FunctionName, Limits, Namespace, NewJob, Payload};
use crate::metrics::Metrics;
use crate::sandbox::{CHILD_CPU_S, Sandbox, SandboxConfig, Services};
use crate::store::redis::Address;
use crate::store::{Store, StoreUrl};
use crate::traces::Traces;
use crate::worker::{Tools, Workers};

/// What to measure.
#[derive(Clone, Debug)]
pub struct BenchOptions {
    /// A component with a cheap function.
    pub component: PathBuf,
    /// The component `stages`, whose jobs make jobs; without it they are not measured.
    pub stages: Option<PathBuf>,
    /// The component `infer`, whose job calls models; without it that is not measured.
    pub inferring: Option<PathBuf>,
    /// The cheap function.
    pub function: FunctionName,
    /// A message for it.
    pub message: String,
    /// How many jobs to drain.
    pub jobs: usize,
    /// How many messages of a file to post; with 0 that is not measured.
    pub stream_jobs: usize,
    /// Where to put the stores; their disk is part of what is measured.
    pub directory: PathBuf,
    /// The `skep` binary.
    pub binary: PathBuf,
    /// The Redis to measure on; the built-in store if there is none.
    pub redis: Option<Address>,
}

/// One line of the table.
#[derive(Debug, Serialize)]
pub struct Figure {
    /// What was measured.
    pub name: &'static str,
    /// How much.
    pub value: f64,
    /// Of what.
    pub unit: &'static str,
}

impl Figure {
    fn new(name: &'static str, value: f64, unit: &'static str) -> Self {
        Self { name, value, unit }
    }
}

/// A component whose function [`NOOP`] does nothing, for whom has none at hand.
pub fn noop() -> anyhow::Result<Vec<u8>> {
    Ok(wat::parse_str(include_str!("noop.wat"))?)
}

/// The function of [`noop`].
pub const NOOP: &str = "noop";

/// Measures everything, one part after the other.
pub fn run(options: &BenchOptions, mut each: impl FnMut(&Figure)) -> anyhow::Result<Vec<Figure>> {
    let mut figures = Vec::new();
    let mut report = |part: Vec<Figure>| {
        part.iter().for_each(&mut each);
        figures.extend(part);
    };
    if options.redis.is_none() {
        report(meter::disk(&options.directory)?);
    }
    let sandbox = sandbox::measure(options)?;
    let store = store::measure(options)?;
    let split = drain::Split {
        sandbox_us: value(&sandbox, sandbox::CPU),
        store_us: value(&store, store::CYCLE_CPU),
    };
    report(sandbox);
    report(store);
    let drained = drain::measure(options, &split)?;
    let drained_per_s = value(&drained, drain::RATE);
    report(drained);
    report(roundtrip::measure(options)?);
    report(loaded::measure(options)?);
    report(stream::measure(options)?);
    if options.redis.is_none() {
        report(alone::measure(options)?);
    }
    if let Some(stages) = &options.stages {
        let options = BenchOptions {
            component: stages.clone(),
            ..options.clone()
        };
        report(computing::measure(&options)?);
        report(composing::measure(&options, drained_per_s)?);
    }
    if let Some(inferring) = &options.inferring {
        let options = BenchOptions {
            component: inferring.clone(),
            ..options.clone()
        };
        report(inferring::measure(&options)?);
    }
    if options.redis.is_none() {
        report(resident::measure(options)?);
        report(followers::measure(options)?);
        report(crowd::measure(options)?);
    }
    Ok(figures)
}

fn value(figures: &[Figure], name: &str) -> f64 {
    figures
        .iter()
        .find(|figure| figure.name == name)
        .map_or(0.0, |figure| figure.value)
}

/// The parts of a host, each within reach.
struct Parts {
    store: Arc<dyn Store>,
    sandbox: Arc<Sandbox>,
    namespace: Namespace,
    _redis: Option<redis::Cleared>,
    _directory: tempfile::TempDir,
}

/// A directory for a store. Where a bench is killed it stays, and its name tells whose it was.
fn store_directory(options: &BenchOptions) -> std::io::Result<tempfile::TempDir> {
    tempfile::Builder::new()
        .prefix("skep-bench-")
        .tempdir_in(&options.directory)
}

/// The store to measure on.
fn store_url(options: &BenchOptions, directory: &Path) -> StoreUrl {
    match &options.redis {
        Some(address) => StoreUrl::Redis(Box::new(address.clone())),
        None => StoreUrl::Embedded(directory.join("store")),
    }
}

impl Parts {
    /// A fresh store with the component deployed.
    async fn assemble(options: &BenchOptions, slots: usize) -> anyhow::Result<Self> {
        let directory = store_directory(options)?;
        let redis = options
            .redis
            .as_ref()
            .map(redis::Cleared::new)
            .transpose()?;
        let store = store_url(options, directory.path()).open().await?;
        let config = SandboxConfig {
            slots,
            max_parked: MAX_PARKED.into(),
            artefacts: directory.path().join("compiled"),
            compiler: options.binary.clone(),
            compiler_bounds: Bounds::here(CHILD_CPU_S),
        };
        let metrics = Arc::<Metrics>::default();
        let inference = InferenceOptions::default();
        let services = Services {
            store: store.clone(),
            intake: Arc::new(Intake::new(store.clone(), CallbackPolicy::default())),
            inference: Inference::new(store.clone(), inference, metrics.clone())?,
            metrics,
        };
        let sandbox = Arc::new(Sandbox::new(&config, services)?);
        let component = read(&options.component)?;
        let namespace = Namespace::default();
        Deployer::new(store.clone(), sandbox.clone())
            .deploy(
                &namespace,
                component,
                None,
                Limits::default(),
                Grant::Narrower,
            )
            .await?;
        Ok(Self {
            store,
            sandbox,
            namespace,
            _redis: redis,
            _directory: directory,
        })
    }

    /// Starts workers.
    fn workers(&self, slots: usize) -> anyhow::Result<Workers> {
        Workers::start(Tools {
            store: self.store.clone(),
            sandbox: self.sandbox.clone(),
            reports: Arc::default(),
            slots,
            metrics: Arc::default(),
            traces: Traces::default(),
        })
    }

    /// Accepts `count` jobs, a thousand at a time.
    async fn preload(&self, options: &BenchOptions, count: usize) -> anyhow::Result<()> {
        let mut left = count;
        while left > 0 {
            let batch = left.min(1000);
            let jobs = (0..batch).map(|_| new_job(options)).collect();
            self.store.submit(&self.namespace, jobs).await?;
            left -= batch;
        }
        Ok(())
    }
}

fn new_job(options: &BenchOptions) -> NewJob {
    NewJob::new(
        Payload::json(options.message.clone()),
        vec![options.function.clone()],
    )
}

fn read(path: &Path) -> anyhow::Result<Bytes> {
    let bytes = std::fs::read(path).with_context(|| format!("reading {}", path.display()))?;
    Ok(bytes.into())
}

/// A runtime for one part, so that no part's threads disturb the next.
fn block_on<T>(part: impl Future<Output = anyhow::Result<T>>) -> anyhow::Result<T> {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()?;
    let answer = runtime.block_on(part);
    runtime.shutdown_timeout(Duration::from_secs(5));
    answer
}
