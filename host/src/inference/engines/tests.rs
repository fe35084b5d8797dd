use super::*;
use crate::inference::testing::{both, engines, f32s, i64s, model, near, tensor, to_f32s};
use crate::inference::{LoadedModel, NamedTensor};
use crate::model::DataType;

fn random(count: usize) -> Vec<f32> {
    let mut random = fastrand::Rng::with_seed(3);
    std::iter::repeat_with(|| random.f32() - 0.5)
        .take(count)
        .collect()
}

fn f32_outputs(model: &Arc<dyn LoadedModel>, inputs: &[NamedTensor]) -> Vec<Vec<f32>> {
    let outputs = model.run(inputs).unwrap();
    outputs
        .iter()
        .map(|output| to_f32s(&output.value))
        .collect()
}

/// Inputs of `rows` rows for the models whose outcomes are `f32`.
fn inputs(name: &str, rows: usize) -> Vec<NamedTensor> {
    let n = rows as u64;
    let ints =
        |most: i64, count: usize| -> Vec<i64> { (0..count as i64).map(|i| i * 7 % most).collect() };
    match name {
        "mlp" => vec![f32s("x", &[n, 784], &random(rows * 784))],
        "wide" => vec![f32s("x", &[n, 3, 64, 64], &random(rows * 3 * 64 * 64))],
        "add" => ["a", "b"]
            .map(|name| f32s(name, &[n, 3], &random(rows * 3)))
            .into(),
        "state" => vec![
            f32s("input", &[n, 4], &random(rows * 4)),
            f32s("state", &[2, n, 3], &random(rows * 6)),
            i64s("sr", &[], &[16_000]),
        ],
        "mean" | "time" | "outer" => {
            let width = if name == "outer" { 1 } else { 3 };
            vec![f32s("x", &[n, width], &random(rows * width as usize))]
        }
        "tokens" => vec![
            i64s("ids", &[n, 6], &ints(100, rows * 6)),
            i64s("mask", &[n, 6], &ints(2, rows * 6)),
        ],
        "branch" => vec![
            f32s("x", &[n, 3], &random(rows * 3)),
            i64s("rate", &[], &[16_000]),
        ],
        "lookup" => vec![i64s("index", &[n], &ints(10, rows))],
        other => panic!("no inputs for {other}"),
    }
}

#[test]
fn both_engines_agree_in_every_test_model() {
    for name in [
        "mlp", "wide", "add", "state", "mean", "time", "tokens", "branch", "lookup", "outer",
    ] {
        for rows in [1, 4] {
            let [rten, ort] = both(name).map(|(_, model)| f32_outputs(&model, &inputs(name, rows)));
            assert_eq!(rten.len(), ort.len());
            for (a, b) in rten.iter().zip(&ort) {
                assert!(near(a, b), "{name}, {rows} rows: {a:?} {b:?}");
                // One row less its own mean is nothing.
                assert!(rows == 1 || a.iter().any(|x| *x != 0.0), "{name}");
            }
        }
    }
}

#[test]
fn every_type_comes_back_as_it_went_in() {
    for (engine, model) in both("types") {
        let inputs: Vec<NamedTensor> = (model.signature().inputs.iter())
            .map(|spec| {
                let data = match spec.dtype {
                    DataType::Bool => vec![1, 0],
                    // The sign, and every byte of what rten computes with.
                    DataType::I64 => [-7_i64, 2_000_000_000]
                        .iter()
                        .flat_map(|x| x.to_le_bytes())
                        .collect(),
                    other => (0..2 * other.bytes()).map(|n| 200 - 13 * n as u8).collect(),
                };
                tensor(&spec.name, spec.dtype, &[1, 2], data)
            })
            .collect();
        let outputs = model.run(&inputs).unwrap();
        for (input, output) in inputs.iter().zip(&outputs) {
            assert_eq!(input.value, output.value, "{engine:?}, {}", input.name);
        }
        assert_eq!(outputs.len(), 6);
    }
}

#[test]
fn what_rten_cannot_compute_says_what_can() {
    let engines = engines();
    let config = |engine| ModelConfig {
        engine,
        device: DeviceChoice::Cpu,
        ..ModelConfig::default()
    };
    let rten = engines.choose(&config(EngineChoice::Rten)).unwrap();
    let refused = rten.load(&model("doubles")).err().unwrap().to_string();
    assert!(
        refused.contains("`f64` is f64") && refused.contains("ONNX Runtime"),
        "{refused}"
    );
    let ort = engines.choose(&config(EngineChoice::Onnxruntime)).unwrap();
    let doubles = [1e300_f64, -0.1]
        .iter()
        .flat_map(|x| x.to_le_bytes())
        .collect();
    let doubles = [tensor("f64", DataType::F64, &[1, 2], doubles)];
    let outputs = ort.load(&model("doubles")).unwrap().run(&doubles).unwrap();
    assert_eq!(outputs[0].value, doubles[0].value);
    let lookup = rten.load(&model("lookup")).unwrap();
    let wide = lookup
        .run(&[i64s("index", &[1], &[1 << 40])])
        .unwrap_err()
        .to_string();
    assert!(
        wide.contains("1099511627776 in `index` has more than 32 bits"),
        "{wide}"
    );
}

