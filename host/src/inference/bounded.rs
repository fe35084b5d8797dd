//! Models whose runs are refused before they take more memory than a host has for them.

use std::collections::VecDeque;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, OnceLock, PoisonError};

use super::engine::{Engine, EngineError, LoadedModel};
use super::estimate::{Estimate, Estimator};
use super::limits::MAX_OUTPUT_BYTES;
use super::onnx;
use super::tensor::NamedTensor;
use crate::child::machine_memory;
use crate::model::{ModelConfig, Signature};

/// What all runs of a process may take at once, in bytes, where there is memory enough. The bound
/// counts each tensor of a graph as if none were dropped, so that a run really takes a fraction; a
/// batch of 32 texts of 64 tokens in MiniLM is half a GiB by it.
const MAX_RUN_BYTES: u64 = 4 << 30;

/// How many shapes of inputs a model's verdicts are kept for: batches of 1 to 64 rows of a few
/// lengths.
const MAX_VERDICTS: usize = 128;

/// Loads a model whose runs are bounded, unless an admin trusts it.
pub(super) fn load(
    engine: &dyn Engine,
    file: &[u8],
    config: &ModelConfig,
) -> Result<Arc<dyn LoadedModel>, EngineError> {
    let model = engine.load(file)?;
    if config.allow_loops {
        return Ok(model);
    }
    let read = onnx::read(file).map_err(|error| EngineError::Model(error.to_string()))?;
    Ok(Arc::new(Bounded {
        estimator: Estimator::new(&read, model.signature()),
        verdicts: Mutex::default(),
        model,
    }))
}

struct Bounded {
    model: Arc<dyn LoadedModel>,
    estimator: Estimator,
    /// Those of late, the latest last.
    verdicts: Mutex<VecDeque<(Vec<u64>, Verdict)>>,
}

/// What a run takes, or why there is none.
type Verdict = Result<u64, EngineError>;

impl LoadedModel for Bounded {
    fn signature(&self) -> &Signature {
        self.model.signature()
    }

    fn run(&self, inputs: &[NamedTensor]) -> Result<Vec<NamedTensor>, EngineError> {
        let bytes = self.verdict(inputs)?;
        let _room = Room::take(bytes);
        self.model.run(inputs)
    }
}

impl Bounded {
    fn verdict(&self, inputs: &[NamedTensor]) -> Verdict {
        let tensors = inputs.iter();
        let shapes = tensors.map(|input| input.value.shape());
        let mut key = Vec::with_capacity(16);
        for shape in shapes {
            key.push(shape.len() as u64);
            key.extend(shape);
        }
        let is_it = |(shapes, _): &(Vec<u64>, Verdict)| *shapes == key;
        let found = {
            let verdicts = lock(&self.verdicts);
            verdicts
                .iter()
                .rev()
                .find(|one| is_it(one))
                .map(|(_, verdict)| verdict.clone())
        };
        if let Some(verdict) = found {
            return verdict;
        }
        let verdict = judge(&self.estimator, self.model.signature(), inputs);
        let mut verdicts = lock(&self.verdicts);
        if verdicts.len() >= MAX_VERDICTS {
            verdicts.pop_front();
        }
        verdicts.push_back((key, verdict.clone()));
        verdict
    }
}

/// Refuses a model whose runs have no bound, or that does not fit with these small inputs: before
/// an engine loads it, which may be when it computes what does not depend on inputs.
pub(super) fn check(
    file: &[u8],
    signature: &Signature,
    inputs: &[NamedTensor],
) -> Result<(), EngineError> {
    let read = onnx::read(file).map_err(|error| EngineError::Model(error.to_string()))?;
    judge(&Estimator::new(&read, signature), signature, inputs).map(drop)
}

fn judge(estimator: &Estimator, signature: &Signature, inputs: &[NamedTensor]) -> Verdict {
    let estimate = estimator.estimate(inputs);
    let Estimate { run_bytes, outputs } =
        estimate.map_err(|unbounded| EngineError::TooLarge(unbounded.to_string()))?;
    let specs = signature.outputs.iter().zip(&outputs);
    let given = specs.filter_map(|(spec, elements)| {
        Some((*elements)?.saturating_mul(spec.dtype.bytes() as u64))
    });
    let given = given.fold(0, u64::saturating_add);
    if given > MAX_OUTPUT_BYTES {
        return Err(EngineError::TooLarge(format!(
            "the outputs would take {given} bytes, and a run may give {MAX_OUTPUT_BYTES}: ask \
                 for fewer rows at once, or smaller ones"
        )));
    }
    let limit = limit();
    if run_bytes > limit {
        return Err(EngineError::TooLarge(format!(
            "a run on these inputs takes up to {} MiB of memory, and this host gives {} MiB: \
                 ask for fewer rows at once, or smaller ones",
            run_bytes >> 20,
            limit >> 20
        )));
    }
    Ok(run_bytes)
}

/// A quarter of the machine's memory at most, beside models, guests and the store: what an operator
/// copies on its way besides (to sum along another axis, say) may be twice as much again.
fn limit() -> u64 {
    static LIMIT: OnceLock<u64> = OnceLock::new();
    *LIMIT.get_or_init(|| machine_memory().map_or(MAX_RUN_BYTES, |all| MAX_RUN_BYTES.min(all / 4)))
}

/// Memory for one run, until it is dropped. Runs of several threads share what there is.
struct Room(u64);

static TAKEN: Mutex<u64> = Mutex::new(0);
static GIVEN: Condvar = Condvar::new();
/// Whoever waits is next, so that a large run is not passed by small ones for ever.
static NEXT: Mutex<()> = Mutex::new(());

impl Room {
    /// Takes so much, of which there is as much as that in all; waits for runs to end.
    fn take(bytes: u64) -> Self {
        let _next = lock(&NEXT);
        let is_full = |taken: &mut u64| taken.saturating_add(bytes) > limit();
        let taken = GIVEN.wait_while(lock(&TAKEN), is_full);
        *taken.unwrap_or_else(PoisonError::into_inner) += bytes;
        Self(bytes)
    }
}

impl Drop for Room {
    fn drop(&mut self) {
        *lock(&TAKEN) -= self.0;
        GIVEN.notify_all();
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // Nothing is half done where a thread panics with one of these.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests;
