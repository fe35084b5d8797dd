//! What a host does when a device fails, is full, or does not get a model loaded.

use tokio::task::JoinSet;

use super::*;
use crate::inference::devices::REST;
use crate::inference::testing::{Gpu, Health, f32s, kept, to_f32s, with_gpu};
use crate::model::{DeviceChoice, ModelConfig};
use crate::store::NewModel;
use crate::store::embedded::EmbeddedStore;

/// What the models of these tests say they take, in bytes.
const BYTES: u64 = 1 << 20;

/// A host with a GPU that fails when it is told so, rten on the CPU, and one model: `sums`.
struct Bench {
    gpu: Arc<Gpu>,
    inference: Arc<Inference>,
    /// Calls that wait for a full batch wait for this sandbox.
    another: Joined,
}

impl Bench {
    async fn new(config: ModelConfig) -> Self {
        Self::with(config, 8 * BYTES, LOAD_PATIENCE).await
    }

    async fn with(config: ModelConfig, memory: u64, patience: Duration) -> Self {
        let gpu = Arc::new(Gpu::new());
        let store = Arc::new(EmbeddedStore::options().in_memory().unwrap());
        let metrics = Arc::new(Metrics::new());
        let mut inference = Inference::with(store, with_gpu(gpu.clone()), memory, metrics);
        inference.load_patience = patience;
        let bench = Self {
            gpu,
            inference: Arc::new(inference),
            another: Joined::default(),
        };
        bench.add("sums", config).await;
        bench
    }

    async fn add(&self, name: &str, config: ModelConfig) {
        let model = kept(name, "add", BYTES, config);
        let store = &self.inference.store;
        let file = crate::inference::testing::model("add");
        store.put_blob(model.digest, file).await.unwrap();
        let new = NewModel {
            name: model.name,
            digest: model.digest,
            bytes: model.bytes,
            config: model.config,
            findings: model.findings,
        };
        store.put_model(&space(), new).await.unwrap();
    }

    /// Asks for the sums of one and two.
    async fn call(&self) -> Result<u32, InferError> {
        sums(&self.inference, "sums", 1, &mut Joined::default()).await
    }

    /// Calls of so many rows each, at the same time: what each of them got.
    fn calls(&self, rows: &[u64]) -> JoinSet<(u64, Result<u32, InferError>)> {
        let mut calls = JoinSet::new();
        for rows in rows {
            let (inference, rows) = (self.inference.clone(), *rows);
            calls.spawn(async move {
                let answer = sums(&inference, "sums", rows, &mut Joined::default()).await;
                (rows, answer)
            });
        }
        calls
    }

    /// Runs the model by itself, and stays as one who may call it again.
    async fn join(&mut self) {
        let answer = sums(&self.inference, "sums", 1, &mut self.another).await;
        assert_eq!(answer, Ok(1));
    }

    /// The device failed a minute ago.
    fn rested(&self) {
        let then = Instant::now() - REST;
        self.inference.devices.failed("cuda:0", then);
    }

    /// Where the model is loaded.
    fn device(&self) -> Vec<String> {
        let loaded = self.inference.loaded().into_iter();
        loaded.map(|loaded| loaded.device).collect()
    }
}

fn space() -> Namespace {
    "a".parse().unwrap()
}

/// Runs a model that adds, and checks what it gives; answers in how large a batch.
async fn sums(
    inference: &Arc<Inference>,
    model: &str,
    rows: u64,
    joined: &mut Joined,
) -> Result<u32, InferError> {
    let elements = |each: f32| vec![each; rows as usize * 3];
    let inputs = vec![
        f32s("a", &[rows, 3], &elements(1.0)),
        f32s("b", &[rows, 3], &elements(2.0)),
    ];
    let inferred = inference.infer(&space(), model, inputs, joined).await?;
    assert_eq!(to_f32s(&inferred.outputs[0].value), elements(3.0));
    Ok(inferred.rows_in_batch)
}

fn on(device: DeviceChoice) -> ModelConfig {
    ModelConfig {
        device,
        max_batch: Some(8),
        ..ModelConfig::default()
    }
}

/// Batches that wait until they have four rows, if another sandbox lives that may call.
fn by_four() -> ModelConfig {
    ModelConfig {
        max_batch: Some(4),
        max_delay_us: 3_600_000_000,
        ..on(DeviceChoice::Auto)
    }
}

