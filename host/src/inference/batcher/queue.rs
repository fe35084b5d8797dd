//! The calls that wait for one loaded model.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Instant;

use tokio::sync::oneshot;

use super::bounds::{Load, Place};
use super::call::{Call, Size, share};
use super::lane::{Lane, QueueId};
use super::run::Runner;
use super::{BatchPlan, Inferred};
use crate::inference::tensor::NamedTensor;
use crate::inference::{InferError, LoadedModel};
use crate::job::Namespace;
use crate::metrics::{InferenceMeter, InferenceOutcome};

/// How many sandboxes live that may call a model.
#[derive(Debug, Default)]
pub(super) struct Live(AtomicUsize);

impl Live {
    pub(super) fn count(&self) -> usize {
        self.0.load(Ordering::Acquire)
    }
}

/// The calls of one loaded model, which run on a lane.
#[derive(Debug)]
pub struct ModelQueue {
    lane: Arc<Lane>,
    id: QueueId,
    namespace: Namespace,
    plan: Arc<BatchPlan>,
    meter: Arc<InferenceMeter>,
    live: Arc<Live>,
    /// Of the lane, the namespace and the model.
    loads: [Arc<Load>; 3],
}

/// A sandbox that may call a model, until it is dropped. It keeps the lane, not the model.
#[derive(Debug)]
pub struct Joiner {
    lane: Arc<Lane>,
    live: Arc<Live>,
    /// Somebody may wait for it.
    is_awaited: bool,
}

impl ModelQueue {
    /// A queue for a model of a namespace; no other one may call it.
    pub fn new(
        lane: &Arc<Lane>,
        namespace: Namespace,
        model: Arc<dyn LoadedModel>,
        plan: BatchPlan,
        meter: Arc<InferenceMeter>,
    ) -> Arc<Self> {
        let (plan, live) = (Arc::new(plan), Arc::new(Live::default()));
        let runner = Runner::new(model, plan.clone(), meter.clone());
        let (id, of_namespace, of_lane) = lane.add(&namespace, runner, live.clone());
        Arc::new(Self {
            lane: lane.clone(),
            id,
            namespace,
            plan,
            meter,
            live,
            loads: [of_lane, of_namespace, Load::of_model()],
        })
    }

    /// Runs the model on inputs, which are in the signature's order and fit it. Whoever drops
    /// this future has its rows left out, unless they run already.
    ///
    /// # Errors
    ///
    /// When too much is under way, or the model gave nothing or too much.
    pub async fn infer(&self, inputs: Vec<NamedTensor>) -> Result<Inferred, InferError> {
        let inferred = self.ask(inputs).await;
        self.meter.ended(match &inferred {
            Ok(_) => InferenceOutcome::Completed,
            Err(InferError::Busy(_)) => InferenceOutcome::Busy,
            Err(_) => InferenceOutcome::Failed,
        });
        inferred
    }

    async fn ask(&self, inputs: Vec<NamedTensor>) -> Result<Inferred, InferError> {
        let place = self.place(&inputs)?;
        let (key, size) = match share(&self.plan, &inputs) {
            Some((key, size)) => (Some(key), size),
            None => (None, Size::ALONE),
        };
        let (answer, answered) = oneshot::channel();
        let call = Call {
            inputs,
            size,
            since: Instant::now(),
            engine_us: 0,
            answer,
            _place: place,
        };
        self.lane.push(&self.namespace, self.id, key, call);
        answered.await.unwrap_or_else(|_| {
            let why = "the model was unloaded before the call ran: try again";
            Err(InferError::Busy(why.to_owned()))
        })
    }

    fn place(&self, inputs: &[NamedTensor]) -> Result<Place, InferError> {
        let bytes = inputs.iter().map(|input| input.value.data().len() as u64);
        let bytes = bytes.sum();
        let loads = self.loads.each_ref();
        Place::take(&loads, bytes).or_else(|_| {
            // Those that died while they waited are in nobody's way.
            self.lane.prune(&self.namespace, self.id);
            Place::take(&loads, bytes)
        })
    }

    /// A sandbox lives that may call this model: a call that waits for others waits for it.
    pub fn enter(&self) -> Joiner {
        self.live.0.fetch_add(1, Ordering::AcqRel);
        Joiner {
            lane: self.lane.clone(),
            live: self.live.clone(),
            is_awaited: !self.plan.max_delay.is_zero(),
        }
    }
}

impl Drop for ModelQueue {
    fn drop(&mut self) {
        self.lane.remove(&self.namespace, self.id);
    }
}

impl Drop for Joiner {
    fn drop(&mut self) {
        self.live.0.fetch_sub(1, Ordering::AcqRel);
        if self.is_awaited {
            self.lane.look_again();
        }
    }
}
