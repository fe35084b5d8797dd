//! What calling a model costs a job, and what batches save: real sandboxes, each of which calls
//! one model again and again, and as many of them at once as is said.

use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::Context as _;
use bytes::Bytes;
use futures_util::future::try_join_all;

use super::meter::percentile_us;
use super::{BenchOptions, Figure, Parts, block_on, onnx, sandbox};
use crate::deploy::Grant;
use crate::inference::{EngineOptions, Engines, NamedTensor, Prober, Tensor};
use crate::job::{FunctionName, JobId, Limits, ModelName, NewJob, Payload};
use crate::model::{Batching, DataType, ModelConfig};
use crate::models::Modeller;
use crate::sandbox::{Prepared, ReportBoard};
use crate::store::{Claim, Deployment, Token};

/// The function of `infer` that calls a model.
const FUNCTION: &str = "infers";

/// A model that computes for a millisecond per row, and gains nothing from a batch on a CPU.
const CNN: &[u8] = include_bytes!("../../../tests/models/wide.onnx");

/// Each is measured so many times in turn, and the best counts: what disturbs a run makes it
/// slower, never faster.
const ROUNDS: usize = 4;

/// How often an engine is called to see what it takes by itself.
const ALONE: usize = 2_000;

/// So many sandboxes, so many calls of each, and what that is called.
struct Load {
    sandboxes: usize,
    calls: usize,
    names: [&'static str; 6],
}

macro_rules! load {
    ($model:literal, $sandboxes:literal $noun:literal, $calls:literal calls) => {
        Load {
            sandboxes: $sandboxes,
            calls: $calls,
            names: [
                concat!("inference, ", $model, ", ", $sandboxes, " ", $noun),
                concat!("inference, ", $model, ", ", $sandboxes, " ", $noun, ", p50"),
                concat!("inference, ", $model, ", ", $sandboxes, ", without batches"),
                concat!(
                    "inference, ",
                    $model,
                    ", ",
                    $sandboxes,
                    ", without batches, p50"
                ),
                concat!("inference, ", $model, ", ", $sandboxes, ", batches' factor"),
                concat!(
                    "inference, ",
                    $model,
                    ", ",
                    $sandboxes,
                    ", batches' factor of p50"
                ),
            ],
        }
    };
}

/// What one measurement gave.
#[derive(Clone, Copy)]
struct Measured {
    calls_per_s: f64,
    p50_us: f64,
    fastest_us: f64,
}

/// `options` are those of the component `infer`.
pub(super) fn measure(options: &BenchOptions) -> anyhow::Result<Vec<Figure>> {
    let options = BenchOptions {
        redis: None,
        ..options.clone()
    };
    let mlp = Bytes::from(onnx::mlp());
    block_on(async {
        let bench = Bench::new(&options).await?;
        bench.add("mlp", &mlp, Batching::Auto).await?;
        bench.add("mlp-alone", &mlp, Batching::Off).await?;
        bench
            .add("cnn", &Bytes::from_static(CNN), Batching::Auto)
            .await?;
        bench
            .add("cnn-alone", &Bytes::from_static(CNN), Batching::Off)
            .await?;
        let relu = Bytes::from(onnx::relu());
        bench.add("relu", &relu, Batching::Auto).await?;
        let mut figures = bench.overhead(&mlp, &relu).await?;
        for load in [
            load!("MLP", 64 "sandboxes", 400 calls),
            load!("MLP", 4 "sandboxes", 3_000 calls),
            load!("MLP", 1 "sandbox", 8_000 calls),
        ] {
            figures.extend(bench.compare("mlp", &load).await?);
        }
        for load in [
            load!("CNN", 64 "sandboxes", 40 calls),
            load!("CNN", 4 "sandboxes", 300 calls),
        ] {
            figures.extend(bench.compare("cnn", &load).await?);
        }
        Ok(figures)
    })
}

struct Bench {
    parts: Arc<Parts>,
    deployment: Arc<Deployment>,
    component: Arc<Prepared>,
    modeller: Modeller,
    engines: Engines,
}

impl Bench {
    async fn new(options: &BenchOptions) -> anyhow::Result<Self> {
        const MOST: usize = 64;
        let parts = Arc::new(Parts::assemble(options, MOST).await?);
        let functions = parts.store.functions(&parts.namespace).await?;
        let deployment = (functions.iter())
            .find(|deployment| deployment.function.as_str() == FUNCTION)
            .with_context(|| format!("the component has no function {FUNCTION}"))?
            .clone();
        let component = parts.sandbox.prepare(deployment.component).await?;
        let prober = Prober::new(options.binary.clone(), EngineOptions::default());
        Ok(Self {
            modeller: Modeller::new(parts.store.clone(), prober),
            parts,
            deployment,
            component,
            engines: Engines::open(&EngineOptions::default()),
        })
    }

    async fn add(&self, name: &str, model: &Bytes, batching: Batching) -> anyhow::Result<()> {
        let config = ModelConfig {
            batching,
            ..ModelConfig::default()
        };
        let name: ModelName = name.parse()?;
        let (namespace, model) = (&self.parts.namespace, model.clone());
        let added = self
            .modeller
            .add(namespace, &name, model, config, Grant::Narrower);
        added.await?;
        Ok(())
    }

