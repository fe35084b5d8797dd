//! Tensors in JSON.

use serde::{Deserialize, Serialize};
use skep_sdk::{DataType, Error, Tensor};

/// A tensor whose bytes are hex.
#[derive(Deserialize, Serialize)]
pub(crate) struct Wire {
    dtype: String,
    shape: Vec<u64>,
    #[serde(default)]
    hex: String,
    /// So many zeros instead.
    #[serde(default, skip_serializing)]
    zeros: usize,
}

const TYPES: [(&str, DataType); 9] = [
    ("f32", DataType::F32),
    ("f16", DataType::F16),
    ("bf16", DataType::Bf16),
    ("f64", DataType::F64),
    ("u8", DataType::U8),
    ("i8", DataType::I8),
    ("i32", DataType::I32),
    ("i64", DataType::I64),
    ("bool", DataType::Bool),
];

/// The name of a type.
pub(crate) fn name(dtype: DataType) -> &'static str {
    let found = TYPES.iter().find(|(_, one)| *one == dtype);
    found.map_or("?", |(name, _)| name)
}

impl Wire {
    /// The tensor.
    pub(crate) fn tensor(&self) -> Result<Tensor, Error> {
        let odd = |text: String| Error::Json(text);
        let dtype = TYPES.iter().find(|(name, _)| *name == self.dtype);
        let (_, dtype) = dtype.ok_or_else(|| odd(format!("no type {}", self.dtype)))?;
        let data = match self.zeros {
            0 => hex::decode(&self.hex).map_err(|error| odd(error.to_string()))?,
            zeros => vec![0; zeros],
        };
        Ok(Tensor {
            dtype: *dtype,
            shape: self.shape.clone(),
            data,
        })
    }

    /// A tensor as JSON.
    pub(crate) fn of(tensor: &Tensor) -> Self {
        Wire {
            dtype: name(tensor.dtype).to_owned(),
            shape: tensor.shape.clone(),
            hex: hex::encode(&tensor.data),
            zeros: 0,
        }
    }
}
