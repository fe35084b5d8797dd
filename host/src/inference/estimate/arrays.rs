//! Operators that make tensors, or pick elements of them, reduce them and resize them.

use super::fact::{Fact, product};
use super::infer::{Made, Use, Why, axis};
use super::layout::sizes;

pub(super) fn infer(used: &Use<'_>) -> Result<Option<Made>, Why> {
    let operator = used.step.operator.as_str();
    Ok(Some(match operator {
        "ConstantOfShape" => of_shape(used)?.into(),
        "RandomNormal" | "RandomUniform" => {
            let dims = used.ints("shape").ok_or("it has no shape")?;
            Fact::of(unsigned(dims), true, 8).into()
        }
        "Range" => range(used)?.into(),
        "OneHot" => one_hot(used)?.into(),
        "Slice" => slice(used)?.into(),
        "Gather" => gather(used)?.into(),
        "GatherElements" => {
            let data = used.input(0)?;
            let mut picked = used.input(1)?.clone();
            (picked.width, picked.values) = (data.width, None);
            picked.into()
        }
        "GatherND" => gather_nd(used)?.into(),
        "TopK" => top(used)?.into(),
        "NonZero" => {
            let input = used.input(0)?;
            let rank = input
                .dims
                .as_ref()
                .map_or(64, |dims| dims.len().max(1) as u64);
            Fact::of(vec![rank, input.elements], false, 8).into()
        }
        "Unique" => {
            let input = used.input(0)?;
            let mut first = input.with_dims(vec![input.elements], false);
            if let (Some(dims), Some(_)) = (&input.dims, used.int("axis")) {
                first = input.with_dims(dims.clone(), false);
            }
            let other = || Fact::of(vec![input.elements], false, 8);
            vec![first, other(), other(), other()].into()
        }
        "Compress" => {
            let input = used.input(0)?;
            match (&input.dims, used.int("axis")) {
                (Some(dims), Some(_)) => input.with_dims(dims.clone(), false).into(),
                (None, Some(_)) => Fact::opaque(input.elements, input.width).into(),
                _ => input.with_dims(vec![input.elements], false).into(),
            }
        }
        "NonMaxSuppression" => Fact::of(vec![used.input(1)?.elements, 3], false, 8).into(),
        "ArgMax" | "ArgMin" => {
            let axes = vec![used.int("axis").unwrap_or(0)];
            let reduced = reduced(used, Some(axes))?;
            Fact {
                width: 8,
                ..reduced
            }
            .into()
        }
        "Resize" | "Upsample" => resize(used)?.into(),
        _ if operator.starts_with("Reduce") => {
            let axes = match used.ints_or_input("axes", 1) {
                Ok(axes) => axes,
                Err(()) => return Ok(Some(unknown_axes(used)?.into())),
            };
            let none = axes.as_ref().is_none_or(Vec::is_empty);
            if none && used.int("noop_with_empty_axes") == Some(1) {
                return Ok(Some(
                    Fact {
                        values: None,
                        ..used.input(0)?.clone()
                    }
                    .into(),
                ));
            }
            reduced(used, axes.filter(|_| !none))?.into()
        }
        _ => return Ok(None),
    }))
}

fn unsigned(sizes: &[i64]) -> Vec<u64> {
    sizes
        .iter()
        .map(|size| u64::try_from(*size).unwrap_or(0))
        .collect()
}

fn of_shape(used: &Use<'_>) -> Result<Fact, Why> {
    let held = used.step.constant.as_ref();
    let width = held.map_or(4, |held| held.width);
    Ok(Fact::of(unsigned(&sizes(used, 0)?), true, width))
}

fn range(used: &Use<'_>) -> Result<Fact, Why> {
    let one = |at: usize| -> Result<f64, Why> {
        let values = used.get(at).and_then(|fact| fact.values.as_ref());
        let value = values.and_then(|values| values.elements.first().copied());
        value.ok_or_else(|| format!("its input {at} is not known before the run").into())
    };
    let (start, limit, delta) = (one(0)?, one(1)?, one(2)?);
    let count = ((limit - start) / delta).ceil();
    let is_whole = [start, limit, delta].iter().all(|x| x.fract() == 0.0);
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "none, where it is negative; the most, where it is more"
    )]
    let count = if count.is_nan() {
        u64::MAX
    } else {
        count as u64
    };
    let count = count.saturating_add(u64::from(!is_whole));
    Ok(Fact::of(vec![count], is_whole, used.input(0)?.width))
}

