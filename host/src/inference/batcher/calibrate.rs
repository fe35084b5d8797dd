//! How many rows of a model it pays to run at once, measured as it is loaded.
//!
//! Small models are bound by what each run costs, whatever its rows, and GPUs by how little of
//! them one row uses: there a batch of 32 may be four times as fast. A model that is bound by
//! its sums on a CPU gains nothing, and one that leaves the caches loses.

use std::time::{Duration, Instant};

use crate::inference::LoadedModel;
use crate::inference::probe::Trial;
use crate::inference::tensor::NamedTensor;
use crate::model::BatchLayout;

/// The most rows of a batch that are tried: beyond, what is measured gains less than the first
/// of the batch loses by waiting for the last.
pub const MAX_ROWS: u32 = 64;

/// What calibrating may add to loading a model: less than most take to load.
const BUDGET: Duration = Duration::from_millis(300);

/// How often each size is run; the fastest counts, since noise only adds.
const RUNS: usize = 5;

/// How much faster per row than a smaller batch a larger one has to be: what is less than this
/// is noise, and not worth that its rows wait for each other.
const WORTH: f64 = 0.9;

/// What the inputs of a batch that is tried may take, in bytes: what one call may.
const MAX_INPUT_BYTES: usize = 32 << 20;

/// The most rows, up to `most`, that pay in one batch of a model. Blocks for up to 300 ms, and
/// for two runs of one row at least. One that fails on made-up inputs is not batched.
pub fn calibrate(model: &dyn LoadedModel, layout: &BatchLayout, most: u32) -> u32 {
    let end = Instant::now() + BUDGET;
    let mut trials = Trial::all(model.signature());
    let Some(trial) = trials.find(|trial| {
        let one = inputs(model, layout, *trial, 1);
        one.is_some_and(|one| model.run(&one).is_ok())
    }) else {
        return 1;
    };
    let mut measured = Vec::new();
    let mut rows = 1;
    while rows <= most.min(MAX_ROWS) {
        let batch = inputs(model, layout, trial, rows);
        let Some(took) = batch.and_then(|batch| fastest(model, &batch, end)) else {
            break;
        };
        measured.push((rows, took.as_secs_f64() / f64::from(rows)));
        rows *= 2;
        // The next one probably takes as long for each row.
        if Instant::now() + took * 2 > end {
            break;
        }
    }
    pays(&measured)
}

/// The smallest of the batches than which none is much faster per row.
fn pays(measured: &[(u32, f64)]) -> u32 {
    let each = measured.iter().map(|(_, each)| *each);
    let fastest = each.fold(f64::INFINITY, f64::min);
    let mut enough = measured.iter().filter(|(_, each)| each * WORTH <= fastest);
    enough.next().map_or(1, |(rows, _)| *rows)
}

fn fastest(model: &dyn LoadedModel, batch: &[NamedTensor], end: Instant) -> Option<Duration> {
    let mut fastest: Option<Duration> = None;
    for _ in 0..RUNS {
        let began = Instant::now();
        model.run(batch).ok()?;
        let took = began.elapsed();
        fastest = Some(fastest.map_or(took, |fastest| fastest.min(took)));
        if Instant::now() + took > end {
            break;
        }
    }
    fastest
}

/// So many rows; none where they would be too large.
fn inputs(
    model: &dyn LoadedModel,
    layout: &BatchLayout,
    trial: Trial,
    rows: u32,
) -> Option<Vec<NamedTensor>> {
    let mut random = fastrand::Rng::with_seed(rows.into());
    let mut left = MAX_INPUT_BYTES;
    let inputs = model.signature().inputs.iter().zip(&layout.inputs);
    let made = inputs.map(|(spec, axis)| {
        let input = trial.input(spec, *axis, rows.into(), &mut random).ok()?;
        left = left.checked_sub(input.value.data().len())?;
        Some(input)
    });
    made.collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_batch_pays_where_it_is_faster_by_more_than_noise() {
        let mlp = [
            (1, 59.0),
            (2, 40.0),
            (4, 31.0),
            (8, 27.0),
            (16, 20.0),
            (32, 16.6),
        ];
        assert_eq!(pays(&mlp), 32);
        let flat = [(1, 100.0), (2, 97.0), (4, 95.0), (8, 96.0)];
        assert_eq!(pays(&flat), 1);
        let worse = [(1, 100.0), (2, 70.0), (4, 110.0)];
        assert_eq!(pays(&worse), 2);
        assert_eq!(pays(&[]), 1);
    }
}
