//! The sandbox alone: a fresh instance for each call, one thread, no store.

use std::sync::Arc;

use anyhow::Context as _;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use super::meter::Stopwatch;
use super::{BenchOptions, Figure, Parts, block_on, new_job};
use crate::job::{JobId, Output, Usage};
use crate::sandbox::{Assignment, Prepared, ReportBoard, Voice};
use crate::store::{Claim, Deployment, Lease, Token};

pub(super) const CPU: &str = "sandbox, CPU per job";

const WARM_UP: usize = 2_000;
const CALLS: usize = 50_000;

pub(super) fn measure(options: &BenchOptions) -> anyhow::Result<Vec<Figure>> {
    // The store only hands out the component.
    let without_redis = BenchOptions {
        redis: None,
        ..options.clone()
    };
    let parts = block_on(Parts::assemble(&without_redis, 1))?;
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    runtime.block_on(async {
        let functions = parts.store.functions(&parts.namespace).await?;
        let deployment = (functions.iter())
            .find(|deployment| deployment.function == options.function)
            .with_context(|| format!("the component has no function {}", options.function))?;
        let component = parts.sandbox.prepare(deployment.component).await?;
        let claim = Claim {
            token: Token {
                namespace: parts.namespace.clone(),
                id: JobId(1),
                attempt: 1,
            },
            job: Arc::new(new_job(options)),
            posted_at_ms: 0,
            claimed_at_ms: 0,
            data_bytes: 0,
        };
        let board = Arc::new(ReportBoard::default());
        let mut watch = Stopwatch::start();
        let mut last = None;
        for call in 0..WARM_UP + CALLS {
            if call == WARM_UP {
                watch = Stopwatch::start();
            }
            last = Some(run(&parts, &claim, deployment, &component, &board).await?);
        }
        let usage = last.unwrap_or_default();
        Ok(vec![
            Figure::new(CPU, watch.cpu_us_per(CALLS), "µs"),
            Figure::new("sandbox, fuel per job", usage.fuel as f64, ""),
            Figure::new(
                "sandbox, memory of the guest",
                usage.peak_memory_bytes as f64 / 1024.0,
                "KiB",
            ),
        ])
    })
}

/// Runs a job, for which no store is asked; answers what it used.
pub(super) async fn run(
    parts: &Parts,
    claim: &Claim,
    deployment: &Deployment,
    component: &Prepared,
    board: &Arc<ReportBoard>,
) -> anyhow::Result<Usage> {
    let (_, usage) = complete(parts, claim, deployment, component, board).await?;
    Ok(usage)
}

/// The same, and what it gave.
pub(super) async fn complete(
    parts: &Parts,
    claim: &Claim,
    deployment: &Deployment,
    component: &Prepared,
    board: &Arc<ReportBoard>,
) -> anyhow::Result<(Output, Usage)> {
    let assignment = Assignment {
        claim,
        lease: Lease {
            incarnation: Uuid::nil(),
        },
        place: 0,
        function: &deployment.function,
        limits: &deployment.limits,
        used: &Usage::default(),
        component,
        cancel: CancellationToken::new(),
        voice: &Voice::new(claim.token.clone(), board.clone()),
        trace: None,
    };
    let ended = parts.sandbox.run(assignment).await;
    match ended.outcome {
        Ok(output) => Ok((output, ended.usage)),
        Err(stop) => anyhow::bail!("the job does not succeed: {stop:?}"),
    }
}