#[test]
fn halves_keep_their_bits() {
    let halves = |shape: &[u64]| {
        let bits = [0x3c00_u16, 0xfbff, 0x0001, 0x8000];
        let data: Vec<u8> = bits.iter().flat_map(|bits| bits.to_le_bytes()).collect();
        [
            tensor("f16", DataType::F16, shape, data.clone()),
            tensor("bf16", DataType::Bf16, shape, data),
        ]
    };
    for (engine, model) in both("halves") {
        let inputs = halves(&[2, 2]);
        let outputs = model.run(&inputs).unwrap();
        for (input, output) in inputs.iter().zip(&outputs) {
            assert_eq!(input.value, output.value, "{engine:?}");
        }
    }
}

#[test]
fn a_row_at_fault_is_the_model_s_error_and_harms_nothing() {
    for (engine, model) in both("lookup") {
        let bad = [i64s("index", &[2], &[3, 1000])];
        let error = model.run(&bad).unwrap_err();
        assert!(
            matches!(error, EngineError::Model(_)),
            "{engine:?}: {error}"
        );
        assert_eq!(
            f32_outputs(&model, &[i64s("index", &[1], &[3])]),
            [[6.0, 7.0]]
        );
    }
    let [(_, rten), (_, ort)] = both("divide");
    let ints = |name: &str, x: i32| tensor(name, DataType::I32, &[1], x.to_le_bytes().to_vec());
    for model in [rten, ort] {
        // An error or a number, as the engine likes; the process lives in either case.
        let _ = model.run(&[ints("a", 7), ints("b", 2)]).map(|outputs| {
            assert_eq!(outputs[0].value.data()[..], 3_i32.to_le_bytes());
        });
    }
}

#[test]
fn empty_batches_and_numbers_that_are_none_pass_through() {
    for (engine, model) in both("add") {
        let empty = ["a", "b"].map(|name| f32s(name, &[0, 3], &[]));
        let outputs = model.run(&empty).unwrap();
        assert_eq!(outputs[0].value.shape(), [0, 3], "{engine:?}");
        let odd = ["a", "b"].map(|name| f32s(name, &[1, 3], &[f32::NAN, f32::INFINITY, -0.0]));
        let sums = f32_outputs(&model, &odd).remove(0);
        assert!(
            sums[0].is_nan() && sums[1] == f32::INFINITY,
            "{engine:?}: {sums:?}"
        );
        let ragged = [f32s("a", &[1, 3], &[0.0; 3]), f32s("b", &[1, 2], &[0.0; 2])];
        assert!(
            matches!(model.run(&ragged), Err(EngineError::Model(_))),
            "{engine:?}"
        );
    }
}

#[test]
fn what_is_missing_is_told_and_never_replaced_in_silence() {
    let nowhere = EngineOptions {
        threads: 1,
        onnxruntime: Some("/nowhere/libonnxruntime.so".into()),
    };
    // In a process that has opened the library already, the path has no effect.
    let engines = Engines::open(&nowhere);
    let about = engines.about();
    let names: Vec<_> = about
        .iter()
        .map(|info| (info.name.as_str(), info.device.as_str()))
        .collect();
    assert_eq!(
        names,
        [
            ("rten", "cpu"),
            ("onnxruntime", "cpu"),
            ("onnxruntime", "cuda:0")
        ]
    );
    assert_eq!(about[0].missing, None);
    let gpu = ModelConfig {
        device: DeviceChoice::Cuda,
        ..ModelConfig::default()
    };
    match (engines.choose(&gpu), &about[2].missing) {
        (Ok(engine), None) => assert_eq!(engine.device(), "cuda:0"),
        (Err(EngineError::Device(error)), Some(missing)) => {
            assert!(
                error.contains("asks for a GPU") && error.contains(missing),
                "{error}"
            );
        }
        (other, missing) => panic!("{:?} and {missing:?}", other.err()),
    }
    let both = ModelConfig {
        engine: EngineChoice::Rten,
        ..gpu
    };
    let refused = engines.choose(&both).err().unwrap().to_string();
    assert!(refused.contains("rten runs on the CPU alone"), "{refused}");
}
