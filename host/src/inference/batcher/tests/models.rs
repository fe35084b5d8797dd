//! Batches of a real engine: who shares them, what is padded, and what hurts nobody else.

use std::sync::Arc;

use bytes::Bytes;
use futures_util::future::join_all;
use futures_util::poll;

use super::super::testing::{AddOne, meter, namespace, plan, rows_of};
use super::super::*;
use super::Asked;
use super::equality::{assert_same, together};
use crate::inference::rten::Rten;
use crate::inference::{Engine, InferError, LoadedModel, Tensor};
use crate::model::{BatchLayout, DataType, Pad, TensorSpec};

fn load(name: &str) -> Arc<dyn LoadedModel> {
    let path = format!("{}/../tests/models/{name}.onnx", env!("CARGO_MANIFEST_DIR"));
    Rten::new(1).load(&std::fs::read(path).unwrap()).unwrap()
}

/// A tensor of the spec's type, whose values are `seed`'s own; `sizes` are those of the
/// dimensions that may be any.
fn tensor(spec: &TensorSpec, sizes: &[u64], seed: u64) -> NamedTensor {
    let mut random = fastrand::Rng::with_seed(seed);
    let mut sizes = sizes.iter();
    let shape = spec.shape.iter();
    let shape: Vec<u64> = shape
        .map(|fixed| fixed.unwrap_or_else(|| *sizes.next().unwrap()))
        .collect();
    let elements = shape.iter().product::<u64>();
    let data: Vec<u8> = (0..elements)
        .flat_map(|_| match spec.dtype {
            DataType::F32 => (random.f32() * 2.0 - 1.0).to_le_bytes().to_vec(),
            DataType::I64 => random.i64(1..100).to_le_bytes().to_vec(),
            other => panic!("none of these models takes {other:?}"),
        })
        .collect();
    let value = Tensor::new(spec.dtype, shape, Bytes::from(data)).unwrap();
    let name = spec.name.clone();
    NamedTensor { name, value }
}

fn rows(inputs: &[Option<usize>], outputs: &[Option<usize>]) -> BatchPlan {
    BatchPlan {
        layout: Some(BatchLayout {
            inputs: inputs.to_vec(),
            outputs: outputs.to_vec(),
        }),
        ..plan(64)
    }
}

#[tokio::test]
async fn models_whose_rows_are_not_their_own_are_run_alone_where_the_plan_says_so() {
    for name in ["mean", "time"] {
        let model = load(name);
        let spec = &model.signature().inputs[0];
        let calls: Vec<_> = (0..4).map(|seed| vec![tensor(spec, &[3], seed)]).collect();
        let mut plan = plan(64);
        plan.layout = None;
        let answers = together(model.clone(), plan, calls.clone()).await;
        for (call, answer) in calls.iter().zip(answers) {
            assert_eq!(answer.unwrap().outputs, model.run(call).unwrap(), "{name}");
        }
    }
}

#[tokio::test]
async fn texts_of_other_lengths_are_padded_without_a_trace() {
    let model = load("tokens");
    let mut plan = rows(&[Some(0), Some(0)], &[Some(0)]);
    for name in ["ids", "mask"] {
        let pad = Pad {
            axis: 1,
            value: 0.0,
        };
        plan.pad.insert(name.to_owned(), pad);
    }
    let call = |length: u64| {
        let [ids, mask] = [0, 1].map(|at| &model.signature().inputs[at]);
        let ones = 1_i64.to_le_bytes().repeat(length as usize);
        let value = Tensor::new(DataType::I64, vec![1, length], Bytes::from(ones)).unwrap();
        let name = mask.name.clone();
        vec![
            tensor(ids, &[1, length], length),
            NamedTensor { name, value },
        ]
    };
    let calls: Vec<_> = [5, 8, 6, 7].into_iter().map(call).collect();
    let answers = together(model.clone(), plan, calls.clone()).await;
    for (call, answer) in calls.iter().zip(answers) {
        let answer = answer.unwrap();
        assert_eq!(answer.rows_in_batch, 4);
        assert_same("tokens", &answer.outputs, &model.run(call).unwrap());
    }
}

#[tokio::test]
async fn a_row_that_an_engine_fails_on_hurts_its_own_call_alone() {
    let model = load("lookup");
    let index = |index: i64| {
        let value = Bytes::copy_from_slice(&index.to_le_bytes());
        let value = Tensor::new(DataType::I64, vec![1], value).unwrap();
        let name = "index".to_owned();
        vec![NamedTensor { name, value }]
    };
    let plan = rows(&[Some(0)], &[Some(0)]);
    let answers = together(model, plan, vec![index(3), index(1000), index(4)]).await;
    assert!(
        matches!(&answers[1], Err(InferError::Engine(_))),
        "{:?}",
        answers[1]
    );
    let floats = |answer: &Result<Inferred, InferError>| -> Vec<u8> {
        answer.as_ref().unwrap().outputs[0].value.data().to_vec()
    };
    let expected = |values: [f32; 2]| values.map(f32::to_le_bytes).concat();
    assert_eq!(floats(&answers[0]), expected([6.0, 7.0]));
    assert_eq!(floats(&answers[2]), expected([8.0, 9.0]));
}

#[tokio::test]
async fn a_call_that_another_namespace_makes_shares_no_batch() {
    let model = Arc::new(AddOne::new());
    let lane = Lane::start("test", 1).unwrap();
    let queue = |name| ModelQueue::new(&lane, namespace(name), model.clone(), plan(8), meter());
    let (a, b) = (queue("a"), queue("b"));
    model.allow(0);
    let first = super::asked(&a, &[1]).await;
    model.has_begun(1);
    let (of_a, of_b) = (a.infer(rows_of(&[2], 2)), b.infer(rows_of(&[3], 2)));
    let (mut of_a, mut of_b): (Asked<'_>, Asked<'_>) = (Box::pin(of_a), Box::pin(of_b));
    assert!(poll!(&mut of_a).is_pending() && poll!(&mut of_b).is_pending());
    model.allow(usize::MAX);
    let answers = join_all([first, of_a, of_b]).await;
    assert!(
        answers
            .iter()
            .all(|answer| answer.as_ref().unwrap().rows_in_batch == 1)
    );
}

#[test]
fn a_model_is_calibrated_within_its_time() {
    let mlp = load("mlp");
    let layout = BatchLayout {
        inputs: vec![Some(0)],
        outputs: vec![Some(0)],
    };
    // Its runs cost more than its sums: several rows pay on any machine.
    assert!(calibrate(&*mlp, &layout, MAX_ROWS) > 1);
    assert_eq!(calibrate(&*mlp, &layout, 1), 1);

    // One row takes as long as all of the budget.
    let slow = AddOne {
        takes: std::time::Duration::from_millis(300),
        ..AddOne::new()
    };
    assert_eq!(calibrate(&slow, &layout, MAX_ROWS), 1);
    assert!(slow.ran().len() <= 3, "{:?}", slow.ran());
}
