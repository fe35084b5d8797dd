//! What a model takes and gives, as its file declares it.

use super::{Model, Variable};
use crate::inference::tensor::MAX_RANK;
use crate::job::printable;
use crate::model::{DataType, Signature, TensorSpec};

/// The most inputs, and the most outputs: what a call may bring, and as many as real models have
/// whose states come and go with each call.
const MAX_TENSORS: usize = 16;

/// The most bytes of a tensor's name: longer ones are generated, and nobody types them.
const MAX_NAME_BYTES: usize = 256;

/// Reads the signature; why there is none is said to whoever uploaded the model.
pub(in crate::inference) fn signature(model: &Model<'_>) -> Result<Signature, String> {
    let graph = (model.graph.as_ref()).ok_or("the ONNX file has no graph; export it again")?;
    // Old exporters list the weights among the inputs.
    let fed = (graph.inputs.iter())
        .filter(|input| !(graph.constants.iter()).any(|constant| constant.name == input.name));
    let signature = Signature {
        inputs: fed
            .map(|input| spec("input", input))
            .collect::<Result<_, _>>()?,
        outputs: (graph.outputs.iter())
            .map(|output| spec("output", output))
            .collect::<Result<_, _>>()?,
    };
    for (what, tensors) in [
        ("inputs", &signature.inputs),
        ("outputs", &signature.outputs),
    ] {
        if tensors.is_empty() || tensors.len() > MAX_TENSORS {
            return Err(format!(
                "the model has {} {what}, and from 1 to {MAX_TENSORS} are allowed",
                tensors.len()
            ));
        }
        for (at, tensor) in tensors.iter().enumerate() {
            if tensors
                .iter()
                .skip(at + 1)
                .any(|other| other.name == tensor.name)
            {
                return Err(format!("two {what} are called {}", show(&tensor.name)));
            }
        }
    }
    Ok(signature)
}

fn spec(what: &str, variable: &Variable<'_>) -> Result<TensorSpec, String> {
    let name = variable.name;
    let shown = show(name);
    if name.is_empty() || name.len() > MAX_NAME_BYTES || name.chars().any(char::is_control) {
        return Err(format!(
            "the {what} {shown} has a name that cannot be written; use 1 to {MAX_NAME_BYTES} bytes \
             without control characters"
        ));
    }
    let tensor = variable.tensor.as_ref().ok_or_else(|| {
        format!(
            "the {what} {shown} is no tensor; of scikit-learn models leave out `ZipMap` \
             (`options={{\"zipmap\": False}}`)"
        )
    })?;
    let dtype = data_type(tensor.dtype).ok_or_else(|| {
        format!(
            "the {what} {shown} has the type {}, which jobs cannot give or take; use one of f32, \
             f16, bf16, f64, u8, i8, i32, i64, bool",
            type_name(tensor.dtype)
        )
    })?;
    let shape = tensor.shape.as_ref().ok_or_else(|| {
        format!(
            "the {what} {shown} has no shape; export the model with shapes (sizes may be names)"
        )
    })?;
    if shape.len() > MAX_RANK {
        return Err(format!(
            "the {what} {shown} has {} dimensions, and {MAX_RANK} are allowed",
            shape.len()
        ));
    }
    let shape = shape.iter().map(|dimension| {
        // Some exporters write -1 or 0 for any size.
        dimension
            .size
            .and_then(|size| u64::try_from(size).ok())
            .filter(|size| *size > 0)
    });
    Ok(TensorSpec {
        name: name.to_owned(),
        dtype,
        shape: shape.collect(),
    })
}

fn show(name: &str) -> String {
    let cut = name.floor_char_boundary(64);
    format!(
        "`{}`",
        printable(name.get(..cut).unwrap_or_default(), |_| false)
    )
}

/// Our type of ONNX's.
fn data_type(onnx: u64) -> Option<DataType> {
    Some(match onnx {
        1 => DataType::F32,
        2 => DataType::U8,
        3 => DataType::I8,
        6 => DataType::I32,
        7 => DataType::I64,
        9 => DataType::Bool,
        10 => DataType::F16,
        11 => DataType::F64,
        16 => DataType::Bf16,
        _ => return None,
    })
}

/// What ONNX calls a type.
fn type_name(onnx: u64) -> String {
    let name = match onnx {
        4 => "uint16",
        5 => "int16",
        8 => "string",
        12 => "uint32",
        13 => "uint64",
        14 => "complex64",
        15 => "complex128",
        other => return format!("number {other}"),
    };
    name.to_owned()
}
