//! Jobs that make jobs: a chain over HTTP, a wide fan-out, and what parked jobs cost.

use std::time::{Duration, Instant};

use anyhow::{Context, ensure};
use rustix::process::getpid;
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
/// One takes an eighth of a second; of these, the median.
const FAN_OUTS: usize = 15;

/// As many as a host parks unless it is told otherwise.
const PARKED: usize = 1_000;

/// How long the job is away that they wait for: long enough for all to be parked.
const PARKED_FOR_MS: u64 = 3_000;

/// How often to look: a look at a thousand parked jobs costs a quarter of a millisecond,
/// which is to be little beside them.
const LOOK_EVERY: Duration = Duration::from_millis(500);

/// `options` are those of the component `stages`; the rate is that of jobs that make none,
/// in the same run.
pub(super) fn measure(options: &BenchOptions, drained_per_s: f64) -> anyhow::Result<Vec<Figure>> {
    let mut figures = block_on(chain(options))?;
    figures.extend(block_on(fan_out(options, drained_per_s))?);
    figures.extend(block_on(parked(options))?);
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

async fn fan_out(options: &BenchOptions, drained_per_s: f64) -> anyhow::Result<Vec<Figure>> {
    let (parts, workers) = start(options).await?;
    let mut times = Vec::with_capacity(FAN_OUTS);
    for _ in 0..FAN_OUTS {
        let begun = Instant::now();
        let job = new_job(CHILDREN.to_string(), "fan_out")?;
        let ids = parts.store.submit(&parts.namespace, vec![job]).await?;
        succeeded(&parts, ids).await?;
        times.push(begun.elapsed());
    }
    times.sort_unstable();
    let rate = CHILDREN as f64 * 1e6 / percentile_us(&times, 50);
    workers.stop(Duration::from_secs(1)).await;
    let share = rate / drained_per_s * 100.0;
    Ok(vec![
        Figure::new(
            "fan-out to 10,000 jobs, and the wait for all",
            rate,
            "jobs/s",
        ),
        Figure::new("  of the rate of plain jobs", share, "%"),
    ])
}

async fn parked(options: &BenchOptions) -> anyhow::Result<Vec<Figure>> {
    let (parts, workers) = start(options).await?;
    let before = resident_mib(getpid())?;
    // The first time, each instance takes its memory from the system, which is the
    // system's price and not that of parking.
    let held = run_beside_one(&parts, waits).await? - before;
    let mut cpu_us = [0.0; 2];
    for (cpu_us, beside) in cpu_us.iter_mut().zip([waits as Beside, ends]) {
        let watch = Stopwatch::start();
        run_beside_one(&parts, beside).await?;
        *cpu_us = watch.cpu_us_per(PARKED);
    }
    workers.stop(Duration::from_secs(1)).await;
    let each_kib = held * 1024.0 / PARKED as f64;
    let [parked, plain] = cpu_us;
    Ok(vec![
        Figure::new("resident, each of 1,000 parked jobs", each_kib, "KiB"),
        Figure::new("CPU of a job that is parked once", parked, "µs"),
        Figure::new(
            "  more than of one that does not wait",
            parked - plain,
            "µs",
        ),
    ])
}

/// A job beside a late one.
type Beside = fn(late: JobId) -> anyhow::Result<NewJob>;

/// Runs such jobs and the late one; answers what the process holds before that one runs, in
/// MiB. Only whether they wait for it makes a difference: they are of one component, posted
/// alike, and it takes as long.
async fn run_beside_one(parts: &Parts, beside: Beside) -> anyhow::Result<f64> {
    let (store, namespace) = (&parts.store, &parts.namespace);
    let completed = store.status(namespace).await?.completed;
    let late = NewJob {
        delay_ms: PARKED_FOR_MS,
        ..ends(JobId(0))?
    };
    let late = store.submit(namespace, vec![late]).await?;
    let late = late.first().copied().unwrap_or(JobId(0));
    let jobs = (0..PARKED)
        .map(|_| beside(late))
        .collect::<Result<_, _>>()?;
    store.submit(namespace, jobs).await?;
    let all = PARKED as u64;
    let mut held = None;
    // To ask for each would cost as much as what is measured.
    loop {
        let now = store.status(namespace).await?;
        ensure!(now.failed == 0, "a job of the bench did not succeed");
        if held.is_none() && (now.parked == all || now.completed == completed + all) {
            held = Some(resident_mib(getpid())?);
        }
        if now.completed > completed + all {
            return held.context("the bench has not seen all jobs parked at once");
        }
        sleep(LOOK_EVERY).await;
    }
}

fn waits(late: JobId) -> anyhow::Result<NewJob> {
    new_job(format!("\"{late}\""), "waits")
}

fn ends(_late: JobId) -> anyhow::Result<NewJob> {
    new_job("null".to_owned(), "nothing")
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
