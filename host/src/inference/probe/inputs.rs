//! Inputs that a model may take: of its types, with sizes that are tried for those it leaves open.

use bytes::Bytes;
use half::{bf16, f16};

use crate::inference::tensor::{NamedTensor, Tensor};
use crate::model::{DataType, Signature, TensorSpec};

/// What is tried for the sizes that a model leaves open, but for that of the batch: small ones
/// first, then those of models whose layers halve what they get, images and windows of sound.
const SIZES: [u64; 7] = [8, 16, 64, 1, 224, 256, 576];

/// What is tried for whole numbers, at most: the indices of a small table and of a tiny one. They
/// begin at 1, since most things may be divided by it.
const WHOLE: [i64; 2] = [16, 1];

/// What is given for a whole number that all rows share: most often it is a rate of sound.
const SHARED: i64 = 16_000;

/// The most bytes of an input in a try: beyond it nothing new is learned.
const MAX_BYTES: u64 = 64 << 20;

/// What is tried.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::inference) struct Trial {
    size: u64,
    whole: i64,
    shared: i64,
}

impl Trial {
    /// All trials, the likeliest first.
    pub(in crate::inference) fn all(signature: &Signature) -> impl Iterator<Item = Self> {
        let open = signature
            .inputs
            .iter()
            .any(|input| input.shape.contains(&None));
        let sizes = if open { &SIZES[..] } else { &SIZES[..1] };
        (sizes.iter()).flat_map(|size| {
            WHOLE.iter().flat_map(|whole| {
                [SHARED, 1].map(|shared| Self {
                    size: *size,
                    whole: *whole,
                    shared,
                })
            })
        })
    }

    /// An input with so many rows along its batch axis.
    pub(in crate::inference) fn input(
        self,
        spec: &TensorSpec,
        axis: Option<usize>,
        rows: u64,
        random: &mut fastrand::Rng,
    ) -> Result<NamedTensor, String> {
        let shape: Vec<u64> = (spec.shape.iter().enumerate())
            .map(|(at, size)| {
                if Some(at) == axis {
                    rows
                } else {
                    size.unwrap_or(self.size)
                }
            })
            .collect();
        let elements = shape
            .iter()
            .try_fold(1_u64, |product, size| product.checked_mul(*size));
        let elements = elements
            .filter(|elements| elements.saturating_mul(spec.dtype.bytes() as u64) <= MAX_BYTES)
            .ok_or_else(|| format!("`{}` is too large to try", spec.name))?;
        let shared = axis.is_none() && elements == 1;
        let mut data = Vec::new();
        for _ in 0..elements {
            self.element(spec.dtype, shared, random, &mut data);
        }
        let value = Tensor::new(spec.dtype, shape, Bytes::from(data)).map_err(|e| e.to_string())?;
        Ok(NamedTensor {
            name: spec.name.clone(),
            value,
        })
    }

    fn element(self, dtype: DataType, shared: bool, random: &mut fastrand::Rng, to: &mut Vec<u8>) {
        let whole = match (shared, dtype) {
            (true, DataType::I32 | DataType::I64) => self.shared,
            _ => random.i64(1..=self.whole),
        };
        let real = random.f32() * 2.0 - 1.0;
        match dtype {
            DataType::F32 => to.extend(real.to_le_bytes()),
            DataType::F16 => to.extend(f16::from_f32(real).to_le_bytes()),
            DataType::Bf16 => to.extend(bf16::from_f32(real).to_le_bytes()),
            DataType::F64 => to.extend(f64::from(real).to_le_bytes()),
            DataType::U8 | DataType::I8 => to.push(u8::try_from(whole).unwrap_or(1)),
            DataType::I32 => to.extend(i32::try_from(whole).unwrap_or(1).to_le_bytes()),
            DataType::I64 => to.extend(whole.to_le_bytes()),
            DataType::Bool => to.push(u8::from(random.bool())),
        }
    }
}
