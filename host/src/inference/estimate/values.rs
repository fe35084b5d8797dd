//! The elements of small tensors, computed as engines will: the arithmetic of shapes.

use super::fact::{Fact, Values, broadcast};
use super::infer::{Use, axis};
use super::layout;
use crate::inference::onnx::MAX_ELEMENTS;

/// The elements of what an operator gives; none where they are many, not known, or not the same in
/// each engine.
pub(super) fn compute(used: &Use<'_>, made: &Fact) -> Option<Values> {
    if !made.is_exact || made.elements > MAX_ELEMENTS as u64 {
        return None;
    }
    let dims = made.dims.as_deref()?;
    let of = |at: usize| used.get(at)?.values.as_ref();
    match used.step.operator.as_str() {
        // The same, in the same order; also those that no engine computes with.
        "Identity" | "Reshape" | "Flatten" | "Squeeze" | "Unsqueeze" => {
            let values = of(0)?;
            (values.elements.len() as u64 == made.elements).then(|| values.clone())
        }
        "Cast" => cast(used, of(0)?),
        "Concat" => concat(used),
        "Gather" => gather(used, dims),
        "Slice" => slice(used, dims),
        "Transpose" => transpose(used, dims),
        "Expand" => spread(dims, &[used.get(0)?], |x| x.first().copied(), None),
        "ConstantOfShape" => {
            let held = used.step.constant.as_ref().map(|held| held.values.clone());
            // Without a value, zeros of f32.
            let (value, is_real) = match held {
                Some(values) => {
                    let values = values?;
                    (*values.elements.first()?, values.is_real)
                }
                None => (0.0, true),
            };
            Values::new(vec![value; usize::try_from(made.elements).ok()?], is_real)
        }
        "Range" => {
            let (start, delta) = (of(0)?, of(2)?);
            let (first, step) = (*start.elements.first()?, *delta.elements.first()?);
            let count = u32::try_from(made.elements).ok()?;
            let elements = (0..count).map(|at| first + step * f64::from(at)).collect();
            Values::new(elements, start.is_real)
        }
        "ReduceProd" if made.elements == 1 => {
            let values = of(0)?;
            Values::new(vec![values.elements.iter().product()], values.is_real)
        }
        _ => arithmetic(used, dims),
    }
}

fn cast(used: &Use<'_>, values: &Values) -> Option<Values> {
    let elements = values.elements.iter().copied();
    match used.int("to")? {
        1 => Values::new(elements.collect(), true),
        6 | 7 => Values::new(elements.map(f64::trunc).collect(), false),
        9 => Values::new(elements.map(|x| f64::from(x != 0.0)).collect(), false),
        _ => None,
    }
}

fn concat(used: &Use<'_>) -> Option<Values> {
    let mut all = Vec::new();
    let mut is_real = false;
    for part in &used.inputs {
        let part = (*part)?;
        // Of more dimensions, they would be in another order.
        if part.dims.as_ref()?.len() != 1 {
            return None;
        }
        let values = part.values.as_ref()?;
        is_real |= values.is_real;
        all.extend(values.elements.iter().copied());
    }
    Some(Values {
        elements: all.into(),
        is_real,
    })
}

fn gather(used: &Use<'_>, dims: &[u64]) -> Option<Values> {
    let data = used.get(0)?;
    if data.dims.as_ref()?.len() != 1 || dims.len() > 1 {
        return None;
    }
    let values = data.values.as_ref()?;
    let picked = used.whole(1)?;
    let elements = picked.iter().map(|at| {
        let at = axis(*at, values.elements.len()).ok()?;
        values.elements.get(at).copied()
    });
    Some(Values {
        elements: elements.collect::<Option<Vec<_>>>()?.into(),
        is_real: values.is_real,
    })
}

/// Picks elements by where they are along each dimension.
fn pick(data: &Fact, dims: &[u64], from: impl Fn(&[u64]) -> Option<Vec<u64>>) -> Option<Values> {
    let values = data.values.as_ref()?;
    let own = data.dims.as_ref()?;
    let elements = places(dims).into_iter().map(|place| {
        let place = from(&place)?;
        let at = own
            .iter()
            .zip(&place)
            .fold(0, |at, (size, one)| at * size + one);
        values.elements.get(usize::try_from(at).ok()?).copied()
    });
    Some(Values {
        elements: elements.collect::<Option<Vec<_>>>()?.into(),
        is_real: values.is_real,
    })
}

/// All places in a small tensor, in order.
fn places(dims: &[u64]) -> Vec<Vec<u64>> {
    let mut places = vec![Vec::new()];
    for size in dims {
        places = (places.iter())
            .flat_map(|place| (0..*size).map(move |at| [&place[..], &[at]].concat()))
            .collect();
    }
    places
}

