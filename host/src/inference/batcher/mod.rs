//! The batcher: calls of many sandboxes that ask the same model at the same time are run
//! together, by threads of the device's own; a small one on an idle CPU by its caller's.
//!
//! A [`Lane`] is a device's threads, shared fairly by namespaces. A [`ModelQueue`] is the calls
//! that wait for one loaded model; those that agree in all but their rows share a batch. While
//! the device is idle a call runs at once, while it is busy calls gather: so a batch costs
//! nobody a wait, unless the model's configuration asks for one.
//!
//! Not here: which models are loaded (`inference`), and what a call may cost its job (`sandbox`).

mod batch;
mod bounds;
mod calibrate;
mod call;
mod lane;
mod queue;
mod rows;
mod run;
#[cfg(test)]
mod testing;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::time::Duration;

use super::tensor::NamedTensor;
use crate::model::{BatchLayout, Pad};

pub use bounds::{
    MAX_BYTES_OF_LANE, MAX_BYTES_OF_MODEL, MAX_BYTES_OF_NAMESPACE, MAX_CALLS_OF_LANE,
    MAX_CALLS_OF_MODEL, MAX_CALLS_OF_NAMESPACE,
};
pub use calibrate::{MAX_ROWS, calibrate};
pub use lane::Lane;
pub use queue::{Joiner, ModelQueue};

/// How calls of a model share batches.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct BatchPlan {
    /// Along which axes; without it, each call runs alone.
    pub layout: Option<BatchLayout>,
    /// The most rows of a batch. A call of more runs alone: calls are never cut apart.
    pub max_rows: u32,
    /// How long a call may wait for others although the device is idle.
    pub max_delay: Duration,
    /// The inputs and outputs whose rows may be padded, by their names.
    pub pad: BTreeMap<String, Pad>,
    /// The most bytes of all outputs of one call.
    pub max_output_bytes: u64,
}

/// What a call got.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Inferred {
    /// The outputs, in the signature's order.
    pub outputs: Vec<NamedTensor>,
    /// How long the engine ran for it, in µs: of a batch, its share by rows.
    pub engine_us: u64,
    /// How many rows the batch had in which it ran.
    pub rows_in_batch: u32,
    /// How long it waited for the device, in µs.
    pub queued_us: u64,
}
