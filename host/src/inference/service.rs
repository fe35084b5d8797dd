//! The models of a host, for those who call them: finds a model in the store, loads it when it is
//! first called, and hands each call to the model's queue.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use futures_util::FutureExt as _;
use serde::Serialize;
use tokio::sync::Semaphore;
use tokio::time::{MissedTickBehavior, interval, timeout};
use utoipa::ToSchema;

use super::batcher::Inferred;
use super::devices::{Choice, Devices};
use super::engine::EngineError;
use super::fit::fit;
use super::joined::Joined;
use super::loading::{self, Berth, Loaded, away};
use super::near::nearest;
use super::registry::{Failed, Loading, Registry};
use super::running::Running;
use super::tenants::Tenants;
use super::{EngineOptions, Engines, InferError, NamedTensor};
use crate::child::machine_memory;
use crate::job::{ModelName, Namespace};
use crate::metrics::Metrics;
use crate::store::{Model, Models, Store};

/// How many models are loaded at once: the bytes of each are in memory beside what it becomes,
/// and to load one keeps a core busy.
const LOADS: usize = 2;

/// How long a call waits for its model to be loaded: half a gigabyte from a store far away,
/// twice over. Beyond that the job is better off when it is tried again.
const LOAD_PATIENCE: Duration = Duration::from_secs(60);

/// How often models are looked at that nobody calls: those to be loaded before they are called,
/// and those that were removed.
const TEND_EVERY: Duration = Duration::from_secs(2);

/// In one of so many of these looks the store is asked which namespaces there are, which costs
/// it some milliseconds.
const TURNS_PER_LOOK: u64 = 5;

/// The longest name that an error repeats, in characters. One call may bring a name of 80 MiB.
const MAX_NAME_SHOWN: usize = 64;

/// Models that are loaded may take this part of the machine's memory: guests, the store and the
/// bytes of a model that is being loaded need theirs.
const SHARE_OF_MEMORY: u64 = 4;

/// Where the machine's memory is not known, models may take this much, in bytes.
const MEMORY_UNLESS_KNOWN: u64 = 2 << 30;

/// How the inference of a host is to be.
#[derive(Clone, Debug)]
pub struct InferenceOptions {
    /// The engines.
    pub engines: EngineOptions,
    /// What models that are loaded may take together, in bytes.
    pub memory_bytes: u64,
}

impl InferenceOptions {
    /// With this library of ONNX Runtime, if one is named, and so much memory; by default a
    /// quarter of the machine's.
    pub fn new(onnxruntime: Option<PathBuf>, memory_bytes: Option<u64>) -> Self {
        Self {
            engines: EngineOptions {
                onnxruntime,
                ..EngineOptions::default()
            },
            memory_bytes: memory_bytes.unwrap_or_else(usual_memory),
        }
    }
}

impl Default for InferenceOptions {
    fn default() -> Self {
        Self::new(None, None)
    }
}

/// What models may take unless somebody says otherwise, in bytes.
fn usual_memory() -> u64 {
    machine_memory().map_or(MEMORY_UNLESS_KNOWN, |total| total / SHARE_OF_MEMORY)
}

/// What is said of a model.
#[derive(Clone, Debug)]
pub struct Described {
    /// The model.
    pub model: Arc<Model>,
    /// The device that it runs on here, such as `cpu` or `cuda:0`.
    pub device: String,
}

/// A model that is loaded on this host.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub struct LoadedInfo {
    /// Whose it is.
    #[schema(value_type = String)]
    pub namespace: Namespace,
    /// Its name.
    #[schema(value_type = String)]
    pub name: ModelName,
    /// Which version of it.
    pub version: u32,
    /// The engine that runs it.
    pub engine: String,
    /// The device that it runs on: `cpu` or `cuda:0`.
    pub device: String,
    /// What it takes of memory, in bytes, about.
    pub memory_bytes: u64,
    /// The most rows of a batch; 1 if calls share none.
    pub max_batch: u32,
}

/// The models of this host.
pub struct Inference {
    store: Arc<dyn Store>,
    devices: Devices,
    registry: Registry,
    tenants: Tenants,
    loads: Semaphore,
    /// How long a call waits for a load: [`LOAD_PATIENCE`], unless a test cannot wait.
    load_patience: Duration,
    running: Arc<Running>,
    metrics: Arc<Metrics>,
}

