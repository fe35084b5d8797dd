//! The gate for models, for the fuzz target `models`.

use super::validate::validate;
use crate::model::ModelConfig;

/// Looks at a model, as the prober does first.
pub fn model(bytes: &[u8]) {
    let _ = validate(bytes, &ModelConfig::default());
}
