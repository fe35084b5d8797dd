//! Hosts that stop: their jobs come back.

use skep::job::{CauseKind, JobId, NewJob, State};
use skep::store::{Cancelled, Lease, StoreError};

use crate::support::{World, completed, done, eventually, ids, job, ns, report, soon};

conformance!(
    Some(crate::support::SHORT_LEASE);
    the_jobs_of_a_silent_host_are_given_to_others,
    a_reaped_host_has_lost_its_lease,
    a_host_that_renews_keeps_its_jobs,
    lost_jobs_are_first_again_in_their_order,
    a_job_that_kills_its_hosts_ends_in_the_dead_letter,
    the_jobs_of_an_earlier_process_are_given_back,
    a_lost_job_that_somebody_cancelled_does_not_run_again,
    an_unknown_lease_has_no_rights,
    a_reaped_host_is_woken_to_learn_of_it,
);

async fn the_jobs_of_a_silent_host_are_given_to_others(world: World) {
    world.submit_some(1).await;
    let silent = world.host().await;
    let claim = world.claim(silent, 1).await.remove(0);
    let other = world.host().await;
    let waiting = tokio::spawn({
        let store = world.store().clone();
        async move { store.wake(other, 1).await }
    });
    world.reap(1).await;
    // The other host may have been silent for as long.
    let _ = soon("a lost job wakes", waiting).await.unwrap();
    let record = world.job(1).await;
    assert_eq!((record.state, record.attempt), (State::Queued, 1));
    let attempt = &record.attempts[0];
    assert_eq!(
        attempt.cause.as_ref().map(|c| c.kind),
        Some(CauseKind::HostLost)
    );
    assert_eq!(attempt.started_at_ms, claim.claimed_at_ms);
    let fresh = world.host().await;
    let again = world.claim(fresh, 1).await.remove(0);
    assert_eq!((again.token.id, again.token.attempt), (JobId(1), 2));
    assert_eq!(again.job, claim.job);
    world.finish(fresh, &again, completed("second")).await;
    assert_eq!(world.job(1).await.attempts.len(), 2);
}

async fn a_reaped_host_has_lost_its_lease(world: World) {
    world.submit_some(2).await;
    let silent = world.host().await;
    let claim = world.claim(silent, 1).await.remove(0);
    world.reap(1).await;
    let late = vec![done(&claim, completed("too late"))];
    let cycle = world.try_cycle(silent, late, 1).await;
    assert!(matches!(cycle, Err(StoreError::LeaseLost)), "{cycle:?}");
    let renewed = world.store().renew(silent).await;
    assert!(matches!(renewed, Err(StoreError::LeaseLost)), "{renewed:?}");
    assert_eq!(world.job(1).await.state, State::Queued);
    // Also when the same host, anew, holds the job again.
    let fresh = world.host().await;
    let again = world.claim(fresh, 1).await.remove(0);
    let cycle = world
        .cycle(fresh, vec![done(&claim, completed("too late"))], 0)
        .await;
    assert_eq!(cycle.refused, [claim.token]);
    world.finish(fresh, &again, completed("in time")).await;
}

async fn a_host_that_renews_keeps_its_jobs(world: World) {
    world.submit_some(2).await;
    let (lease, silent) = (world.host().await, world.host().await);
    let claim = world.claim(lease, 1).await.remove(0);
    world.claim(silent, 1).await;
    // The silent host's end shows that more than a lease has passed.
    eventually("the silent host's lease expires", async || {
        world.store().renew(lease).await.expect("the lease is held");
        world.store().reap().await.expect("reap") > 0
    })
    .await;
    world.finish(lease, &claim, completed("")).await;
    assert_eq!(world.job(2).await.state, State::Queued);
}

async fn lost_jobs_are_first_again_in_their_order(world: World) {
    world.submit_some(40).await;
    let silent = world.host().await;
    world.claim(silent, 30).await;
    world.reap(30).await;
    let lease = world.host().await;
    assert_eq!(
        world.claim_ids(lease, 40).await,
        (1..=40).collect::<Vec<_>>()
    );
}

async fn a_job_that_kills_its_hosts_ends_in_the_dead_letter(world: World) {
    world
        .submit(vec![NewJob {
            max_attempts: 2,
            ..job("poison")
        }])
        .await;
    for attempt in 1..=2 {
        let lease = world.host().await;
        assert_eq!(world.claim(lease, 1).await[0].token.attempt, attempt);
        world.reap(1).await;
    }
    let record = world.job(1).await;
    assert_eq!((record.state, record.attempts.len()), (State::Failed, 2));
    assert_eq!(
        record.cause.map(|cause| cause.kind),
        Some(CauseKind::HostLost)
    );
    soon("it has ended", world.store().ended(&ns(), JobId(1)))
        .await
        .unwrap();
    let lease = world.host().await;
    assert_eq!(world.claim_ids(lease, 1).await, [0; 0]);
}

async fn the_jobs_of_an_earlier_process_are_given_back(mut world: World) {
    world
        .submit(vec![
            job("0"),
            NewJob {
                max_attempts: 1,
                ..job("1")
            },
            job("2"),
        ])
        .await;
    let lease = world.host().await;
    let claims = world.claim(lease, 2).await;
    world.crash().await;
    assert_eq!(world.job(1).await.state, State::Queued);
    assert_eq!(world.job(2).await.state, State::Failed);
    let late = vec![done(&claims[0], completed("too late"))];
    let cycle = world.try_cycle(lease, late, 0).await;
    assert!(matches!(cycle, Err(StoreError::LeaseLost)), "{cycle:?}");
    let fresh = world.host().await;
    let again = world.claim(fresh, 9).await;
    assert_eq!(ids(&again), [1, 3]);
    assert_eq!([again[0].token.attempt, again[1].token.attempt], [2, 1]);
}

async fn a_lost_job_that_somebody_cancelled_does_not_run_again(mut world: World) {
    world.submit_some(1).await;
    let lease = world.host().await;
    world.claim(lease, 1).await;
    let answer = world.store().cancel(&ns(), JobId(1)).await.unwrap();
    assert_eq!(answer, Cancelled::Requested);
    world.crash().await;
    assert_eq!(world.job(1).await.state, State::Cancelled);
}

async fn an_unknown_lease_has_no_rights(world: World) {
    world.submit_some(1).await;
    let held = world.host().await;
    let claim = world.claim(held, 1).await.remove(0);
    let stranger = Lease {
        incarnation: uuid::Uuid::from_u128(7),
    };
    let lost = |answer| matches!(answer, Err(StoreError::LeaseLost));
    assert!(lost(world.store().renew(stranger).await));
    assert!(lost(soon("a wake", world.store().wake(stranger, 1)).await));
    assert!(lost(world.try_cycle(stranger, vec![], 1).await.map(drop)));
    let update = vec![(claim.token.clone(), report(50))];
    world.store().report(stranger, update).await.unwrap();
    assert_eq!(world.job(1).await.progress, None);
}

async fn a_reaped_host_is_woken_to_learn_of_it(world: World) {
    world.submit_some(1).await;
    let silent = world.host().await;
    world.claim(silent, 1).await;
    let store = world.store().clone();
    let waiting = tokio::spawn(async move {
        loop {
            if let Err(error) = store.wake(silent, 1).await {
                return error;
            }
            tokio::task::yield_now().await;
        }
    });
    world.reap(1).await;
    let error = soon("a reaped host learns of it", waiting).await.unwrap();
    assert!(matches!(error, StoreError::LeaseLost), "{error}");
}