fn one_hot(used: &Use<'_>) -> Result<Fact, Why> {
    let index = used.input(0)?;
    let mut dims = used.dims(0)?.to_vec();
    let depth = sizes(used, 1)?;
    let depth = depth.first().and_then(|depth| u64::try_from(*depth).ok());
    let at = axis(used.int("axis").unwrap_or(-1), dims.len() + 1)?;
    dims.insert(at, depth.ok_or("its depth is no number")?);
    Ok(Fact::of(dims, index.is_exact, used.input(2)?.width))
}

/// Where a `Slice` begins, and how many it takes by which steps, along each dimension; none where
/// that is not known.
pub(super) fn ranges(used: &Use<'_>, dims: &[u64]) -> Option<Vec<(i64, u64, i64)>> {
    let get = |name: &str, at: usize| used.ints_or_input(name, at).ok();
    let (starts, ends) = (get("starts", 1)??, get("ends", 2)??);
    let axes = get("axes", 3)?.unwrap_or_else(|| (0_i64..).take(starts.len()).collect());
    let steps = get("steps", 4)?.unwrap_or_else(|| vec![1; starts.len()]);
    if [ends.len(), axes.len(), steps.len()] != [starts.len(); 3] {
        return None;
    }
    let mut ranges: Vec<_> = dims.iter().map(|size| (0, *size, 1)).collect();
    for (((start, end), at), step) in starts.iter().zip(&ends).zip(&axes).zip(&steps) {
        let range = ranges.get_mut(axis(*at, dims.len()).ok()?)?;
        let size = i64::try_from(range.1).ok()?;
        let from_start = |at: i64| if at < 0 { at.saturating_add(size) } else { at };
        let (low, high) = if *step > 0 {
            (0, size)
        } else {
            (-1, size.saturating_sub(1))
        };
        let start = from_start(*start).clamp(low.max(0), high.max(0));
        let end = from_start(*end).clamp(low, high.max(low));
        let span = if *step > 0 {
            end.saturating_sub(start)
        } else {
            start.saturating_sub(end)
        };
        let step_size = step.unsigned_abs();
        let count = u64::try_from(span.max(0))
            .ok()?
            .checked_add(step_size.checked_sub(1)?)?
            / step_size;
        *range = (start, count.min(range.1), *step);
    }
    Some(ranges)
}

fn slice(used: &Use<'_>) -> Result<Fact, Why> {
    let input = used.input(0)?;
    let Some(dims) = &input.dims else {
        return Ok(Fact::opaque(input.elements, input.width));
    };
    match ranges(used, dims) {
        Some(ranges) if input.is_exact => {
            let dims = ranges.iter().map(|(_, count, _)| *count);
            Ok(input.with_dims(dims.collect(), true))
        }
        _ => Ok(input.with_dims(dims.clone(), false)),
    }
}

fn gather(used: &Use<'_>) -> Result<Fact, Why> {
    let (data, index) = (used.input(0)?, used.input(1)?);
    let Some(picked) = &index.dims else {
        let most = product(&[data.elements.max(1), index.elements.max(1)]);
        return Ok(Fact::opaque(most, data.width));
    };
    let dims = used.dims(0)?;
    let at = axis(used.int("axis").unwrap_or(0), dims.len())?;
    let (before, rest) = dims.split_at_checked(at).unwrap_or((dims, &[]));
    let after = rest.get(1..).unwrap_or_default();
    let dims = [before, picked, after].concat();
    Ok(data.with_dims(dims, index.is_exact))
}

