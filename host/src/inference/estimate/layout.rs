//! Operators that tell and change shapes, and put elements elsewhere.

use super::fact::{Fact, Values, broadcast, product};
use super::infer::{Made, Use, Why, axis};

pub(super) fn infer(used: &Use<'_>) -> Result<Option<Made>, Why> {
    Ok(Some(match used.step.operator.as_str() {
        "Shape" => shape(used)?.into(),
        "Size" => size(used)?.into(),
        "Constant" => constant(used)?.into(),
        "Reshape" => reshape(used)?.into(),
        "Flatten" => flatten(used)?.into(),
        "Squeeze" => squeeze(used)?.into(),
        "Unsqueeze" => unsqueeze(used)?.into(),
        "Transpose" => transpose(used)?.into(),
        "Expand" => expand(used)?.into(),
        "Tile" => tile(used)?.into(),
        "Concat" => concat(used)?.into(),
        "Split" => split(used)?.into(),
        "Pad" => pad(used)?.into(),
        "DepthToSpace" | "SpaceToDepth" => blocks(used)?.into(),
        _ => return Ok(None),
    }))
}

#[expect(
    clippy::cast_precision_loss,
    reason = "`Values` takes what is the same"
)]
fn known(dims: &[u64]) -> Option<Values> {
    Values::new(dims.iter().map(|size| *size as f64).collect(), false)
}

fn shape(used: &Use<'_>) -> Result<Fact, Why> {
    let input = used.input(0)?;
    let Some(dims) = &input.dims else {
        return Err("how many dimensions there are depends on values".into());
    };
    let rank = i64::try_from(dims.len()).unwrap_or(i64::MAX);
    let place = |at: i64| {
        let at = if at < 0 { at.saturating_add(rank) } else { at };
        usize::try_from(at.clamp(0, rank)).unwrap_or(0)
    };
    let start = place(used.int("start").unwrap_or(0));
    let end = place(used.int("end").unwrap_or(rank));
    let some = dims.get(start..end).unwrap_or_default();
    let fact = Fact::of(vec![some.len() as u64], true, 8);
    Ok(Fact {
        values: if input.is_exact { known(some) } else { None },
        ..fact
    })
}

fn size(used: &Use<'_>) -> Result<Fact, Why> {
    let input = used.input(0)?;
    Ok(Fact {
        values: if input.is_exact {
            known(&[input.elements])
        } else {
            None
        },
        ..Fact::of(Vec::new(), true, 8)
    })
}

#[expect(
    clippy::cast_precision_loss,
    reason = "`Values` takes what is the same"
)]
fn constant(used: &Use<'_>) -> Result<Fact, Why> {
    if let Some(fact) = &used.step.constant {
        return Ok(fact.clone());
    }
    for (name, one) in &used.step.attributes {
        let reals =
            |reals: &[f32]| Values::new(reals.iter().map(|x| f64::from(*x)).collect(), true);
        let (dims, values) = match (name.as_str(), one.int, one.float) {
            ("value_int", Some(int), _) => (Vec::new(), Values::new(vec![int as f64], false)),
            ("value_float", _, Some(float)) => (Vec::new(), reals(&[float])),
            ("value_ints", ..) => {
                let ints = one.ints.iter().map(|int| *int as f64).collect();
                (vec![one.count], Values::new(ints, false))
            }
            ("value_floats", ..) => (vec![one.count], reals(&one.floats)),
            _ => continue,
        };
        return Ok(Fact {
            values,
            ..Fact::of(dims, true, 8)
        });
    }
    Err("it holds no tensor".into())
}

fn reshape(used: &Use<'_>) -> Result<Fact, Why> {
    let input = used.input(0)?;
    let Ok(Some(asked)) = used.ints_or_input("shape", 1) else {
        return Ok(Fact::opaque(input.elements, input.width));
    };
    let keeps_zero = used.int("allowzero") == Some(1);
    let mut dims = Vec::with_capacity(asked.len());
    let mut open = None;
    for (at, size) in asked.iter().enumerate() {
        dims.push(match (*size, &input.dims) {
            (-1, _) if open.is_none() => {
                open = Some(at);
                1
            }
            (0, Some(own)) if !keeps_zero => match own.get(at) {
                Some(size) => *size,
                None => return Ok(Fact::opaque(input.elements, input.width)),
            },
            (0, None) if !keeps_zero => return Ok(Fact::opaque(input.elements, input.width)),
            (size, _) => match u64::try_from(size) {
                Ok(size) => size,
                Err(_) => return Ok(Fact::opaque(input.elements, input.width)),
            },
        });
    }
    let mut is_exact = input.is_exact;
    if let Some(at) = open {
        let rest = product(&dims);
        let size = input.elements.checked_div(rest).unwrap_or(0);
        is_exact &= size.saturating_mul(rest) == input.elements;
        if let Some(free) = dims.get_mut(at) {
            *free = input.elements.div_ceil(rest.max(1));
        }
    }
    // What it is asked for, and has not, it does not make.
    match product(&dims) == input.elements {
        true => Ok(Fact::of(dims, is_exact, input.width)),
        false => Ok(Fact {
            elements: product(&dims).min(input.elements),
            ..Fact::of(dims, false, input.width)
        }),
    }
}

