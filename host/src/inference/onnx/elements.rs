//! The elements of small tensors, which tell others their sizes: axes, shapes, pads, repeats.

use super::Constant;
use super::wire::{Field, Value};

/// The most elements that are read: a shape of 8 dimensions has 8, and what shapes are made of a
/// few times that.
pub(in crate::inference) const MAX_ELEMENTS: usize = 64;

impl<'m> Constant<'m> {
    /// Keeps a field of its elements, if it is among the first.
    pub(super) fn keep(&mut self, field: Field<'m>) {
        if self.fields.len() <= MAX_ELEMENTS {
            self.fields.push(field);
        }
    }

    /// Its elements; none if they are many, or of a type that says no sizes.
    pub(in crate::inference) fn few(&self) -> Option<Vec<f64>> {
        let count = (self.dims.iter()).try_fold(1_u64, |product, size| {
            product.checked_mul(u64::try_from(*size).ok()?)
        })?;
        let count = usize::try_from(count).ok()?;
        if count > MAX_ELEMENTS {
            return None;
        }
        let elements = match self.raw {
            Some(_) => self.in_bytes()?,
            None => self.in_fields()?,
        };
        (elements.len() == count).then_some(elements)
    }

    fn in_bytes(&self) -> Option<Vec<f64>> {
        let fours = || self.bytes.as_chunks::<4>().0.iter();
        let eights = || self.bytes.as_chunks::<8>().0.iter();
        Some(match self.dtype {
            1 => fours().map(|one| f32::from_le_bytes(*one).into()).collect(),
            6 => fours().map(|one| i32::from_le_bytes(*one).into()).collect(),
            7 => (eights().map(|one| whole(i64::from_le_bytes(*one)))).collect(),
            9 => self.bytes.iter().map(|one| f64::from(*one)).collect(),
            _ => return None,
        })
    }

    fn in_fields(&self) -> Option<Vec<f64>> {
        let mut elements = Vec::new();
        for field in &self.fields {
            match (self.dtype, field.number) {
                (1, 4) => match field.value {
                    Value::Bytes(bytes) | Value::Four(bytes) => {
                        let (fours, _) = bytes.as_chunks::<4>();
                        elements
                            .extend(fours.iter().map(|one| f64::from(f32::from_le_bytes(*one))));
                    }
                    _ => return None,
                },
                (6 | 9, 5) | (7, 7) => {
                    let numbers = field.numbers().ok()?.into_iter();
                    elements.extend(numbers.map(|one| whole(one.cast_signed())));
                }
                _ => return None,
            }
        }
        Some(elements)
    }
}

/// Beyond what a real number tells apart, sizes are refused in any case.
#[expect(clippy::cast_precision_loss, reason = "those are not computed with")]
fn whole(number: i64) -> f64 {
    number as f64
}
