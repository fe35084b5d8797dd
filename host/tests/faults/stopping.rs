//! A host that is stopped just when its store fails.

use std::sync::Arc;
use std::time::Duration;

use skep::intake::PostRequest;
use skep::job::{JobId, Payload, State};
use skep::store::Store;
use skep::store::embedded::EmbeddedStore;

use crate::client::{all_ended, deploy, ns, post};
use crate::store::{Fault, FaultStore, Rates};
use crate::{guest, host};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stop_hands_jobs_back_although_the_store_fails_meanwhile() {
    let directory = tempfile::tempdir().unwrap();
    let inner: Arc<dyn Store> = Arc::new(EmbeddedStore::open(directory.path()).unwrap());
    let store = Arc::new(FaultStore::new(inner.clone(), Rates::default(), 0));
    let stopped = host(store.clone(), directory.path(), 4);
    deploy(&stopped, guest("probe")).await;
    let request = |function: &str| {
        let message = Payload::json(r#"{"iterations":300000000}"#);
        PostRequest::new(message, vec![function.to_owned()])
    };
    let spin = post(&stopped, &[request("spin"), request("spin")]).await;
    let until = tokio::time::Instant::now() + Duration::from_secs(20);
    while inner.status(&ns()).await.unwrap().waiting() > 0 {
        assert!(tokio::time::Instant::now() < until, "nobody takes the jobs");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    // A job that ends while the host drains, and one that does not.
    let busy = post(&stopped, &[request("busy")]).await;
    tokio::time::sleep(Duration::from_millis(20)).await;
    store.plan(
        "cycle",
        vec![Fault::Refused, Fault::Lost, Fault::Refused, Fault::Lost],
    );
    stopped.stop(Duration::from_secs(1)).await;
    assert!(store.happened().len() > 1, "{:?}", store.happened());
    for id in spin {
        let record = inner.job(&ns(), id).await.unwrap().unwrap();
        assert_eq!(
            (record.state, record.attempt),
            (State::Queued, 0),
            "{record:#?}"
        );
    }
    let record = inner.job(&ns(), busy[0]).await.unwrap().unwrap();
    assert_ne!(record.state, State::Running, "{record:#?}");

    let after = tempfile::tempdir().unwrap();
    let next = host(inner.clone(), after.path(), 4);
    for id in [JobId(1), JobId(2)] {
        inner.cancel(&ns(), id).await.unwrap();
    }
    all_ended(&inner, &[busy[0]]).await;
    let record = inner.job(&ns(), busy[0]).await.unwrap().unwrap();
    assert_eq!((record.state, record.attempts.len()), (State::Completed, 1));
    next.stop(Duration::ZERO).await;
}
