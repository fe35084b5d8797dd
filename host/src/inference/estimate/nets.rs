//! Operators that compute sums of products: layers of nets, and the working memory of these.

use std::collections::HashMap;

use super::fact::{Fact, broadcast, product};
use super::infer::{Made, Use, Why};

pub(super) fn infer(used: &Use<'_>) -> Result<Option<Made>, Why> {
    Ok(Some(match used.step.operator.as_str() {
        "MatMul" | "MatMulInteger" => matmul(used, 1)?,
        "QLinearMatMul" => matmul(used, 3)?,
        "Gemm" => gemm(used)?,
        "Conv" | "ConvInteger" => conv(used, 1)?,
        "QLinearConv" => conv(used, 3)?,
        "ConvTranspose" => conv_transpose(used)?,
        "MaxPool" | "AveragePool" | "LpPool" => pool(used)?.into(),
        "GlobalAveragePool" | "GlobalMaxPool" | "GlobalLpPool" => {
            let dims = used.dims(0)?;
            let dims = dims
                .iter()
                .enumerate()
                .map(|(at, size)| if at < 2 { *size } else { 1 });
            used.input(0)?.with_dims(dims.collect(), true).into()
        }
        "LSTM" | "GRU" | "RNN" => recurrent(used)?,
        "Einsum" => einsum(used)?,
        "GridSample" => {
            let (input, grid) = (used.input(0)?, used.input(1)?);
            let kept = used.dims(0)?.get(..2).unwrap_or_default();
            let inner = grid.dims.as_deref().unwrap_or_default();
            let inner = inner
                .get(1..inner.len().saturating_sub(1))
                .ok_or("its grid has no shape")?;
            input
                .with_dims([kept, inner].concat(), grid.is_exact)
                .into()
        }
        "LinearClassifier"
        | "LinearRegressor"
        | "SVMClassifier"
        | "SVMRegressor"
        | "TreeEnsembleClassifier"
        | "TreeEnsembleRegressor" => scores(used)?.into(),
        _ => return Ok(None),
    }))
}

/// A product may have its operands in another order first.
fn copies(used: &Use<'_>) -> u64 {
    let inputs = used.inputs.iter().flatten();
    inputs
        .map(|input| input.bytes())
        .fold(0, u64::saturating_add)
}

fn matmul(used: &Use<'_>, second: usize) -> Result<Made, Why> {
    let (a, b) = (used.input(0)?, used.input(second)?);
    let width = a.width.max(b.width);
    let fact = match (a.dims.as_deref(), b.dims.as_deref()) {
        (Some(one), Some(two)) => {
            let (rows, outer_a) = match one {
                [outer @ .., rows, _] => (Some(*rows), outer),
                _ => (None, &[][..]),
            };
            let (columns, outer_b) = match two {
                [outer @ .., _, columns] => (Some(*columns), outer),
                _ => (None, &[][..]),
            };
            let (mut dims, fits) = broadcast(outer_a, outer_b);
            dims.extend(rows);
            dims.extend(columns);
            Fact::of(dims, fits && a.is_exact && b.is_exact, width)
        }
        _ => Fact::opaque(product(&[a.elements.max(1), b.elements.max(1)]), width),
    };
    Ok(Made {
        facts: vec![fact],
        working_bytes: copies(used),
    })
}

fn gemm(used: &Use<'_>) -> Result<Made, Why> {
    let (a, b) = (used.input(0)?, used.input(1)?);
    let (one, two) = (used.dims(0)?, used.dims(1)?);
    let is_set = |name: &str| used.int(name).unwrap_or(0) != 0;
    let pick = |dims: &[u64], at: usize| {
        let size = dims.get(at).copied();
        size.ok_or("it multiplies what are no matrices")
    };
    let rows = pick(one, usize::from(is_set("transA")))?;
    let columns = pick(two, usize::from(!is_set("transB")))?;
    let fact = Fact::of(
        vec![rows, columns],
        a.is_exact && b.is_exact,
        a.width.max(b.width),
    );
    Ok(Made {
        facts: vec![fact],
        working_bytes: copies(used),
    })
}

/// What a window that moves along a dimension does there.
struct Window {
    kernel: u64,
    stride: u64,
    dilation: u64,
    pads: i64,
}

