//! Calls of one key made one batch, and its outputs made theirs again.

use super::call::Call;
use super::{BatchPlan, rows};
use crate::inference::tensor::{NamedTensor, Tensor};

/// The inputs of all of them as those of one batch; none if they cannot be.
pub(super) fn join(plan: &BatchPlan, calls: &[Call]) -> Option<Vec<NamedTensor>> {
    let layout = plan.layout.as_ref()?;
    let first = calls.first()?;
    let length = longest(calls);
    let inputs = first.inputs.iter().zip(&layout.inputs).enumerate();
    let joined = inputs.map(|(at, (input, axis))| {
        let Some(axis) = *axis else {
            return Some(input.clone());
        };
        let pad = plan.pad.get(&input.name).filter(|pad| pad.axis != axis);
        let tensors = calls.iter().map(|call| Some(&call.inputs.get(at)?.value));
        let tensors = tensors.collect::<Option<Vec<_>>>()?;
        let value = match (pad, length) {
            (Some(pad), Some(length)) => {
                let length = usize::try_from(length).ok()?;
                let padded = |tensor| rows::pad(tensor, pad.axis, length, pad.value);
                let padded = tensors.into_iter().map(padded);
                let padded = padded.collect::<Option<Vec<Tensor>>>()?;
                rows::concat(&padded.iter().collect::<Vec<_>>(), axis)?
            }
            _ => rows::concat(&tensors, axis)?,
        };
        let name = input.name.clone();
        Some(NamedTensor { name, value })
    });
    joined.collect()
}

/// What each of them gets of the batch's outputs; none if these are not of so many rows.
pub(super) fn split(
    plan: &BatchPlan,
    calls: &[Call],
    outputs: &[NamedTensor],
) -> Option<Vec<Vec<NamedTensor>>> {
    let layout = plan.layout.as_ref()?;
    let all: u64 = calls.iter().map(|call| u64::from(call.size.rows)).sum();
    let length = longest(calls);
    if layout.outputs.len() != outputs.len() {
        return None;
    }
    let mut start = 0;
    let each = calls.iter().map(|call| {
        let size = call.size.rows as usize;
        let its = outputs.iter().zip(&layout.outputs).map(|(output, axis)| {
            let NamedTensor { name, value } = output;
            let mut value = value.clone();
            if let Some(axis) = *axis {
                if *value.shape().get(axis)? != all {
                    return None;
                }
                value = rows::cut(&value, axis, start, size)?;
            }
            let pad = plan.pad.get(name).filter(|pad| Some(pad.axis) != *axis);
            if let (Some(pad), Some(own)) = (pad, call.size.length) {
                // An output of another length tells nothing of where a row's own part ends.
                if value.shape().get(pad.axis).copied() != length {
                    return None;
                }
                value = rows::cut(&value, pad.axis, 0, usize::try_from(own).ok()?)?;
            }
            let name = name.clone();
            Some(NamedTensor { name, value })
        });
        let its = its.collect::<Option<Vec<_>>>()?;
        start += size;
        Some(its)
    });
    each.collect()
}

fn longest(calls: &[Call]) -> Option<u64> {
    calls.iter().filter_map(|call| call.size.length).max()
}
