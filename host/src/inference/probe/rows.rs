//! Along which axes a model takes rows, and whether a row's outcome depends on the rows beside it:
//! tried with random rows, apart and together.
//!
//! It is evidence, not proof: a model may tell its rows apart only for inputs that were not tried.
//! Models of different namespaces never share a batch for that reason.

mod axes;
mod compare;

use super::inputs::Trial;
use crate::inference::engine::{EngineError, LoadedModel};
use crate::inference::onnx;
use crate::inference::tensor::{NamedTensor, Tensor};
use crate::model::{BatchLayout, Batching, ModelConfig, Signature, TensorSpec};

/// How many rows are run apart and together: so many that none of the sizes that are tried is
/// the same, and few enough for large models.
const ROWS: u64 = 5;

/// Refuses what the configuration says of tensors that are not there.
pub(super) fn check_names(signature: &Signature, config: &ModelConfig) -> Result<(), String> {
    let axes = config.batch_axes.iter().map(|(name, axis)| (name, *axis));
    let pads = config.pad.iter().map(|(name, pad)| (name, pad.axis));
    for (name, axis) in axes.chain(pads) {
        let mut tensors = signature.inputs.iter().chain(&signature.outputs);
        match tensors.find(|tensor| tensor.name == *name) {
            Some(tensor) if axis < tensor.shape.len() => {}
            Some(tensor) => {
                return Err(format!(
                    "`{name}` has {} dimensions, and so no axis {axis}; they count from 0",
                    tensor.shape.len()
                ));
            }
            None => {
                let names: Vec<_> = (signature.inputs.iter().chain(&signature.outputs))
                    .map(|tensor| tensor.name.as_str())
                    .collect();
                return Err(format!(
                    "the model has no input or output `{name}`; it has {}",
                    names.join(", ")
                ));
            }
        }
    }
    Ok(())
}

/// Learns how calls may share a batch, if they may; and what is to be said of it.
pub(super) fn learn(
    model: &dyn LoadedModel,
    file: &[u8],
    config: &ModelConfig,
) -> Result<(Option<BatchLayout>, String), String> {
    fits(model)?;
    if config.batching == Batching::Off {
        // It is run all the same: what it takes of memory is to be known.
        let _ = runs(model, &vec![None; model.signature().inputs.len()]);
        return Ok((None, "batching is off, as was asked".to_owned()));
    }
    let names = axes::names(&onnx::read(file).map_err(|error| error.to_string())?);
    let candidates = axes::candidates(model.signature(), &names, config);
    let mut why = "no input has an open dimension for a batch; export the model with a dynamic \
                   batch axis, or say which it is (`batch_axes`)"
        .to_owned();
    for inputs in candidates {
        match layout(model, inputs, config) {
            Ok((layout, Ok(()))) => {
                return Ok((Some(layout), "rows were found to be independent".to_owned()));
            }
            Ok((layout, Err(difference))) if config.batching == Batching::On => {
                return Ok((
                    Some(layout),
                    format!("batching was asked for, though {difference}"),
                ));
            }
            Ok((_, Err(reason))) | Err(reason) => why = reason,
        }
    }
    if config.batching == Batching::On {
        return Err(format!("the model cannot be batched: {why}"));
    }
    let _ = runs(model, &vec![None; model.signature().inputs.len()]);
    Ok((None, format!("not batched: {why}")))
}

/// Refuses a model that has no room even with small inputs.
fn fits(model: &dyn LoadedModel) -> Result<(), String> {
    let Some(inputs) = smallest(model.signature()) else {
        return Ok(());
    };
    match model.run(&inputs) {
        Err(EngineError::OutOfMemory(why)) => Err(format!(
            "the model takes more memory than a host gives; make it smaller ({why})"
        )),
        _ => Ok(()),
    }
}

/// The inputs that are tried first; none if they are too large to try.
pub(super) fn smallest(signature: &Signature) -> Option<Vec<NamedTensor>> {
    let trial = Trial::all(signature).next()?;
    let mut random = fastrand::Rng::with_seed(7);
    let inputs = signature.inputs.iter();
    let inputs = inputs.map(|spec| trial.input(spec, None, 1, &mut random).ok());
    inputs.collect()
}

/// A trial that the model takes, with rows along these axes.
fn runs(model: &dyn LoadedModel, axes: &[Option<usize>]) -> Result<(Trial, Vec<Row>), String> {
    let mut why = String::new();
    for trial in Trial::all(model.signature()) {
        match rows(model, axes, trial, 1) {
            Ok(rows) => return Ok((trial, rows)),
            // The first trial's is the plainest.
            Err(error) if why.is_empty() => why = error,
            Err(_) => {}
        }
    }
    Err(format!(
        "it ran with none of the inputs that were tried: {why}"
    ))
}

/// A row, and what the model made of it alone.
struct Row {
    inputs: Vec<NamedTensor>,
    outputs: Vec<NamedTensor>,
}

