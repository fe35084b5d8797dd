//! Tensors to rten's types and back.

use ::rten::Value;
use bytes::Bytes;
use half::{bf16, f16};
use rten_tensor::Tensor as Dense;
use rten_tensor::prelude::*;

use crate::inference::engine::EngineError;
use crate::inference::tensor::{NamedTensor, Tensor};
use crate::model::{DataType, TensorSpec};

/// A tensor as rten takes it.
pub(super) fn to_rten(input: &NamedTensor) -> Result<Value, EngineError> {
    let tensor = &input.value;
    let shape = (tensor.shape().iter())
        .map(|size| usize::try_from(*size))
        .collect::<Result<Vec<_>, _>>()
        .map_err(|_| EngineError::Model(format!("`{}` is too large", input.name)))?;
    let data = tensor.data();
    let value = match tensor.dtype() {
        DataType::F32 => dense(&shape, numbers(data, f32::from_le_bytes))?.into(),
        DataType::F16 => dense(
            &shape,
            numbers(data, |two| f16::from_le_bytes(two).to_f32()),
        )?
        .into(),
        DataType::Bf16 => dense(
            &shape,
            numbers(data, |two| bf16::from_le_bytes(two).to_f32()),
        )?
        .into(),
        DataType::F64 => {
            return Err(EngineError::Model(format!(
                "`{}` is f64, which needs ONNX Runtime",
                input.name
            )));
        }
        DataType::U8 => dense(&shape, data.to_vec())?.into(),
        DataType::I8 => dense(&shape, numbers(data, i8::from_le_bytes))?.into(),
        DataType::I32 => dense(&shape, numbers(data, i32::from_le_bytes))?.into(),
        DataType::I64 => {
            let narrow = |wide: i64| {
                i32::try_from(wide).map_err(|_| {
                    EngineError::Model(format!(
                        "{wide} in `{}` has more than 32 bits, with which rten computes: give \
                         smaller numbers, or use ONNX Runtime",
                        input.name
                    ))
                })
            };
            let (eights, _) = data.as_chunks();
            let narrowed = eights
                .iter()
                .map(|eight| narrow(i64::from_le_bytes(*eight)));
            dense(&shape, narrowed.collect::<Result<Vec<_>, _>>()?)?.into()
        }
        DataType::Bool => dense(&shape, data.iter().map(|byte| i32::from(*byte)).collect())?.into(),
    };
    Ok(value)
}

fn dense<T>(shape: &[usize], data: Vec<T>) -> Result<Dense<T>, EngineError> {
    Dense::try_from_data(shape, data).map_err(|error| EngineError::Model(error.to_string()))
}

fn numbers<const N: usize, T>(data: &[u8], read: impl Fn([u8; N]) -> T) -> Vec<T> {
    let (elements, _) = data.as_chunks::<N>();
    elements.iter().map(|bytes| read(*bytes)).collect()
}

/// A tensor as the model declares it.
pub(super) fn from_rten(value: Value, spec: &TensorSpec) -> Result<NamedTensor, EngineError> {
    let wrong = |value: &Value| {
        EngineError::Model(format!(
            "the output `{}` is {} in rten, and the model declares {:?}; try ONNX Runtime",
            spec.name,
            value.dtype(),
            spec.dtype
        ))
    };
    let shape: Vec<u64> = value.shape().iter().map(|size| *size as u64).collect();
    let data = match (spec.dtype, value) {
        (DataType::F32, Value::FloatTensor(t)) => bytes(&t, f32::to_le_bytes),
        (DataType::F16, Value::FloatTensor(t)) => bytes(&t, |x| f16::from_f32(x).to_le_bytes()),
        (DataType::Bf16, Value::FloatTensor(t)) => bytes(&t, |x| bf16::from_f32(x).to_le_bytes()),
        (DataType::I32, Value::Int32Tensor(t)) => bytes(&t, i32::to_le_bytes),
        (DataType::I64, Value::Int32Tensor(t)) => bytes(&t, |x| i64::from(x).to_le_bytes()),
        (DataType::Bool, Value::Int32Tensor(t)) => bytes(&t, |x| [u8::from(x != 0)]),
        (DataType::I8, Value::Int8Tensor(t)) => bytes(&t, i8::to_le_bytes),
        (DataType::U8, Value::UInt8Tensor(t)) => bytes(&t, |x| [x]),
        (_, other) => return Err(wrong(&other)),
    };
    let value = Tensor::new(spec.dtype, shape, data)
        .map_err(|error| EngineError::Model(format!("the output `{}`: {error}", spec.name)))?;
    Ok(NamedTensor {
        name: spec.name.clone(),
        value,
    })
}

fn bytes<T: Copy, const N: usize>(tensor: &Dense<T>, write: impl Fn(T) -> [u8; N]) -> Bytes {
    let mut bytes = Vec::with_capacity(tensor.len() * N);
    match tensor.data() {
        Some(elements) => elements
            .iter()
            .for_each(|x| bytes.extend_from_slice(&write(*x))),
        None => tensor
            .iter()
            .for_each(|x| bytes.extend_from_slice(&write(*x))),
    }
    bytes.into()
}
