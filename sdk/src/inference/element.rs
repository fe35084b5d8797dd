//! The numbers that tensors are made of.

use super::DataType;

/// A number that a tensor may have. `f16` and `bf16` are none of Rust's: a
/// [`Tensor`](super::Tensor) of them is made of its bytes.
pub trait Element: Copy + Sized + 'static {
    /// The type, as a model declares it.
    const DTYPE: DataType;

    /// Adds the bytes of these.
    #[doc(hidden)]
    fn put(all: &[Self], to: &mut Vec<u8>);

    /// Reads bytes.
    #[doc(hidden)]
    fn take(bytes: &[u8]) -> Vec<Self>;
}

macro_rules! element {
    ($($number:ty: $dtype:ident),*) => {
        $(impl Element for $number {
            const DTYPE: DataType = DataType::$dtype;

            fn put(all: &[Self], to: &mut Vec<u8>) {
                to.extend(all.iter().flat_map(|number| number.to_le_bytes()));
            }

            fn take(bytes: &[u8]) -> Vec<Self> {
                let (numbers, _) = bytes.as_chunks();
                numbers.iter().map(|number| <$number>::from_le_bytes(*number)).collect()
            }
        })*
    };
}

element!(f32: F32, f64: F64, u8: U8, i8: I8, i32: I32, i64: I64);

impl Element for bool {
    const DTYPE: DataType = DataType::Bool;

    fn put(all: &[Self], to: &mut Vec<u8>) {
        to.extend(all.iter().map(|yes| u8::from(*yes)));
    }

    fn take(bytes: &[u8]) -> Vec<Self> {
        bytes.iter().map(|byte| *byte != 0).collect()
    }
}