fn rows(
    model: &dyn LoadedModel,
    axes: &[Option<usize>],
    trial: Trial,
    count: u64,
) -> Result<Vec<Row>, String> {
    // The same each time: a model is found to be the same whenever it is added.
    let mut random = fastrand::Rng::with_seed(7);
    let specs = &model.signature().inputs;
    let mut rows: Vec<Row> = Vec::new();
    for _ in 0..count {
        let inputs = (specs.iter().zip(axes).enumerate())
            .map(|(at, (spec, axis))| match (axis, rows.first()) {
                // What has no row per call is the same for all.
                (None, Some(first)) => (first.inputs.get(at).cloned()).ok_or_else(String::new),
                _ => trial.input(spec, *axis, 1, &mut random),
            })
            .collect::<Result<Vec<_>, _>>()?;
        let outputs = model.run(&inputs).map_err(|error| error.to_string())?;
        rows.push(Row { inputs, outputs });
    }
    Ok(rows)
}

type Independent = Result<(), String>;

/// The layout with such batch axes of inputs, if outputs have rows then; and whether rows are
/// independent.
fn layout(
    model: &dyn LoadedModel,
    inputs: Vec<Option<usize>>,
    config: &ModelConfig,
) -> Result<(BatchLayout, Independent), String> {
    let (trial, _) = runs(model, &inputs)?;
    let rows = rows(model, &inputs, trial, ROWS)?;
    let all: Vec<&Row> = rows.iter().collect();
    // Another number and another order: what only counts rows, or looks back, is found too.
    let some: Vec<&Row> = rows.iter().rev().step_by(2).collect();
    let (together, again) = (
        run_together(model, &inputs, &all)?,
        run_together(model, &inputs, &some)?,
    );
    let specs = &model.signature().outputs;
    let alone = rows.first().map(|row| &row.outputs[..]).unwrap_or_default();
    let outputs = (specs.iter().enumerate())
        .map(|(at, spec)| {
            let sizes = [
                (1, alone),
                (all.len(), &together[..]),
                (some.len(), &again[..]),
            ];
            output_axis(spec, at, &sizes, config)
        })
        .collect::<Result<Vec<_>, _>>()?;
    let independent = same(&all, &together, &outputs).and_then(|()| same(&some, &again, &outputs));
    let outputs = outputs.into_iter().map(Some).collect();
    Ok((BatchLayout { inputs, outputs }, independent))
}

fn run_together(
    model: &dyn LoadedModel,
    axes: &[Option<usize>],
    rows: &[&Row],
) -> Result<Vec<NamedTensor>, String> {
    let inputs = (axes.iter().enumerate())
        .map(|(at, axis)| {
            let mut parts = rows.iter().filter_map(|row| row.inputs.get(at));
            match axis {
                Some(axis) => compare::concat(&parts.collect::<Vec<_>>(), *axis),
                None => parts.next().cloned().ok_or_else(String::new),
            }
        })
        .collect::<Result<Vec<_>, _>>()?;
    (model.run(&inputs))
        .map_err(|error| format!("it does not run with {} rows: {error}", rows.len()))
}

/// The axis along which an output has a row per call: the one that grows with them.
fn output_axis(
    spec: &TensorSpec,
    at: usize,
    sizes: &[(usize, &[NamedTensor])],
    config: &ModelConfig,
) -> Result<usize, String> {
    let shapes: Vec<(u64, &[u64])> = (sizes.iter())
        .filter_map(|(rows, outputs)| Some((*rows as u64, outputs.get(at)?.value.shape())))
        .collect();
    let grows = |axis: &usize| {
        shapes
            .iter()
            .all(|(rows, shape)| shape.get(*axis) == Some(rows))
    };
    let said = config.batch_axes.get(&spec.name).copied();
    let found = said.map_or_else(|| (0..spec.shape.len()).find(|axis| grows(axis)), Some);
    found.filter(|axis| grows(axis)).ok_or_else(|| {
        format!(
            "the output `{}` has no axis with one row for each row of the input",
            spec.name
        )
    })
}

/// Whether rows came out of a batch as they did alone.
fn same(rows: &[&Row], together: &[NamedTensor], axes: &[usize]) -> Independent {
    for (at, (batched, axis)) in together.iter().zip(axes).enumerate() {
        for (n, row) in rows.iter().enumerate() {
            let Some(alone) = row.outputs.get(at) else {
                return Err(String::new());
            };
            let of_batch: Tensor = compare::row(&batched.value, *axis, n as u64)?;
            if let Some(difference) = compare::differ(&alone.value, &of_batch) {
                return Err(format!(
                    "rows are not independent: a row of the output `{}` differs by {difference:.1e} \
                     when others are in its batch (along axis {axis})",
                    batched.name
                ));
            }
        }
    }
    Ok(())
}
