use super::*;
use crate::inference::onnx;
use crate::inference::testing::{both, f32s, i64s, model};

fn estimate(name: &str, inputs: &[NamedTensor]) -> Result<Estimate, Unbounded> {
    let file = model(name);
    let read = onnx::read(&file).unwrap();
    let signature = onnx::signature(&read).unwrap();
    Estimator::new(&read, &signature).estimate(inputs)
}

fn zeros(name: &str, shape: &[u64]) -> NamedTensor {
    let count = shape.iter().product::<u64>();
    f32s(name, shape, &vec![0.0; usize::try_from(count).unwrap()])
}

fn inputs(name: &str, rows: u64) -> Vec<NamedTensor> {
    let ones = |name: &str, shape: &[u64]| {
        let count = shape.iter().product::<u64>();
        i64s(name, shape, &vec![1; usize::try_from(count).unwrap()])
    };
    match name {
        "mlp" => vec![zeros("x", &[rows, 784])],
        "wide" => vec![zeros("x", &[rows, 3, 64, 64])],
        "add" => vec![zeros("a", &[rows, 3]), zeros("b", &[rows, 3])],
        "state" => vec![
            zeros("input", &[rows, 4]),
            zeros("state", &[2, rows, 3]),
            i64s("sr", &[], &[16_000]),
        ],
        "tokens" => vec![ones("ids", &[rows, 7]), ones("mask", &[rows, 7])],
        "branch" => vec![zeros("x", &[rows, 3]), i64s("rate", &[], &[16_000])],
        "lookup" => vec![ones("index", &[rows])],
        "outer" => vec![zeros("x", &[rows, 1])],
        "attention" => vec![zeros("x", &[rows, 9, 4])],
        _ => vec![zeros("x", &[rows, 3])],
    }
}

#[test]
fn what_is_foretold_of_outputs_is_what_both_engines_give() {
    for name in [
        "mlp",
        "wide",
        "add",
        "state",
        "mean",
        "time",
        "tokens",
        "branch",
        "lookup",
        "outer",
        "attention",
    ] {
        for (engine, loaded) in both(name) {
            for rows in [1, 3, 8] {
                let inputs = inputs(name, rows);
                let foretold = estimate(name, &inputs).unwrap();
                let outputs = loaded.run(&inputs).unwrap();
                let given = |output: &NamedTensor| output.value.shape().iter().product();
                let elements: Vec<_> = outputs.iter().map(|output| Some(given(output))).collect();
                assert_eq!(foretold.outputs, elements, "{name} on {engine:?}");
                let all = inputs.iter().chain(&outputs);
                let bytes: usize = all.map(|tensor| tensor.value.data().len()).sum();
                assert!(foretold.run_bytes >= bytes as u64, "{name} on {engine:?}");
            }
        }
    }
}

#[test]
fn what_grows_with_a_square_is_seen_before_it_is_there() {
    let most = |name: &str, shape: &[u64]| estimate(name, &[zeros("x", shape)]).unwrap();
    let outer = most("outer", &[1_000_000, 1]);
    assert_eq!(outer.outputs, [Some(1_000_000_000_000)]);
    assert!(outer.run_bytes >= 4_000_000_000_000, "{outer:?}");
    let attention = most("attention", &[1, 100_000, 4]);
    assert_eq!(attention.outputs, [Some(400_000)]);
    assert!(attention.run_bytes >= 2 * 40_000_000_000, "{attention:?}");
}

#[test]
fn a_branch_counts_also_if_it_is_hardly_ever_taken() {
    let lurking = estimate("lurking", &[zeros("x", &[1])]).unwrap();
    assert!(lurking.run_bytes >= 8_000_000_000_000, "{lurking:?}");
}

#[test]
fn an_arm_for_other_shapes_counts_for_nothing_and_the_other_one_for_itself() {
    // Silero's file for two rates has such arms; here `x` has no second axis where it is squeezed.
    let inputs = [zeros("x", &[5, 1, 1])];
    let foretold = estimate("arms", &inputs).unwrap();
    assert_eq!(foretold.outputs, [Some(5)]);
    for (engine, loaded) in both("arms") {
        assert_eq!(
            loaded.run(&inputs).unwrap()[0].value.shape(),
            [5, 1],
            "{engine:?}"
        );
    }
}

#[test]
fn an_operator_without_a_bound_is_named() {
    let shape = [i64s("shape", &[1], &[1_000_000_000_000])];
    let unbounded = estimate("big", &shape).unwrap_err().to_string();
    assert!(
        unbounded.contains("ConstantOfShape") && unbounded.contains("not known before the run"),
        "{unbounded}"
    );
    let unbounded = estimate("custom", &inputs("custom", 1))
        .unwrap_err()
        .to_string();
    assert!(unbounded.contains("Frobnicate"), "{unbounded}");
}
