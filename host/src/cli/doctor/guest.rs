//! A guest: whether a component is compiled here, and runs in a sandbox.

use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use tokio::time::timeout;

use super::Check;
use crate::bench;
use crate::callback::CallbackOptions;
use crate::cli::failure::Failure;
use crate::cli::hosting::this_binary;
use crate::deploy::Grant;
use crate::following::{Cursor, Event, Following, Standing};
use crate::host::{Host, HostOptions};
use crate::intake::PostRequest;
use crate::job::{JobId, Limits, Namespace, Payload, State};
use crate::store::embedded::EmbeddedStore;

const NAME: &str = "guest";

/// How long all of it may take: it takes a tenth of a second, on a machine that is fit.
const PATIENCE: Duration = Duration::from_secs(60);

/// How long the host may take to stop: its only job has ended.
const GRACE: Duration = Duration::from_secs(1);

/// Compiles the guest and runs a job with it, in a host of its own that leaves nothing
/// behind.
pub(super) async fn run() -> Check {
    let begun = Instant::now();
    let ended = match timeout(PATIENCE, in_a_host()).await {
        Ok(Ok(ended)) => ended,
        Ok(Err(failure)) => return Check::failure(NAME, failure),
        Err(_) => {
            let said = format!("a job did not end within {} s", PATIENCE.as_secs());
            return Check::fail(NAME, said, "see whether this machine is overloaded");
        }
    };
    match (ended.state, ended.cause) {
        (State::Completed, _) => Check::ok(
            NAME,
            format!(
                "compiled, and run in a sandbox, within {} ms",
                begun.elapsed().as_millis()
            ),
        ),
        (_, cause) => {
            let cause = cause.map_or_else(String::new, |cause| cause.to_string());
            let said = format!("a job of the smallest guest did not complete: {cause}");
            Check::fail(
                NAME,
                said,
                "report this, with the output of `skep doctor --json`",
            )
        }
    }
}

async fn in_a_host() -> Result<Standing, Failure> {
    let directory = tempfile::tempdir()
        .map_err(|error| Failure::failed(format!("no directory for a trial: {error}")))?;
    let store = EmbeddedStore::options()
        .in_memory()
        .map_err(|error| Failure::failed(error.to_string()))?;
    let options = HostOptions {
        max_parked: 1,
        callbacks: CallbackOptions::silent(),
        ..HostOptions::new(this_binary()?, directory.path().to_owned(), 1)
    };
    let host = Host::start(Arc::new(store), options)?;
    let ended = job(&host).await;
    host.stop(GRACE).await;
    ended
}

async fn job(host: &Host) -> Result<Standing, Failure> {
    let failed = |error: &dyn std::fmt::Display| Failure::failed(error.to_string());
    let namespace = Namespace::default();
    let guest = Bytes::from(bench::noop().map_err(|error| failed(&error))?);
    let (limits, grant) = (Limits::default(), Grant::Narrower);
    let deployed = host.deployer.deploy(&namespace, guest, None, limits, grant);
    deployed.await.map_err(|error| failed(&error))?;
    let request = PostRequest::new(Payload::json("null"), Vec::new());
    let ids = host.intake.accept(&namespace, vec![request]).await;
    let ids = ids.map_err(|error| failed(&error))?;
    let id = ids
        .first()
        .copied()
        .ok_or_else(|| failed(&"the job has no id"))?;
    end(host, &namespace, id).await
}

async fn end(host: &Host, namespace: &Namespace, id: JobId) -> Result<Standing, Failure> {
    let following = Following::new(Arc::clone(&host.store));
    let follower = following.follow(namespace, id, Cursor::default()).await;
    let mut follower = follower.map_err(|error| Failure::failed(error.to_string()))?;
    while let Some(told) = follower.next().await {
        if let Event::Result(ended) = told.event {
            return Ok(ended);
        }
    }
    Err(Failure::failed("the trial's job is gone"))
}
