//! Tensors from and to Rust slices.

pub use crate::bindings::skep::jobs::inference::{
    DataType, ModelInfo, NamedTensor, Tensor, TensorSpec,
};

impl NamedTensor {
    /// A tensor under an input's name.
    pub fn new(name: impl Into<String>, value: Tensor) -> Self {
        NamedTensor {
            name: name.into(),
            value,
        }
    }
}

impl Tensor {
    /// A tensor of `f32`, its elements in row-major order.
    pub fn f32(shape: &[u64], elements: &[f32]) -> Self {
        Tensor {
            dtype: DataType::F32,
            shape: shape.to_vec(),
            data: elements.iter().flat_map(|x| x.to_le_bytes()).collect(),
        }
    }

    /// A tensor of `i64`, its elements in row-major order.
    pub fn i64(shape: &[u64], elements: &[i64]) -> Self {
        Tensor {
            dtype: DataType::I64,
            shape: shape.to_vec(),
            data: elements.iter().flat_map(|x| x.to_le_bytes()).collect(),
        }
    }

    /// The elements, if they are `f32`.
    pub fn to_f32(&self) -> Option<Vec<f32>> {
        let (elements, _) = self.data.as_chunks();
        (self.dtype == DataType::F32)
            .then(|| elements.iter().map(|x| f32::from_le_bytes(*x)).collect())
    }

    /// The elements, if they are `i64`.
    pub fn to_i64(&self) -> Option<Vec<i64>> {
        let (elements, _) = self.data.as_chunks();
        (self.dtype == DataType::I64)
            .then(|| elements.iter().map(|x| i64::from_le_bytes(*x)).collect())
    }
}
