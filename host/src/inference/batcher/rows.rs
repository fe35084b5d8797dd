//! Tensors put together, cut apart and padded along any axis. Along the outermost one, a cut
//! copies nothing.

use bytes::{Bytes, BytesMut};
use half::{bf16, f16};

use crate::inference::tensor::Tensor;
use crate::model::DataType;

/// How a tensor lies around an axis: so many times, so many bytes per step along the axis.
struct Around {
    size: usize,
    outer: usize,
    step: usize,
}

fn around(tensor: &Tensor, axis: usize) -> Option<Around> {
    let shape = tensor.shape();
    let size = usize::try_from(*shape.get(axis)?).ok()?;
    let product = |sizes: &[u64]| {
        let mut sizes = sizes.iter().map(|size| usize::try_from(*size).ok());
        sizes.try_fold(1, |all: usize, size| all.checked_mul(size?))
    };
    Some(Around {
        size,
        outer: product(shape.get(..axis)?)?,
        step: product(shape.get(axis + 1..)?)?.checked_mul(tensor.dtype().bytes())?,
    })
}

fn resized(tensor: &Tensor, axis: usize, size: usize, data: Bytes) -> Option<Tensor> {
    let mut shape = tensor.shape().to_vec();
    *shape.get_mut(axis)? = size as u64;
    Tensor::new(tensor.dtype(), shape, data).ok()
}

/// All of them, one after the other along an axis; none if they differ in anything else.
pub(super) fn concat(tensors: &[&Tensor], axis: usize) -> Option<Tensor> {
    let first = *tensors.first()?;
    let Around { outer, step, .. } = around(first, axis)?;
    let mut sizes = Vec::with_capacity(tensors.len());
    for tensor in tensors {
        let its = around(tensor, axis)?;
        if (its.outer, its.step, tensor.dtype()) != (outer, step, first.dtype()) {
            return None;
        }
        sizes.push(its.size);
    }
    let size = sizes.iter().sum::<usize>();
    let mut data = BytesMut::with_capacity(size.checked_mul(outer)?.checked_mul(step)?);
    for at in 0..outer {
        for (tensor, size) in tensors.iter().zip(&sizes) {
            let length = size * step;
            data.extend_from_slice(tensor.data().get(at * length..(at + 1) * length)?);
        }
    }
    resized(first, axis, size, data.freeze())
}

/// `size` steps along an axis, from `start` on; none if there are not so many.
pub(super) fn cut(tensor: &Tensor, axis: usize, start: usize, size: usize) -> Option<Tensor> {
    let all = around(tensor, axis)?;
    if start.checked_add(size)? > all.size {
        return None;
    }
    if size == all.size {
        return Some(tensor.clone());
    }
    let part = |at: usize| {
        let begin = (at * all.size + start) * all.step;
        begin..begin + size * all.step
    };
    let data = if all.outer == 1 {
        tensor.data().slice(part(0))
    } else {
        let mut data = BytesMut::with_capacity(all.outer * size * all.step);
        for at in 0..all.outer {
            data.extend_from_slice(tensor.data().get(part(at))?);
        }
        data.freeze()
    };
    resized(tensor, axis, size, data)
}

/// Grown along an axis to `size` steps, by elements of `value`; none if it is longer already.
pub(super) fn pad(tensor: &Tensor, axis: usize, size: usize, value: f64) -> Option<Tensor> {
    let all = around(tensor, axis)?;
    let more = size.checked_sub(all.size)?;
    if more == 0 {
        return Some(tensor.clone());
    }
    let element = element(tensor.dtype(), value);
    let surplus = element.repeat(more * all.step / element.len());
    let length = all.size * all.step;
    let mut data = BytesMut::with_capacity(all.outer.checked_mul(length + surplus.len())?);
    for at in 0..all.outer {
        data.extend_from_slice(tensor.data().get(at * length..(at + 1) * length)?);
        data.extend_from_slice(&surplus);
    }
    resized(tensor, axis, size, data.freeze())
}

