//! Whether inputs are those that a model takes: checked before anything is loaded, so that an
//! engine never meets what does not fit.

use std::fmt::Write as _;

use super::near::nearest;
use super::{InferError, NamedTensor};
use crate::job::ModelName;
use crate::model::{DataType, Signature, TensorSpec};

/// Up to this many inputs are listed in an error; beyond that a model's author knows them.
const SHORT_LIST: usize = 8;

/// The inputs in the order of the signature.
///
/// # Errors
///
/// [`InferError::InvalidInput`] when they do not fit it.
pub(super) fn fit(
    model: &ModelName,
    signature: &Signature,
    mut given: Vec<NamedTensor>,
) -> Result<Vec<NamedTensor>, InferError> {
    let wrong = |what: String| {
        let takes = list(&signature.inputs);
        Err(InferError::InvalidInput(format!(
            "{what}. {model} takes: {takes}"
        )))
    };
    let mut fitting = Vec::with_capacity(signature.inputs.len());
    for spec in &signature.inputs {
        let Some(at) = given.iter().position(|input| input.name == spec.name) else {
            continue;
        };
        let input = given.swap_remove(at);
        if let Err(what) = fits(spec, &input) {
            return wrong(what);
        }
        fitting.push(input);
    }
    if let Some(odd) = given.first() {
        if fitting.iter().any(|input| input.name == odd.name) {
            return wrong(format!("the input {:?} was given twice", odd.name));
        }
        let names = signature.inputs.iter().map(|spec| &*spec.name);
        let meant = nearest(&odd.name, names);
        let meant = meant.map_or_else(String::new, |near| format!("; did you mean {near:?}?"));
        return wrong(format!("there is no input {:?}{meant}", odd.name));
    }
    let missing = signature
        .inputs
        .iter()
        .find(|spec| !fitting.iter().any(|input| input.name == spec.name));
    match missing {
        Some(missing) => wrong(format!("the input {:?} is missing", missing.name)),
        None => Ok(fitting),
    }
}

fn fits(spec: &TensorSpec, input: &NamedTensor) -> Result<(), String> {
    let (name, value) = (&spec.name, &input.value);
    if value.dtype() != spec.dtype {
        return Err(format!(
            "the elements of {name:?} are to be {}, not {}",
            dtype(spec.dtype),
            dtype(value.dtype())
        ));
    }
    let shape = value.shape();
    if shape.len() != spec.shape.len() {
        return Err(format!(
            "{name:?} is to have {} dimensions, not {}: {shape:?}",
            spec.shape.len(),
            shape.len()
        ));
    }
    let differ =
        |(size, wanted): (&u64, &Option<u64>)| wanted.is_some_and(|wanted| wanted != *size);
    if let Some(at) = shape.iter().zip(&spec.shape).position(differ) {
        return Err(format!(
            "dimension {at} of {name:?} is to be {}, not {}: {shape:?}",
            spec.shape.get(at).copied().flatten().unwrap_or_default(),
            shape.get(at).copied().unwrap_or_default()
        ));
    }
    // Engines do not agree on what these mean.
    if let Some(at) = shape.iter().position(|size| *size == 0) {
        return Err(format!("{name:?} is empty: dimension {at} is 0"));
    }
    Ok(())
}

/// Inputs as people write them: `x f32 [?, 4]`.
fn list(specs: &[TensorSpec]) -> String {
    let mut text = String::new();
    for (nth, spec) in specs.iter().take(SHORT_LIST).enumerate() {
        let comma = if nth > 0 { ", " } else { "" };
        let size =
            |size: &Option<u64>| size.map_or_else(|| "?".to_owned(), |size| size.to_string());
        let shape: Vec<_> = spec.shape.iter().map(size).collect();
        // Writing to a string cannot fail.
        let _ = write!(
            text,
            "{comma}{} {} [{}]",
            spec.name,
            dtype(spec.dtype),
            shape.join(", ")
        );
    }
    match specs.len() {
        0 => "nothing".to_owned(),
        1..=SHORT_LIST => text,
        all => format!("{text} and {} more", all - SHORT_LIST),
    }
}

/// The type's name, as JSON has it.
fn dtype(dtype: DataType) -> String {
    format!("{dtype:?}").to_ascii_lowercase()
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::*;
    use crate::inference::Tensor;

    fn signature() -> Signature {
        let spec = |name: &str, dtype, shape: &[Option<u64>]| TensorSpec {
            name: name.to_owned(),
            dtype,
            shape: shape.to_vec(),
        };
        Signature {
            inputs: vec![
                spec("input_ids", DataType::I64, &[None, None]),
                spec("scale", DataType::F32, &[None, Some(2)]),
            ],
            outputs: Vec::new(),
        }
    }

    fn tensor(name: &str, dtype: DataType, shape: &[u64]) -> NamedTensor {
        let bytes = shape.iter().product::<u64>() as usize * dtype.bytes();
        NamedTensor {
            name: name.to_owned(),
            value: Tensor::new(dtype, shape.to_vec(), Bytes::from(vec![0; bytes])).unwrap(),
        }
    }

    fn ids() -> NamedTensor {
        tensor("input_ids", DataType::I64, &[1, 3])
    }

    fn refused(given: Vec<NamedTensor>) -> String {
        match fit(&"m".parse().unwrap(), &signature(), given) {
            Err(InferError::InvalidInput(text)) => text,
            other => panic!("expected a refusal, not {other:?}"),
        }
    }

    #[test]
    fn inputs_come_in_the_order_of_the_signature() {
        let given = vec![tensor("scale", DataType::F32, &[3, 2]), ids()];
        let fitting = fit(&"m".parse().unwrap(), &signature(), given).unwrap();
        let names: Vec<_> = fitting.iter().map(|input| &*input.name).collect();
        assert_eq!(names, ["input_ids", "scale"]);
    }

    #[test]
    fn what_does_not_fit_is_named_with_what_would() {
        let scale = |dtype, shape: &[u64]| vec![ids(), tensor("scale", dtype, shape)];
        for (given, told) in [
            (vec![], r#"the input "input_ids" is missing"#),
            (vec![ids()], r#"the input "scale" is missing"#),
            (
                vec![tensor("inputids", DataType::I64, &[1, 3])],
                r#"there is no input "inputids"; did you mean "input_ids"?"#,
            ),
            (vec![ids(), ids()], r#""input_ids" was given twice"#),
            (
                scale(DataType::F64, &[1, 2]),
                r#"the elements of "scale" are to be f32, not f64"#,
            ),
            (
                scale(DataType::F32, &[2]),
                r#""scale" is to have 2 dimensions, not 1: [2]"#,
            ),
            (
                scale(DataType::F32, &[1, 3]),
                r#"dimension 1 of "scale" is to be 2, not 3: [1, 3]"#,
            ),
            (scale(DataType::F32, &[0, 2]), r#""scale" is empty"#),
        ] {
            let text = refused(given);
            assert!(text.contains(told), "{text}");
            assert!(
                text.ends_with("m takes: input_ids i64 [?, ?], scale f32 [?, 2]"),
                "{text}"
            );
        }
    }
}
