//! Tensors and what is said of models, from the guest's types and to them. The bytes of a
//! tensor are copied once each way, between the guest's memory and the host's.

use bytes::Bytes;

use crate::inference::{self, Described, MAX_CALL_BYTES, MAX_INPUTS, MAX_TENSOR_BYTES};
use crate::model;
use crate::sandbox::bindings::inference::{
    DataType, InferError, ModelInfo, NamedTensor, Tensor, TensorSpec,
};

/// The longest name that an error repeats, in bytes. One call may bring names of 80 MiB.
const MAX_NAME_BYTES: usize = 64;

/// What a guest gave, if it is tensors within the bounds of a call.
pub(super) fn inputs(given: Vec<NamedTensor>) -> Result<Vec<inference::NamedTensor>, InferError> {
    if given.len() > MAX_INPUTS {
        return Err(InferError::TooLarge(format!(
            "a call may have {MAX_INPUTS} inputs, not {}",
            given.len()
        )));
    }
    let bytes: usize = given.iter().map(|input| input.value.data.len()).sum();
    if bytes > MAX_CALL_BYTES {
        return Err(InferError::TooLarge(format!(
            "the inputs of a call may have {MAX_CALL_BYTES} bytes together, not {bytes}; make several calls, of fewer rows each"
        )));
    }
    given.into_iter().map(input).collect()
}

fn input(given: NamedTensor) -> Result<inference::NamedTensor, InferError> {
    let NamedTensor { name, value } = given;
    if name.len() > MAX_NAME_BYTES {
        return Err(InferError::InvalidInput(format!(
            "no model has an input whose name has {} bytes",
            name.len()
        )));
    }
    let Tensor { dtype, shape, data } = value;
    if data.len() > MAX_TENSOR_BYTES {
        return Err(InferError::TooLarge(format!(
            "a tensor may have {MAX_TENSOR_BYTES} bytes, and {name:?} has {}; make several calls, of fewer rows each",
            data.len()
        )));
    }
    let value = inference::Tensor::new(dtype_in(dtype), shape, Bytes::from(data))
        .map_err(|error| InferError::InvalidInput(format!("{name:?}: {error}")))?;
    Ok(inference::NamedTensor { name, value })
}

/// What a model gave.
pub(super) fn outputs(given: Vec<inference::NamedTensor>) -> Vec<NamedTensor> {
    let output = |output: inference::NamedTensor| {
        let inference::NamedTensor { name, value } = output;
        let (dtype, shape, data) = value.into_parts();
        NamedTensor {
            name,
            value: Tensor {
                dtype: dtype_out(dtype),
                shape,
                data: data.into(),
            },
        }
    };
    given.into_iter().map(output).collect()
}

/// What is said of a model.
pub(super) fn info(described: Described) -> ModelInfo {
    let Described { model, device } = described;
    let specs = |specs: &[model::TensorSpec]| specs.iter().map(spec).collect();
    ModelInfo {
        name: model.name.to_string(),
        digest: model.digest.to_string(),
        device,
        inputs: specs(&model.findings.signature.inputs),
        outputs: specs(&model.findings.signature.outputs),
    }
}

fn spec(spec: &model::TensorSpec) -> TensorSpec {
    TensorSpec {
        name: spec.name.clone(),
        dtype: dtype_out(spec.dtype),
        shape: spec.shape.clone(),
    }
}

fn dtype_in(dtype: DataType) -> model::DataType {
    match dtype {
        DataType::F32 => model::DataType::F32,
        DataType::F16 => model::DataType::F16,
        DataType::Bf16 => model::DataType::Bf16,
        DataType::F64 => model::DataType::F64,
        DataType::U8 => model::DataType::U8,
        DataType::I8 => model::DataType::I8,
        DataType::I32 => model::DataType::I32,
        DataType::I64 => model::DataType::I64,
        DataType::Bool => model::DataType::Bool,
    }
}

fn dtype_out(dtype: model::DataType) -> DataType {
    match dtype {
        model::DataType::F32 => DataType::F32,
        model::DataType::F16 => DataType::F16,
        model::DataType::Bf16 => DataType::Bf16,
        model::DataType::F64 => DataType::F64,
        model::DataType::U8 => DataType::U8,
        model::DataType::I8 => DataType::I8,
        model::DataType::I32 => DataType::I32,
        model::DataType::I64 => DataType::I64,
        model::DataType::Bool => DataType::Bool,
    }
}