/// The bytes of one element: of the whole numbers, the nearest to `value`.
fn element(dtype: DataType, value: f64) -> Vec<u8> {
    match dtype {
        DataType::F32 => (value as f32).to_le_bytes().to_vec(),
        DataType::F16 => f16::from_f64(value).to_le_bytes().to_vec(),
        DataType::Bf16 => bf16::from_f64(value).to_le_bytes().to_vec(),
        DataType::F64 => value.to_le_bytes().to_vec(),
        DataType::U8 => vec![value as u8],
        DataType::I8 => (value as i8).to_le_bytes().to_vec(),
        DataType::I32 => (value as i32).to_le_bytes().to_vec(),
        DataType::I64 => (value as i64).to_le_bytes().to_vec(),
        DataType::Bool => vec![u8::from(value != 0.0)],
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bytes(shape: &[u64], data: &[u8]) -> Tensor {
        Tensor::new(DataType::U8, shape.to_vec(), Bytes::copy_from_slice(data)).unwrap()
    }

    #[test]
    fn what_was_put_together_is_cut_apart_along_any_axis() {
        let a = bytes(&[2, 1, 2], &[1, 2, 3, 4]);
        let b = bytes(&[2, 2, 2], &[11, 12, 13, 14, 15, 16, 17, 18]);
        let both = concat(&[&a, &b], 1).unwrap();
        assert_eq!(both.shape(), [2, 3, 2]);
        assert_eq!(
            both.data()[..],
            [1, 2, 11, 12, 13, 14, 3, 4, 15, 16, 17, 18]
        );
        assert_eq!(cut(&both, 1, 0, 1).unwrap(), a);
        assert_eq!(cut(&both, 1, 1, 2).unwrap(), b);

        let twice = concat(&[&a, &a], 0).unwrap();
        let second = cut(&twice, 0, 2, 2).unwrap();
        assert_eq!(second, a);
        let copied_from = twice.data().as_ptr_range();
        assert!(
            copied_from.contains(&second.data().as_ptr()),
            "it was copied"
        );
        assert_eq!(
            concat(&[&a, &a], 2).unwrap().data()[..],
            [1, 2, 1, 2, 3, 4, 3, 4]
        );
    }

    #[test]
    fn what_does_not_fit_is_refused() {
        let a = bytes(&[2, 2], &[1, 2, 3, 4]);
        assert_eq!(concat(&[&a, &bytes(&[1, 4], &[0; 4])], 0), None);
        let other = Tensor::new(DataType::I8, vec![2, 2], Bytes::from_static(&[0; 4]));
        assert_eq!(concat(&[&a, &other.unwrap()], 0), None);
        assert_eq!(concat(&[&a, &a], 2), None);
        assert_eq!(concat(&[], 0), None);
        assert_eq!(cut(&a, 0, 1, 2), None);
        assert_eq!(cut(&a, 0, 1, usize::MAX), None);
        assert_eq!(cut(&a, 2, 0, 1), None);
        assert_eq!(pad(&a, 1, 1, 0.0), None);
    }

    #[test]
    fn padding_is_of_the_tensors_own_type() {
        let a = bytes(&[2, 1], &[1, 2]);
        assert_eq!(pad(&a, 1, 3, 7.0).unwrap().data()[..], [1, 7, 7, 2, 7, 7]);
        assert_eq!(pad(&a, 0, 3, 7.0).unwrap().data()[..], [1, 2, 7]);
        let int = Tensor::new(DataType::I64, vec![0], Bytes::new()).unwrap();
        assert_eq!(
            pad(&int, 0, 1, -2.0).unwrap().data()[..],
            (-2_i64).to_le_bytes()
        );
        let half = Tensor::new(DataType::F16, vec![0], Bytes::new()).unwrap();
        assert_eq!(pad(&half, 0, 1, 1.0).unwrap().data()[..], [0x00, 0x3c]);
        let upper = Tensor::new(DataType::Bf16, vec![0], Bytes::new()).unwrap();
        assert_eq!(pad(&upper, 0, 1, 1.0).unwrap().data()[..], [0x80, 0x3f]);
    }
}
