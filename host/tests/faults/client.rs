//! A client as the documentation asks for: what is answered by "unavailable" is asked
//! again, with the same idempotency key.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use skep::deploy::{DeployError, Grant};
use skep::host::Host;
use skep::intake::{IntakeError, PostRequest};
use skep::job::{JobId, Limits, Namespace};
use skep::store::{Result, Store, StoreError};

/// Between two tries.
const PAUSE: Duration = Duration::from_millis(10);

/// The namespace that the tests use.
pub(crate) fn ns() -> Namespace {
    Namespace::default()
}

/// Asks until there is an answer.
pub(crate) async fn ask<T>(mut call: impl AsyncFnMut() -> Result<T>) -> T {
    loop {
        match call().await {
            Err(StoreError::Unavailable(_)) => tokio::time::sleep(PAUSE).await,
            answer => break answer.expect("no other error"),
        }
    }
}

/// Posts until there is an answer.
pub(crate) async fn post(host: &Host, requests: &[PostRequest]) -> Vec<JobId> {
    loop {
        match host.intake.accept(&ns(), requests.to_vec()).await {
            Err(IntakeError::Store(StoreError::Unavailable(_))) => {
                tokio::time::sleep(PAUSE).await;
            }
            answer => break answer.expect("no other error"),
        }
    }
}

/// Deploys until there is an answer.
pub(crate) async fn deploy(host: &Host, component: Bytes) {
    loop {
        let (ns, component) = (ns(), component.clone());
        let answer = host
            .deployer
            .deploy(&ns, component, None, Limits::default(), Grant::Narrower);
        match answer.await {
            Err(DeployError::Store(StoreError::Unavailable(_))) => tokio::time::sleep(PAUSE).await,
            answer => break drop(answer.expect("no other error")),
        }
    }
}

/// Waits for the ends of jobs.
pub(crate) async fn all_ended(store: &Arc<dyn Store>, ids: &[JobId]) {
    let ends = ids.iter().map(|&id| {
        let store = store.clone();
        async move { ask(async || store.ended(&ns(), id).await).await }
    });
    let ended = futures_util::future::join_all(ends);
    if tokio::time::timeout(Duration::from_secs(120), ended)
        .await
        .is_err()
    {
        for &id in ids {
            let record = ask(async || store.job(&ns(), id).await).await;
            let record = record.unwrap_or_else(|| panic!("job {id} is lost"));
            assert!(record.state.has_ended(), "did not end: {record:#?}");
        }
    }
}
