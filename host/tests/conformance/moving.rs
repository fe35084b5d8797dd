//! Jobs that move from one store to another: nothing lost, nothing doubled.

use skep::job::{JobId, NewJob, Payload, State};
use skep::store::{Parcel, QueueStatus, mover};

use crate::holding::{MOVER, OTHER, hold, ids_of, later, let_go, status};
use crate::support::{World, completed, job, namespace, now_ms, ns, retry};

conformance!(
    a_store_has_one_id_for_ever,
    delivered_jobs_are_whole,
    a_second_delivery_doubles_nothing,
    a_delivery_is_known_after_its_job_was_purged,
    the_same_id_of_another_store_is_another_job,
    a_delivered_job_whose_key_is_taken_is_that_job,
    past_attempts_count_on,
    what_remains_of_a_delay_travels,
    a_look_at_what_waits_changes_nothing,
    a_move_that_is_cut_off_anywhere_loses_and_doubles_nothing,
);

async fn deliver(world: &World, parcels: Vec<Parcel>) -> Vec<u64> {
    let ids = world.store().deliver(&ns(), parcels).await;
    ids.expect("deliver").iter().map(|id| id.0).collect()
}

async fn a_store_has_one_id_for_ever(mut world: World) {
    let id = world.store().store_id().await.unwrap();
    world.crash().await;
    assert_eq!(world.store().store_id().await.unwrap(), id);
    let other = world.fresh().await;
    let other_id = other.store().store_id().await.unwrap();
    assert_ne!(other_id, id);
    assert_eq!(mover(id, other_id), mover(id, other_id));
    assert_ne!(mover(id, other_id), mover(other_id, id));
}

async fn delivered_jobs_are_whole(world: World) {
    let there = world.fresh().await;
    there.submit_some(7).await;
    let whole = NewJob {
        message: Payload {
            content_type: "image/png".into(),
            data: vec![0, 159, 255].into(),
        },
        priority: 0.try_into().unwrap(),
        idempotency_key: Some("k".into()),
        max_attempts: 9,
        limits: "timeout_ms=77,fuel=5".parse().unwrap(),
        retention_s: Some(88),
        parent: Some(JobId(1)),
        depth: 3,
        root: Some(JobId(1)),
        callback: Some("http://localhost/done".into()),
        ..job("")
    };
    world.submit_some(1).await;
    world.submit(vec![whole.clone()]).await;
    let held = hold(&world, MOVER, 9).await;
    let origin = &held[1].origin;
    assert_eq!(origin.store, world.store().store_id().await.unwrap());
    assert_eq!((&origin.namespace, origin.id), (&ns(), JobId(2)));
    assert_eq!(origin.posted_at_ms, world.job(2).await.posted_at_ms);
    assert_eq!(deliver(&there, held).await, [8, 9]);
    let lease = there.host().await;
    let claim = there.claim(lease, 1).await.remove(0);
    // Ids of a parent and a root mean nothing in another store.
    let expected = NewJob {
        parent: None,
        root: None,
        ..whole.clone()
    };
    assert_eq!((claim.token.id, claim.token.attempt), (JobId(9), 1));
    assert_eq!(*claim.job, expected);
    assert_eq!(there.submit(vec![whole]).await, [9]);
    assert_eq!(status(&there).await.posted, 9);
}

async fn a_second_delivery_doubles_nothing(world: World) {
    let mut there = world.fresh().await;
    world.submit_some(3).await;
    let held = hold(&world, MOVER, 2).await;
    assert_eq!(deliver(&there, held.clone()).await, [1, 2]);
    assert_eq!(deliver(&there, held.clone()).await, [1, 2]);
    let lease = there.host().await;
    let claim = there.claim(lease, 1).await.remove(0);
    there.finish(lease, &claim, completed("")).await;
    there.crash().await;
    // With more, twice in one call, and when one has ended.
    let mut more = hold(&world, MOVER, 3).await;
    more.extend(held);
    assert_eq!(deliver(&there, more).await, [1, 2, 3, 1, 2]);
    let now = status(&there).await;
    assert_eq!((now.queued, now.completed, now.posted), (2, 1, 3));
}

async fn a_delivery_is_known_after_its_job_was_purged(world: World) {
    let there = world.fresh().await;
    world.submit_some(1).await;
    let held = hold(&world, MOVER, 1).await;
    assert_eq!(deliver(&there, held.clone()).await, [1]);
    assert_eq!(there.store().purge(&ns()).await.unwrap(), 1);
    assert_eq!(deliver(&there, held.clone()).await, [1]);
    assert_eq!(status(&there).await, QueueStatus::default());
    // Another namespace has not got it.
    let other = namespace("other");
    let ids = there.store().deliver(&other, held).await.unwrap();
    assert_eq!(ids, [JobId(1)]);
    assert_eq!(there.store().status(&other).await.unwrap().queued, 1);
}

async fn the_same_id_of_another_store_is_another_job(world: World) {
    let (second, there) = (world.fresh().await, world.fresh().await);
    world.submit_some(1).await;
    second.submit_some(1).await;
    let one = hold(&world, MOVER, 1).await;
    assert_eq!(deliver(&there, one.clone()).await, [1]);
    assert_eq!(deliver(&there, hold(&second, MOVER, 1).await).await, [2]);
    // A restored backup has its store's id, and gave the number to another job.
    let mut of_backup = one[0].clone();
    of_backup.origin.posted_at_ms += 1;
    assert_eq!(deliver(&there, vec![of_backup]).await, [3]);
}

