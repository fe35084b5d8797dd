//! Runs what a lane has picked: as one batch, or where that fails one by one, so that a bad row
//! hurts nobody but its own job.

use std::any::Any;
use std::hash::{BuildHasher as _, Hash as _, Hasher as _, RandomState};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use super::call::Call;
use super::{BatchPlan, Inferred, batch};
use crate::inference::tensor::NamedTensor;
use crate::inference::{EngineError, InferError, LoadedModel};
use crate::metrics::InferenceMeter;

/// A run that takes no longer than this is done by whoever asks an idle device for it: where
/// nothing else runs, to wake a thread for it and to be woken again took 132 µs, and a small
/// model takes 57. A guest's own code holds a thread of the host's for as long.
const QUICK: Duration = Duration::from_millis(1);

/// What runs the calls of one model.
pub(super) struct Runner {
    pub(super) model: Arc<dyn LoadedModel>,
    pub(super) plan: Arc<BatchPlan>,
    pub(super) meter: Arc<InferenceMeter>,
    quick: Quick,
}

/// The shapes of the call that last ran by itself and was quick, as a hash; 0 for none. How long
/// a run takes is in its shapes: they decide what each operator computes.
#[derive(Debug, Default)]
struct Quick {
    shapes: AtomicU64,
    hashes: RandomState,
}

/// Calls that share a batch.
pub(super) struct Work {
    pub(super) runner: Arc<Runner>,
    pub(super) calls: Vec<Call>,
}

impl Work {
    /// Runs them, and answers each.
    pub(super) fn run(self) {
        let Self { runner, calls } = self;
        let now = Instant::now();
        for call in &calls {
            runner.meter.waited(now.duration_since(call.since));
        }
        // The next batch is the last of these: so they run in their order.
        let mut batches = vec![calls];
        while let Some(mut calls) = batches.pop() {
            calls.retain(|call| !call.is_dropped());
            batches.extend(runner.run(calls, now));
        }
    }
}

impl Quick {
    fn hash(&self, inputs: &[NamedTensor]) -> u64 {
        let mut hasher = self.hashes.build_hasher();
        for input in inputs {
            input.value.shape().hash(&mut hasher);
        }
        hasher.finish().max(1)
    }

    fn note(&self, inputs: &[NamedTensor], took: Duration) {
        let hash = self.hash(inputs);
        if took <= QUICK {
            self.shapes.store(hash, Ordering::Relaxed);
        } else if self.shapes.load(Ordering::Relaxed) == hash {
            self.shapes.store(0, Ordering::Relaxed);
        }
    }
}

impl Runner {
    pub(super) fn new(
        model: Arc<dyn LoadedModel>,
        plan: Arc<BatchPlan>,
        meter: Arc<InferenceMeter>,
    ) -> Self {
        Self {
            model,
            plan,
            meter,
            quick: Quick::default(),
        }
    }

    /// Whether a call by itself probably runs for less than a millisecond.
    pub(super) fn is_quick(&self, inputs: &[NamedTensor]) -> bool {
        self.quick.shapes.load(Ordering::Relaxed) == self.quick.hash(inputs)
    }

    /// Runs one batch, and answers its calls, but for those that are to be tried again in
    /// smaller batches.
    fn run(&self, mut calls: Vec<Call>, began: Instant) -> Vec<Vec<Call>> {
        let rows = calls.iter().map(|call| call.size.rows).sum::<u32>().max(1);
        let (outputs, took) = match &calls[..] {
            [] => return Vec::new(),
            [only] => {
                let (outputs, took) = self.timed(&only.inputs);
                self.quick.note(&only.inputs, took);
                (outputs, took)
            }
            _ => match batch::join(&self.plan, &calls) {
                Some(inputs) => self.timed(&inputs),
                None => return alone(calls),
            },
        };
        self.meter.ran(rows, took);
        for call in &mut calls {
            let share = took * call.size.rows.max(1) / rows;
            call.engine_us += u64::try_from(share.as_micros()).unwrap_or(u64::MAX);
        }
        let is_one = calls.len() == 1;
        let outputs = match outputs {
            Ok(outputs) if is_one => vec![outputs],
            Ok(outputs) => match batch::split(&self.plan, &calls, &outputs) {
                Some(each) => each,
                None => return alone(calls),
            },
            Err(EngineError::Model(_)) if !is_one => return alone(calls),
            Err(EngineError::TooLarge(_) | EngineError::OutOfMemory(_)) if !is_one => {
                let second = calls.split_off(calls.len() / 2);
                return vec![second, calls];
            }
            Err(error) => {
                let error = refusal(error);
                for call in calls {
                    let _ = call.answer.send(Err(error.clone()));
                }
                return Vec::new();
            }
        };
        for (call, outputs) in calls.into_iter().zip(outputs) {
            let queued = began.duration_since(call.since).as_micros();
            let inferred = self.within_limit(&outputs).map(|()| Inferred {
                outputs,
                engine_us: call.engine_us,
                rows_in_batch: rows,
                queued_us: u64::try_from(queued).unwrap_or(u64::MAX),
            });
            // Whoever asked may have gone meanwhile.
            let _ = call.answer.send(inferred);
        }
        Vec::new()
    }

    fn timed(&self, inputs: &[NamedTensor]) -> (Result<Vec<NamedTensor>, EngineError>, Duration) {
        let began = Instant::now();
        let ran = catch_unwind(AssertUnwindSafe(|| self.model.run(inputs)));
        let outputs = ran.unwrap_or_else(|panic| Err(EngineError::Model(text(&*panic))));
        (outputs, began.elapsed())
    }

    fn within_limit(&self, outputs: &[NamedTensor]) -> Result<(), InferError> {
        let sizes = outputs
            .iter()
            .map(|output| output.value.data().len() as u64);
        let (bytes, limit) = (sizes.sum::<u64>(), self.plan.max_output_bytes);
        if bytes <= limit {
            return Ok(());
        }
        Err(InferError::TooLarge(format!(
            "the outputs take {bytes} bytes, and a call may get {limit}: ask for fewer rows at once"
        )))
    }
}

fn alone(calls: Vec<Call>) -> Vec<Vec<Call>> {
    calls.into_iter().rev().map(|call| vec![call]).collect()
}

fn refusal(error: EngineError) -> InferError {
    match error {
        EngineError::Model(text) => InferError::Engine(text),
        EngineError::TooLarge(text) => InferError::TooLarge(text),
        EngineError::OutOfMemory(text) => InferError::Busy(format!(
            "the device has no memory for this call now: {text}; try again later, or with fewer rows"
        )),
        EngineError::Device(text) => InferError::of_device(&text),
    }
}

fn text(panic: &(dyn Any + Send)) -> String {
    let text = panic.downcast_ref::<&str>().copied();
    let text = text.or_else(|| panic.downcast_ref::<String>().map(String::as_str));
    format!(
        "the engine panicked, which is a fault of its own: {}",
        text.unwrap_or("it does not say why")
    )
}
