//! A whole host in this process, on the store of a test, with the guest `probe`.

use std::time::Duration;

use skep::deploy::Grant;
use skep::host::{Host, HostOptions};
use skep::intake::PostRequest;
use skep::job::{JobId, JobRecord, Limits, Payload};

use crate::support::{World, ns, soon};

/// A lease for hosts that run guests: some are waited for, and none may end by itself
/// on a busy machine.
pub(crate) const LEASE: Option<Duration> = Some(Duration::from_millis(1500));

/// Starts a host. All share what is compiled, so that it is once.
pub(crate) async fn host(world: &World, slots: usize) -> Host {
    let options = HostOptions::new(
        env!("CARGO_BIN_EXE_skep").into(),
        concat!(env!("CARGO_TARGET_TMPDIR"), "/bulletproof").into(),
        slots,
    );
    let host = Host::start(world.store().clone(), options).expect("the host starts");
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../target/guests/probe.wasm");
    let component = std::fs::read(path);
    let component = component.unwrap_or_else(|error| panic!("{path}: {error}; `make guests`"));
    let ns = ns();
    let deployed = host.deployer.deploy(
        &ns,
        component.into(),
        None,
        Limits::default(),
        Grant::Narrower,
    );
    deployed.await.expect("the guest is deployed");
    host
}

/// A post to a function.
pub(crate) fn to(function: &str, message: &str) -> PostRequest {
    PostRequest::new(Payload::json(message.to_owned()), vec![function.to_owned()])
}

/// Posts jobs.
pub(crate) async fn post(host: &Host, requests: Vec<PostRequest>) -> Vec<JobId> {
    let accepted = host.intake.accept(&ns(), requests).await;
    accepted.expect("the jobs are accepted")
}

/// Runs a job to its end.
pub(crate) async fn run(host: &Host, request: PostRequest) -> JobRecord {
    let id = post(host, vec![request]).await[0];
    end_of(host, id).await
}

/// The record of a job, once it has ended.
pub(crate) async fn end_of(host: &Host, id: JobId) -> JobRecord {
    let ended = soon("the job ends", host.store.ended(&ns(), id)).await;
    ended.expect("the store answers");
    let record = host.store.job(&ns(), id).await.expect("the store answers");
    record.expect("the job is known")
}