fn flatten(used: &Use<'_>) -> Result<Fact, Why> {
    let input = used.input(0)?;
    let dims = used.dims(0)?;
    let at = match used.int("axis").unwrap_or(1) {
        at if usize::try_from(at) == Ok(dims.len()) => dims.len(),
        at => axis(at, dims.len())?,
    };
    let (one, two) = dims.split_at_checked(at).unwrap_or((dims, &[]));
    Ok(input.with_dims(vec![product(one), product(two)], true))
}

fn squeeze(used: &Use<'_>) -> Result<Fact, Why> {
    let input = used.input(0)?;
    let opaque = Fact::opaque(input.elements, input.width);
    let Some(dims) = &input.dims else {
        return Ok(opaque);
    };
    let gone = match used.ints_or_input("axes", 1) {
        Ok(Some(axes)) => axes,
        Ok(None) if input.is_exact => {
            let ones = (0_i64..).zip(dims).filter(|(_, size)| **size == 1);
            ones.map(|(at, _)| at).collect()
        }
        _ => return Ok(opaque),
    };
    let gone: Result<Vec<_>, _> = gone.iter().map(|at| axis(*at, dims.len())).collect();
    let gone = gone?;
    // Others cannot be taken away, where the engine gets so far.
    if gone.iter().any(|at| dims.get(*at) != Some(&1)) {
        let left = dims.iter().enumerate().filter(|(at, _)| !gone.contains(at));
        return Ok(Fact {
            elements: input.elements,
            ..Fact::of(left.map(|(_, size)| *size).collect(), false, input.width)
        });
    }
    let left = dims.iter().enumerate().filter(|(at, _)| !gone.contains(at));
    Ok(input.with_dims(left.map(|(_, size)| *size).collect(), true))
}

fn unsqueeze(used: &Use<'_>) -> Result<Fact, Why> {
    let input = used.input(0)?;
    let opaque = Fact::opaque(input.elements, input.width);
    let (Some(dims), Ok(Some(axes))) = (&input.dims, used.ints_or_input("axes", 1)) else {
        return Ok(opaque);
    };
    let rank = dims.len() + axes.len();
    let new: Result<Vec<_>, _> = axes.iter().map(|at| axis(*at, rank)).collect();
    let new = new?;
    let mut old = dims.iter();
    let dims = (0..rank).map(|at| match new.contains(&at) {
        true => 1,
        false => old.next().copied().unwrap_or(1),
    });
    Ok(input.with_dims(dims.collect(), true))
}

fn transpose(used: &Use<'_>) -> Result<Fact, Why> {
    let input = used.input(0)?;
    let Some(dims) = &input.dims else {
        return Ok(Fact::opaque(input.elements, input.width));
    };
    let order = order(used, dims.len())?;
    let dims = order.iter().filter_map(|at| dims.get(*at).copied());
    Ok(input.with_dims(dims.collect(), true))
}

/// The order in which a `Transpose` has the dimensions.
pub(super) fn order(used: &Use<'_>, rank: usize) -> Result<Vec<usize>, Why> {
    match used.ints("perm") {
        None => Ok((0..rank).rev().collect()),
        Some(perm) => {
            let order: Vec<_> = perm
                .iter()
                .map(|at| axis(*at, rank))
                .collect::<Result<_, _>>()?;
            let is_each_once =
                (0..rank).all(|at| order.iter().filter(|one| **one == at).count() == 1);
            match is_each_once && order.len() == rank {
                true => Ok(order),
                false => Err("its `perm` is no permutation".into()),
            }
        }
    }
}

/// The numbers that say how large a tensor is made.
pub(super) fn sizes(used: &Use<'_>, at: usize) -> Result<Vec<i64>, Why> {
    let sizes = used.whole(at);
    sizes.ok_or_else(|| format!("its input {at}, a size, is not known before the run").into())
}

fn expand(used: &Use<'_>) -> Result<Fact, Why> {
    let input = used.input(0)?;
    let asked = sizes(used, 1)?;
    let asked: Vec<u64> = asked
        .iter()
        .map(|x| u64::try_from(*x).unwrap_or(1))
        .collect();
    let Some(dims) = &input.dims else {
        let most = product(&[product(&asked).max(1), input.elements.max(1)]);
        return Ok(Fact::opaque(most, input.width));
    };
    let (dims, fits) = broadcast(dims, &asked);
    Ok(input.with_dims(dims, fits))
}

fn tile(used: &Use<'_>) -> Result<Fact, Why> {
    let input = used.input(0)?;
    let repeats = sizes(used, 1)?;
    let repeats = repeats.iter().map(|x| u64::try_from(*x).unwrap_or(0));
    let Some(dims) = &input.dims else {
        let most = product(&repeats.collect::<Vec<_>>()).saturating_mul(input.elements);
        return Ok(Fact::opaque(most, input.width));
    };
    if repeats.len() != dims.len() {
        return Err("it does not repeat each dimension".into());
    }
    let dims = dims
        .iter()
        .zip(repeats)
        .map(|(size, times)| size.saturating_mul(times));
    Ok(input.with_dims(dims.collect(), true))
}

