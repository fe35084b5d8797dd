//! Which axes of the inputs may be that of the batch.

use crate::inference::onnx::Model;
use crate::model::{ModelConfig, Signature};

/// Of each input the names of its dimensions, where the model gives them names.
pub(super) type Names = Vec<(String, Vec<Option<String>>)>;

/// Reads the names of dimensions: those that share one are said to be equal.
pub(super) fn names(model: &Model<'_>) -> Names {
    let inputs = model.graph.iter().flat_map(|graph| &graph.inputs);
    let named = inputs.map(|input| {
        let shape = input
            .tensor
            .as_ref()
            .and_then(|tensor| tensor.shape.as_ref());
        let names = shape.into_iter().flatten().map(|dimension| {
            dimension
                .name
                .filter(|name| !name.is_empty())
                .map(str::to_owned)
        });
        (input.name.to_owned(), names.collect())
    });
    named.collect()
}

/// What may be the batch axis of each input, the likeliest first; as configured where it is.
pub(super) fn candidates(
    signature: &Signature,
    names: &Names,
    config: &ModelConfig,
) -> Vec<Vec<Option<usize>>> {
    let inputs = &signature.inputs;
    let open = |shape: &[Option<u64>]| shape.iter().position(Option::is_none);
    let mut all = vec![
        inputs
            .iter()
            .map(|input| open(&input.shape))
            .collect::<Vec<_>>(),
    ];
    let mut known: Vec<&str> = Vec::new();
    let dimensions = names
        .iter()
        .flat_map(|(_, dimensions)| dimensions.iter().flatten());
    for name in dimensions {
        if known.contains(&name.as_str()) {
            continue;
        }
        known.push(name);
        all.push(
            (inputs.iter())
                .map(|input| {
                    let (_, dimensions) = names.iter().find(|(of, _)| *of == input.name)?;
                    dimensions
                        .iter()
                        .position(|dimension| dimension.as_ref() == Some(name))
                })
                .collect(),
        );
    }
    let mut candidates: Vec<Vec<Option<usize>>> = Vec::new();
    for mut axes in all {
        for (axis, input) in axes.iter_mut().zip(inputs) {
            *axis = config.batch_axes.get(&input.name).copied().or(*axis);
        }
        if axes.iter().any(Option::is_some) && !candidates.contains(&axes) {
            candidates.push(axes);
        }
    }
    // As many as a model has names; few of them are sizes of a batch.
    candidates.truncate(4);
    candidates
}