#[track_caller]
fn busy(answer: Result<u32, InferError>) -> String {
    match answer {
        Err(InferError::Busy(text)) => text,
        other => panic!("expected that it is busy, not {other:?}"),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_batch_of_a_lost_device_moves_to_the_cpu_and_the_device_is_tried_again_later() {
    let mut bench = Bench::new(by_four()).await;
    bench.join().await;
    bench.gpu.close();
    let calls = bench.calls(&[1; 4]);
    bench.gpu.has_begun(2);
    bench.gpu.is(Health::Lost);
    bench.gpu.open();
    let answers = calls.join_all().await;
    assert!(answers.iter().all(|(_, answer)| answer.is_ok()));
    assert_eq!(bench.gpu.ran(), [1, 4]);
    assert_eq!(bench.device(), ["cpu"]);
    // While it rests, nobody tries it.
    bench.call().await.unwrap();
    assert_eq!(bench.gpu.loads(), 1);

    // After that one does, who gets an answer all the same.
    bench.rested();
    bench.call().await.unwrap();
    assert_eq!((bench.gpu.loads(), bench.device()), (2, vec!["cpu".into()]));
    bench.call().await.unwrap();
    assert_eq!(bench.gpu.loads(), 2, "it rests again");

    bench.gpu.is(Health::Well);
    bench.rested();
    bench.call().await.unwrap();
    assert_eq!(
        (bench.gpu.loads(), bench.device()),
        (3, vec!["cuda:0".into()])
    );
    assert_eq!(bench.gpu.ran(), [1, 4, 1]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_model_moves_within_the_memory_that_it_had() {
    let bench = Bench::with(on(DeviceChoice::Auto), BYTES, LOAD_PATIENCE).await;
    bench.call().await.unwrap();
    bench.gpu.is(Health::Lost);
    bench.call().await.unwrap();
    assert_eq!(bench.device(), ["cpu"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_device_that_is_lost_while_a_model_is_measured_is_left() {
    let measured = |device| ModelConfig {
        max_batch: None,
        ..on(device)
    };
    let bench = Bench::new(measured(DeviceChoice::Auto)).await;
    bench.gpu.is(Health::Failing);
    bench.call().await.unwrap();
    assert_eq!((bench.gpu.loads(), bench.device()), (1, vec!["cpu".into()]));
    let pinned = Bench::new(measured(DeviceChoice::Cuda)).await;
    pinned.gpu.is(Health::Failing);
    busy(pinned.call().await);
    assert!(pinned.device().is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_model_that_insists_on_a_lost_device_is_told_to_wait_and_the_host_lives() {
    let bench = Bench::new(on(DeviceChoice::Cuda)).await;
    bench.call().await.unwrap();
    bench.gpu.is(Health::Failing);
    for loads in [2, 4] {
        // Where it was, and once more where it was loaded anew; what failed again is not kept.
        let text = busy(bench.call().await);
        assert!(text.contains("off the bus"), "{text}");
        assert!(text.contains("try again later"), "{text}");
        assert!(text.contains("--device auto"), "{text}");
        assert_eq!(bench.gpu.loads(), loads);
    }
    bench.add("others", on(DeviceChoice::Auto)).await;
    let other = sums(&bench.inference, "others", 1, &mut Joined::default()).await;
    assert_eq!(other, Ok(1));
    assert_eq!(bench.device(), ["cpu"]);
    bench.gpu.is(Health::Well);
    bench.call().await.unwrap();
    // It cannot be loaded either.
    bench.gpu.is(Health::Lost);
    let text = busy(bench.call().await);
    assert!(text.contains("--device auto"), "{text}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_device_without_memory_runs_what_fits_and_keeps_its_models() {
    let mut bench = Bench::new(by_four()).await;
    bench.join().await;
    bench.gpu.is(Health::Full { rows: 1 });
    let answers = bench.calls(&[1; 4]).join_all().await;
    assert!(answers.iter().all(|(_, answer)| *answer == Ok(1)));
    assert_eq!(bench.gpu.ran(), [1, 4, 2, 1, 1, 2, 1, 1]);
    // A call is never cut apart.
    let answers = bench.calls(&[1, 2, 1]).join_all().await;
    assert_eq!(answers.len(), 3);
    for (rows, answer) in answers {
        match rows {
            1 => assert_eq!(answer, Ok(1)),
            _ => {
                let text = busy(answer);
                assert!(text.contains("CUDA out of memory"), "{text}");
                assert!(text.contains("with fewer rows"), "{text}");
            }
        }
    }
    bench.gpu.is(Health::Full { rows: 0 });
    for (_, answer) in bench.calls(&[1; 4]).join_all().await {
        busy(answer);
    }
    bench.gpu.is(Health::Well);
    let answers = bench.calls(&[1; 4]).join_all().await;
    assert!(answers.iter().all(|(_, answer)| *answer == Ok(4)));
    assert_eq!(bench.gpu.loads(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn who_waits_too_long_for_a_model_is_told_and_the_next_finds_it_loaded() {
    let moment = Duration::from_millis(1);
    let bench = Bench::with(on(DeviceChoice::Auto), 8 * BYTES, moment).await;
    bench.gpu.close();
    for _ in 0..2 {
        let late = bench.call().await.unwrap_err();
        assert!(
            matches!(&late, InferError::TimedOut(text) if text.contains("sums was not loaded")),
            "{late:?}"
        );
    }
    bench.gpu.open();
    let models = bench.inference.models(&space()).await.unwrap();
    let loading = bench.inference.begin(&space(), &models[0]);
    assert!(loading.await.is_ok());
    assert_eq!(bench.call().await, Ok(1));
    assert_eq!(bench.gpu.loads(), 1, "it went on while nobody waited");
}
