//! What either engine gives a call in a batch is what it gives the call alone: for each model that
//! is at hand whose rows are found to be independent.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use futures_util::future::join_all;
use futures_util::poll;

use super::super::testing::{AddOne, meter, namespace};
use super::super::*;
use super::Asked;
use crate::inference::probe::{Trial, findings};
use crate::inference::testing::{engines, near, to_f32s};
use crate::inference::{InferError, LoadedModel};
use crate::model::{DataType, DeviceChoice, EngineChoice, ModelConfig};

/// The models of the tests and of the examples, two of which are fetched.
fn files() -> Vec<PathBuf> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let mut files = Vec::new();
    for folder in ["tests/models", "examples/iris", "target/models"] {
        let folder = root.join(folder);
        let entries = std::fs::read_dir(&folder).unwrap_or_else(|error| {
            panic!("{}: {error}; `make models` fetches some", folder.display())
        });
        let paths = entries.map(|entry| entry.unwrap().path());
        let models = paths.filter(|path| path.extension().is_some_and(|ending| ending == "onnx"));
        files.extend(models);
    }
    files.sort_by_key(|file| name(file));
    files
}

fn name(file: &Path) -> String {
    file.file_stem().unwrap().to_string_lossy().into_owned()
}

/// Asks all at once, so that those that may share a batch do.
pub(super) async fn together(
    model: Arc<dyn LoadedModel>,
    plan: BatchPlan,
    calls: Vec<Vec<NamedTensor>>,
) -> Vec<Result<Inferred, InferError>> {
    let held_up = Arc::new(AddOne::new());
    let lane = Lane::start("test", 1).unwrap();
    let first = ModelQueue::new(
        &lane,
        namespace("a"),
        held_up.clone(),
        super::plan(1),
        meter(),
    );
    let queue = ModelQueue::new(&lane, namespace("a"), model, plan, meter());
    held_up.allow(0);
    let first = super::asked(&first, &[1]).await;
    held_up.has_begun(1);
    let mut asked = Vec::new();
    for inputs in calls {
        let mut call: Asked<'_> = Box::pin(queue.infer(inputs));
        assert!(poll!(&mut call).is_pending());
        asked.push(call);
    }
    held_up.allow(usize::MAX);
    first.await.unwrap();
    join_all(asked).await
}

pub(super) fn assert_same(what: &str, batched: &[NamedTensor], alone: &[NamedTensor]) {
    assert_eq!(batched.len(), alone.len());
    for (a, b) in batched.iter().zip(alone) {
        assert_eq!(
            (&a.name, a.value.shape()),
            (&b.name, b.value.shape()),
            "{what}"
        );
        if b.value.dtype() != DataType::F32 {
            assert_eq!(a.value, b.value, "{what}");
            continue;
        }
        let (a, b) = (to_f32s(&a.value), to_f32s(&b.value));
        assert!(near(&a, &b), "{what}: {a:?} and {b:?}");
    }
}

/// Inputs of so many rows that the model takes, of `seed`'s own numbers; what all rows share is the
/// same for every seed.
fn call(model: &dyn LoadedModel, layout: &BatchLayout, rows: u64, seed: u64) -> Vec<NamedTensor> {
    let mut trials = Trial::all(model.signature());
    let made = trials.find_map(|trial| {
        let specs = model.signature().inputs.iter().zip(&layout.inputs);
        let inputs = specs.enumerate().map(|(at, (spec, axis))| {
            let seed = axis.map_or(0, |_| seed * 100 + at as u64);
            let mut random = fastrand::Rng::with_seed(seed);
            trial.input(spec, *axis, rows, &mut random).ok()
        });
        let inputs = inputs.collect::<Option<Vec<_>>>()?;
        model.run(&inputs).is_ok().then_some(inputs)
    });
    made.expect("it ran when it was looked at")
}

#[tokio::test]
async fn every_model_gives_in_a_batch_what_it_gives_alone_on_both_engines() {
    let engines = engines();
    for engine in [EngineChoice::Rten, EngineChoice::Onnxruntime] {
        let mut equal = Vec::new();
        for path in files() {
            let (name, file) = (name(&path), std::fs::read(&path).unwrap());
            let config = ModelConfig {
                engine,
                device: DeviceChoice::Cpu,
                ..ModelConfig::default()
            };
            // Those that a host refuses, or whose rows see each other, are never batched.
            let found = findings(&engines, &file, &config);
            let Some(layout) = found.ok().and_then(|found| found.batch) else {
                continue;
            };
            let model = engines.choose(&config).unwrap().load(&file).unwrap();
            let plan = BatchPlan {
                layout: Some(layout.clone()),
                max_output_bytes: 32 << 20,
                ..super::plan(64)
            };
            let calls = (1..6).map(|seed| call(&*model, &layout, 1 + seed % 3, seed));
            let calls: Vec<_> = calls.collect();
            let answers = together(model.clone(), plan, calls.clone()).await;
            for (call, answer) in calls.iter().zip(answers) {
                let answer = answer.unwrap();
                assert_eq!(answer.rows_in_batch, 2 + 3 + 1 + 2 + 3, "{name}");
                let alone = model.run(call).unwrap();
                assert_same(&format!("{name} on {engine:?}"), &answer.outputs, &alone);
            }
            equal.push(name);
        }
        let mut wanted = vec![
            "add",
            "arms",
            "attention",
            "branch",
            "divide",
            "halves",
            "iris",
            "lookup",
            "magika",
            "mlp",
            "silero-vad",
            "state",
            "tokens",
            "types",
            "wide",
        ];
        if engine == EngineChoice::Onnxruntime {
            // rten has no f64.
            wanted.insert(5, "doubles");
        }
        assert_eq!(equal, wanted, "{engine:?}");
    }
}
