//! `skep:jobs/inference`: models that the host runs for a guest, which lends its slot to
//! others while it waits.
//!
//! Not here: which models there are, how they are loaded and how calls meet in batches
//! (`crate::inference`).

mod convert;

use std::pin::pin;
use std::task::Poll;
use std::time::Instant;

use futures_util::poll;
use tokio_util::sync::CancellationToken;

use super::Guest;
use crate::inference::InferError;
use crate::inference::batcher::Inferred;
use crate::job::Namespace;
use crate::sandbox::bindings::inference::{Host, InferError as Error, ModelInfo, NamedTensor};
use crate::sandbox::bindings::types;
use crate::sandbox::slot::Slot;

impl Guest {
    /// The job's namespace, after taking one call off the budget.
    fn namespace_for_call(&mut self) -> Result<Namespace, Error> {
        let job = self.job_for_call().map_err(refused)?;
        Ok(job.token.namespace.clone())
    }
}

impl Host for Guest {
    async fn models(&mut self) -> Result<Vec<String>, Error> {
        let namespace = self.namespace_for_call()?;
        let models = self.services.inference.models(&namespace).await;
        let models = models.map_err(told)?;
        Ok(models.iter().map(|model| model.name.to_string()).collect())
    }

    async fn describe(&mut self, model: String) -> Result<ModelInfo, Error> {
        let namespace = self.namespace_for_call()?;
        let described = self.services.inference.describe(&namespace, &model).await;
        Ok(convert::info(described.map_err(told)?))
    }

    async fn infer(
        &mut self,
        model: String,
        inputs: Vec<NamedTensor>,
    ) -> Result<Vec<NamedTensor>, Error> {
        let namespace = self.namespace_for_call()?;
        self.budget.infer().map_err(refused)?;
        let inputs = convert::inputs(inputs)?;
        let held = self.memory.held();
        let inference = self.services.inference.clone();
        let job = self.job().map_err(refused)?;
        let begun = Instant::now();
        let call = inference.infer(&namespace, &model, inputs, &mut job.joined);
        let answer = run(call, &job.slot, &job.cancel, held).await;
        self.budget.inferred(match &answer {
            Ok(inferred) => inferred.engine_us,
            // Nobody knows how much of it was the engine's, and a failure is not to be free.
            Err(Error::Engine(_)) => begun.elapsed().as_micros() as u64,
            Err(_) => 0,
        });
        Ok(convert::outputs(answer?.outputs))
    }
}

/// Waits for a call. A small model on an idle device has run when it is first looked at, and
/// nobody could have had the slot; else it is lent.
async fn run(
    call: impl Future<Output = Result<Inferred, InferError>>,
    slot: &Slot,
    cancel: &CancellationToken,
    held: usize,
) -> Result<Inferred, Error> {
    let mut call = pin!(call);
    if let Poll::Ready(answer) = poll!(call.as_mut()) {
        return answer.map_err(told);
    }
    let lent = slot.lend(held);
    let answer = tokio::select! {
        biased;
        () = cancel.cancelled() => Err(Error::Denied(
            "this job was cancelled; tidy up and return".to_owned(),
        )),
        answer = call => answer.map_err(told),
    };
    if lent {
        slot.take_back().await;
    }
    answer
}

/// Why the job may not ask.
fn refused(error: types::Error) -> Error {
    match error {
        types::Error::LimitExceeded(text) => Error::TooLarge(text),
        error => Error::Denied(match error {
            types::Error::Denied(text) => text,
            other => other.to_string(),
        }),
    }
}

/// Why there is no answer.
fn told(error: InferError) -> Error {
    match error {
        InferError::NotFound(text) => Error::NotFound(text),
        InferError::InvalidInput(text) => Error::InvalidInput(text),
        InferError::TooLarge(text) => Error::TooLarge(text),
        InferError::Busy(text) => Error::Busy(text),
        InferError::TimedOut(text) => Error::TimedOut(text),
        InferError::Engine(text) => Error::Engine(text),
    }
}
