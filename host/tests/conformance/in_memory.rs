//! The built-in store without a directory, for runs without a server: it is read by way of
//! its writer, and discards what has ended.

use std::sync::Arc;

use skep::job::{JobId, State};
use skep::store::embedded::EmbeddedStore;
use skep::store::{LEASE, Outcome, Store, Verdict};

use crate::support::{World, child, completed, done, job, namespace, ns, output, trap};

fn store() -> (World, Arc<EmbeddedStore>) {
    let store = EmbeddedStore::options().in_memory().expect("a store");
    let store = Arc::new(store);
    (World::of(store.clone(), LEASE), store)
}

fn ids(ids: impl IntoIterator<Item = u64>) -> Vec<JobId> {
    ids.into_iter().map(JobId).collect()
}

/// Discards jobs, and answers which are left.
async fn discard(store: &EmbeddedStore, some: impl IntoIterator<Item = u64>) -> Vec<u64> {
    let left = store.discard(&ns(), ids(some)).await.expect("discard");
    let mut left: Vec<_> = left.iter().map(|id| id.0).collect();
    left.sort_unstable();
    left
}

async fn outcomes(store: &EmbeddedStore, some: impl IntoIterator<Item = u64>) -> Vec<Outcome> {
    let outcomes = store.outcomes(&ns(), &ids(some), u64::MAX).await;
    outcomes.expect("outcomes")
}

#[tokio::test]
async fn it_does_what_one_in_a_directory_does() {
    let (world, store) = store();
    assert_eq!(world.submit_some(3).await, [1, 2, 3]);
    let host = world.host().await;
    let claims = world.claim(host, 2).await;
    world.finish(host, &claims[0], completed("one")).await;
    world
        .finish(host, &claims[1], Verdict::Failed(trap()))
        .await;
    assert_eq!(
        outcomes(&store, 1..=4).await,
        [
            Outcome::Completed(output("one")),
            Outcome::Failed(trap()),
            Outcome::Open,
            Outcome::Unknown,
        ]
    );
    assert_eq!(world.job(3).await.state, State::Queued);
    store
        .put_data(&ns(), "k", "v".into(), None)
        .await
        .expect("put");
    let data = store.data(&ns(), "k").await.expect("data");
    assert_eq!(data.as_deref(), Some(&b"v"[..]));
    store.ended(&ns(), JobId(1)).await.expect("ended");
    // Two of them have nothing in common.
    let (other, _) = self::store();
    assert_eq!(other.submit_some(1).await, [1]);
}

#[tokio::test]
async fn what_has_ended_is_discarded_and_what_has_not_is_left() {
    let (world, store) = store();
    world.submit_some(5_000).await;
    let host = world.host().await;
    let claims = world.claim(host, 4_999).await;
    let ends: Vec<_> = claims
        .iter()
        .map(|claim| done(claim, completed("x")))
        .collect();
    world.cycle(host, ends, 0).await;
    assert_eq!(discard(&store, 1..=4_000).await, [0; 0]);
    assert_eq!(
        outcomes(&store, [1, 4_000]).await,
        [Outcome::Unknown, Outcome::Unknown]
    );
    assert_eq!(
        outcomes(&store, [4_001]).await,
        [Outcome::Completed(output("x"))]
    );
    let mut left = discard(&store, 4_001..=5_000).await;
    while left != [5_000] {
        assert!(left.contains(&5_000), "it has not ended");
        left = discard(&store, left).await;
    }
    assert_eq!(world.job(5_000).await.state, State::Queued);
    assert_eq!(world.claim_ids(host, 10).await, [5_000]);
    let totals = store.status(&ns()).await.expect("status");
    assert_eq!((totals.posted, totals.completed), (5_000, 4_999));
    // Others are not meant.
    assert_eq!(
        store
            .discard(&namespace("other"), ids([5_000]))
            .await
            .expect("discard"),
        []
    );
}

#[tokio::test]
async fn a_result_that_was_waited_for_is_discarded_too() {
    let (world, store) = store();
    world.submit_some(1).await;
    let host = world.host().await;
    let claim = world.claim(host, 1).await.remove(0);
    let namespace = ns();
    let ended = store.ended(&namespace, JobId(1));
    let (ended, ()) = tokio::join!(ended, world.finish(host, &claim, completed("x")));
    ended.expect("ended");
    let result = Outcome::Completed(output("x"));
    assert_eq!(outcomes(&store, [1]).await, [result]);
    assert_eq!(discard(&store, [1]).await, [0; 0]);
    assert_eq!(outcomes(&store, [1]).await, [Outcome::Unknown]);
}

#[tokio::test]
async fn a_job_is_discarded_with_those_that_it_posted() {
    let (world, store) = store();
    let mut keyed = job("1");
    keyed.idempotency_key = Some("k".into());
    assert_eq!(world.submit(vec![keyed.clone()]).await, [1]);
    let host = world.host().await;
    let parent = world.claim(host, 1).await.remove(0);
    assert_eq!(
        world.submit(vec![child(1, "a"), child(1, "b")]).await,
        [2, 3]
    );
    let first = world.claim(host, 1).await.remove(0);
    world.finish(host, &first, completed("a")).await;
    world.finish(host, &parent, completed("1")).await;
    assert_eq!(discard(&store, [1]).await, [3], "it waits");
    assert_eq!(
        outcomes(&store, 1..=3).await,
        [Outcome::Unknown, Outcome::Unknown, Outcome::Open]
    );
    assert_eq!(world.submit(vec![keyed]).await, [4], "the key is free");
    let second = world.claim(host, 1).await.remove(0);
    world.finish(host, &second, completed("b")).await;
    assert_eq!(discard(&store, [3]).await, [0; 0]);
    assert_eq!(outcomes(&store, [3]).await, [Outcome::Unknown]);
}
