//! Tensors to ONNX Runtime's and back.

use bytes::Bytes;
use half::{bf16, f16};
use ort::session::SessionInputValue;
use ort::value::{DynValue, PrimitiveTensorElementType, Tensor as Dense};

use super::failure;
use crate::inference::engine::EngineError;
use crate::inference::tensor::{NamedTensor, Tensor};
use crate::model::{DataType, TensorSpec};

/// A tensor as ONNX Runtime takes it.
pub(super) fn to_ort(input: &NamedTensor) -> Result<SessionInputValue<'static>, EngineError> {
    let tensor = &input.value;
    let data = tensor.data();
    match tensor.dtype() {
        DataType::F32 => dense(tensor, numbers(data, f32::from_le_bytes)),
        DataType::F16 => dense(tensor, numbers(data, f16::from_le_bytes)),
        DataType::Bf16 => dense(tensor, numbers(data, bf16::from_le_bytes)),
        DataType::F64 => dense(tensor, numbers(data, f64::from_le_bytes)),
        DataType::U8 => dense(tensor, data.to_vec()),
        DataType::I8 => dense(tensor, numbers(data, i8::from_le_bytes)),
        DataType::I32 => dense(tensor, numbers(data, i32::from_le_bytes)),
        DataType::I64 => dense(tensor, numbers(data, i64::from_le_bytes)),
        DataType::Bool => dense(tensor, data.iter().map(|byte| *byte != 0).collect()),
    }
}

fn dense<T>(tensor: &Tensor, data: Vec<T>) -> Result<SessionInputValue<'static>, EngineError>
where
    T: PrimitiveTensorElementType + Clone + std::fmt::Debug + 'static,
{
    let shape: Vec<i64> = tensor
        .shape()
        .iter()
        .map(|size| size.cast_signed())
        .collect();
    let dense = Dense::from_array((shape, data)).map_err(|error| failure(&error))?;
    Ok(dense.into())
}

fn numbers<const N: usize, T>(data: &[u8], read: impl Fn([u8; N]) -> T) -> Vec<T> {
    let (elements, _) = data.as_chunks::<N>();
    elements.iter().map(|bytes| read(*bytes)).collect()
}

/// A tensor as the model declares it.
pub(super) fn from_ort(value: &DynValue, spec: &TensorSpec) -> Result<NamedTensor, EngineError> {
    let (shape, data) = match spec.dtype {
        DataType::F32 => bytes(value, f32::to_le_bytes),
        DataType::F16 => bytes(value, f16::to_le_bytes),
        DataType::Bf16 => bytes(value, bf16::to_le_bytes),
        DataType::F64 => bytes(value, f64::to_le_bytes),
        DataType::U8 => bytes(value, u8::to_le_bytes),
        DataType::I8 => bytes(value, i8::to_le_bytes),
        DataType::I32 => bytes(value, i32::to_le_bytes),
        DataType::I64 => bytes(value, i64::to_le_bytes),
        DataType::Bool => bytes(value, |x: bool| [u8::from(x)]),
    }?;
    let value = Tensor::new(spec.dtype, shape, data)
        .map_err(|error| EngineError::Model(format!("the output `{}`: {error}", spec.name)))?;
    Ok(NamedTensor {
        name: spec.name.clone(),
        value,
    })
}

fn bytes<T, const N: usize>(
    value: &DynValue,
    write: impl Fn(T) -> [u8; N],
) -> Result<(Vec<u64>, Bytes), EngineError>
where
    T: PrimitiveTensorElementType + Copy,
{
    let (shape, elements) = (value.try_extract_tensor::<T>()).map_err(|error| failure(&error))?;
    let shape = shape.iter().map(|size| size.cast_unsigned()).collect();
    let mut bytes = Vec::with_capacity(elements.len() * N);
    for element in elements {
        bytes.extend_from_slice(&write(*element));
    }
    Ok((shape, bytes.into()))
}