    /// What one sandbox pays for the way to an idle engine, and for copying.
    async fn overhead(&self, mlp: &Bytes, relu: &Bytes) -> anyhow::Result<Vec<Figure>> {
        const WIDTH: u64 = onnx::MLP_IN as u64;
        let (mut alone, mut called) = (f64::INFINITY, f64::INFINITY);
        let (mut small, mut large) = (f64::INFINITY, f64::INFINITY);
        let mut native = [f64::INFINITY; 2];
        for _ in 0..ROUNDS {
            alone = alone.min(self.alone(mlp, WIDTH)?.p50_us);
            called = called.min(self.run("mlp", 1, 1, ALONE).await?.p50_us);
            for (native, width) in native.iter_mut().zip([1, WIDTH]) {
                *native = native.min(self.alone(relu, width)?.fastest_us);
            }
            small = small.min(self.run("relu", 1, 1, ALONE).await?.fastest_us);
            large = large.min(self.run("relu", WIDTH, 1, ALONE).await?.fastest_us);
        }
        let copied = (large - small) - (native[1] - native[0]);
        Ok(vec![
            Figure::new("inference, MLP, the engine by itself, p50", alone, "µs"),
            Figure::new("inference, MLP, called by one sandbox, p50", called, "µs"),
            Figure::new(
                "inference, MLP, the way there and back, p50",
                called - alone,
                "µs",
            ),
            Figure::new("inference, copying 3 KB there and 3 KB back", copied, "µs"),
        ])
    }

    /// What the engine takes on one row, on this thread.
    fn alone(&self, model: &Bytes, width: u64) -> anyhow::Result<Measured> {
        let engine = self.engines.choose(&ModelConfig::default())?;
        let model = engine.load(model)?;
        let data = Bytes::from(vec![0; usize::try_from(width)? * DataType::F32.bytes()]);
        let x = [NamedTensor {
            name: "x".to_owned(),
            value: Tensor::new(DataType::F32, vec![1, width], data)?,
        }];
        let mut times = Vec::with_capacity(ALONE);
        for _ in 0..ALONE {
            let begun = Instant::now();
            model.run(&x)?;
            times.push(begun.elapsed());
        }
        Ok(measured(times, Duration::ZERO))
    }

    /// A model with batches and without.
    async fn compare(&self, model: &str, load: &Load) -> anyhow::Result<Vec<Figure>> {
        let off = format!("{model}-alone");
        let (mut batched, mut alone): (Option<Measured>, Option<Measured>) = (None, None);
        for _ in 0..ROUNDS {
            for (name, best) in [(model, &mut batched), (off.as_str(), &mut alone)] {
                let now = self.run(name, 1, load.sandboxes, load.calls).await?;
                let is_better = best.is_none_or(|best| best.calls_per_s < now.calls_per_s);
                if is_better {
                    *best = Some(now);
                }
            }
        }
        let (batched, alone) = batched.zip(alone).context("nothing was measured")?;
        let [rate, p50, alone_rate, alone_p50, factor, p50_factor] = load.names;
        Ok(vec![
            Figure::new(rate, batched.calls_per_s, "calls/s"),
            Figure::new(p50, batched.p50_us, "µs"),
            Figure::new(alone_rate, alone.calls_per_s, "calls/s"),
            Figure::new(alone_p50, alone.p50_us, "µs"),
            Figure::new(factor, batched.calls_per_s / alone.calls_per_s, "x"),
            Figure::new(p50_factor, batched.p50_us / alone.p50_us, "x"),
        ])
    }

    /// So many sandboxes call a model at once, each so many times, after one has loaded it. `size`
    /// is that of the dimensions that the model leaves open.
    async fn run(
        &self,
        model: &str,
        size: u64,
        sandboxes: usize,
        calls: usize,
    ) -> anyhow::Result<Measured> {
        self.sandbox(JobId(1), model, size, calls / 10 + 1).await?;
        let begun = Instant::now();
        let all = (1..=sandboxes as u64).map(|id| {
            let job = self.sandbox(JobId(id), model, size, calls);
            async move { anyhow::Ok(job.await?) }
        });
        let times = try_join_all(all).await?.concat();
        Ok(measured(times, begun.elapsed()))
    }

    /// One sandbox that calls a model: how long each call took. It runs as a task of its own.
    fn sandbox(
        &self,
        id: JobId,
        model: &str,
        size: u64,
        calls: usize,
    ) -> impl Future<Output = anyhow::Result<Vec<Duration>>> + use<> {
        let message = serde_json::json!({"model": model, "size": size, "calls": calls});
        let function: FunctionName = self.deployment.function.clone();
        let job = NewJob::new(Payload::json(message.to_string()), vec![function]);
        let claim = Claim {
            token: Token {
                namespace: self.parts.namespace.clone(),
                id,
                attempt: 1,
            },
            job: Arc::new(job),
            posted_at_ms: 0,
            claimed_at_ms: 0,
            data_bytes: 0,
        };
        let (parts, component) = (self.parts.clone(), self.component.clone());
        let mut deployment = Deployment::clone(&self.deployment);
        // What is measured must not end in the middle of it on a slow machine.
        deployment.limits = Limits {
            timeout_ms: 600_000,
            inference_ms: 600_000,
            ..deployment.limits
        };
        let task = tokio::spawn(async move {
            let board = Arc::new(ReportBoard::default());
            sandbox::complete(&parts, &claim, &deployment, &component, &board).await
        });
        async move {
            let (output, _) = task.await??;
            let (each, _) = output.result.data.as_chunks();
            let times = each
                .iter()
                .map(|ns| Duration::from_nanos(u32::from_le_bytes(*ns).into()));
            Ok(times.collect())
        }
    }
}

fn measured(mut times: Vec<Duration>, wall: Duration) -> Measured {
    times.sort_unstable();
    Measured {
        calls_per_s: times.len() as f64 / wall.as_secs_f64(),
        p50_us: percentile_us(&times, 50),
        fastest_us: percentile_us(&times, 0),
    }
}
