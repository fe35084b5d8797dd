//! MLQ (`mlq/queue.py`), our closest ancestor.

use skep::job::{CauseKind, JobId, NewJob, State};
use skep::store::{Outcome, Verdict};

use crate::guests::{end_of, host, post, run, to};
use crate::support::{World, completed, eventually, job, ns, output, soon, trap};

on_both!(
    crate::guests::LEASE;
    a_wait_for_a_job_that_had_finished_ends_at_once,
    an_attempt_that_asks_for_another_gets_it,
    a_healthy_long_job_is_not_run_twice,
    every_job_of_a_lost_host_is_found,
    the_dead_letter_keeps_the_whole_job,
    whoever_learns_of_an_end_finds_all_of_it,
    a_result_is_dropped_when_its_poster_said,
);

/// MLQ: `block_until_result` subscribes after the child was posted, and waits for ever
/// for one that finished first.
async fn a_wait_for_a_job_that_had_finished_ends_at_once(world: World) {
    world.submit_some(1).await;
    let lease = world.host().await;
    let claim = world.claim(lease, 1).await.remove(0);
    world.finish(lease, &claim, completed("1")).await;
    let ns = ns();
    let ended = world.store().ended(&ns, JobId(1));
    soon("an end of before", ended).await.unwrap();
}

/// MLQ: the first exception is the last; there is no second attempt.
async fn an_attempt_that_asks_for_another_gets_it(world: World) {
    let host = host(&world, 1).await;
    let record = run(&host, to("retry", r#"{"succeed_at":3,"after_ms":1}"#)).await;
    assert_eq!((record.state, record.attempts.len()), (State::Completed, 3));
}

/// MLQ: the reaper gives a job 300 s, knows of no heartbeat, and runs a healthy long
/// one twice.
async fn a_healthy_long_job_is_not_run_twice(world: World) {
    let hosts = [host(&world, 1).await, host(&world, 1).await];
    let mut long = to("spin", "null");
    long.timeout_ms = Some(4_000);
    long.max_attempts = Some(1);
    let id = post(&hosts[0], vec![long]).await[0];
    let record = end_of(&hosts[1], id).await;
    let cause = record.cause.as_ref().map(|cause| cause.kind);
    assert_eq!(cause, Some(CauseKind::TimedOut), "{record:#?}");
}

/// MLQ: `range(0, (n//5)+1, 5)` skips most of what it should reap.
async fn every_job_of_a_lost_host_is_found(mut world: World) {
    const JOBS: usize = 1_203;
    world.submit_some(JOBS).await;
    let lost = world.host().await;
    assert_eq!(world.claim(lost, JOBS).await.len(), JOBS);
    world.crash().await;
    let other = world.host().await;
    let claims = world.claim(other, 2 * JOBS).await;
    assert_eq!(claims.len(), JOBS);
    assert!(claims.iter().all(|claim| claim.token.attempt == 2));
}

/// MLQ: the reaper puts the message into the dead letter, not the job.
async fn the_dead_letter_keeps_the_whole_job(mut world: World) {
    let posted = NewJob {
        idempotency_key: Some("key".into()),
        max_attempts: 1,
        ..job("\"message\"")
    };
    world.submit(vec![posted.clone(), posted.clone()]).await;
    let lease = world.host().await;
    let claim = world.claim(lease, 1).await.remove(0);
    assert_eq!(*claim.job, posted);
    world.crash().await;
    let record = world.job(1).await;
    assert_eq!((record.state, record.attempt), (State::Failed, 1));
    assert_eq!(record.functions, posted.functions);
    assert_eq!(record.idempotency_key, posted.idempotency_key);
    assert_eq!(record.message_bytes, 9);
}

/// MLQ: completes by PUBLISH, SET, the callback and LREM, one after the other: whoever
/// hears of the end finds no result yet, and a job that is still being processed.
async fn whoever_learns_of_an_end_finds_all_of_it(world: World) {
    let lease = world.host().await;
    for id in 1..=50 {
        world.submit_some(1).await;
        let claim = world.claim(lease, 1).await.remove(0);
        let store = world.store().clone();
        let waiting = tokio::spawn(async move {
            store.ended(&ns(), JobId(id)).await.unwrap();
            let found = store.outcome(&ns(), JobId(id)).await.unwrap();
            (found, store.status(&ns()).await.unwrap())
        });
        tokio::task::yield_now().await;
        let verdict = if id % 5 == 0 {
            Verdict::Failed(trap())
        } else {
            completed("all")
        };
        let failed = matches!(verdict, Verdict::Failed(_));
        world.finish(lease, &claim, verdict).await;
        let (found, status) = soon("the end is heard of", waiting).await.unwrap();
        let expected = match failed {
            true => Outcome::Failed(trap()),
            false => Outcome::Completed(output("all")),
        };
        assert_eq!(found, expected);
        assert_eq!((status.running, status.completed + status.failed), (0, id));
    }
}

/// MLQ: results never expire, also where nobody wants them.
async fn a_result_is_dropped_when_its_poster_said(world: World) {
    let shortly = NewJob {
        retention_s: Some(1),
        ..job("0")
    };
    world.submit(vec![shortly, job("1")]).await;
    let lease = world.host().await;
    for claim in world.claim(lease, 2).await {
        world.finish(lease, &claim, completed("r")).await;
    }
    eventually("the result expires", async || {
        world.store().outcome(&ns(), JobId(1)).await.unwrap() == Outcome::Expired
    })
    .await;
    while world.store().sweep().await.unwrap() > 0 {}
    let kept = world.store().outcome(&ns(), JobId(2)).await.unwrap();
    assert_eq!(kept, Outcome::Completed(output("r")));
}
