//! What can be given as an input.

use super::{DataType, Element, Tensor};
use crate::Error;

/// What can be given to [`Infer::input`](super::Infer::input): numbers, and lists of them of
/// any depth.
pub trait ToTensor {
    /// The type of its elements.
    #[doc(hidden)]
    const DTYPE: DataType;

    /// Adds its dimensions; of a list, those of its first part.
    #[doc(hidden)]
    fn dimensions(&self, to: &mut Vec<u64>);

    /// Adds its elements; answers whether it has these dimensions.
    #[doc(hidden)]
    fn write(&self, dimensions: &[u64], to: &mut Vec<u8>) -> bool;

    /// As [`write`](Self::write), of many.
    #[doc(hidden)]
    fn write_all(all: &[Self], dimensions: &[u64], to: &mut Vec<u8>) -> bool
    where
        Self: Sized,
    {
        all.iter().all(|one| one.write(dimensions, to))
    }

    /// A tensor of it.
    ///
    /// # Errors
    ///
    /// When inner lists differ in length.
    fn to_tensor(&self) -> Result<Tensor, Error> {
        let mut shape = Vec::new();
        self.dimensions(&mut shape);
        let mut data = Vec::new();
        match self.write(&shape, &mut data) {
            true => Ok(Tensor {
                dtype: Self::DTYPE,
                shape,
                data,
            }),
            false => Err(Error::InvalidArgument(format!(
                "its lists differ in length; the first of them make the shape {shape:?}"
            ))),
        }
    }
}

macro_rules! number {
    ($($number:ty),*) => {
        $(impl ToTensor for $number {
            const DTYPE: DataType = <$number as Element>::DTYPE;

            fn dimensions(&self, _to: &mut Vec<u64>) {}

            fn write(&self, dimensions: &[u64], to: &mut Vec<u8>) -> bool {
                Self::write_all(&[*self], dimensions, to)
            }

            fn write_all(all: &[Self], dimensions: &[u64], to: &mut Vec<u8>) -> bool {
                Self::put(all, to);
                dimensions.is_empty()
            }
        })*
    };
}

number!(f32, f64, u8, i8, i32, i64, bool);

impl<T: ToTensor> ToTensor for [T] {
    const DTYPE: DataType = T::DTYPE;

    fn dimensions(&self, to: &mut Vec<u64>) {
        to.push(self.len() as u64);
        if let Some(first) = self.first() {
            first.dimensions(to);
        }
    }

    fn write(&self, dimensions: &[u64], to: &mut Vec<u8>) -> bool {
        match dimensions.split_first() {
            Some((length, inner)) if *length == self.len() as u64 => T::write_all(self, inner, to),
            _ => false,
        }
    }
}

impl<T: ToTensor + ?Sized> ToTensor for &T {
    const DTYPE: DataType = T::DTYPE;

    fn dimensions(&self, to: &mut Vec<u64>) {
        (**self).dimensions(to);
    }

    fn write(&self, dimensions: &[u64], to: &mut Vec<u8>) -> bool {
        (**self).write(dimensions, to)
    }
}

macro_rules! as_slice {
    ($([$($of:tt)*] $list:ty),*) => {
        $(impl<$($of)*> ToTensor for $list {
            const DTYPE: DataType = T::DTYPE;

            fn dimensions(&self, to: &mut Vec<u64>) {
                self[..].dimensions(to);
            }

            fn write(&self, dimensions: &[u64], to: &mut Vec<u8>) -> bool {
                self[..].write(dimensions, to)
            }
        })*
    };
}

as_slice!([T: ToTensor, const N: usize] [T; N], [T: ToTensor] Vec<T>);

#[cfg(feature = "ndarray")]
impl<T, S, D> ToTensor for ndarray::ArrayBase<S, D>
where
    T: Element,
    S: ndarray::Data<Elem = T>,
    D: ndarray::Dimension,
{
    const DTYPE: DataType = T::DTYPE;

    fn dimensions(&self, to: &mut Vec<u64>) {
        to.extend(self.shape().iter().map(|size| *size as u64));
    }

    fn write(&self, dimensions: &[u64], to: &mut Vec<u8>) -> bool {
        match self.as_slice() {
            Some(elements) => T::put(elements, to),
            // It lies in memory in another order.
            None => self.iter().for_each(|element| T::put(&[*element], to)),
        }
        let mut own = Vec::new();
        self.dimensions(&mut own);
        own == dimensions
    }
}
