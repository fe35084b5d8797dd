//! Whether a model may be run as it is asked to.

use super::ModelError;
use crate::deploy::Grant;
use crate::model::{Findings, ModelConfig};

/// The most rows of a batch that anybody asks for: no device gains by more.
const MAX_BATCH: u32 = 4_096;

/// The longest that a call may wait for others, in µs: a second is long beside any run.
const MAX_DELAY_US: u64 = 1_000_000;

/// The most inputs and outputs that a configuration names; a call has fewer.
const MAX_NAMES: usize = 64;

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

/// Refuses to pad along the axis that has a row per call.
pub(super) fn padding(config: &ModelConfig, findings: &Findings) -> Result<(), ModelError> {
    let Some(batch) = &findings.batch else {
        return Ok(());
    };
    let signature = &findings.signature;
    let inputs = signature.inputs.iter().zip(&batch.inputs);
    let outputs = signature.outputs.iter().zip(&batch.outputs);
    for (tensor, axis) in inputs.chain(outputs) {
        let pad = config.pad.get(&tensor.name).map(|pad| pad.axis);
        if pad.is_some() && pad == *axis {
            return Err(ModelError::BadConfig(format!(
                "pad: the axis {} of {:?} has a row per call, and is not padded; name the one that differs between rows",
                axis.unwrap_or_default(),
                tensor.name
            )));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{BatchLayout, DataType, Pad, Signature, TensorSpec};

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
            batch: batch.then(|| BatchLayout {
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
        let many = ModelConfig {
            batch_axes: names.collect(),
            ..ModelConfig::default()
        };
        says(narrow(&many), "together");
        let loops = with(|c| c.allow_loops = true);
        says(narrow(&loops), "admin");
        assert!(config(&loops, Grant::Wider).is_ok());
    }

    #[test]
    fn rows_themselves_are_not_padded() {
        assert!(padding(&padded("ids", 1, 0.0), &found(true)).is_ok());
        assert!(padding(&padded("ids", 0, 0.0), &found(false)).is_ok());
        says(
            padding(&padded("ids", 0, 0.0), &found(true)),
            "a row per call",
        );
    }
}
