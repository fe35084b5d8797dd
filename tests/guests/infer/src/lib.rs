//! The guest that tests of inference run: it calls the models that its message names, with
//! whatever tensors that says, and answers what came of it. The bytes of a tensor are hex. What
//! inference is measured with is in `measured`.

mod measured;
mod tensor;

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use skep_sdk::{Context, Error, Failure};

use tensor::Wire;

/// A call of a model.
#[derive(Deserialize)]
struct Call {
    model: String,
    #[serde(default)]
    inputs: Vec<(String, Wire)>,
    /// How many times it is made; the answer is that of the last.
    #[serde(default = "once")]
    times: u32,
}

fn once() -> u32 {
    1
}

/// What a call came to.
#[derive(Default, Serialize)]
struct Answer {
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    outputs: BTreeMap<String, Wire>,
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<String>,
}

fn call(call: &Call, ctx: &Context) -> Result<Answer, Error> {
    let mut infer = ctx.infer(&call.model);
    for (name, input) in &call.inputs {
        infer = infer.tensor(name, input.tensor()?);
    }
    let mut outputs = Vec::new();
    for _ in 0..call.times {
        outputs = infer.clone().run()?.into_tensors();
    }
    let wire = |output: skep_sdk::NamedTensor| (output.name, Wire::of(&output.value));
    Ok(Answer {
        outputs: outputs.into_iter().map(wire).collect(),
        error: None,
    })
}

/// Calls a model; an error is a result, too.
#[skep_sdk::listener]
fn infer(msg: Call, ctx: &Context) -> Result<Answer, Failure> {
    Ok(call(&msg, ctx).unwrap_or_else(|error| Answer {
        error: Some(error.to_string()),
        ..Answer::default()
    }))
}

/// Calls a model; an error ends the job as `?` has it.
#[skep_sdk::listener(name = "infer-or-fail")]
fn infer_or_fail(msg: Call, ctx: &Context) -> Result<Answer, Failure> {
    Ok(call(&msg, ctx)?)
}

/// Calls a model until somebody stops it, whatever it answers.
#[skep_sdk::listener(name = "infer-for-ever")]
fn infer_for_ever(msg: Call, ctx: &Context) -> Result<(), Failure> {
    while !ctx.is_cancelled() {
        let _ = call(&msg, ctx);
    }
    Ok(())
}

/// Asks what a model takes until it is told to stop, and answers that.
#[skep_sdk::listener(name = "describe-until-told")]
fn describe_until_told(model: String, ctx: &Context) -> Result<String, Failure> {
    loop {
        if let Err(error) = ctx.describe(&model) {
            return Ok(error.to_string());
        }
    }
}

#[derive(Serialize)]
struct Spec {
    name: String,
    dtype: String,
    shape: Vec<Option<u64>>,
}

#[derive(Serialize)]
struct Info {
    name: String,
    digest: String,
    device: String,
    inputs: Vec<Spec>,
    outputs: Vec<Spec>,
}

/// What a model takes and gives.
#[skep_sdk::listener]
fn describe(model: String, ctx: &Context) -> Result<Info, Failure> {
    let info = ctx.describe(&model)?;
    let specs = |specs: Vec<skep_sdk::TensorSpec>| {
        let spec = |spec: skep_sdk::TensorSpec| Spec {
            name: spec.name,
            dtype: tensor::name(spec.dtype).to_owned(),
            shape: spec.shape,
        };
        specs.into_iter().map(spec).collect()
    };
    Ok(Info {
        name: info.name,
        digest: info.digest,
        device: info.device,
        inputs: specs(info.inputs),
        outputs: specs(info.outputs),
    })
}

/// The models that there are.
#[skep_sdk::listener]
fn models(_msg: (), ctx: &Context) -> Result<Vec<String>, Failure> {
    Ok(ctx.models()?)
}

/// Does nothing, for jobs that run beside others.
#[skep_sdk::listener]
fn nothing(_msg: (), ctx: &Context) -> Result<(), Failure> {
    Ok(())
}

skep_sdk::export!(
    infer,
    infer_or_fail,
    infer_for_ever,
    describe_until_told,
    describe,
    models,
    nothing,
    measured::infers,
    measured::answers,
    measured::predict
);
