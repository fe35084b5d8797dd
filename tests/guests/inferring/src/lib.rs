//! What `skep bench` measures inference with: a job that calls a model again and again, and
//! tells how long each call took as it sees it; and one that calls it once, for
//! `bench/inference`.

use serde::Deserialize;
use skep_sdk::{Context, Failure, Tensor};

/// The host's clock: the SDK has none, for handlers that may be run again.
mod clock {
    #![allow(unsafe_code, reason = "what wit-bindgen generates for imports")]

    wit_bindgen::generate!({
        inline: "
            package skep:inferring;
            world clock {
                import wasi:clocks/monotonic-clock@0.2.0;
            }
            package wasi:clocks@0.2.0 {
                interface monotonic-clock {
                    now: func() -> u64;
                }
            }
        ",
    });

    /// A moment, in ns.
    pub(super) fn now() -> u64 {
        wasi::clocks::monotonic_clock::now()
    }
}

#[derive(Deserialize)]
struct Calls {
    /// The model, which has one input `x` of floats.
    model: String,
    /// That input's shape.
    shape: Vec<u64>,
    /// How often it is called.
    calls: usize,
}

#[skep_sdk::listener]
/// Calls a model so many times, each after the one before; gives how long each took, as numbers
/// of ns of 32 bits.
fn infers(calls: Calls, ctx: &Context) -> Result<Vec<u8>, Failure> {
    let elements = calls.shape.iter().product::<u64>() as usize;
    let row: Vec<f32> = (0..elements).map(|at| (at % 7) as f32 * 0.1).collect();
    let x = Tensor::f32(&calls.shape, &row);
    let mut took = Vec::with_capacity(calls.calls * 4);
    for _ in 0..calls.calls {
        let call = ctx.infer(&calls.model).tensor("x", x.clone());
        let begun = clock::now();
        call.run()?;
        let ns = clock::now() - begun;
        took.extend(u32::try_from(ns).unwrap_or(u32::MAX).to_le_bytes());
    }
    Ok(took)
}

#[skep_sdk::listener]
/// The answer of the model `mlp` to one row of floats, as bytes.
fn predict(row: Vec<u8>, ctx: &Context) -> Result<Vec<u8>, Failure> {
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

skep_sdk::export!(infers, predict);
