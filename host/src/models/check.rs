//! Whether a model may be run as it is asked to.

use super::ModelError;
use crate::deploy::Grant;
use crate::model::{Batching, Findings, ModelConfig, TensorSpec};

/// The most rows of a batch that anybody asks for: no device gains by more.
const MAX_BATCH: u32 = 4_096;

/// The longest that a call may wait for others, in µs: a second is long beside any run.
const MAX_DELAY_US: u64 = 1_000_000;

/// The most inputs and outputs that a configuration names; a call has fewer.
const MAX_NAMES: usize = 64;

/// How large a model's description may be, in bytes as JSON: every host has those of all
/// models in memory, and real ones take one or two KiB.
const MAX_FINDINGS_BYTES: usize = 64 << 10;

/// Checks what can be checked without the model.
pub(super) fn config(config: &ModelConfig, grant: Grant) -> Result<(), ModelError> {
    let bad = |text: String| Err(ModelError::BadConfig(text));
    if config
        .max_batch
        .is_some_and(|rows| !(1..=MAX_BATCH).contains(&rows))
    {
        return bad(format!("max_batch is from 1 to {MAX_BATCH} rows"));
    }
    if config.max_delay_us > MAX_DELAY_US {
        return bad(format!("max_delay_us is at most {MAX_DELAY_US} (a second)"));
    }
    if config.pad.len() + config.batch_axes.len() > MAX_NAMES {
        return bad(format!(
            "pad and batch_axis may name {MAX_NAMES} tensors together"
        ));
    }
    if let Some((name, _)) = config.pad.iter().find(|(_, pad)| !pad.value.is_finite()) {
        return bad(format!(
            "{name:?} cannot be padded with what is no finite number"
        ));
    }
    if config.allow_loops && grant == Grant::Narrower {
        return Err(ModelError::NotGranted(
            "allow_loops lets a model run without end; only an admin may say so: leave it out, or let an admin add the model".into(),
        ));
    }
    Ok(())
}

/// Checks what the model was found to be against what it is asked to do.
pub(super) fn findings(config: &ModelConfig, findings: &Findings) -> Result<(), ModelError> {
    let bytes = serde_json::to_vec(findings).map_or(usize::MAX, |json| json.len());
    if bytes > MAX_FINDINGS_BYTES {
        return Err(ModelError::Refused(format!(
            "the model's inputs and outputs take {bytes} bytes to describe, {MAX_FINDINGS_BYTES} are allowed; give it fewer of them, or shorter names"
        )));
    }
    for (name, axis) in &config.batch_axes {
        fits("batch_axis", name, *axis, findings)?;
    }
    for (name, pad) in &config.pad {
        fits("pad", name, pad.axis, findings)?;
        if config.batch_axes.get(name) == Some(&pad.axis) {
            return Err(ModelError::BadConfig(format!(
                "the axis {} of {name:?} cannot both have a row per call and be padded",
                pad.axis
            )));
        }
    }
    if config.batching == Batching::On && findings.batch.is_none() {
        return Err(ModelError::BadConfig(format!(
            "batching cannot be on: {}; leave it out, or say with batch_axis where the rows are",
            findings.note
        )));
    }
    Ok(())
}

/// Whether the model has a tensor of this name with this axis.
fn fits(option: &str, name: &str, axis: usize, findings: &Findings) -> Result<(), ModelError> {
    let signature = &findings.signature;
    let mut tensors = signature.inputs.iter().chain(&signature.outputs);
    let bad = |text: String| Err(ModelError::BadConfig(format!("{option}: {text}")));
    match tensors.find(|tensor| tensor.name == name) {
        None => {
            let names = |tensors: &[TensorSpec]| {
                let names: Vec<_> = tensors.iter().map(|one| one.name.as_str()).collect();
                names.join(", ")
            };
            bad(format!(
                "the model has no input or output {name:?}; its inputs are {}, its outputs {}",
                names(&signature.inputs),
                names(&signature.outputs)
            ))
        }
        Some(tensor) if axis >= tensor.shape.len() => bad(format!(
            "{name:?} has {} axes, counted from 0, and no axis {axis}",
            tensor.shape.len()
        )),
        Some(_) => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{DataType, Pad, Signature};

    fn found(batch: bool) -> Findings {
        let ids = TensorSpec {
            name: "ids".into(),
            dtype: DataType::I64,
            shape: vec![None, None],
        };
        Findings {
            signature: Signature {
                inputs: vec![ids],
                outputs: Vec::new(),
            },
            batch: batch.then(|| crate::model::BatchLayout {
                inputs: vec![Some(0)],
                outputs: Vec::new(),
            }),
            note: "its rows are not independent".into(),
            memory_bytes: 1,
        }
    }

    fn padded(name: &str, axis: usize, value: f64) -> ModelConfig {
        let pad = [(name.to_owned(), Pad { axis, value })].into();
        ModelConfig {
            pad,
            ..ModelConfig::default()
        }
    }

    #[track_caller]
    fn says(result: Result<(), ModelError>, words: &str) {
        let text = result.unwrap_err().to_string();
        assert!(text.contains(words), "{text}");
    }

    #[test]
    fn what_no_model_is_run_with_is_refused() {
        let narrow = |asked: &ModelConfig| config(asked, Grant::Narrower);
        assert!(narrow(&padded("ids", 1, 0.5)).is_ok());
        for value in [f64::NAN, f64::INFINITY] {
            says(narrow(&padded("ids", 1, value)), "finite");
        }
        let with = |change: fn(&mut ModelConfig)| {
            let mut asked = ModelConfig::default();
            change(&mut asked);
            asked
        };
        says(narrow(&with(|c| c.max_batch = Some(0))), "from 1 to");
        says(
            narrow(&with(|c| c.max_batch = Some(MAX_BATCH + 1))),
            "from 1 to",
        );
        says(
            narrow(&with(|c| c.max_delay_us = MAX_DELAY_US + 1)),
            "a second",
        );
        let names = (0..=MAX_NAMES).map(|n| (n.to_string(), 0));
        let mut many = ModelConfig::default();
        many.batch_axes = names.collect();
        says(narrow(&many), "together");
        let loops = with(|c| c.allow_loops = true);
        says(narrow(&loops), "admin");
        assert!(config(&loops, Grant::Wider).is_ok());
    }

    #[test]
    fn what_does_not_fit_the_model_is_refused() {
        assert!(findings(&padded("ids", 1, 0.0), &found(true)).is_ok());
        says(
            findings(&padded("idz", 1, 0.0), &found(true)),
            "inputs are ids",
        );
        says(findings(&padded("ids", 2, 0.0), &found(true)), "has 2 axes");
        let mut both = padded("ids", 1, 0.0);
        both.batch_axes.insert("ids".into(), 1);
        says(findings(&both, &found(true)), "both");
        let on = ModelConfig {
            batching: Batching::On,
            ..ModelConfig::default()
        };
        assert!(findings(&on, &found(true)).is_ok());
        says(findings(&on, &found(false)), "not independent");
        let mut large = found(true);
        large.note = "x".repeat(MAX_FINDINGS_BYTES);
        says(findings(&ModelConfig::default(), &large), "fewer");
    }
}