fn window(used: &Use<'_>, kernel: &[u64], at: usize) -> Window {
    let get = |name: &str, at: usize| used.ints(name).and_then(|ints| ints.get(at).copied());
    let positive = |value: Option<i64>| {
        value
            .and_then(|x| u64::try_from(x).ok())
            .unwrap_or(1)
            .max(1)
    };
    let pads = get("pads", at).unwrap_or(0);
    Window {
        kernel: kernel.get(at).copied().unwrap_or(1),
        stride: positive(get("strides", at)),
        dilation: positive(get("dilations", at)),
        pads: pads.saturating_add(get("pads", at + kernel.len()).unwrap_or(0)),
    }
}

/// The sizes along which a window moves, and whether they are just those.
fn windows(used: &Use<'_>, dims: &[u64], kernel: &[u64]) -> (Vec<u64>, bool) {
    let rounds_up = used.int("ceil_mode").unwrap_or(0) != 0;
    let auto = used.text("auto_pad");
    let inner = dims.get(2..).unwrap_or_default();
    let sizes = inner.iter().enumerate().map(|(at, size)| {
        let Window {
            kernel,
            stride,
            dilation,
            pads,
        } = window(used, kernel, at);
        if auto.starts_with("SAME") {
            return size.div_ceil(stride);
        }
        let pads = if auto == "VALID" { 0 } else { pads };
        let span = u128::from(dilation) * u128::from(kernel.saturating_sub(1)) + 1;
        let room = i128::from(*size) + i128::from(pads) - i128::try_from(span).unwrap_or(i128::MAX);
        let room = u64::try_from(room.max(0)).unwrap_or(u64::MAX);
        let steps = if rounds_up {
            room.div_ceil(stride)
        } else {
            room / stride
        };
        steps.saturating_add(1)
    });
    (sizes.collect(), !rounds_up)
}

fn conv(used: &Use<'_>, weight: usize) -> Result<Made, Why> {
    let input = used.input(0)?;
    let (dims, weights) = (used.dims(0)?, used.dims(weight)?);
    let (Some(rows), Some(channels), Some(made)) = (dims.first(), dims.get(1), weights.first())
    else {
        return Err("its input is no picture".into());
    };
    let kernel = weights.get(2..).unwrap_or_default();
    let (sizes, is_exact) = windows(used, dims, kernel);
    // Each window of a picture, side by side.
    let columns = product(&[product(kernel), *channels, product(&sizes), input.width]);
    let fact = input.with_dims([&[*rows, *made], &sizes[..]].concat(), is_exact);
    Ok(Made {
        facts: vec![fact],
        working_bytes: columns.saturating_add(copies(used)),
    })
}

fn conv_transpose(used: &Use<'_>) -> Result<Made, Why> {
    let input = used.input(0)?;
    let (dims, weights) = (used.dims(0)?, used.dims(1)?);
    let (Some(rows), Some(made)) = (dims.first(), weights.get(1)) else {
        return Err("its input is no picture".into());
    };
    let groups = used
        .int("group")
        .and_then(|x| u64::try_from(x).ok())
        .unwrap_or(1);
    let kernel = weights.get(2..).unwrap_or_default();
    let inner = dims.get(2..).unwrap_or_default();
    let asked = used.ints("output_shape");
    let sizes: Vec<u64> = (inner.iter().enumerate())
        .map(|(at, size)| {
            let window = window(used, kernel, at);
            let more = used
                .ints("output_padding")
                .and_then(|more| more.get(at).copied());
            let span = window
                .dilation
                .saturating_mul(window.kernel)
                .saturating_add(window.stride);
            // Without pads, which take away; with them where they are negative, and so add.
            let most = size.saturating_mul(window.stride).saturating_add(span);
            let most = most.saturating_add(more.unwrap_or(0).unsigned_abs());
            let most = most.saturating_add(window.pads.min(0).unsigned_abs());
            let asked = asked.and_then(|asked| u64::try_from(*asked.get(at)?).ok());
            most.max(asked.unwrap_or(0))
        })
        .collect();
    let made = made.saturating_mul(groups);
    let columns = product(&[*rows, made, product(kernel), product(inner), input.width]);
    let fact = input.with_dims([&[*rows, made], &sizes[..]].concat(), false);
    Ok(Made {
        facts: vec![fact],
        working_bytes: columns.saturating_add(copies(used)),
    })
}

