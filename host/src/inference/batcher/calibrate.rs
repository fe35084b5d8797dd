//! How many rows of a model it pays to run at once, measured as it is loaded.
//!
//! Small models are bound by what each run costs, whatever its rows, and GPUs by how little of
//! them one row uses: there a batch of 32 may be four times as fast. A model that is bound by
//! its sums on a CPU gains nothing, and one that leaves the caches loses.

use std::time::{Duration, Instant};

use bytes::Bytes;

use crate::inference::LoadedModel;
use crate::inference::tensor::{NamedTensor, Tensor};
use crate::model::{BatchLayout, TensorSpec};

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

/// Sizes for dimensions that may be any, until the model takes one: a short text, a picture of
/// few pixels, a real one.
const SIZES: [u64; 4] = [16, 64, 224, 1];

/// What the inputs of a batch that is tried may take, in bytes: what one call may.
const MAX_INPUT_BYTES: u64 = 32 << 20;

/// The most rows, up to `most`, that pay in one batch of a model. Blocks for up to 300 ms, and
/// for two runs of one row at least. One that fails on made-up inputs is not batched.
pub fn calibrate(model: &dyn LoadedModel, layout: &BatchLayout, most: u32) -> u32 {
    let end = Instant::now() + BUDGET;
    let Some(size) = SIZES.into_iter().find(|size| {
        let one = inputs(model, layout, *size, 1);
        one.is_some_and(|one| model.run(&one).is_ok())
    }) else {
        return 1;
    };
    let mut measured = Vec::new();
    let mut rows = 1;
    while rows <= most.min(MAX_ROWS) {
        let batch = inputs(model, layout, size, rows);
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

/// Zeros of so many rows; none where they would be too many.
fn inputs(
    model: &dyn LoadedModel,
    layout: &BatchLayout,
    size: u64,
    rows: u32,
) -> Option<Vec<NamedTensor>> {
    let mut left = MAX_INPUT_BYTES;
    let inputs = model.signature().inputs.iter().zip(&layout.inputs);
    let zeros = inputs.map(|(spec, axis)| {
        let value = zeros(spec, *axis, size, rows, &mut left)?;
        let name = spec.name.clone();
        Some(NamedTensor { name, value })
    });
    zeros.collect()
}

fn zeros(
    spec: &TensorSpec,
    axis: Option<usize>,
    size: u64,
    rows: u32,
    left: &mut u64,
) -> Option<Tensor> {
    let sizes = spec.shape.iter().enumerate();
    let shape: Vec<u64> = sizes
        .map(|(at, fixed)| match fixed {
            _ if Some(at) == axis => u64::from(rows),
            Some(fixed) => *fixed,
            None => size,
        })
        .collect();
    let mut sizes = shape.iter();
    let bytes = sizes.try_fold(spec.dtype.bytes() as u64, |all, size| {
        all.checked_mul(*size)
    })?;
    *left = left.checked_sub(bytes)?;
    let data = Bytes::from(vec![0; usize::try_from(bytes).ok()?]);
    Tensor::new(spec.dtype, shape, data).ok()
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
