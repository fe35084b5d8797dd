//! BullMQ, and those that are built like it: apalis, asynq.

use std::time::{Duration, Instant};

use skep::job::{CauseKind, NewJob, State};

use crate::guests::{end_of, host, post, to};
use crate::support::{World, completed, done, ids, job, now_ms, retry, soon};

on_both!(
    crate::guests::LEASE;
    twenty_thousand_jobs_due_at_once_all_run,
    thousands_of_jobs_are_taken_and_ended_in_one_step,
    busy_guests_do_not_keep_their_host_from_its_lease,
    two_hosts_are_never_taken_for_one,
    attempts_are_as_many_as_the_poster_said,
    a_delayed_job_is_taken_when_it_is_due_and_not_before,
);

/// apalis: `unpack(scheduled_ids)` without a limit: Lua refuses more than some 8,000,
/// so that more jobs due at once stop the queue until somebody intervenes. Sidekiq:
/// the scheduler lost jobs while it took over many.
async fn twenty_thousand_jobs_due_at_once_all_run(world: World) {
    const JOBS: usize = 20_000;
    let at = now_ms() + 2_000;
    for batch in 0..20 {
        let delay_ms = at.saturating_sub(now_ms()).max(1);
        let jobs = (0..JOBS / 20).map(|n| NewJob {
            delay_ms,
            ..job(&format!("{batch}.{n}"))
        });
        world.submit(jobs.collect()).await;
    }
    let lease = world.host().await;
    let mut done_so_far = 0;
    let mut ended = Vec::new();
    let all = async {
        while done_so_far < JOBS {
            let claims = world.cycle(lease, std::mem::take(&mut ended), 1_000).await;
            let claims = claims.claimed;
            done_so_far += claims.len();
            ended = claims.iter().map(|c| done(c, completed("r"))).collect();
            if claims.is_empty() {
                world.store().wake(lease, 1).await.unwrap();
            }
        }
    };
    soon("all are taken", all).await;
    world.cycle(lease, ended, 0).await;
    let status = world.store().status(&crate::support::ns()).await.unwrap();
    assert_eq!((status.completed, status.waiting()), (JOBS as u64, 0));
}

/// BullMQ, apalis: limits of `unpack` again, at each place where a batch is large.
async fn thousands_of_jobs_are_taken_and_ended_in_one_step(mut world: World) {
    const JOBS: usize = 9_000;
    world.submit_some(JOBS).await;
    let lost = world.host().await;
    assert_eq!(world.claim(lost, JOBS).await.len(), JOBS);
    world.crash().await;
    let lease = world.host().await;
    let claims = world.claim(lease, JOBS).await;
    let ends = claims.iter().map(|claim| done(claim, completed("r")));
    let cycle = world.cycle(lease, ends.collect(), JOBS).await;
    assert_eq!((cycle.refused.len(), cycle.claimed.len()), (0, 0));
    let status = world.store().status(&crate::support::ns()).await.unwrap();
    assert_eq!((claims.len(), status.completed), (JOBS, JOBS as u64));
}

/// BullMQ: an event loop that computes does not renew its locks: "Missing lock for
/// job" (#489, #1202, #1497).
async fn busy_guests_do_not_keep_their_host_from_its_lease(world: World) {
    let busy = host(&world, 4).await;
    let other = host(&world, 1).await;
    let spin = || {
        let mut request = to("spin", "null");
        request.timeout_ms = Some(4_000);
        request.max_attempts = Some(1);
        request
    };
    for id in post(&busy, vec![spin(), spin(), spin(), spin()]).await {
        let record = end_of(&other, id).await;
        let cause = record.cause.as_ref().map(|cause| cause.kind);
        assert_eq!(cause, Some(CauseKind::TimedOut), "{record:#?}");
    }
}

/// apalis #504: a worker's identity is a fixed name, so that two replicas share one
/// heartbeat, and what the dead one held is never found.
async fn two_hosts_are_never_taken_for_one(world: World) {
    world.submit_some(2).await;
    let (alive, dead) = (world.host().await, world.host().await);
    assert_ne!(alive, dead);
    assert_eq!(world.claim_ids(alive, 1).await, [1]);
    assert_eq!(world.claim_ids(dead, 1).await, [2]);
    let begun = Instant::now();
    let mut reaped = 0;
    while reaped == 0 && begun.elapsed() < Duration::from_secs(20) {
        world.store().renew(alive).await.expect("the lease is held");
        reaped = world.store().reap().await.unwrap();
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    assert_eq!(reaped, 1);
    let states = [world.job(1).await.state, world.job(2).await.state];
    assert_eq!(states, [State::Running, State::Queued]);
}

/// apalis: 25 attempts, hard-coded in `handle_results.lua`.
async fn attempts_are_as_many_as_the_poster_said(world: World) {
    let many = NewJob {
        max_attempts: 40,
        ..job("many")
    };
    let few = NewJob {
        max_attempts: 2,
        ..job("few")
    };
    world.submit(vec![many, few]).await;
    let lease = world.host().await;
    loop {
        let claims = world.claim(lease, 2).await;
        if claims.is_empty() {
            break;
        }
        for claim in &claims {
            world.finish(lease, claim, retry(0)).await;
        }
    }
    for (id, attempts) in [(1, 40), (2, 2)] {
        let record = world.job(id).await;
        assert_eq!((record.state, record.attempt), (State::Failed, attempts));
        assert_eq!(record.attempts.len(), attempts as usize);
    }
}

/// apalis #467: a comparison of times was the wrong way round.
async fn a_delayed_job_is_taken_when_it_is_due_and_not_before(world: World) {
    let posted = Instant::now();
    let later = NewJob {
        delay_ms: 300,
        ..job("later")
    };
    world.submit(vec![later, job("now")]).await;
    let lease = world.host().await;
    let first = world.claim(lease, 9).await;
    if posted.elapsed() < Duration::from_millis(300) {
        assert_eq!(ids(&first), [2]);
    }
    let mut taken = ids(&first);
    let both = async {
        while !taken.contains(&1) {
            world.store().wake(lease, 1).await.unwrap();
            taken.extend(world.claim_ids(lease, 9).await);
        }
    };
    soon("the delayed job", both).await;
    // Redis counts in whole ms.
    assert!(posted.elapsed() >= Duration::from_millis(299));
    assert_eq!(taken, [2, 1]);
}
