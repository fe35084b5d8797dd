//! A walk along the steps of a graph.

use std::sync::Arc;

use super::Unbounded;
use super::fact::Fact;
use super::infer::{self, Use, Why};
use super::plan::{Step, Steps};
use super::values;

/// The most dimensions of a tensor on the way: eight times what a call may bring. What is kept of
/// each tensor is as long as its shape.
const MAX_RANK: usize = 64;

/// Learns of each tensor, and answers what all of them take, in bytes.
pub(super) fn walk(steps: &Steps, table: &mut [Option<Fact>]) -> Result<u64, Unbounded> {
    for (place, fact) in &steps.constants {
        put(table, Some(*place), fact.clone());
    }
    let mut bytes = 0_u64;
    for step in &steps.steps {
        let taken = match step.operator.as_str() {
            "If" => arms(step, table)?,
            _ => match one(step, table) {
                Ok(taken) => taken,
                Err(Why::Fails) => 0,
                Err(Why::Unbounded(why)) => {
                    return Err(Unbounded {
                        called: step.called.clone(),
                        why,
                    });
                }
            },
        };
        bytes = bytes.saturating_add(taken);
    }
    Ok(bytes)
}

fn put(table: &mut [Option<Fact>], place: Option<usize>, fact: Fact) {
    if let Some(free) = place.and_then(|place| table.get_mut(place)) {
        *free = Some(fact);
    }
}

fn one(step: &Step, table: &mut [Option<Fact>]) -> Result<u64, Why> {
    let inputs: Vec<Option<&Fact>> = (step.inputs.iter())
        .map(|place| place.and_then(|place| table.get(place)?.as_ref()))
        .collect();
    // One of two arms is often for inputs of another shape.
    let is_reached = inputs.iter().flatten().all(|input| !input.is_never);
    let used = Use { step, inputs };
    let made = match is_reached {
        true => infer::infer(&used),
        false => Err(Why::Fails),
    };
    let mut made = match made {
        Err(Why::Fails) => {
            for place in &step.outputs {
                put(table, *place, Fact::never());
            }
            return Ok(0);
        }
        made => made?,
    };
    if made.facts.len() < step.outputs.len() {
        return Err(format!("it gives {} tensors", step.outputs.len()).into());
    }
    if let Some(first) = made.facts.first_mut()
        && first.values.is_none()
    {
        first.values = values::compute(&used, first);
    }
    drop(used);
    let ranks = made.facts.iter().filter_map(|fact| fact.dims.as_ref());
    if ranks.map(Vec::len).any(|rank| rank > MAX_RANK) {
        return Err(format!("it gives more than {MAX_RANK} dimensions").into());
    }
    let mut bytes = made.working_bytes;
    for (place, fact) in step.outputs.iter().zip(made.facts) {
        bytes = bytes.saturating_add(fact.bytes());
        put(table, *place, fact);
    }
    Ok(bytes)
}

/// One arm where it is known which, or the larger one.
fn arms(step: &Step, table: &mut [Option<Fact>]) -> Result<u64, Unbounded> {
    let condition = (step.inputs.first().copied().flatten())
        .and_then(|place| table.get(place)?.as_ref()?.values.clone())
        .and_then(|values| Some(*Arc::clone(&values.elements).first()? != 0.0));
    let (mut most, mut outputs) = (0, Vec::<Fact>::new());
    let arms = step.arms.iter().zip([true, false]);
    for (arm, when) in arms {
        if condition.is_some_and(|condition| condition != when) {
            continue;
        }
        most = walk(arm, table)?.max(most);
        let its = arm.outputs.iter();
        let its: Vec<_> = its.filter_map(|place| table.get(*place)?.clone()).collect();
        outputs = match outputs.is_empty() {
            true => its,
            false => outputs.iter().zip(&its).map(|(a, b)| a.either(b)).collect(),
        };
    }
    // An engine may copy what an arm gives.
    for (place, fact) in step.outputs.iter().zip(outputs) {
        most = most.saturating_add(fact.bytes());
        put(table, *place, fact);
    }
    Ok(most)
}
