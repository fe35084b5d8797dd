//! Loading a model: its bytes from the store, an engine that takes them, and how many rows of a
//! batch pay on it.

use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use bytes::Bytes;

use super::batcher::{BatchPlan, Lane, MAX_ROWS, ModelQueue, calibrate};
use super::engine::{Engine, EngineError, LoadedModel};
use super::limits::MAX_OUTPUT_BYTES;
use super::memory::Reserved;
use super::running::{Running, Whose};
use super::{InferError, NamedTensor, bounded};
use crate::job::{ModelName, Namespace};
use crate::metrics::InferenceMeter;
use crate::model::{Batching, Signature, TensorSpec};
use crate::store::{Model, Store, StoreError};

/// A model that is ready to be called. It stays so while somebody holds it.
pub(super) struct Loaded {
    pub(super) namespace: Namespace,
    pub(super) name: ModelName,
    pub(super) version: u32,
    pub(super) engine: &'static str,
    pub(super) device: String,
    /// The most rows of a batch; 1 if calls share none.
    pub(super) max_batch: u32,
    pub(super) queue: Arc<ModelQueue>,
    /// It runs here until the device that is meant for it has rested.
    pub(super) is_stand_in: bool,
    /// Why it is of no use any more, once its device has gone.
    lost: Arc<OnceLock<String>>,
    // The last one, so that the memory counts as taken until it is free.
    pub(super) memory: Reserved,
}

impl Loaded {
    /// Whether it is of no use any more, on this device.
    pub(super) fn is_lost(&self) -> bool {
        self.lost.get().is_some()
    }
}

/// Where a model is to run, and what it may take.
pub(super) struct Berth {
    pub(super) engine: Arc<dyn Engine>,
    pub(super) is_stand_in: bool,
    pub(super) lane: Arc<Lane>,
    pub(super) running: Arc<Running>,
    pub(super) meter: Arc<InferenceMeter>,
    pub(super) memory: Reserved,
}

/// The bytes of a model.
pub(super) async fn fetch(store: &dyn Store, model: &Model) -> Result<Bytes, InferError> {
    match store.blob(model.digest).await {
        Ok(Some(bytes)) => Ok(bytes),
        // A host may hear of a model a moment before it sees its bytes.
        Ok(None) => Err(InferError::Busy(format!(
            "the store does not have the bytes of {}: try again later, or add it again",
            model.name
        ))),
        Err(StoreError::Unreadable(_)) => Err(InferError::Engine(format!(
            "the bytes of {} are damaged in the store: add it again",
            model.name
        ))),
        Err(error) => Err(away(&error)),
    }
}

/// What a store's failure means to a guest, who is not told where the store is.
pub(super) fn away(error: &StoreError) -> InferError {
    tracing::warn!(%error, "the store failed when a model was asked for");
    InferError::Busy("the store does not answer; try again later".to_owned())
}

/// Loads a model and measures which batches pay. Blocks, for seconds perhaps.
pub(super) fn load(
    namespace: &Namespace,
    model: &Model,
    bytes: &[u8],
    berth: Berth,
) -> Result<Loaded, EngineError> {
    let Berth {
        engine,
        is_stand_in,
        lane,
        running,
        meter,
        memory,
    } = berth;
    let loaded = bounded::load(&*engine, bytes, &model.config)?;
    // Calls are checked against what the model was found to be when it was added, perhaps by
    // another engine, which may know more or less of shapes.
    if !is_alike(loaded.signature(), &model.findings.signature) {
        return Err(EngineError::Model(format!(
            "{} reads the inputs and outputs of {} otherwise than the engine that looked at it when it was added: add it again on this host, or choose the engine (--engine)",
            engine.name(),
            model.name
        )));
    }
    let lost = Arc::new(OnceLock::new());
    let watched: Arc<dyn LoadedModel> = Arc::new(Watched {
        model: loaded,
        lost: lost.clone(),
        running,
        whose: Arc::new(Whose {
            namespace: namespace.clone(),
            model: model.name.clone(),
            version: model.version,
            device: engine.device().to_owned(),
        }),
    });
    let plan = plan(model, &*watched);
    if let Some(why) = lost.get() {
        // While it was measured.
        return Err(EngineError::Device(why.clone()));
    }
    let max_batch = plan.layout.as_ref().map_or(1, |_| plan.max_rows);
    Ok(Loaded {
        namespace: namespace.clone(),
        name: model.name.clone(),
        version: model.version,
        engine: engine.name(),
        device: engine.device().to_owned(),
        max_batch,
        queue: ModelQueue::new(&lane, namespace.clone(), watched, plan, meter),
        is_stand_in,
        lost,
        memory,
    })
}

/// Whether they have the same tensors in the same order.
fn is_alike(one: &Signature, other: &Signature) -> bool {
    let alike = |one: &[TensorSpec], other: &[TensorSpec]| {
        let same = |(a, b): (&TensorSpec, &TensorSpec)| a.name == b.name && a.dtype == b.dtype;
        one.len() == other.len() && one.iter().zip(other).all(same)
    };
    alike(&one.inputs, &other.inputs) && alike(&one.outputs, &other.outputs)
}

fn plan(model: &Model, loaded: &dyn LoadedModel) -> BatchPlan {
    let config = &model.config;
    let layout = match config.batching {
        Batching::Off => None,
        Batching::Auto | Batching::On => model.findings.batch.clone(),
    };
    let max_rows = match (&layout, config.max_batch) {
        (None, _) => 1,
        (Some(_), Some(asked)) => asked,
        (Some(layout), None) => calibrate(loaded, layout, MAX_ROWS),
    };
    BatchPlan {
        layout,
        max_rows,
        max_delay: Duration::from_micros(config.max_delay_us),
        pad: config.pad.clone(),
        max_output_bytes: MAX_OUTPUT_BYTES,
    }
}

/// A model whose device may go, and whose runs may go on for ever.
struct Watched {
    model: Arc<dyn LoadedModel>,
    lost: Arc<OnceLock<String>>,
    running: Arc<Running>,
    whose: Arc<Whose>,
}

impl LoadedModel for Watched {
    fn signature(&self) -> &Signature {
        self.model.signature()
    }

    fn run(&self, inputs: &[NamedTensor]) -> Result<Vec<NamedTensor>, EngineError> {
        let _run = self.running.begin(&self.whose, Instant::now());
        let answer = self.model.run(inputs);
        if let Err(EngineError::Device(why)) = &answer {
            self.lost.get_or_init(|| why.clone());
        }
        answer
    }
}
