//! A job that waits for others while its store does not answer.

use std::sync::Arc;
use std::time::Duration;

use skep::intake::PostRequest;
use skep::job::Payload;
use skep::store::Store;
use skep::store::embedded::EmbeddedStore;

use crate::client::{all_ended, deploy, post};
use crate::store::{Fault, FaultStore, Rates};
use crate::{guest, host};

/// Each costs a pause: many times what a job takes.
const REFUSALS: usize = 20;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_asks_to_wait_needs_no_worker_until_the_store_has_answered() {
    let directory = tempfile::tempdir().unwrap();
    let inner: Arc<dyn Store> = Arc::new(EmbeddedStore::open(directory.path()).unwrap());
    let store = Arc::new(FaultStore::new(inner.clone(), Rates::default(), 0));
    let host = host(store.clone(), directory.path(), 1);
    deploy(&host, guest("stages")).await;
    let request = |message: String, function: &str| {
        PostRequest::new(Payload::json(message), vec![function.to_owned()])
    };
    let nothing = || request("null".to_owned(), "nothing");
    let late = PostRequest {
        delay_ms: Some(60_000),
        ..nothing()
    };
    let late = post(&host, &[late]).await;
    store.plan("park", vec![Fault::Refused; REFUSALS]);
    let waits = post(&host, &[request(format!("\"{}\"", late[0]), "waits")]).await;
    let refused = || store.happened().get(&("park", Fault::Refused)).copied();
    while refused().is_none() {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    let other = post(&host, &[nothing()]).await;
    all_ended(&inner, &other).await;
    let refused = refused().unwrap_or_default() as usize;
    assert!(refused < REFUSALS, "the other job had to wait for that");
    host.stop(Duration::ZERO).await;
    let record = inner.job(&crate::client::ns(), waits[0]).await.unwrap();
    assert_eq!(record.unwrap().attempts.len(), 0, "it was handed back");
}
