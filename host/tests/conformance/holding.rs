//! Jobs that a mover holds: they wait for it, and for nobody else.

use skep::job::{CauseKind, JobId, NewJob, Payload, State};
use skep::store::{Cancelled, MAX_PARCELS_BYTES, Parcel, QueueStatus};
use uuid::Uuid;

use crate::support::{World, ids, job, ns, retry, soon};

conformance!(
    what_is_held_waits_for_its_mover_only,
    to_hold_again_answers_the_same_jobs_and_then_others,
    two_movers_never_hold_the_same_job,
    a_hold_survives_a_crash,
    a_hold_is_bounded_in_bytes_and_never_empty_handed,
    what_was_let_go_has_ended_and_says_where_it_is,
    only_its_mover_lets_a_job_go,
    released_holds_wait_again,
    a_purge_leaves_what_is_being_moved,
    a_wish_to_cancel_what_is_being_moved_is_kept,
);

pub(crate) const MOVER: Uuid = Uuid::from_u128(11);
pub(crate) const OTHER: Uuid = Uuid::from_u128(12);

pub(crate) async fn hold(world: &World, mover: Uuid, want: usize) -> Vec<Parcel> {
    let held = world.store().hold(&ns(), mover, want).await;
    held.expect("hold")
}

pub(crate) async fn let_go(world: &World, mover: Uuid, ids: &[u64]) -> usize {
    let moved = ids.iter().map(|id| (JobId(*id), format!("moved as {id}")));
    let gone = world.store().let_go(&ns(), mover, moved.collect()).await;
    gone.expect("let_go")
}

/// How the queue stands, but for how long its oldest job has waited.
pub(crate) async fn status(world: &World) -> QueueStatus {
    QueueStatus {
        oldest_queued_at_ms: None,
        ..world.store().status(&ns()).await.expect("status")
    }
}

pub(crate) fn ids_of(parcels: &[Parcel]) -> Vec<u64> {
    parcels.iter().map(|parcel| parcel.origin.id.0).collect()
}

pub(crate) fn later(message: &str) -> NewJob {
    NewJob {
        delay_ms: 3_600_000,
        ..job(message)
    }
}

async fn what_is_held_waits_for_its_mover_only(world: World) {
    world.submit_some(3).await;
    world.submit(vec![later("3")]).await;
    let lease = world.host().await;
    let running = world.claim(lease, 1).await.remove(0);
    let held = hold(&world, MOVER, 2).await;
    assert_eq!(ids_of(&held), [2, 3]);
    let now = status(&world).await;
    let counts = (now.queued, now.scheduled, now.running, now.moving);
    assert_eq!(counts, (0, 1, 1, 2));
    assert_eq!(world.claim_ids(lease, 9).await, [0; 0]);
    let record = world.job(2).await;
    assert_eq!((record.state, record.due_at_ms), (State::Scheduled, None));
    // What runs is not held, also when it comes back.
    assert_eq!(ids_of(&hold(&world, MOVER, 9).await), [2, 3, 4]);
    world.finish(lease, &running, retry(0)).await;
    assert_eq!(ids_of(&hold(&world, MOVER, 9).await), [1, 2, 3, 4]);
    assert_eq!(world.claim_ids(lease, 9).await, [0; 0]);
}

async fn to_hold_again_answers_the_same_jobs_and_then_others(world: World) {
    world.submit_some(5).await;
    let first = hold(&world, MOVER, 2).await;
    assert_eq!(hold(&world, MOVER, 2).await, first);
    assert_eq!(hold(&world, MOVER, 1).await, first[..1]);
    let more = hold(&world, MOVER, 4).await;
    assert_eq!(ids_of(&more), [1, 2, 3, 4]);
    assert_eq!(more[..2], first);
    assert_eq!(hold(&world, MOVER, 0).await, []);
    assert_eq!(let_go(&world, MOVER, &[1, 2, 3, 4]).await, 4);
    assert_eq!(ids_of(&hold(&world, MOVER, 9).await), [5]);
    assert_eq!(let_go(&world, MOVER, &[5]).await, 1);
    assert_eq!(hold(&world, MOVER, 9).await, []);
}

async fn two_movers_never_hold_the_same_job(world: World) {
    world.submit_some(5).await;
    assert_eq!(ids_of(&hold(&world, MOVER, 2).await), [1, 2]);
    assert_eq!(ids_of(&hold(&world, OTHER, 9).await), [3, 4, 5]);
    assert_eq!(ids_of(&hold(&world, MOVER, 9).await), [1, 2]);
    assert_eq!(status(&world).await.moving, 5);
}

async fn a_hold_survives_a_crash(mut world: World) {
    world.submit_some(3).await;
    let held = hold(&world, MOVER, 2).await;
    world.crash().await;
    assert_eq!(status(&world).await.moving, 2);
    let lease = world.host().await;
    assert_eq!(world.claim_ids(lease, 9).await, [3]);
    assert_eq!(hold(&world, MOVER, 2).await, held);
}