impl Inference {
    /// The models of a store, none of which is loaded.
    ///
    /// # Errors
    ///
    /// When there are no threads to run them on.
    pub fn new(
        store: Arc<dyn Store>,
        options: InferenceOptions,
        metrics: Arc<Metrics>,
    ) -> anyhow::Result<Arc<Self>> {
        let engines = Engines::open(&options.engines);
        Ok(Arc::new(Self::with(
            store,
            engines,
            options.memory_bytes,
            metrics,
        )))
    }

    /// With these engines, and so much memory for models, in bytes.
    fn with(
        store: Arc<dyn Store>,
        engines: Engines,
        memory_bytes: u64,
        metrics: Arc<Metrics>,
    ) -> Self {
        Self {
            store,
            devices: Devices::new(engines),
            registry: Registry::new(memory_bytes),
            tenants: Tenants::default(),
            loads: Semaphore::new(LOADS),
            load_patience: LOAD_PATIENCE,
            running: Arc::default(),
            metrics,
        }
    }

    /// The engines of this host.
    pub fn engines(&self) -> &Engines {
        self.devices.engines()
    }

    /// The models of a namespace, by name.
    ///
    /// # Errors
    ///
    /// [`InferError::Busy`] when the store does not answer.
    pub async fn models(&self, namespace: &Namespace) -> Result<Arc<Models>, InferError> {
        let models = self.store.models(namespace).await;
        models.map_err(|error| away(&error))
    }

    /// What a model takes and gives, and the device that it runs on.
    ///
    /// # Errors
    ///
    /// When there is none of this name, or this host cannot run it.
    pub async fn describe(
        &self,
        namespace: &Namespace,
        model: &str,
    ) -> Result<Described, InferError> {
        let model = self.find(namespace, model).await?;
        let device = match self.registry.peek(namespace, &model) {
            Some(loaded) => loaded.device.clone(),
            None => {
                let choice = self.devices.choose(&model.config, Instant::now());
                choice.map_err(told)?.engine.device().to_owned()
            }
        };
        Ok(Described { model, device })
    }

    /// Runs a model, which is loaded if it is not. Whoever drops this future gives up the call.
    /// `joined` are the models that the same caller has called before.
    ///
    /// # Errors
    ///
    /// When there is no such model, the inputs do not fit it, or it cannot be run.
    pub async fn infer(
        self: &Arc<Self>,
        namespace: &Namespace,
        model: &str,
        inputs: Vec<NamedTensor>,
        joined: &mut Joined,
    ) -> Result<Inferred, InferError> {
        let model = self.find(namespace, model).await?;
        let inputs = fit(&model.name, &model.findings.signature, inputs)?;
        let first = self.ready(namespace, &model, &inputs).await?;
        joined.join(&first);
        let answer = first.queue.infer(inputs.clone()).await;
        if answer.is_ok() || !first.is_lost() {
            return answer;
        }
        self.lose(&first);
        // What it holds of memory may be all that there is.
        drop(first);
        // Once: elsewhere, or where it failed if that works again.
        let second = self.ready(namespace, &model, &inputs).await?;
        joined.join(&second);
        let answer = second.queue.infer(inputs).await;
        if second.is_lost() {
            self.lose(&second);
        }
        answer
    }

    /// The models that are loaded.
    pub fn loaded(&self) -> Vec<LoadedInfo> {
        let info = |loaded: &Arc<Loaded>| LoadedInfo {
            namespace: loaded.namespace.clone(),
            name: loaded.name.clone(),
            version: loaded.version,
            engine: loaded.engine.to_owned(),
            device: loaded.device.clone(),
            memory_bytes: loaded.memory.bytes(),
            max_batch: loaded.max_batch,
        };
        let mut all: Vec<_> = self.registry.loaded().iter().map(info).collect();
        all.sort_by(|a, b| (&a.namespace, &a.name).cmp(&(&b.namespace, &b.name)));
        all
    }