fn gather_nd(used: &Use<'_>) -> Result<Fact, Why> {
    let (data, index) = (used.input(0)?, used.input(1)?);
    let (dims, picked) = (used.dims(0)?, used.dims(1)?);
    let (depth, outer) = picked.split_last().ok_or("its index has no dimensions")?;
    if !index.is_exact {
        return Err("its index has a shape that depends on values".into());
    }
    let batch = used
        .int("batch_dims")
        .and_then(|n| usize::try_from(n).ok())
        .unwrap_or(0);
    let from = batch.saturating_add(usize::try_from(*depth).unwrap_or(usize::MAX));
    let inner = dims.get(from..).ok_or("its index is too deep")?;
    Ok(data.with_dims([outer, inner].concat(), true))
}

fn top(used: &Use<'_>) -> Result<Vec<Fact>, Why> {
    let input = used.input(0)?;
    let mut best = Fact::opaque(input.elements, input.width);
    if let Some(dims) = &input.dims {
        let mut dims = dims.clone();
        let at = axis(used.int("axis").unwrap_or(-1), dims.len())?;
        let count = used.int("k").or_else(|| used.whole(1)?.first().copied());
        let count = count.and_then(|count| u64::try_from(count).ok());
        if let (Some(size), Some(count)) = (dims.get_mut(at), count) {
            *size = count.min(*size);
        }
        best = input.with_dims(dims, count.is_some());
    }
    let index = Fact {
        width: 8,
        ..best.clone()
    };
    Ok(vec![best, index])
}

fn unknown_axes(used: &Use<'_>) -> Result<Fact, Why> {
    let input = used.input(0)?;
    match (&input.dims, used.int("keepdims").unwrap_or(1)) {
        (Some(dims), 1) => Ok(input.with_dims(dims.clone(), false)),
        _ => Ok(Fact::opaque(input.elements.max(1), input.width)),
    }
}

/// What is left where these axes, or all, become one.
fn reduced(used: &Use<'_>, axes: Option<Vec<i64>>) -> Result<Fact, Why> {
    let input = used.input(0)?;
    let Some(dims) = &input.dims else {
        return Ok(Fact::opaque(input.elements.max(1), input.width));
    };
    let axes = match axes {
        Some(axes) => axes
            .iter()
            .map(|at| axis(*at, dims.len()))
            .collect::<Result<Vec<_>, _>>()?,
        None => (0..dims.len()).collect(),
    };
    let keeps = used.int("keepdims").unwrap_or(1) != 0;
    let left = dims
        .iter()
        .enumerate()
        .filter_map(|(at, size)| match (axes.contains(&at), keeps) {
            (false, _) => Some(*size),
            (true, true) => Some(1),
            (true, false) => None,
        });
    Ok(input.with_dims(left.collect(), true))
}

fn resize(used: &Use<'_>) -> Result<Fact, Why> {
    let input = used.input(0)?;
    let mut dims = used.dims(0)?.to_vec();
    if used.attribute("axes").is_some() || used.text("keep_aspect_ratio_policy") == "not_smaller" {
        return Err("its `axes` and its policy are not known here".into());
    }
    let has = |at: usize| used.get(at).is_some_and(|fact| fact.elements > 0);
    if used.step.operator == "Resize" && has(3) {
        let asked = unsigned(&sizes(used, 3)?);
        if asked.len() != dims.len() {
            return Err("it does not resize each dimension".into());
        }
        let is_stretched = matches!(used.text("keep_aspect_ratio_policy"), "" | "stretch");
        return Ok(input.with_dims(asked, is_stretched));
    }
    let at = if has(2) { 2 } else { 1 };
    let scales = match used.attribute("scales") {
        Some(scales) => scales.floats.iter().map(|x| f64::from(*x)).collect(),
        None => {
            let values = used.get(at).and_then(|fact| fact.values.as_ref());
            values
                .ok_or("its scales are not known before the run")?
                .elements
                .to_vec()
        }
    };
    if scales.len() != dims.len() {
        return Err("it does not scale each dimension".into());
    }
    let is_whole = scales.iter().all(|scale| scale.fract() == 0.0);
    for (size, scale) in dims.iter_mut().zip(scales) {
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            clippy::cast_precision_loss,
            reason = "a bound, with one to spare for what is rounded"
        )]
        let scaled = (*size as f64 * scale).ceil() as u64;
        *size = if is_whole {
            scaled
        } else {
            scaled.saturating_add(1)
        };
    }
    Ok(input.with_dims(dims, is_whole))
}
