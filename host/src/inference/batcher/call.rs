//! One call that waits, and what it must have in common with others to share their batch.

use std::time::Instant;

use sha2::{Digest as _, Sha256};
use tokio::sync::oneshot;

use super::bounds::Place;
use super::{BatchPlan, Inferred};
use crate::inference::InferError;
use crate::inference::tensor::NamedTensor;

/// A call that waits or runs.
#[derive(Debug)]
pub(super) struct Call {
    pub(super) inputs: Vec<NamedTensor>,
    pub(super) size: Size,
    pub(super) since: Instant,
    /// What the engine has run for it already, in µs.
    pub(super) engine_us: u64,
    pub(super) answer: oneshot::Sender<Result<Inferred, InferError>>,
    /// Until the call is over.
    pub(super) _place: Place,
}

impl Call {
    /// Whoever made it has gone.
    pub(super) fn is_dropped(&self) -> bool {
        self.answer.is_closed()
    }
}

/// How much a call puts into a batch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Size {
    pub(super) rows: u32,
    /// The length of its rows, where the model's rows may be padded.
    pub(super) length: Option<u64>,
}

impl Size {
    /// Of a call that shares no batch.
    pub(super) const ALONE: Self = Self {
        rows: 1,
        length: None,
    };
}

/// Calls of one key share batches.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct Key {
    /// Types and shapes, but for the rows; lengths that may be padded are rounded up to a power
    /// of two, so that no row more than doubles.
    dims: Vec<u64>,
    /// Of the inputs that are the same for all rows.
    fixed: Option<[u8; 32]>,
}

/// The key of a call and what it puts into a batch; none for one that runs alone: its model's
/// calls always do, or its inputs are not of so many rows each.
pub(super) fn share(plan: &BatchPlan, inputs: &[NamedTensor]) -> Option<(Key, Size)> {
    let layout = plan.layout.as_ref()?;
    if layout.inputs.len() != inputs.len() {
        return None;
    }
    let (mut rows, mut length) = (None, None);
    let mut dims = Vec::with_capacity(inputs.len() * 4);
    let mut fixed: Option<Sha256> = None;
    for (input, axis) in inputs.iter().zip(&layout.inputs) {
        let shape = input.value.shape();
        dims.extend([input.value.dtype() as u64, shape.len() as u64]);
        let Some(axis) = *axis else {
            fixed.get_or_insert_default().update(input.value.data());
            dims.extend(shape);
            continue;
        };
        let its_rows = *shape.get(axis)?;
        if *rows.get_or_insert(its_rows) != its_rows {
            return None;
        }
        let padded = plan.pad.get(&input.name).map(|pad| pad.axis);
        if let Some(padded) = padded.filter(|padded| *padded != axis) {
            let its_length = *shape.get(padded)?;
            if *length.get_or_insert(its_length) != its_length {
                return None;
            }
        }
        for (at, size) in shape.iter().enumerate() {
            dims.push(match at {
                _ if at == axis => 0,
                _ if padded == Some(at) => size.checked_next_power_of_two()?,
                _ => *size,
            });
        }
    }
    let rows = u32::try_from(rows?).ok().filter(|rows| *rows > 0)?;
    if length == Some(0) {
        return None;
    }
    let fixed = fixed.map(|fixed| fixed.finalize().into());
    Some((Key { dims, fixed }, Size { rows, length }))
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::*;
    use crate::inference::tensor::Tensor;
    use crate::model::{BatchLayout, DataType, Pad};

    fn input(name: &str, shape: &[u64], fill: u8) -> NamedTensor {
        let bytes = vec![fill; shape.iter().product::<u64>() as usize];
        NamedTensor {
            name: name.into(),
            value: Tensor::new(DataType::U8, shape.to_vec(), Bytes::from(bytes)).unwrap(),
        }
    }

    /// As silero's: rows on axis 0, of the state on axis 1, and a rate that is of all rows.
    fn plan() -> BatchPlan {
        BatchPlan {
            layout: Some(BatchLayout {
                inputs: vec![Some(0), Some(1), None],
                outputs: vec![Some(0)],
            }),
            ..BatchPlan::default()
        }
    }

    fn call(rows: u64, width: u64, rate: u8) -> Vec<NamedTensor> {
        vec![
            input("x", &[rows, width], 1),
            input("state", &[2, rows, 3], 2),
            input("sr", &[1], rate),
        ]
    }

    #[test]
    fn calls_that_differ_in_rows_alone_share_a_batch() {
        let of = |rows, width, rate| share(&plan(), &call(rows, width, rate)).unwrap();
        let (key, size) = of(2, 4, 16);
        assert_eq!((size.rows, size.length), (2, None));
        assert_eq!(of(5, 4, 16).0, key);
        assert_ne!(of(2, 5, 16).0, key, "another width");
        assert_ne!(of(2, 4, 8).0, key, "another rate");
    }

    #[test]
    fn a_call_whose_inputs_disagree_runs_alone() {
        let mut torn = call(2, 4, 16);
        torn[1] = input("state", &[2, 1, 3], 2);
        assert_eq!(share(&plan(), &torn), None);
        assert_eq!(share(&plan(), &call(0, 4, 16)), None, "it has no rows");
        assert_eq!(share(&plan(), &call(1, 4, 16)[..2]), None);
        assert_eq!(share(&BatchPlan::default(), &call(1, 4, 16)), None);
    }

    #[test]
    fn lengths_that_may_be_padded_share_a_batch_up_to_twice_the_shortest() {
        let mut plan = plan();
        let pad = Pad {
            axis: 1,
            value: 0.0,
        };
        plan.pad.insert("x".into(), pad);
        let of = |width| share(&plan, &call(1, width, 16)).unwrap();
        assert_eq!(of(5).1.length, Some(5));
        assert_eq!(of(5).0, of(8).0);
        assert_ne!(of(4).0, of(5).0);
        assert_eq!(share(&plan, &call(1, 0, 16)), None);
    }
}
