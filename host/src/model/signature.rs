//! The inputs and outputs that a model declares.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// The type of one element of a tensor.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum DataType {
    /// IEEE 754, 32 bits.
    F32,
    /// IEEE 754, 16 bits.
    F16,
    /// The upper half of an `f32`.
    Bf16,
    /// IEEE 754, 64 bits.
    F64,
    /// Unsigned, 8 bits.
    U8,
    /// Signed, 8 bits.
    I8,
    /// Signed, 32 bits.
    I32,
    /// Signed, 64 bits.
    I64,
    /// One byte: 0 or 1.
    Bool,
}

impl DataType {
    /// What one element takes, in bytes.
    pub fn bytes(self) -> usize {
        match self {
            Self::U8 | Self::I8 | Self::Bool => 1,
            Self::F16 | Self::Bf16 => 2,
            Self::F32 | Self::I32 => 4,
            Self::F64 | Self::I64 => 8,
        }
    }
}

/// An input or output that a model declares.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct TensorSpec {
    /// Its name.
    pub name: String,
    /// The type of its elements.
    pub dtype: DataType,
    /// Its shape, outermost dimension first; null where a dimension may be any.
    pub shape: Vec<Option<u64>>,
}

/// All that a model takes and gives.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Signature {
    /// What it takes, in the model's order.
    pub inputs: Vec<TensorSpec>,
    /// What it gives, in the model's order.
    pub outputs: Vec<TensorSpec>,
}