async fn a_hold_is_bounded_in_bytes_and_never_empty_handed(world: World) {
    let large = |bytes: usize| {
        let message = Payload::json(vec![b'1'; bytes]);
        NewJob::new(message, vec!["f".parse().unwrap()])
    };
    let half = MAX_PARCELS_BYTES / 2;
    world
        .submit(vec![
            large(MAX_PARCELS_BYTES + 1),
            large(half),
            large(half),
            large(1),
        ])
        .await;
    let peeked = world.store().peek(&ns(), JobId(1), 9).await.unwrap();
    assert_eq!(ids_of(&peeked), [2, 3]);
    for expected in [vec![1], vec![2, 3], vec![4], vec![]] {
        assert_eq!(ids_of(&hold(&world, MOVER, 9).await), expected);
        // What was not answered is not held.
        assert_eq!(ids_of(&hold(&world, MOVER, 9).await), expected);
        assert_eq!(status(&world).await.moving, expected.len() as u64);
        assert_eq!(let_go(&world, MOVER, &expected).await, expected.len());
    }
}

async fn what_was_let_go_has_ended_and_says_where_it_is(mut world: World) {
    let keyed = || NewJob {
        idempotency_key: Some("k".into()),
        ..job("0")
    };
    world.submit(vec![keyed()]).await;
    hold(&world, MOVER, 1).await;
    let store = world.store().clone();
    let waiting = tokio::spawn(async move { store.ended(&ns(), JobId(1)).await });
    assert_eq!(let_go(&world, MOVER, &[1]).await, 1);
    soon("what moved has ended here", waiting)
        .await
        .unwrap()
        .unwrap();
    for crashed in [false, true] {
        let record = world.job(1).await;
        assert_eq!((record.state, record.attempt), (State::Cancelled, 0));
        assert!(!record.cancel_requested && record.ended_at_ms.is_some());
        let cause = record.cause.unwrap();
        assert_eq!(
            (cause.kind, &*cause.message),
            (CauseKind::Moved, "moved as 1")
        );
        let now = status(&world).await;
        assert_eq!((now.moving, now.cancelled, now.posted), (0, 1, 1));
        if !crashed {
            world.crash().await;
        }
    }
    // The key still names what it named.
    assert_eq!(world.submit(vec![keyed()]).await, [1]);
    assert_eq!(let_go(&world, MOVER, &[1]).await, 0);
}

async fn only_its_mover_lets_a_job_go(world: World) {
    world.submit_some(2).await;
    hold(&world, MOVER, 1).await;
    assert_eq!(let_go(&world, OTHER, &[1, 2, 99]).await, 0);
    assert_eq!(let_go(&world, MOVER, &[2]).await, 0);
    let now = status(&world).await;
    assert_eq!((now.queued, now.moving, now.cancelled), (1, 1, 0));
}

async fn released_holds_wait_again(mut world: World) {
    world.submit(vec![job("1"), later("2"), job("3")]).await;
    hold(&world, MOVER, 2).await;
    assert_eq!(world.store().release(&ns()).await.unwrap(), 2);
    let now = status(&world).await;
    assert_eq!((now.queued, now.scheduled, now.moving), (2, 1, 0));
    assert_eq!(world.job(1).await.attempts, []);
    assert!(world.job(2).await.due_at_ms.is_some());
    assert_eq!(let_go(&world, MOVER, &[1]).await, 0);
    world.crash().await;
    let lease = world.host().await;
    let claims = world.claim(lease, 9).await;
    assert_eq!(ids(&claims), [1, 3]);
    assert_eq!(claims[0].token.attempt, 1);
}

async fn a_purge_leaves_what_is_being_moved(world: World) {
    world.submit_some(3).await;
    hold(&world, MOVER, 1).await;
    assert_eq!(world.store().purge(&ns()).await.unwrap(), 2);
    let now = status(&world).await;
    assert_eq!((now.queued, now.moving, now.posted), (0, 1, 0));
    assert_eq!(let_go(&world, MOVER, &[1]).await, 1);
}

async fn a_wish_to_cancel_what_is_being_moved_is_kept(mut world: World) {
    world.submit_some(2).await;
    hold(&world, MOVER, 2).await;
    for id in [1, 2] {
        let answer = world.store().cancel(&ns(), JobId(id)).await.unwrap();
        assert_eq!(answer, Cancelled::Requested);
    }
    assert_eq!(status(&world).await.moving, 2);
    world.crash().await;
    // It may be in the other store, and then this is the truth.
    assert_eq!(let_go(&world, MOVER, &[1]).await, 1);
    let record = world.job(1).await;
    assert_eq!(record.cause.unwrap().kind, CauseKind::Moved);
    assert!(record.cancel_requested);
    world.store().release(&ns()).await.unwrap();
    let record = world.job(2).await;
    assert_eq!((record.state, record.cause), (State::Cancelled, None));
    let lease = world.host().await;
    assert_eq!(world.claim_ids(lease, 9).await, [0; 0]);
}
