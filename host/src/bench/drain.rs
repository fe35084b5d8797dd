//! The whole: workers drain a preloaded queue, each job in a fresh instance, each
//! outcome durable.

use std::time::Duration;

use tokio::time::sleep;

use super::meter::Stopwatch;
use super::redis::{self, Meter};
use super::{BenchOptions, Figure, Parts, block_on};
use crate::job::JobId;

/// How often to look whether the queue is drained: seldom enough to cost nothing.
const LOOK_EVERY: Duration = Duration::from_millis(5);

/// More jobs than a host holds at once.
const MOST_RUNNING: usize = 2_000;

pub(super) const RATE: &str = "drained from a preloaded queue";

const REDIS: [&str; 2] = [
    "Redis, CPU per job (post + claim + complete)",
    "Redis, commands per job (post + claim + complete)",
];

/// What the parts cost alone, to be taken off the whole.
pub(super) struct Split {
    pub(super) sandbox_us: f64,
    pub(super) store_us: f64,
}

pub(super) fn measure(options: &BenchOptions, split: &Split) -> anyhow::Result<Vec<Figure>> {
    let slots = std::thread::available_parallelism()?.get() * 2;
    let (enqueued, rate, cpu_us, redis) = block_on(async {
        let parts = Parts::assemble(options, slots).await?;
        let meter = Meter::start(options)?;
        let watch = Stopwatch::start();
        parts.preload(options, options.jobs).await?;
        let enqueued = options.jobs as f64 / watch.wall_s();
        let watch = Stopwatch::start();
        let workers = parts.workers(slots)?;
        while parts.store.status(&parts.namespace).await?.waiting() > 0 {
            sleep(LOOK_EVERY).await;
        }
        // The last ones still run.
        for id in options.jobs.saturating_sub(MOST_RUNNING)..options.jobs {
            parts
                .store
                .ended(&parts.namespace, JobId(id as u64 + 1))
                .await?;
        }
        let figures = (
            enqueued,
            options.jobs as f64 / watch.wall_s(),
            watch.cpu_us_per(options.jobs),
            redis::figures(meter, options.jobs, REDIS)?,
        );
        workers.stop(Duration::from_secs(1)).await;
        Ok(figures)
    })?;
    let mut figures = vec![
        Figure::new("enqueued, 1,000 at a time", enqueued, "jobs/s"),
        Figure::new(RATE, rate, "jobs/s"),
        Figure::new("CPU per job, all together", cpu_us, "µs"),
        Figure::new("  of which sandbox", split.sandbox_us, "µs"),
        Figure::new("  of which store", split.store_us, "µs"),
        Figure::new(
            "  of which the rest",
            cpu_us - split.sandbox_us - split.store_us,
            "µs",
        ),
    ];
    figures.extend(redis);
    Ok(figures)
}