fn slice(used: &Use<'_>, dims: &[u64]) -> Option<Values> {
    let data = used.get(0)?;
    data.values.as_ref()?;
    let ranges = super::arrays::ranges(used, data.dims.as_ref()?)?;
    pick(data, dims, |place| {
        let along = place.iter().zip(&ranges);
        let from = along.map(|(at, (start, _, step))| {
            u64::try_from(start + i64::try_from(*at).ok()? * step).ok()
        });
        from.collect()
    })
}

fn transpose(used: &Use<'_>, dims: &[u64]) -> Option<Values> {
    let data = used.get(0)?;
    data.values.as_ref()?;
    let order = layout::order(used, dims.len()).ok()?;
    pick(data, dims, |place| {
        let mut from = vec![0; place.len()];
        for (at, one) in order.iter().zip(place) {
            *from.get_mut(*at)? = *one;
        }
        Some(from)
    })
}

/// Computes each element of the elements at its place, once these are broadcast.
fn spread(
    dims: &[u64],
    inputs: &[&Fact],
    compute: impl Fn(&[f64]) -> Option<f64>,
    is_real: Option<bool>,
) -> Option<Values> {
    let mut columns = Vec::new();
    let mut any_real = false;
    for input in inputs {
        let values = input.values.as_ref()?;
        any_real |= values.is_real;
        // Numbers that engines do not compute with alike are not computed with here.
        Values::new(values.elements.to_vec(), values.is_real)?;
        let own = input.dims.as_ref()?;
        if broadcast(own, dims).0 != dims {
            return None;
        }
        let from = dims.len() - own.len();
        let column = pick(input, dims, |place| {
            let place = place.get(from..)?.iter().zip(own);
            Some(
                place
                    .map(|(at, size)| if *size == 1 { 0 } else { *at })
                    .collect(),
            )
        })?;
        columns.push(column.elements);
    }
    let count = columns.first()?.len();
    let elements = (0..count).map(|at| {
        let row: Option<Vec<f64>> = columns
            .iter()
            .map(|column| column.get(at).copied())
            .collect();
        compute(&row?)
    });
    Values::new(
        elements.collect::<Option<_>>()?,
        is_real.unwrap_or(any_real),
    )
}

fn arithmetic(used: &Use<'_>, dims: &[u64]) -> Option<Values> {
    let inputs: Vec<&Fact> = used.inputs.iter().copied().collect::<Option<_>>()?;
    let is_real = inputs
        .iter()
        .any(|input| input.values.as_ref().is_some_and(|values| values.is_real));
    let two = |compute: fn(f64, f64) -> Option<f64>| {
        spread(
            dims,
            &inputs,
            |row| compute(*row.first()?, *row.get(1)?),
            None,
        )
    };
    let tells = |compute: fn(f64, f64) -> bool| {
        let told = |row: &[f64]| Some(f64::from(compute(*row.first()?, *row.get(1)?)));
        spread(dims, &inputs, told, Some(false))
    };
    let fold = |compute: fn(f64, f64) -> f64| {
        spread(
            dims,
            &inputs,
            |row| row.iter().copied().reduce(compute),
            None,
        )
    };
    match used.step.operator.as_str() {
        "Add" => two(|a, b| Some(a + b)),
        "Sub" => two(|a, b| Some(a - b)),
        "Mul" => two(|a, b| Some(a * b)),
        "Div" if is_real => two(|a, b| (b != 0.0).then(|| a / b)),
        "Div" => two(|a, b| (b != 0.0).then(|| (a / b).trunc())),
        // Of negative numbers, engines and versions differ.
        "Mod" if !is_real => two(|a, b| (a >= 0.0 && b > 0.0).then(|| a % b)),
        "Max" => fold(f64::max),
        "Min" => fold(f64::min),
        "Equal" => tells(|a, b| a == b),
        "Less" => tells(|a, b| a < b),
        "LessOrEqual" => tells(|a, b| a <= b),
        "Greater" => tells(|a, b| a > b),
        "GreaterOrEqual" => tells(|a, b| a >= b),
        "And" => tells(|a, b| a != 0.0 && b != 0.0),
        "Or" => tells(|a, b| a != 0.0 || b != 0.0),
        "Not" => spread(
            dims,
            &inputs,
            |row| Some(f64::from(*row.first()? == 0.0)),
            Some(false),
        ),
        "Neg" => spread(dims, &inputs, |row| Some(-*row.first()?), None),
        "Abs" => spread(dims, &inputs, |row| Some(row.first()?.abs()), None),
        "Ceil" => spread(dims, &inputs, |row| Some(row.first()?.ceil()), None),
        "Floor" => spread(dims, &inputs, |row| Some(row.first()?.floor()), None),
        "Where" => spread(
            dims,
            &inputs,
            |row| row.get(if *row.first()? == 0.0 { 2 } else { 1 }).copied(),
            None,
        ),
        _ => None,
    }
}
