//! Hundreds of jobs of every kind on two hosts whose store fails.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use futures_util::StreamExt as _;
use skep::job::{JobId, State};
use skep::store::Store;
use skep::store::embedded::EmbeddedStore;
use skep::store::redis::RedisStore;
use skep_testkit::RedisServer;

use crate::client::{all_ended, ask, deploy, ns, post};
use crate::jobs::{Case, nth};
use crate::store::{Fault, FaultStore, Rates};
use crate::{guest, host, seed};

const JOBS: usize = 400;

const RATES: Rates = Rates {
    refuse: 0.06,
    lose: 0.06,
    delay: 0.2,
};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_job_ends_once_and_as_it_should_on_an_embedded_store() {
    let directory = tempfile::tempdir().unwrap();
    let store = EmbeddedStore::open(directory.path()).unwrap();
    each_job_ends_once_and_as_it_should(Arc::new(store)).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_job_ends_once_and_as_it_should_on_a_redis() {
    let server = RedisServer::start();
    let store = RedisStore::options()
        .open(&server.url().parse().unwrap())
        .await
        .unwrap();
    each_job_ends_once_and_as_it_should(Arc::new(store)).await;
}

/// The test, on an empty store.
async fn each_job_ends_once_and_as_it_should(inner: Arc<dyn Store>) {
    let mut dice = fastrand::Rng::with_seed(seed());
    let faulty = [(); 2].map(|()| Arc::new(FaultStore::new(inner.clone(), RATES, dice.u64(..))));
    let directories = [(); 2].map(|()| tempfile::tempdir().unwrap());
    let start = |n: usize| host(faulty[n].clone(), directories[n].path(), 4);
    let hosts = [start(0), start(1)];
    deploy(&hosts[0], guest("multiply")).await;
    deploy(&hosts[1], guest("probe")).await;

    let cases: Vec<Case> = (0..JOBS).map(nth).collect();
    let mut batches = Vec::new();
    let mut left = cases.as_slice();
    while !left.is_empty() {
        let (batch, rest) = left.split_at(dice.usize(1..=4).min(left.len()));
        batches.push((batch, &hosts[dice.usize(..2)]));
        left = rest;
    }
    let posts = batches.into_iter().map(async |(batch, host)| {
        let requests: Vec<_> = batch.iter().map(|case| case.request.clone()).collect();
        let ids = post(host, &requests).await;
        for (case, id) in batch.iter().zip(&ids) {
            if case.cancel {
                ask(async || host.store.cancel(&ns(), *id).await).await;
            }
        }
        ids
    });
    let ids: Vec<JobId> = futures_util::stream::iter(posts)
        .buffered(8)
        .collect::<Vec<_>>()
        .await
        .concat();
    // Each is there once, and nothing else is: ids count from 1.
    let distinct: BTreeSet<u64> = ids.iter().map(|id| id.0).collect();
    assert_eq!(distinct, (1..=JOBS as u64).collect());

    all_ended(&hosts[1].store, &ids).await;
    let mut records = Vec::new();
    for (case, id) in cases.iter().zip(&ids) {
        let record = ask(async || hosts[0].store.job(&ns(), *id).await).await;
        let record = record.unwrap_or_else(|| panic!("job {id} is lost"));
        let outcome = ask(async || hosts[1].store.outcome(&ns(), *id).await).await;
        case.check(&record, &outcome);
        records.push(record);
    }
    for host in hosts {
        host.stop(Duration::from_secs(5)).await;
    }
    // What has ended stays as it is, and nothing is left to do.
    for record in &records {
        let later = inner.job(&ns(), record.id).await.unwrap();
        assert_eq!(later.as_ref(), Some(record));
    }
    assert_eq!(inner.status(&ns()).await.unwrap().waiting(), 0);
    assert_eq!(
        inner.job(&ns(), JobId(JOBS as u64 + 1)).await.unwrap(),
        None
    );

    let attempts: usize = records.iter().map(|record| record.attempts.len()).sum();
    let of = |state| {
        records
            .iter()
            .filter(|record| record.state == state)
            .count()
    };
    println!(
        "{} completed, {} failed, {} cancelled in {attempts} attempts",
        of(State::Completed),
        of(State::Failed),
        of(State::Cancelled),
    );
    for fault in [Fault::Refused, Fault::Lost] {
        let happened = faulty.iter().flat_map(|store| store.happened());
        let happened: Vec<_> = happened.filter(|((_, kind), _)| *kind == fault).collect();
        println!("{fault:?}: {happened:?}");
        assert!(happened.iter().any(|((method, _), _)| *method == "submit"));
    }
}
