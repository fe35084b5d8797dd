//! Another attempt, now or later.

use skep::job::{CauseKind, JobId, NewJob, State};
use skep::store::Cancelled;

use crate::support::{World, completed, ids, job, ns, retry, soon};

conformance!(
    a_retry_without_delay_is_queued_with_its_cause,
    a_retry_waits_for_its_pause,
    the_pause_survives_a_crash,
    the_attempts_are_bounded_whatever_the_host_says,
    a_retry_of_a_cancelled_job_is_its_end,
    every_attempt_is_on_the_record,
);

async fn a_retry_without_delay_is_queued_with_its_cause(mut world: World) {
    world.submit_some(1).await;
    let lease = world.host().await;
    let claim = world.claim(lease, 1).await.remove(0);
    world.finish(lease, &claim, retry(0)).await;
    world.crash().await;
    let record = world.job(1).await;
    assert_eq!((record.state, record.attempt), (State::Queued, 1));
    let cause = record.attempts[0].cause.clone().unwrap();
    assert_eq!(
        (cause.kind, cause.message.as_str()),
        (CauseKind::Retry, "not yet")
    );
    assert_eq!(world.store().status(&ns()).await.unwrap().waiting(), 1);
    let lease = world.host().await;
    assert_eq!(world.claim(lease, 1).await[0].token.attempt, 2);
}

async fn a_retry_waits_for_its_pause(world: World) {
    world.submit_some(1).await;
    let lease = world.host().await;
    let claim = world.claim(lease, 1).await.remove(0);
    world.finish(lease, &claim, retry(100)).await;
    assert_eq!(world.job(1).await.state, State::Scheduled);
    let mut taken = world.claim(lease, 1).await;
    assert_eq!(ids(&taken), [0; 0]);
    while taken.is_empty() {
        soon("the pause ends", world.store().wake(lease, 1))
            .await
            .unwrap();
        taken = world.claim(lease, 1).await;
    }
    assert_eq!(taken[0].token.attempt, 2);
    assert!(taken[0].claimed_at_ms >= claim.claimed_at_ms + 100);
}

async fn the_pause_survives_a_crash(mut world: World) {
    world.submit_some(1).await;
    let lease = world.host().await;
    let claim = world.claim(lease, 1).await.remove(0);
    world.finish(lease, &claim, retry(60_000)).await;
    let due = world.job(1).await.due_at_ms;
    world.crash().await;
    let record = world.job(1).await;
    assert_eq!((record.state, record.due_at_ms), (State::Scheduled, due));
    let lease = world.host().await;
    assert_eq!(world.claim_ids(lease, 1).await, [0; 0]);
}

async fn the_attempts_are_bounded_whatever_the_host_says(world: World) {
    world
        .submit(vec![NewJob {
            max_attempts: 2,
            ..job("0")
        }])
        .await;
    let lease = world.host().await;
    for _ in 0..2 {
        let claim = world.claim(lease, 1).await.remove(0);
        world.finish(lease, &claim, retry(0)).await;
    }
    let record = world.job(1).await;
    assert_eq!((record.state, record.attempt), (State::Failed, 2));
    assert_eq!(record.cause.map(|cause| cause.kind), Some(CauseKind::Retry));
}

async fn a_retry_of_a_cancelled_job_is_its_end(world: World) {
    world.submit_some(1).await;
    let lease = world.host().await;
    let claim = world.claim(lease, 1).await.remove(0);
    let answer = world.store().cancel(&ns(), JobId(1)).await.unwrap();
    assert_eq!(answer, Cancelled::Requested);
    world.finish(lease, &claim, retry(0)).await;
    assert_eq!(world.job(1).await.state, State::Cancelled);
}

async fn every_attempt_is_on_the_record(mut world: World) {
    world.submit_some(1).await;
    for _ in 1..=3 {
        let lease = world.host().await;
        let claim = world.claim(lease, 1).await.remove(0);
        world.finish(lease, &claim, retry(0)).await;
        world.crash().await;
    }
    let lease = world.host().await;
    let claim = world.claim(lease, 1).await.remove(0);
    assert_eq!(claim.token.attempt, 4);
    world.finish(lease, &claim, completed("at last")).await;
    let record = world.job(1).await;
    let numbers: Vec<u32> = record
        .attempts
        .iter()
        .map(|attempt| attempt.number)
        .collect();
    assert_eq!(
        (numbers, record.state),
        (vec![1, 2, 3, 4], State::Completed)
    );
    assert_eq!(
        (record.attempts[2].cause.is_some(), record.cause),
        (true, None)
    );
}
