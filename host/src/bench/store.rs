//! The store alone: durable posts, and cycles that complete a batch and take the
//! next one, with nothing run in between.

use std::sync::Arc;

use super::meter::Stopwatch;
use super::redis::{self, Meter};
use super::{BenchOptions, Figure, Parts, block_on};
use crate::job::{Output, Payload, Usage};
use crate::store::{Claim, Completion, Step, Verdict};
use crate::time::now_ms;

pub(super) const CYCLE_CPU: &str = "store, CPU per job (claim + complete, 64 at a time)";

const BATCH: usize = 64;

const POSTED: [&str; 2] = [
    "Redis, CPU per job (post, 1,000 at a time)",
    "Redis, commands per job (post, 1,000 at a time)",
];

const CYCLED: [&str; 2] = [
    "Redis, CPU per job (claim + complete, 64 at a time)",
    "Redis, commands per job (claim + complete, 64 at a time)",
];

pub(super) fn measure(options: &BenchOptions) -> anyhow::Result<Vec<Figure>> {
    let jobs = options.jobs.min(100_000);
    block_on(async {
        let parts = Parts::assemble(options, 1).await?;
        let meter = Meter::start(options)?;
        let watch = Stopwatch::start();
        parts.preload(options, jobs).await?;
        let post_cpu = watch.cpu_us_per(jobs);
        let post_rate = jobs as f64 / watch.wall_s();
        let posted = redis::figures(meter, jobs, POSTED)?;

        let lease = parts.store.register().await?;
        let meter = Meter::start(options)?;
        let watch = Stopwatch::start();
        let mut done = Vec::new();
        let mut ended = 0;
        for number in 1.. {
            let last = ended == jobs;
            let step = Step {
                number,
                done,
                want: if last { 0 } else { BATCH },
                stands: false,
                had: 0,
            };
            let cycle = parts.store.cycle(lease, Arc::new(step)).await?;
            if last {
                break;
            }
            done = cycle.claimed.into_iter().map(completed).collect();
            ended += done.len();
        }
        let mut figures = vec![
            Figure::new("store, CPU per job (post, 1,000 at a time)", post_cpu, "µs"),
            Figure::new("store, durable posts", post_rate, "jobs/s"),
            Figure::new(CYCLE_CPU, watch.cpu_us_per(jobs), "µs"),
            Figure::new(
                "store, claimed and completed by one caller",
                jobs as f64 / watch.wall_s(),
                "jobs/s",
            ),
        ];
        figures.extend(posted);
        figures.extend(redis::figures(meter, jobs, CYCLED)?);
        Ok(figures)
    })
}

fn completed(claim: Claim) -> Completion {
    let now = now_ms();
    Completion {
        token: claim.token,
        verdict: Verdict::Completed(Output {
            short_result: Some("42".to_owned()),
            result: Payload::json("42"),
        }),
        started_at_ms: now,
        ended_at_ms: now,
        usage: Usage::default(),
        limits: None,
        components: Vec::new(),
        log: Vec::new(),
    }
}