fn pool(used: &Use<'_>) -> Result<Vec<Fact>, Why> {
    let input = used.input(0)?;
    let dims = used.dims(0)?;
    let kernel = used.ints("kernel_shape").unwrap_or_default();
    let kernel: Vec<u64> = kernel
        .iter()
        .map(|x| u64::try_from(*x).unwrap_or(1))
        .collect();
    let (sizes, is_exact) = windows(used, dims, &kernel);
    let kept = dims.get(..2).unwrap_or_default();
    let fact = input.with_dims([kept, &sizes].concat(), is_exact);
    // Where it found the largest.
    let places = Fact {
        width: 8,
        ..fact.clone()
    };
    Ok(vec![fact, places])
}

fn recurrent(used: &Use<'_>) -> Result<Made, Why> {
    let (input, again) = (used.input(0)?, used.dims(2)?);
    let hidden = again
        .get(2)
        .copied()
        .ok_or("its recurrent weights are no matrices")?;
    let directions = again.first().copied().unwrap_or(2).max(1);
    let [first, second] = match input.dims.as_deref() {
        Some([first, second, _]) => [*first, *second],
        _ => [input.elements.max(1), 1],
    };
    let is_exact = input.is_exact;
    let rows_first = used.int("layout") == Some(1);
    let batch = match (input.dims.is_some(), rows_first) {
        (true, true) => first,
        (true, false) => second,
        (false, _) => input.elements.max(1),
    };
    let (all, last) = match rows_first {
        false => (
            vec![first, directions, second, hidden],
            vec![directions, batch, hidden],
        ),
        true => (
            vec![first, second, directions, hidden],
            vec![batch, directions, hidden],
        ),
    };
    let all = Fact::of(all, is_exact, 4);
    let last = Fact::of(last, is_exact, 4);
    // Four gates of each step, and sums on their way.
    let working_bytes = all.bytes().saturating_mul(8).saturating_add(copies(used));
    Ok(Made {
        facts: vec![all, last.clone(), last],
        working_bytes,
    })
}

fn einsum(used: &Use<'_>) -> Result<Made, Why> {
    let equation: String = used.text("equation").split_whitespace().collect();
    let (terms, made) = equation
        .split_once("->")
        .ok_or("its equation says no output")?;
    let mut sizes: HashMap<char, u64> = HashMap::new();
    let mut is_exact = true;
    for (at, term) in terms.split(',').enumerate() {
        let (input, dims) = (used.input(at)?, used.dims(at)?);
        if term.chars().count() != dims.len() || !term.chars().all(char::is_alphabetic) {
            return Err("its equation does not name each dimension by a letter".into());
        }
        is_exact &= input.is_exact;
        for (letter, size) in term.chars().zip(dims) {
            let most = sizes.entry(letter).or_insert(*size);
            is_exact &= most == size;
            *most = (*most).max(*size);
        }
    }
    let dims: Option<Vec<u64>> = made
        .chars()
        .map(|letter| sizes.get(&letter).copied())
        .collect();
    let dims = dims.ok_or("its equation gives what it does not take")?;
    // Two are multiplied as matrices; more of them by and by, and no tensor between has more than
    // all letters.
    let between = match terms.split(',').count() {
        0..=2 => 0,
        _ => product(&sizes.values().copied().collect::<Vec<_>>()).saturating_mul(4),
    };
    let width = used.input(0)?.width;
    let fact = Fact::of(dims, is_exact, width);
    let working_bytes = copies(used).saturating_mul(2).saturating_add(fact.bytes());
    Ok(Made {
        working_bytes: working_bytes.saturating_add(between),
        facts: vec![fact],
    })
}

/// Of trees and the like: what they say of each class, and the likeliest.
fn scores(used: &Use<'_>) -> Result<Vec<Fact>, Why> {
    let rows = used.dims(0)?.first().copied().unwrap_or(1);
    let counts = used.step.attributes.values().map(|one| {
        let said = one.int.and_then(|int| u64::try_from(int).ok()).unwrap_or(0);
        one.count.max(if said < 1 << 32 { said } else { u64::MAX })
    });
    let most = counts.max().unwrap_or(0).max(2);
    let labels = Fact::of(vec![rows], false, 64);
    let scores = Fact::of(vec![rows, most], false, 4);
    Ok(match used.step.operator.ends_with("Classifier") {
        true => vec![labels, scores],
        false => vec![scores],
    })
}
