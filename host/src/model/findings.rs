//! What a model was found to be when it was first loaded, in a process of its own.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::Signature;

/// Along which axis each tensor has one row per call; null for those that are the same for all
/// rows, which calls of one batch must agree in.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct BatchLayout {
    /// Of each input, in the signature's order.
    pub inputs: Vec<Option<usize>>,
    /// Of each output, in the signature's order.
    pub outputs: Vec<Option<usize>>,
}

/// What a model was found to be.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Findings {
    /// What it takes and gives.
    pub signature: Signature,
    /// How calls share a batch, if they may.
    pub batch: Option<BatchLayout>,
    /// Why they may not, or what was found of it.
    pub note: String,
    /// What it holds of memory once it is loaded and has run, in bytes, about.
    pub memory_bytes: u64,
}
