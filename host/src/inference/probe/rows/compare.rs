//! Rows put together, taken apart and compared.

use bytes::Bytes;
use half::{bf16, f16};

use crate::inference::tensor::{NamedTensor, Tensor};
use crate::model::DataType;

/// By how much a row may differ in a batch, absolutely or by its size: other orders of adding give
/// some 1e-6 in `f32`, and rows that see each other give more than a hundredth.
const TOLERANCE: f64 = 1e-4;

/// The same for 16 bits, whose own steps are larger than that.
const TOLERANCE_16: f64 = 1e-2;

/// How many bytes lie together: an axis and all within it.
fn stride(tensor: &Tensor, axis: usize) -> Result<usize, String> {
    let inner = tensor.shape().get(axis..).ok_or("no such axis")?;
    let bytes = inner.iter().product::<u64>() * tensor.dtype().bytes() as u64;
    usize::try_from(bytes).map_err(|error| error.to_string())
}

/// Tensors joined along an axis.
pub(super) fn concat(parts: &[&NamedTensor], axis: usize) -> Result<NamedTensor, String> {
    let first = parts.first().ok_or("no rows")?;
    let mut shape = first.value.shape().to_vec();
    let size = shape.get_mut(axis).ok_or("no such axis")?;
    *size *= parts.len() as u64;
    let mut chunks = Vec::new();
    for part in parts {
        let stride = stride(&part.value, axis)?;
        chunks.push(part.value.data().chunks(stride.max(1)));
    }
    let mut data = Vec::new();
    'all: loop {
        for chunk in &mut chunks {
            match chunk.next() {
                Some(bytes) => data.extend_from_slice(bytes),
                None => break 'all,
            }
        }
    }
    let value = Tensor::new(first.value.dtype(), shape, data.into()).map_err(|e| e.to_string())?;
    Ok(NamedTensor {
        name: first.name.clone(),
        value,
    })
}

/// One row along an axis.
pub(super) fn row(tensor: &Tensor, axis: usize, n: u64) -> Result<Tensor, String> {
    let mut shape = tensor.shape().to_vec();
    let size = shape.get_mut(axis).ok_or("no such axis")?;
    let rows = std::mem::replace(size, 1);
    let whole = stride(tensor, axis)?;
    let one = whole / usize::try_from(rows.max(1)).map_err(|error| error.to_string())?;
    let at = one * usize::try_from(n).map_err(|error| error.to_string())?;
    let mut data = Vec::new();
    for outer in tensor.data().chunks(whole.max(1)) {
        data.extend_from_slice(outer.get(at..at + one).ok_or("no such row")?);
    }
    Tensor::new(tensor.dtype(), shape, Bytes::from(data)).map_err(|error| error.to_string())
}

/// By how much two tensors differ, if it is more than may be.
pub(super) fn differ(one: &Tensor, other: &Tensor) -> Option<f64> {
    if one.shape() != other.shape() {
        return Some(f64::INFINITY);
    }
    let tolerance = match one.dtype() {
        DataType::F16 | DataType::Bf16 => TOLERANCE_16,
        _ => TOLERANCE,
    };
    let differences = numbers(one).into_iter().zip(numbers(other)).map(|(a, b)| {
        let same = a == b || (a.is_nan() && b.is_nan());
        let difference = (a - b).abs() / a.abs().max(b.abs()).max(1.0);
        match same {
            true => 0.0,
            // Of which one is infinite, or none.
            false if difference.is_nan() => f64::INFINITY,
            false => difference,
        }
    });
    differences.fold(None, |most: Option<f64>, difference| {
        let more = difference > tolerance && most.is_none_or(|most| difference > most);
        if more { Some(difference) } else { most }
    })
}

/// The elements; those of 64 bits lose what is beyond 53, far above any tolerance.
pub(super) fn numbers(tensor: &Tensor) -> Vec<f64> {
    let data = tensor.data();
    match tensor.dtype() {
        DataType::F32 => read(data, |x| f32::from_le_bytes(x).into()),
        DataType::F16 => read(data, |x| f16::from_le_bytes(x).to_f64()),
        DataType::Bf16 => read(data, |x| bf16::from_le_bytes(x).to_f64()),
        DataType::F64 => read(data, f64::from_le_bytes),
        DataType::U8 | DataType::Bool => data.iter().map(|x| f64::from(*x)).collect(),
        DataType::I8 => read(data, |x| i8::from_le_bytes(x).into()),
        DataType::I32 => read(data, |x| i32::from_le_bytes(x).into()),
        DataType::I64 => read(data, |x| i64::from_le_bytes(x) as f64),
    }
}

fn read<const N: usize>(data: &[u8], number: impl Fn([u8; N]) -> f64) -> Vec<f64> {
    let (elements, _) = data.as_chunks::<N>();
    elements.iter().map(|bytes| number(*bytes)).collect()
}