fn concat(used: &Use<'_>) -> Result<Fact, Why> {
    let parts: Vec<&Fact> = used.inputs.iter().copied().flatten().collect();
    let width = parts.iter().map(|part| part.width).max().unwrap_or(8);
    let elements = parts
        .iter()
        .map(|part| part.elements)
        .fold(0, u64::saturating_add);
    let ranks: Option<Vec<&Vec<u64>>> = parts.iter().map(|part| part.dims.as_ref()).collect();
    let (Some(shapes), Some(first)) = (ranks, parts.first().and_then(|part| part.dims.as_ref()))
    else {
        return Ok(Fact::opaque(elements, width));
    };
    let at = axis(used.int("axis").unwrap_or(1), first.len())?;
    let mut is_exact = parts.iter().all(|part| part.is_exact);
    let mut dims = vec![0_u64; first.len()];
    for shape in shapes {
        is_exact &= shape.len() == dims.len();
        for (place, (all, size)) in dims.iter_mut().zip(shape).enumerate() {
            *all = match place == at {
                true => all.saturating_add(*size),
                false => (*all).max(*size),
            };
        }
    }
    Ok(Fact::of(dims, is_exact, width))
}

fn split(used: &Use<'_>) -> Result<Vec<Fact>, Why> {
    let input = used.input(0)?;
    let parts = used.step.outputs.len();
    let Some(dims) = &input.dims else {
        return Ok(vec![Fact::opaque(input.elements, input.width); parts]);
    };
    let at = axis(used.int("axis").unwrap_or(0), dims.len())?;
    let size = dims.get(at).copied().unwrap_or(0);
    let with = |size: u64, is_exact: bool| {
        let mut dims = dims.clone();
        if let Some(one) = dims.get_mut(at) {
            *one = size;
        }
        input.with_dims(dims, is_exact)
    };
    let sizes = match used.ints_or_input("split", 1) {
        Ok(Some(sizes)) => sizes
            .iter()
            .map(|x| u64::try_from(*x).unwrap_or(0))
            .collect(),
        Ok(None) => {
            let each = size.div_ceil((parts as u64).max(1));
            let starts = (0..parts as u64).map(|part| part.saturating_mul(each));
            starts
                .map(|start| size.saturating_sub(start).min(each))
                .collect()
        }
        Err(()) => return Ok(vec![with(size, false); parts]),
    };
    let fits = |all: &Vec<u64>| all.iter().copied().fold(0, u64::saturating_add) == size;
    let is_exact = fits(&sizes);
    // It cannot give more than there is.
    Ok(sizes
        .into_iter()
        .map(|one| with(one.min(size), is_exact))
        .collect())
}

fn pad(used: &Use<'_>) -> Result<Fact, Why> {
    let input = used.input(0)?;
    let dims = used.dims(0)?;
    let pads = match used.ints("pads") {
        Some(pads) => pads.to_vec(),
        None => sizes(used, 1)?,
    };
    let axes = match used.get(3) {
        Some(_) => {
            let axes = sizes(used, 3)?;
            axes.iter()
                .map(|at| axis(*at, dims.len()))
                .collect::<Result<Vec<_>, _>>()?
        }
        None => (0..dims.len()).collect(),
    };
    let (before, after) = pads.split_at_checked(axes.len()).unwrap_or((&pads, &[]));
    if before.len() != axes.len() || after.len() != axes.len() {
        return Err("it does not pad each dimension".into());
    }
    let mut dims = dims.to_vec();
    for (at, (before, after)) in axes.iter().zip(before.iter().zip(after)) {
        if let Some(size) = dims.get_mut(*at) {
            let padded = i128::from(*size) + i128::from(*before) + i128::from(*after);
            *size = u64::try_from(padded.max(0)).unwrap_or(u64::MAX);
        }
    }
    Ok(input.with_dims(dims, true))
}

fn blocks(used: &Use<'_>) -> Result<Fact, Why> {
    let input = used.input(0)?;
    let size = used
        .int("blocksize")
        .and_then(|size| u64::try_from(size).ok())
        .unwrap_or(1)
        .max(1);
    let [n, c, h, w] = used.dims(0)? else {
        return Err("it is for 4 dimensions".into());
    };
    let square = size.saturating_mul(size);
    let dims = match used.step.operator.as_str() {
        "DepthToSpace" => vec![
            *n,
            c.div_ceil(square),
            h.saturating_mul(size),
            w.saturating_mul(size),
        ],
        _ => vec![
            *n,
            c.saturating_mul(square),
            h.div_ceil(size),
            w.div_ceil(size),
        ],
    };
    let fits = product(&dims) == input.elements;
    Ok(input.with_dims(dims, fits))
}