async fn a_delivered_job_whose_key_is_taken_is_that_job(world: World) {
    let keyed = || NewJob {
        idempotency_key: Some("k".into()),
        ..job("0")
    };
    let there = world.fresh().await;
    there.submit(vec![job("1"), keyed()]).await;
    world.submit(vec![keyed()]).await;
    let held = hold(&world, MOVER, 1).await;
    assert_eq!(deliver(&there, held.clone()).await, [2]);
    assert_eq!(status(&there).await.posted, 2);
    // And stays that job, whatever becomes of the key.
    there.store().purge(&ns()).await.unwrap();
    assert_eq!(deliver(&there, held).await, [2]);
    assert_eq!(status(&there).await.queued, 0);
}

async fn past_attempts_count_on(world: World) {
    let mut there = world.fresh().await;
    let twice = NewJob {
        max_attempts: 2,
        ..job("0")
    };
    world.submit(vec![twice]).await;
    let lease = world.host().await;
    let claim = world.claim(lease, 1).await.remove(0);
    world.finish(lease, &claim, retry(0)).await;
    let before = world.job(1).await;
    let held = hold(&world, MOVER, 1).await;
    assert_eq!(held[0].attempts, before.attempts);
    deliver(&there, held).await;
    there.crash().await;
    let record = there.job(1).await;
    assert_eq!((record.state, record.attempt), (State::Queued, 1));
    assert_eq!(record.attempts, before.attempts);
    let lease = there.host().await;
    let claim = there.claim(lease, 1).await.remove(0);
    assert_eq!(claim.token.attempt, 2);
    there.finish(lease, &claim, retry(0)).await;
    let record = there.job(1).await;
    assert_eq!((record.state, record.attempts.len()), (State::Failed, 2));
    // They stay on the record that was left behind, too.
    assert_eq!(let_go(&world, MOVER, &[1]).await, 1);
    assert_eq!(world.job(1).await.attempts, before.attempts);
}

async fn what_remains_of_a_delay_travels(world: World) {
    let there = world.fresh().await;
    let began = now_ms();
    world.submit(vec![later("0"), job("1")]).await;
    tokio::time::sleep(std::time::Duration::from_millis(20)).await;
    let held = hold(&world, MOVER, 2).await;
    assert!(
        held[0].job.delay_ms <= 3_600_000 - 19,
        "{}",
        held[0].job.delay_ms
    );
    assert_eq!(held[1].job.delay_ms, 0);
    deliver(&there, held).await;
    let record = there.job(1).await;
    assert_eq!(record.state, State::Scheduled);
    let due = record.due_at_ms.unwrap();
    assert!((began + 3_600_000..now_ms() + 3_600_000).contains(&due));
    assert_eq!(there.job(2).await.state, State::Queued);
}

async fn a_look_at_what_waits_changes_nothing(world: World) {
    let there = world.fresh().await;
    world.submit_some(5).await;
    world.submit(vec![later("6")]).await;
    let lease = world.host().await;
    let running = world.claim(lease, 1).await.remove(0);
    assert_eq!(ids_of(&hold(&world, OTHER, 1).await), [2]);
    let before = status(&world).await;
    let peek = async |after, want| {
        let peeked = world.store().peek(&ns(), JobId(after), want).await;
        peeked.unwrap()
    };
    assert_eq!(ids_of(&peek(0, 2).await), [3, 4]);
    assert_eq!(ids_of(&peek(4, 9).await), [5, 6]);
    assert_eq!(peek(6, 9).await, []);
    assert_eq!(peek(u64::MAX, 9).await, []);
    assert_eq!(status(&world).await, before);
    // A copy, copied again, and then moved, is one job there.
    assert_eq!(deliver(&there, peek(0, 1).await).await, [1]);
    assert_eq!(deliver(&there, peek(0, 2).await).await, [1, 2]);
    let held = hold(&world, MOVER, 9).await;
    assert_eq!(ids_of(&held), [3, 4, 5, 6]);
    assert_eq!(deliver(&there, held).await, [1, 2, 3, 4]);
    world.finish(lease, &running, completed("")).await;
}

/// The three calls of a move, of which the first `calls` are made.
async fn move_in_part(from: &World, to: &World, calls: usize) -> bool {
    let held = hold(from, MOVER, 3).await;
    if held.is_empty() || calls < 2 {
        return !held.is_empty();
    }
    let origins = ids_of(&held);
    deliver(to, held).await;
    if calls == 3 {
        let_go(from, MOVER, &origins).await;
    }
    true
}

async fn a_move_that_is_cut_off_anywhere_loses_and_doubles_nothing(mut world: World) {
    let mut there = world.fresh().await;
    let messages: Vec<_> = (0..20).map(|n| job(&n.to_string())).collect();
    world.submit(messages).await;
    for calls in [1, 2, 3, 2, 1, 3, 2, 2] {
        assert!(move_in_part(&world, &there, calls).await);
        world.crash().await;
        there.crash().await;
    }
    while move_in_part(&world, &there, 3).await {}
    let (left, came) = (status(&world).await, status(&there).await);
    assert_eq!((left.queued, left.moving, left.cancelled), (0, 0, 20));
    assert_eq!((came.queued, came.posted), (20, 20));
    let lease = there.host().await;
    let claims = there.claim(lease, 99).await;
    let messages: Vec<_> = claims
        .iter()
        .map(|claim| claim.job.message.data.clone())
        .collect();
    let expected: Vec<_> = (0..20).map(|n| n.to_string()).collect();
    assert_eq!(messages, expected);
}
