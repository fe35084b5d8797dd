//! How much memory a run takes, told before it: an engine that asks for more than there is ends
//! the process, and the host with it.
//!
//! The shape of every tensor of the graph follows from the shapes of the inputs, by the rules of
//! its operator; where it depends on values, from the most that it can be. What a run takes is then
//! the sum of all tensors, whatever the order in which an engine makes and drops them: more than it
//! really takes, never less. An operator that is not known here has no bound, and its model is
//! refused. Where engines fail, nothing is made of what they fail to make; that is only
//! believed of axes that are not there.
//!
//! Not here: the weights, which the registry counts, and time.

mod arrays;
mod fact;
mod infer;
mod layout;
mod nets;
mod plan;
mod step;
mod values;

use fact::Fact;
use plan::{Names, Steps};

use super::onnx::Model;
use super::tensor::NamedTensor;
use crate::model::{DataType, Signature};

/// What a model's runs take, for any inputs.
#[derive(Debug)]
pub(super) struct Estimator {
    steps: Steps,
    /// The places of the inputs, in the signature's order.
    inputs: Vec<usize>,
    places: usize,
}

/// What one run takes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Estimate {
    /// All its tensors and working memory, in bytes: at most.
    pub(super) run_bytes: u64,
    /// The elements of each output; none where they depend on values.
    pub(super) outputs: Vec<Option<u64>>,
}

/// Why there is no bound.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "{called} has no bound on its memory: {why}; use another operator, or have an admin allow it \
     (`allow_loops`)"
)]
pub(super) struct Unbounded {
    called: String,
    why: String,
}

impl Estimator {
    /// For a model with this signature.
    pub(super) fn new(model: &Model<'_>, signature: &Signature) -> Self {
        let mut names = Names::default();
        let inputs = signature.inputs.iter();
        let inputs = inputs.map(|input| names.add(&input.name)).collect();
        let steps = match &model.graph {
            Some(graph) => names.steps(graph),
            None => Steps::default(),
        };
        Self {
            steps,
            inputs,
            places: names.count,
        }
    }

    /// What a run on such inputs takes.
    pub(super) fn estimate(&self, inputs: &[NamedTensor]) -> Result<Estimate, Unbounded> {
        let mut table: Vec<Option<Fact>> = vec![None; self.places];
        let mut bytes = 0_u64;
        for (place, input) in self.inputs.iter().zip(inputs) {
            let width = match input.value.dtype() {
                DataType::I64 | DataType::F64 => 8,
                _ => 4,
            };
            let fact = Fact::of(input.value.shape().to_vec(), true, width);
            bytes = bytes.saturating_add(fact.bytes());
            if let Some(free) = table.get_mut(*place) {
                *free = Some(fact);
            }
        }
        bytes = bytes.saturating_add(step::walk(&self.steps, &mut table)?);
        let outputs = self.steps.outputs.iter();
        let outputs = outputs.map(|place| table.get(*place).and_then(Option::as_ref));
        let mut elements = Vec::with_capacity(self.steps.outputs.len());
        for output in outputs {
            // Engines' outputs are copied.
            bytes = bytes.saturating_add(output.map_or(0, Fact::bytes));
            elements.push(
                output
                    .filter(|fact| fact.is_exact)
                    .map(|fact| fact.elements),
            );
        }
        Ok(Estimate {
            run_bytes: bytes,
            outputs: elements,
        })
    }
}

#[cfg(test)]
mod tests;