    /// Begins to load those models of a namespace that are to be there before they are called,
    /// and lets go of those that it has no more.
    ///
    /// # Errors
    ///
    /// When the store does not answer.
    pub async fn tend(self: &Arc<Self>, namespace: &Namespace) -> Result<(), InferError> {
        let models = self.models(namespace).await?;
        let is_due =
            |model: &&Arc<Model>| model.config.preload && self.registry.has_room(memory_of(model));
        for model in models.iter().filter(is_due) {
            // It goes on by itself, and whoever calls the model is told what came of it.
            drop(self.begin(namespace, model));
        }
        self.registry.retain(namespace, |name, version| {
            let is_newest = |model: &Arc<Model>| &model.name == name && model.version == version;
            models.iter().any(is_newest)
        });
        Ok(())
    }

    /// Looks after models that nobody calls, as long as this is there.
    pub fn keep_tending(self: &Arc<Self>) {
        let here = Arc::downgrade(self);
        tokio::spawn(async move {
            let mut turns = interval(TEND_EVERY);
            turns.set_missed_tick_behavior(MissedTickBehavior::Delay);
            for turn in 0_u64.. {
                turns.tick().await;
                let Some(inference) = here.upgrade() else {
                    return;
                };
                inference.running.warn(Instant::now());
                let also_unseen = turn % TURNS_PER_LOOK == 0;
                inference.tend_all(also_unseen).await;
            }
        });
    }

    async fn find(&self, namespace: &Namespace, name: &str) -> Result<Arc<Model>, InferError> {
        let models = self.models(namespace).await?;
        let found = models.binary_search_by(|model| model.name.as_str().cmp(name));
        if let Some(model) = found.ok().and_then(|at| models.get(at)) {
            return Ok(model.clone());
        }
        let shown: String = name.chars().take(MAX_NAME_SHOWN).collect();
        let near = nearest(&shown, models.iter().map(|model| model.name.as_str()));
        let hint = match (near, models.is_empty()) {
            (Some(near), _) => format!("; did you mean {near}?"),
            (None, true) => "; it has none: add one with `skep models add NAME FILE`".to_owned(),
            (None, false) => "; `skep models list` shows those that it has".to_owned(),
        };
        Err(InferError::NotFound(format!(
            "this namespace has no model {shown:?}{hint}"
        )))
    }

    /// A model that is loaded; inputs count as long as their call waits for that.
    async fn ready(
        self: &Arc<Self>,
        namespace: &Namespace,
        model: &Arc<Model>,
        inputs: &[NamedTensor],
    ) -> Result<Arc<Loaded>, InferError> {
        let mut loading = self.begin(namespace, model);
        if let Some(Ok(loaded)) = loading.peek() {
            if !self.is_due_back(loaded) {
                return Ok(loaded.clone());
            }
            self.registry.lose(loaded);
            loading = self.begin(namespace, model);
        }
        let _room = self.tenants.wait(namespace, inputs)?;
        match timeout(self.load_patience, loading).await {
            Ok(loaded) => loaded.map_err(|failed| failed.error),
            Err(_) => Err(InferError::TimedOut(format!(
                "{} was not loaded within {} s: try again later",
                model.name,
                self.load_patience.as_secs()
            ))),
        }
    }

    /// Whether the device that is meant for a model is to be tried again. Where there is no room
    /// for it beside those that still call it, it stays where it is.
    fn is_due_back(&self, loaded: &Loaded) -> bool {
        loaded.is_stand_in
            && !self.devices.rests(Instant::now())
            && self.registry.has_room(loaded.memory.bytes())
    }

    /// The loading of a model, which is begun if it was not.
    fn begin(self: &Arc<Self>, namespace: &Namespace, model: &Arc<Model>) -> Loading {
        self.registry.get(namespace, model, Instant::now(), || {
            let (here, namespace, model) = (self.clone(), namespace.clone(), model.clone());
            // A task, so that a panic is an error of this load.
            let task = tokio::spawn(async move { here.load(&namespace, &model).await });
            let load = async {
                let loaded = task.await.unwrap_or_else(|error| {
                    tracing::error!(%error, "loading a model ended badly");
                    let text = "loading the model ended badly; the host's log has the cause";
                    Err(InferError::Engine(text.to_owned()))
                });
                let at = Instant::now();
                loaded.map(Arc::new).map_err(|error| Failed { error, at })
            };
            let loading = load.boxed().shared();
            // What nobody asks for makes no progress, and who asked first may be gone.
            tokio::spawn(loading.clone());
            loading
        })
    }

