//! What inference is measured with, by `skep bench` and `bench/gpu`: a job that calls a model again
//! and again, and tells how long each call took as it sees it; and one that calls it once, for
//! `bench/inference`.

use serde::Deserialize;
use skep_sdk::{Context, DataType, Failure, Infer, NamedTensor, Tensor};

/// The host's clock: the SDK has none, for handlers that may be run again.
mod clock {
    #![allow(unsafe_code, reason = "what wit-bindgen generates for imports")]

    wit_bindgen::generate!({
        inline: "
            package skep:measured;
            world clock {
                import wasi:clocks/monotonic-clock@0.2.0;
            }
            package wasi:clocks@0.2.0 {
                interface monotonic-clock {
                    type instant = u64;
                    now: func() -> instant;
                }
            }
        ",
        generate_all,
    });

    /// A moment, in ns.
    pub(super) fn now() -> u64 {
        wasi::clocks::monotonic_clock::now()
    }
}

#[derive(Deserialize)]
pub(crate) struct Calls {
    /// The model.
    model: String,
    /// What its inputs have where they may have any size, but for the rows: of these one.
    size: u64,
    /// How often it is called.
    calls: usize,
}

#[skep_sdk::listener]
/// Calls a model so many times, each after the one before; gives how long each took, as numbers
/// of ns of 32 bits.
pub(crate) fn infers(calls: Calls, ctx: &Context) -> Result<Vec<u8>, Failure> {
    let inputs = inputs(&calls.model, calls.size, ctx)?;
    let mut took = Vec::with_capacity(calls.calls * 4);
    for _ in 0..calls.calls {
        let call = call(&calls.model, &inputs, ctx);
        let begun = clock::now();
        call.run()?;
        let ns = clock::now() - begun;
        took.extend(u32::try_from(ns).unwrap_or(u32::MAX).to_le_bytes());
    }
    Ok(took)
}

#[skep_sdk::listener]
/// Calls a model so many times, and gives the bytes of its first output, one after the other.
pub(crate) fn answers(calls: Calls, ctx: &Context) -> Result<Vec<u8>, Failure> {
    let inputs = inputs(&calls.model, calls.size, ctx)?;
    let mut all = Vec::new();
    for _ in 0..calls.calls {
        let outputs = call(&calls.model, &inputs, ctx).run()?.into_tensors();
        let first = outputs.into_iter().next();
        all.extend(first.map(|output| output.value.data).unwrap_or_default());
    }
    Ok(all)
}

fn call(model: &str, inputs: &[NamedTensor], ctx: &Context) -> Infer {
    inputs.iter().fold(ctx.infer(model), |call, input| {
        call.tensor(&input.name, input.value.clone())
    })
}

/// One row of each input: floats, or small whole numbers that are not 0.
fn inputs(model: &str, size: u64, ctx: &Context) -> Result<Vec<NamedTensor>, Failure> {
    let about = ctx.describe(model)?;
    let made = about.inputs.into_iter().map(|spec| {
        let sizes = spec.shape.iter().enumerate();
        let shape: Vec<u64> = sizes
            .map(|(at, fixed)| fixed.unwrap_or(if at == 0 { 1 } else { size }))
            .collect();
        let sevenths = (0..shape.iter().product::<u64>()).map(|at| at % 7);
        let value = match spec.dtype {
            DataType::F32 => {
                let floats: Vec<_> = sevenths.map(|at| at as f32 * 0.1).collect();
                Tensor::f32(&shape, &floats)
            }
            DataType::I64 => {
                let wholes: Vec<_> = sevenths.map(|at| 1 + at as i64).collect();
                Tensor::i64(&shape, &wholes)
            }
            other => return Err(Failure::invalid(format!("{} is of {other:?}", spec.name))),
        };
        Ok(NamedTensor::new(spec.name, value))
    });
    made.collect()
}

#[skep_sdk::listener]
/// The answer of the model `mlp` to one row of floats, as bytes.
pub(crate) fn predict(row: Vec<u8>, ctx: &Context) -> Result<Vec<u8>, Failure> {
    let (numbers, _) = row.as_chunks();
    let numbers: Vec<f32> = numbers
        .iter()
        .map(|four| f32::from_le_bytes(*four))
        .collect();
    let x = Tensor::f32(&[1, numbers.len() as u64], &numbers);
    let out = ctx.infer("mlp").tensor("x", x).run()?;
    let y = out.first::<f32>()?;
    Ok(y.iter().flat_map(|number| number.to_le_bytes()).collect())
}
