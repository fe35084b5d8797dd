//! Tensors as they come from guests and go to engines: checked once, then never doubted.

use bytes::Bytes;

use crate::model::DataType;

/// The most dimensions of a tensor: what ONNX models have in practice, and both engines take.
pub const MAX_RANK: usize = 8;

/// Why bytes are no tensor.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TensorError {
    /// Too many dimensions.
    #[error("the shape has {0} dimensions, and {MAX_RANK} are allowed")]
    Rank(usize),
    /// No memory could hold it.
    #[error("the product of the shape {0:?} overflows")]
    Overflow(Vec<u64>),
    /// The bytes do not fill the shape.
    #[error("the shape {shape:?} of {dtype:?} takes {takes} bytes, and {given} were given")]
    Length {
        /// The shape.
        shape: Vec<u64>,
        /// The type of its elements.
        dtype: DataType,
        /// What that takes, in bytes.
        takes: u64,
        /// What was given, in bytes.
        given: u64,
    },
    /// A `bool` that is neither 0 nor 1.
    #[error("byte {0} of a bool tensor is neither 0 nor 1")]
    Bool(usize),
}

/// A dense tensor, whose bytes fill its shape.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tensor {
    dtype: DataType,
    shape: Vec<u64>,
    data: Bytes,
}

impl Tensor {
    /// A tensor of elements in row-major order, little-endian.
    ///
    /// # Errors
    ///
    /// When the bytes do not fill the shape, or it is none.
    pub fn new(dtype: DataType, shape: Vec<u64>, data: Bytes) -> Result<Self, TensorError> {
        if shape.len() > MAX_RANK {
            return Err(TensorError::Rank(shape.len()));
        }
        // Also where another dimension is 0: no engine is to meet such a shape.
        let bytes = |least: u64| {
            let mut sizes = shape.iter().map(|size| (*size).max(least));
            sizes.try_fold(dtype.bytes() as u64, u64::checked_mul)
        };
        let (most, takes) = (bytes(1), bytes(0));
        let (Some(..=0x7fff_ffff_ffff_ffff), Some(takes)) = (most, takes) else {
            return Err(TensorError::Overflow(shape));
        };
        let given = data.len() as u64;
        if takes != given {
            return Err(TensorError::Length {
                shape,
                dtype,
                takes,
                given,
            });
        }
        if dtype == DataType::Bool
            && let Some(at) = data.iter().position(|byte| *byte > 1)
        {
            return Err(TensorError::Bool(at));
        }
        Ok(Self { dtype, shape, data })
    }

    /// The type of its elements.
    pub fn dtype(&self) -> DataType {
        self.dtype
    }

    /// Its shape, outermost dimension first.
    pub fn shape(&self) -> &[u64] {
        &self.shape
    }

    /// Its elements in row-major order, little-endian.
    pub fn data(&self) -> &Bytes {
        &self.data
    }

    /// The type of its elements, its shape and its bytes.
    pub fn into_parts(self) -> (DataType, Vec<u64>, Bytes) {
        (self.dtype, self.shape, self.data)
    }
}

/// A tensor and its name in the model.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NamedTensor {
    /// An input's or output's name.
    pub name: String,
    /// Its value.
    pub value: Tensor,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tensor(dtype: DataType, shape: &[u64], bytes: usize) -> Result<Tensor, TensorError> {
        Tensor::new(dtype, shape.to_vec(), Bytes::from(vec![0; bytes]))
    }

    #[test]
    fn bytes_fill_the_shape_or_are_refused() {
        assert!(tensor(DataType::F32, &[2, 3], 24).is_ok());
        assert!(tensor(DataType::I64, &[], 8).is_ok(), "a scalar");
        assert!(tensor(DataType::F32, &[0, 3], 0).is_ok(), "an empty one");
        let short = tensor(DataType::F32, &[2, 3], 23).unwrap_err();
        assert!(
            short.to_string().contains("takes 24 bytes, and 23"),
            "{short}"
        );
        let deep = tensor(DataType::U8, &[1; 9], 1).unwrap_err();
        assert_eq!(deep, TensorError::Rank(9));
        for shape in [&[u64::MAX, 2][..], &[1 << 62, 4], &[0, u64::MAX, 2]] {
            let huge = tensor(DataType::F32, shape, 0).unwrap_err();
            assert!(matches!(huge, TensorError::Overflow(_)), "{huge}");
        }
        let bools = Tensor::new(DataType::Bool, vec![2], Bytes::from_static(&[1, 2]));
        assert_eq!(bools.unwrap_err(), TensorError::Bool(1));
    }
}