    async fn load(
        self: &Arc<Self>,
        namespace: &Namespace,
        model: &Arc<Model>,
    ) -> Result<Loaded, InferError> {
        let _tenants_turn = self.tenants.load(namespace).await;
        // The semaphore is never closed.
        let _turn = self.loads.acquire().await;
        let begun = Instant::now();
        let loaded = self.load_somewhere(namespace, model).await;
        match &loaded {
            Ok(loaded) => tracing::info!(
                %namespace, model = %model.name, version = model.version,
                engine = loaded.engine, device = loaded.device, max_batch = loaded.max_batch,
                ms = begun.elapsed().as_millis() as u64, "loaded a model"
            ),
            Err(error) => tracing::warn!(
                %namespace, model = %model.name, version = model.version,
                "could not load a model: {error}"
            ),
        }
        loaded
    }

    /// Loads a model on the device that is meant, or on the CPU if that fails and may be used.
    async fn load_somewhere(
        &self,
        namespace: &Namespace,
        model: &Arc<Model>,
    ) -> Result<Loaded, InferError> {
        let bytes = loading::fetch(&*self.store, model).await?;
        loop {
            let now = Instant::now();
            let choice = self.devices.choose(&model.config, now).map_err(told)?;
            let Choice {
                engine,
                is_stand_in,
            } = choice;
            let device = engine.device().to_owned();
            let berth = Berth {
                lane: self.devices.lane(&device).map_err(told)?,
                engine,
                is_stand_in,
                running: self.running.clone(),
                meter: self.metrics.model(namespace, &model.name),
                memory: self.registry.reserve(namespace, memory_of(model), now)?,
            };
            let (space, version, content) = (namespace.clone(), model.clone(), bytes.clone());
            let load = move || loading::load(&space, &version, &content, berth);
            let loaded = tokio::task::spawn_blocking(load).await;
            match loaded {
                Ok(Err(EngineError::Device(text))) => {
                    self.devices.failed(&device, Instant::now());
                    if !Devices::may_move(&model.config, &device) {
                        return Err(InferError::of_device(&text));
                    }
                    tracing::warn!(device, "a device failed, the CPU takes its place: {text}");
                }
                Ok(loaded) => return loaded.map_err(told),
                Err(error) => {
                    tracing::error!(%error, "loading a model ended badly");
                    return Err(InferError::Engine(
                        "loading the model ended badly; the host's log has the cause".to_owned(),
                    ));
                }
            }
        }
    }

    /// The model's device failed while it ran: it is loaded anew for the next call.
    fn lose(&self, lost: &Arc<Loaded>) {
        self.devices.failed(&lost.device, Instant::now());
        // Each call of its last batch comes here, and those that waited for the next.
        if self.registry.lose(lost) {
            tracing::warn!(
                namespace = %lost.namespace, model = %lost.name, device = lost.device,
                "a device failed while it ran a model, which is loaded anew"
            );
        }
    }

    /// Tends to what is loaded, and now and then to all that have jobs.
    async fn tend_all(self: &Arc<Self>, also_unseen: bool) {
        let mut namespaces = self.registry.namespaces();
        if also_unseen && let Ok(overview) = self.store.overview().await {
            let seen = overview.queues.into_iter().map(|queue| queue.namespace);
            namespaces.extend(seen);
            namespaces.sort();
            namespaces.dedup();
        }
        for namespace in namespaces {
            if let Err(error) = self.tend(&namespace).await {
                tracing::debug!(%error, "models are looked after later");
                return;
            }
        }
    }
}

/// What a model takes of memory, in bytes, about.
fn memory_of(model: &Model) -> u64 {
    model.findings.memory_bytes.max(model.bytes)
}

/// What an engine's error means to a guest.
fn told(error: EngineError) -> InferError {
    match error {
        EngineError::TooLarge(text) => InferError::TooLarge(text),
        EngineError::Model(text) | EngineError::Device(text) => InferError::Engine(text),
        EngineError::OutOfMemory(text) => InferError::Busy(format!(
            "no memory is left to load the model: {text}; try again later"
        )),
    }
}

#[cfg(test)]
mod tests;
