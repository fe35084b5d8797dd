//! Data under keys, and what expires.

use bytes::Bytes;
use skep::job::{JobId, NewJob, State};
use skep::store::{Outcome, Verdict};

use crate::support::{World, completed, done, job, namespace, now_ms, ns, output, trap};

conformance!(
    data_is_found_under_its_key_and_namespace,
    newer_data_replaces_older,
    expired_data_is_gone_before_and_after_a_sweep,
    a_result_is_dropped_after_its_retention_and_the_record_stays,
    what_is_kept_for_ever_is_not_swept,
    a_sweep_is_bounded_and_comes_to_an_end,
);

async fn put(world: &World, key: &str, data: &'static str, expires_at_ms: Option<u64>) {
    let data = Bytes::from_static(data.as_bytes());
    world
        .store()
        .put_data(&ns(), key, data, expires_at_ms)
        .await
        .unwrap();
}

async fn get(world: &World, key: &str) -> Option<Bytes> {
    world.store().data(&ns(), key).await.unwrap()
}

async fn data_is_found_under_its_key_and_namespace(mut world: World) {
    put(&world, "a/b é", "one", None).await;
    put(&world, "", "empty key", None).await;
    put(&world, "empty", "", None).await;
    let other = namespace("other");
    world
        .store()
        .put_data(&other, "a/b é", Bytes::from_static(b"two"), None)
        .await
        .unwrap();
    world.crash().await;
    assert_eq!(get(&world, "a/b é").await.unwrap(), "one");
    assert_eq!(get(&world, "").await.unwrap(), "empty key");
    assert_eq!(get(&world, "empty").await.unwrap(), "");
    assert_eq!(get(&world, "c").await, None);
    assert_eq!(
        world.store().data(&other, "a/b é").await.unwrap().unwrap(),
        "two"
    );
    assert_eq!(
        world
            .store()
            .data(&namespace("nowhere"), "a/b é")
            .await
            .unwrap(),
        None
    );
}

async fn newer_data_replaces_older(world: World) {
    put(&world, "k", "old", Some(now_ms() + 1)).await;
    put(&world, "k", "new", None).await;
    tokio::time::sleep(std::time::Duration::from_millis(3)).await;
    while world.store().sweep().await.unwrap() > 0 {}
    assert_eq!(get(&world, "k").await.unwrap(), "new");
}

async fn expired_data_is_gone_before_and_after_a_sweep(world: World) {
    put(&world, "past", "x", Some(now_ms() - 1)).await;
    put(&world, "future", "y", Some(now_ms() + 60_000)).await;
    assert_eq!(get(&world, "past").await, None);
    while world.store().sweep().await.unwrap() > 0 {}
    assert_eq!(get(&world, "past").await, None);
    assert_eq!(get(&world, "future").await.unwrap(), "y");
}

async fn a_result_is_dropped_after_its_retention_and_the_record_stays(mut world: World) {
    let keep = |retention_s| NewJob {
        retention_s: Some(retention_s),
        ..job("0")
    };
    world.submit(vec![keep(0), keep(60), keep(0)]).await;
    let lease = world.host().await;
    let claims = world.claim(lease, 3).await;
    world
        .finish(lease, &claims[0], completed("short-lived"))
        .await;
    world
        .finish(lease, &claims[1], completed("long-lived"))
        .await;
    world
        .finish(lease, &claims[2], Verdict::Failed(trap()))
        .await;
    for swept in [false, true] {
        let expired = world.store().outcome(&ns(), JobId(1)).await.unwrap();
        assert_eq!(expired, Outcome::Expired, "swept: {swept}");
        let kept = world.store().outcome(&ns(), JobId(2)).await.unwrap();
        assert_eq!(kept, Outcome::Completed(output("long-lived")));
        let record = world.job(1).await;
        assert_eq!((record.state, record.attempts.len()), (State::Completed, 1));
        assert!(record.expires_at_ms.is_some_and(|at| at <= now_ms()));
        let failed = world.store().outcome(&ns(), JobId(3)).await.unwrap();
        assert_eq!(failed, Outcome::Failed(trap()));
        if !swept {
            assert_eq!(world.store().sweep().await.unwrap(), 1);
        }
        world.crash().await;
    }
}

async fn what_is_kept_for_ever_is_not_swept(world: World) {
    world.submit_some(1).await;
    let lease = world.host().await;
    let claim = world.claim(lease, 1).await.remove(0);
    world.finish(lease, &claim, completed("for ever")).await;
    assert_eq!(world.store().sweep().await.unwrap(), 0);
    assert_eq!(world.job(1).await.expires_at_ms, None);
}

async fn a_sweep_is_bounded_and_comes_to_an_end(world: World) {
    const ROWS: usize = 700;
    let passing = NewJob {
        retention_s: Some(0),
        ..job("0")
    };
    world.submit(vec![passing; ROWS]).await;
    let lease = world.host().await;
    let claims = world.claim(lease, ROWS).await;
    let ends = claims.iter().map(|claim| done(claim, completed("")));
    world.cycle(lease, ends.collect(), 0).await;
    let mut dropped = Vec::new();
    while dropped.last() != Some(&0) {
        dropped.push(world.store().sweep().await.unwrap());
    }
    assert_eq!(dropped.iter().sum::<usize>(), ROWS);
    assert!(dropped.len() > 2, "one sweep took everything: {dropped:?}");
}
