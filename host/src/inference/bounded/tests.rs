use std::time::{Duration, Instant};

use super::*;
use crate::inference::testing::{engines, f32s, model};
use crate::model::EngineChoice;

fn on(engine: EngineChoice, name: &str) -> Arc<dyn LoadedModel> {
    let config = ModelConfig {
        engine,
        ..ModelConfig::default()
    };
    let engines = engines();
    load(&**engines.choose(&config).unwrap(), &model(name), &config).unwrap()
}

#[test]
fn a_run_that_would_end_the_process_is_refused_and_the_next_one_goes_well() {
    for engine in [EngineChoice::Rten, EngineChoice::Onnxruntime] {
        for (name, rows) in [
            ("outer", vec![1_000_000, 1]),
            ("attention", vec![1, 200_000, 4]),
        ] {
            let model = on(engine, name);
            let zeros = |shape: &[u64]| {
                let count: u64 = shape.iter().product();
                [f32s(
                    "x",
                    shape,
                    &vec![0.0; usize::try_from(count).unwrap()],
                )]
            };
            // The verdict of the second is remembered.
            for _ in 0..2 {
                let refused = model.run(&zeros(&rows));
                assert!(
                    matches!(refused, Err(EngineError::TooLarge(_))),
                    "{refused:?}"
                );
            }
            let small: Vec<u64> = rows.iter().map(|size| *size.min(&4)).collect();
            model.run(&zeros(&small)).unwrap();
        }
    }
}

#[test]
fn verdicts_are_bounded_in_number() {
    let engines = engines();
    let config = ModelConfig {
        engine: EngineChoice::Rten,
        ..ModelConfig::default()
    };
    let file = model("outer");
    let read = onnx::read(&file).unwrap();
    let loaded = engines.choose(&config).unwrap().load(&file).unwrap();
    let bounded = Bounded {
        estimator: Estimator::new(&read, loaded.signature()),
        verdicts: Mutex::default(),
        model: loaded,
    };
    for rows in 0..1000 {
        let x = f32s("x", &[rows, 1], &vec![0.0; usize::try_from(rows).unwrap()]);
        bounded.verdict(&[x]).unwrap();
    }
    assert_eq!(lock(&bounded.verdicts).len(), MAX_VERDICTS);
}

#[test]
fn a_run_waits_for_the_memory_of_another() {
    let first = Room::take(limit());
    let (tell, told) = std::sync::mpsc::channel();
    let second = std::thread::spawn(move || {
        let _room = Room::take(1);
        tell.send(()).unwrap();
    });
    assert!(told.recv_timeout(Duration::from_millis(50)).is_err());
    let since = Instant::now();
    drop(first);
    told.recv().unwrap();
    second.join().unwrap();
    assert!(since.elapsed() < Duration::from_secs(60));
}
