use super::*;
use crate::inference::testing::{engines, model, onnxruntime};
use crate::model::{BatchLayout, Batching, EngineChoice};

fn found(name: &str, config: &ModelConfig) -> Result<Findings, String> {
    findings(&engines(), &model(name), config)
}

fn on(engine: EngineChoice) -> ModelConfig {
    ModelConfig {
        engine,
        ..ModelConfig::default()
    }
}

#[test]
fn batch_axes_are_found_for_each_tensor() {
    for engine in [EngineChoice::Rten, EngineChoice::Onnxruntime] {
        for (name, inputs, outputs) in [
            ("mlp", vec![Some(0)], vec![Some(0)]),
            ("wide", vec![Some(0)], vec![Some(0)]),
            ("add", vec![Some(0); 2], vec![Some(0)]),
            ("tokens", vec![Some(0); 2], vec![Some(0)]),
            (
                "state",
                vec![Some(0), Some(1), None],
                vec![Some(0), Some(1)],
            ),
            ("branch", vec![Some(0), None], vec![Some(0)]),
            ("types", vec![Some(0); 6], vec![Some(0); 6]),
            ("lookup", vec![Some(0)], vec![Some(0)]),
            ("divide", vec![Some(0); 2], vec![Some(0)]),
        ] {
            let findings = found(name, &on(engine)).unwrap();
            assert_eq!(
                findings.batch,
                Some(BatchLayout { inputs, outputs }),
                "{name}: {}",
                findings.note
            );
            assert!(findings.memory_bytes >= model(name).len() as u64);
        }
    }
}

#[test]
fn rows_that_see_each_other_are_not_batched() {
    for engine in [EngineChoice::Rten, EngineChoice::Onnxruntime] {
        for name in ["mean", "time", "outer"] {
            let findings = found(name, &on(engine)).unwrap();
            assert_eq!(findings.batch, None, "{name}");
            assert!(
                findings.note.contains("rows are not independent"),
                "{name}: {}",
                findings.note
            );
        }
    }
}

#[test]
fn whoever_knows_the_model_may_insist_or_decline() {
    let with = |batching| ModelConfig {
        batching,
        ..on(EngineChoice::Rten)
    };
    let insisted = found("mean", &with(Batching::On)).unwrap();
    assert!(
        insisted.batch.is_some() && insisted.note.contains("asked for, though"),
        "{insisted:?}"
    );
    let declined = found("mlp", &with(Batching::Off)).unwrap();
    assert_eq!(declined.batch, None);
    let mut odd = with(Batching::On);
    odd.batch_axes.insert("y".to_owned(), 1);
    let refused = found("mlp", &odd).unwrap_err();
    assert!(refused.contains("cannot be batched"), "{refused}");
    odd.batch_axes.insert("z".to_owned(), 0);
    let refused = found("mlp", &odd).unwrap_err();
    assert!(
        refused.contains("no input or output `z`; it has x, y"),
        "{refused}"
    );
}

/// The child is the real binary, built beside this test.
fn prober() -> Prober {
    let test = std::env::current_exe().unwrap();
    let binary = test.ancestors().nth(2).unwrap().join("skep");
    assert!(
        binary.exists(),
        "`cargo build --release -p skep` makes {}",
        binary.display()
    );
    let engines = EngineOptions {
        threads: 1,
        onnxruntime: Some(onnxruntime()),
    };
    Prober::new(binary, engines)
}

#[tokio::test]
async fn the_child_finds_what_is_found_here() {
    let config = on(EngineChoice::Onnxruntime);
    let prober = prober();
    let findings = prober.probe(&model("state"), &config).await.unwrap();
    let here = found("state", &config).unwrap();
    assert_eq!(
        (findings.signature, findings.batch),
        (here.signature, here.batch)
    );
    let refused = prober.probe(&model("custom"), &config).await.unwrap_err();
    assert!(
        matches!(&refused, ProbeError::Refused(why) if why.contains("com.example")),
        "{refused:?}"
    );
}

#[tokio::test]
async fn what_would_end_a_host_ends_the_child() {
    let prober = prober();
    for engine in [EngineChoice::Rten, EngineChoice::Onnxruntime] {
        let foreseen = prober.probe(&model("grow"), &on(engine)).await;
        assert!(
            matches!(&foreseen, Err(ProbeError::Refused(why)) if why.contains("of memory")),
            "{foreseen:?}"
        );
        // Nothing is computed of what an admin trusts.
        let trusted = ModelConfig {
            allow_loops: true,
            ..on(engine)
        };
        let bomb = prober.probe(&model("grow"), &trusted).await;
        match (engine, &bomb) {
            (_, Err(ProbeError::TooLarge(why))) => {
                assert!(why.contains("make it smaller"), "{why}")
            }
            // ONNX Runtime says that it has no memory, and lives.
            (EngineChoice::Onnxruntime, Err(ProbeError::Refused(_))) => {}
            other => panic!("{other:?}"),
        }
    }
    // It goes on with the next.
    assert!(
        prober
            .probe(&model("add"), &on(EngineChoice::Rten))
            .await
            .is_ok()
    );
}
