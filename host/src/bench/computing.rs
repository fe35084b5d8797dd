//! What the bounds on a guest's time cost it: the same work with fuel and interruption,
//! as jobs run, and in an engine without either, which exists only here.

use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail};
use wasmtime::component::{Component, Func, Linker, Val};
use wasmtime::{Engine, Store};

use super::{BenchOptions, Figure, Parts, block_on, read, sandbox};
use crate::job::{JobId, NewJob, Payload};
use crate::sandbox::{ReportBoard, code_config};
use crate::store::{Claim, Token};

/// The function of `stages` that computes.
const FUNCTION: &str = "compute";

/// What it computes, and the names of the figures: bounded, without bounds, and how many
/// times as long the bounds make it.
const WORK: [(&str, [&str; 3]); 3] = [
    (
        "sha256",
        [
            "computing, SHA-256 of 64 MiB",
            "computing, the same without bounds",
            "computing, SHA-256, bounds' factor",
        ],
    ),
    (
        "matrix",
        [
            "computing, product of 400x400 matrices",
            "computing, the same without bounds",
            "computing, matrices, bounds' factor",
        ],
    ),
    (
        "primes",
        [
            "computing, sieve of 16 million",
            "computing, the same without bounds",
            "computing, sieve, bounds' factor",
        ],
    ),
];

/// Each is run so many times in turn, and the fastest counts: what disturbs a run makes
/// it slower, never faster.
const RUNS: usize = 7;

/// `options` are those of the component `stages`.
pub(super) fn measure(options: &BenchOptions) -> anyhow::Result<Vec<Figure>> {
    let without_redis = BenchOptions {
        redis: None,
        ..options.clone()
    };
    block_on(async {
        let parts = Parts::assemble(&without_redis, 1).await?;
        let mut unbounded = Unbounded::new(options)?;
        let mut figures = Vec::new();
        for (work, [bounded_name, unbounded_name, factor_name]) in WORK {
            let message = format!("{work:?}");
            let (mut with, mut without) = (Duration::MAX, Duration::MAX);
            for _ in 0..RUNS {
                with = with.min(bounded(&parts, &message).await?);
                without = without.min(unbounded.run(&message)?);
            }
            let ms = |time: Duration| time.as_secs_f64() * 1e3;
            figures.push(Figure::new(bounded_name, ms(with), "ms"));
            figures.push(Figure::new(unbounded_name, ms(without), "ms"));
            figures.push(Figure::new(factor_name, ms(with) / ms(without), "x"));
        }
        Ok(figures)
    })
}

/// How long the work takes as a job.
async fn bounded(parts: &Parts, message: &str) -> anyhow::Result<Duration> {
    let functions = parts.store.functions(&parts.namespace).await?;
    let deployment = (functions.iter())
        .find(|deployment| deployment.function.as_str() == FUNCTION)
        .with_context(|| format!("the component has no function {FUNCTION}"))?;
    let component = parts.sandbox.prepare(deployment.component).await?;
    let job = NewJob::new(
        Payload::json(message.to_owned()),
        vec![deployment.function.clone()],
    );
    let claim = Claim {
        token: Token {
            namespace: parts.namespace.clone(),
            id: JobId(1),
            attempt: 1,
        },
        job: Arc::new(job),
        posted_at_ms: 0,
        claimed_at_ms: 0,
        data_bytes: 0,
    };
    let board = Arc::new(ReportBoard::default());
    let usage = sandbox::run(parts, &claim, deployment, &component, &board).await?;
    Ok(Duration::from_micros(usage.run_us))
}

/// The same component in an engine that counts and interrupts nothing, without a host
/// behind it.
struct Unbounded {
    engine: Engine,
    component: Component,
    linker: Linker<()>,
}

impl Unbounded {
    fn new(options: &BenchOptions) -> anyhow::Result<Self> {
        let mut config = code_config();
        config.consume_fuel(false).epoch_interruption(false);
        let engine = Engine::new(&config)?;
        let component = Component::from_binary(&engine, &read(&options.component)?)?;
        let mut linker = Linker::new(&engine);
        linker.define_unknown_imports_as_traps(&component)?;
        Ok(Self {
            engine,
            component,
            linker,
        })
    }

    /// How long the work takes in a fresh instance.
    fn run(&mut self, message: &str) -> anyhow::Result<Duration> {
        let mut store = Store::new(&self.engine, ());
        let begun = Instant::now();
        let instance = self.linker.instantiate(&mut store, &self.component)?;
        let handler = instance.get_export_index(&mut store, None, "skep:jobs/handler@0.1.0");
        let handle = instance.get_export_index(&mut store, handler.as_ref(), "handle");
        let handle: Func = handle
            .and_then(|index| instance.get_func(&mut store, index))
            .context("the component has no handler")?;
        let mut answer = [Val::Bool(false)];
        handle.call(&mut store, &[job(message)], &mut answer)?;
        let took = begun.elapsed();
        match answer {
            [Val::Result(Ok(_))] => Ok(took),
            other => bail!("the work does not succeed: {other:?}"),
        }
    }
}

/// A job of WIT's `types`.
fn job(message: &str) -> Val {
    let text = |text: &str| Val::String(text.to_owned());
    let data = message.bytes().map(Val::U8).collect();
    let fields = [
        ("id", text("1")),
        ("function", text(FUNCTION)),
        (
            "message",
            Val::Record(vec![
                ("content-type".to_owned(), text("application/json")),
                ("data".to_owned(), Val::List(data)),
            ]),
        ),
        ("attempt", Val::U32(1)),
        ("max-attempts", Val::U32(1)),
        ("posted-at-ms", Val::U64(0)),
        ("started-at-ms", Val::U64(0)),
        ("timeout-ms", Val::U64(60_000)),
        ("priority", Val::U8(2)),
        ("functions", Val::List(vec![text(FUNCTION)])),
        ("parent", Val::Option(None)),
        ("depth", Val::U32(0)),
    ];
    let named = fields.map(|(name, value)| (name.to_owned(), value));
    Val::Record(named.into())
}
