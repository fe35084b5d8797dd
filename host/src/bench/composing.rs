//! Jobs that make jobs: a chain over HTTP, a wide fan-out, and what parked jobs cost.

use std::time::{Duration, Instant};

use anyhow::ensure;
use rustix::process::Pid;
use tokio::time::sleep;

use super::meter::{Stopwatch, percentile_us, resident_mib};
use super::resident::Server;
use super::{BenchOptions, Figure, Parts, block_on};
use crate::job::{JobId, NewJob, Payload};
use crate::store::Outcome;
use crate::worker::Workers;

const WARM_UP: usize = 50;
const CHAINS: usize = 500;

const CHILDREN: usize = 10_000;
const FAN_OUTS: usize = 5;

/// As many as a host parks unless it is told otherwise.
const PARKED: usize = 1_000;

/// How long the job takes that they wait for: long enough for all to be parked.
const PARKED_FOR_MS: u64 = 3_000;

/// How often to look: a look at a thousand parked jobs costs a quarter of a millisecond,
/// which is to be little beside them.
const LOOK_EVERY: Duration = Duration::from_millis(500);

/// What jobs that make none cost in the same run.
pub(super) struct Plain {
    pub(super) drained_per_s: f64,
    pub(super) cpu_us: f64,
}

/// `options` are those of the component `stages`.
pub(super) fn measure(options: &BenchOptions, plain: &Plain) -> anyhow::Result<Vec<Figure>> {
    let mut figures = block_on(chain(options))?;
    figures.extend(block_on(fan_out(options, plain))?);
    figures.extend(block_on(parked(options, plain))?);
    Ok(figures)
}

async fn chain(options: &BenchOptions) -> anyhow::Result<Vec<Figure>> {
    let server = Server::start(options).await?;
    server.deploy(options).await?;
    let mut times = Vec::with_capacity(CHAINS);
    for trip in 0..WARM_UP + CHAINS {
        let begun = Instant::now();
        let id = server.post("default", "3", &["chain"]).await?;
        server.result(&id).await?;
        if trip >= WARM_UP {
            times.push(begun.elapsed());
        }
    }
    times.sort_unstable();
    let percentile = |percent| percentile_us(&times, percent);
    Ok(vec![
        Figure::new("chain of three jobs over HTTP, p50", percentile(50), "µs"),
        Figure::new("chain of three jobs over HTTP, p99", percentile(99), "µs"),
    ])
}

async fn fan_out(options: &BenchOptions, plain: &Plain) -> anyhow::Result<Vec<Figure>> {
    let (parts, workers) = start(options).await?;
    let watch = Stopwatch::start();
    for _ in 0..FAN_OUTS {
        let job = new_job(CHILDREN.to_string(), "fan_out")?;
        let ids = parts.store.submit(&parts.namespace, vec![job]).await?;
        succeeded(&parts, ids).await?;
    }
    let rate = (CHILDREN * FAN_OUTS) as f64 / watch.wall_s();
    workers.stop(Duration::from_secs(1)).await;
    let share = rate / plain.drained_per_s * 100.0;
    Ok(vec![
        Figure::new(
            "fan-out to 10,000 jobs, and the wait for all",
            rate,
            "jobs/s",
        ),
        Figure::new("  of the rate of plain jobs", share, "%"),
    ])
}

async fn parked(options: &BenchOptions, plain: &Plain) -> anyhow::Result<Vec<Figure>> {
    let (parts, workers) = start(options).await?;
    let process = rustix::process::getpid();
    let before = resident_mib(process)?;
    // The first time, each instance takes its memory from the system, which is the
    // system's price and not that of parking.
    let held = park_all(&parts, process).await? - before;
    let watch = Stopwatch::start();
    park_all(&parts, process).await?;
    let cpu_us = watch.cpu_us_per(PARKED);
    workers.stop(Duration::from_secs(1)).await;
    let each_kib = held * 1024.0 / PARKED as f64;
    Ok(vec![
        Figure::new("resident, each of 1,000 parked jobs", each_kib, "KiB"),
        Figure::new("CPU of a job that is parked once", cpu_us, "µs"),
        Figure::new("  more than of a plain one", cpu_us - plain.cpu_us, "µs"),
    ])
}

/// Runs jobs that all wait for one; answers what the process holds while they are
/// parked, in MiB.
async fn park_all(parts: &Parts, process: Pid) -> anyhow::Result<f64> {
    let (store, namespace) = (&parts.store, &parts.namespace);
    let late = NewJob {
        delay_ms: PARKED_FOR_MS,
        ..new_job("null".to_owned(), "nothing")?
    };
    let late = store.submit(namespace, vec![late]).await?;
    let message = format!("\"{}\"", late.first().unwrap_or(&JobId(0)));
    let waiting = (0..PARKED).map(|_| new_job(message.clone(), "waits"));
    let waiting = waiting.collect::<Result<_, _>>()?;
    let completed = store.status(namespace).await?.completed;
    store.submit(namespace, waiting).await?;
    while store.status(namespace).await?.parked < PARKED as u64 {
        sleep(LOOK_EVERY).await;
    }
    let held = resident_mib(process)?;
    // To ask for each would cost as much as what is measured.
    loop {
        let now = store.status(namespace).await?;
        ensure!(now.failed == 0, "a job of the bench did not succeed");
        if now.completed > completed + PARKED as u64 {
            return Ok(held);
        }
        sleep(LOOK_EVERY).await;
    }
}

async fn start(options: &BenchOptions) -> anyhow::Result<(Parts, Workers)> {
    let slots = std::thread::available_parallelism()?.get() * 2;
    let parts = Parts::assemble(options, slots).await?;
    let workers = parts.workers(slots)?;
    Ok((parts, workers))
}

/// Waits until the jobs have ended; that one did not succeed is an error.
async fn succeeded(parts: &Parts, ids: Vec<JobId>) -> anyhow::Result<()> {
    for id in ids {
        parts.store.ended(&parts.namespace, id).await?;
        let outcome = parts.store.outcome(&parts.namespace, id).await?;
        ensure!(
            matches!(outcome, Outcome::Completed(_)),
            "job {id} of the bench did not succeed: {outcome:?}"
        );
    }
    Ok(())
}

fn new_job(message: String, function: &str) -> anyhow::Result<NewJob> {
    Ok(NewJob::new(Payload::json(message), vec![function.parse()?]))
}
