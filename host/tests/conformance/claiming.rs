//! The order in which jobs are taken.

use std::collections::{BTreeSet, HashSet};

use skep::job::{JobId, State};
use skep::store::{CLAIMS_PER_YIELD, Cancelled, NewDeployment, Retriable};

use crate::holding::{MOVER, hold};
use crate::listing::{listed, of};
use crate::support::{World, ids, job, job_of_priority, ns, soon};

conformance!(
    jobs_are_taken_in_the_order_of_their_acceptance,
    urgent_jobs_are_taken_first,
    low_priorities_do_not_starve,
    a_job_is_taken_by_one_host_only,
    no_more_is_taken_than_wanted,
    a_taken_job_runs_and_counts_its_attempt,
    a_job_without_functions_waits_for_a_deployment,
    a_delayed_job_is_not_taken_before_its_time,
    the_order_survives_a_crash,
    a_backlog_larger_than_memory_is_drained_in_order,
    jobs_accepted_together_leave_the_queue_one_by_one,
);

async fn jobs_are_taken_in_the_order_of_their_acceptance(world: World) {
    world.submit_some(3).await;
    world.submit_some(3).await;
    let lease = world.host().await;
    assert_eq!(world.claim_ids(lease, 4).await, [1, 2, 3, 4]);
    assert_eq!(world.claim_ids(lease, 9).await, [5, 6]);
    assert_eq!(world.claim_ids(lease, 9).await, [0; 0]);
}

async fn urgent_jobs_are_taken_first(world: World) {
    world
        .submit([3, 2, 1, 0, 0].map(job_of_priority).to_vec())
        .await;
    let lease = world.host().await;
    assert_eq!(world.claim_ids(lease, 5).await, [4, 5, 3, 2, 1]);
}

async fn low_priorities_do_not_starve(world: World) {
    let every = usize::try_from(CLAIMS_PER_YIELD).unwrap();
    let mut jobs = vec![job_of_priority(0); 4 * every];
    jobs.extend(vec![job_of_priority(3); 2]);
    world.submit(jobs).await;
    let lease = world.host().await;
    let taken = world.claim_ids(lease, 2 * every).await;
    let low = |id: &&u64| **id > 4 * every as u64;
    assert_eq!(taken.iter().filter(low).count(), 2, "{taken:?}");
    assert!(taken[..every].iter().any(|id| low(&id)), "{taken:?}");
}

async fn a_job_is_taken_by_one_host_only(world: World) {
    world.submit_some(300).await;
    let hosts = (0..10).map(|_| async {
        let lease = world.host().await;
        let mut taken = Vec::new();
        for _ in 0..10 {
            taken.extend(world.claim_ids(lease, 3).await);
        }
        taken
    });
    let taken = futures_util::future::join_all(hosts).await.concat();
    assert_eq!(taken.len(), 300);
    assert_eq!(taken.iter().collect::<HashSet<_>>().len(), 300);
}

async fn no_more_is_taken_than_wanted(world: World) {
    world.submit_some(2).await;
    let lease = world.host().await;
    assert_eq!(world.claim_ids(lease, 0).await, [0; 0]);
    assert_eq!(world.claim_ids(lease, 1).await, [1]);
    assert_eq!(world.store().status(&ns()).await.unwrap().waiting(), 1);
}

async fn a_taken_job_runs_and_counts_its_attempt(world: World) {
    world.submit_some(1).await;
    let lease = world.host().await;
    let claim = world.claim(lease, 1).await.remove(0);
    assert_eq!(claim.token.attempt, 1);
    let record = world.job(1).await;
    assert_eq!((record.state, record.attempt), (State::Running, 1));
    assert_eq!(record.started_at_ms, Some(claim.claimed_at_ms));
    assert_eq!(record.attempts.len(), 1);
    assert_eq!(
        (record.attempts[0].number, record.attempts[0].ended_at_ms),
        (1, None)
    );
    assert_eq!(world.store().status(&ns()).await.unwrap().waiting(), 0);
}

async fn a_job_without_functions_waits_for_a_deployment(world: World) {
    let unnamed = skep::job::NewJob {
        functions: vec![],
        ..job("0")
    };
    world.submit(vec![unnamed.clone(), job("1"), unnamed]).await;
    let lease = world.host().await;
    assert_eq!(world.claim_ids(lease, 9).await, [2]);
    assert_eq!(world.job(1).await.state, State::Queued);
    let woken = world.store().wake(lease, 1);
    let function = NewDeployment {
        function: "g".parse().unwrap(),
        component: skep::job::Digest::of(b""),
        summary: String::new(),
        message_schema: None,
        limits: Default::default(),
        concurrency: None,
    };
    world.store().deploy(&ns(), vec![function]).await.unwrap();
    soon("a deployment wakes", woken).await.unwrap();
    assert_eq!(world.claim_ids(lease, 1).await, [1]);
    world
        .store()
        .undeploy(&ns(), &["g".parse().unwrap()])
        .await
        .unwrap();
    assert_eq!(world.claim_ids(lease, 1).await, [0; 0]);
}

async fn a_delayed_job_is_not_taken_before_its_time(world: World) {
    let delayed = |delay_ms| skep::job::NewJob {
        delay_ms,
        ..job("0")
    };
    world
        .submit(vec![delayed(60_000), delayed(400), job("0")])
        .await;
    let lease = world.host().await;
    assert_eq!(world.claim_ids(lease, 9).await, [3]);
    let record = world.job(1).await;
    assert_eq!(record.state, State::Scheduled);
    assert_eq!(record.due_at_ms, Some(record.posted_at_ms + 60_000));
    assert_eq!(world.store().status(&ns()).await.unwrap().waiting(), 2);
    let mut taken = Vec::new();
    while taken.is_empty() {
        soon("the job is due", world.store().wake(lease, 1))
            .await
            .unwrap();
        taken = world.claim(lease, 9).await;
    }
    assert_eq!(ids(&taken), [2]);
    assert!(taken[0].claimed_at_ms >= taken[0].posted_at_ms + 120);
}

async fn the_order_survives_a_crash(mut world: World) {
    world
        .submit([3, 2, 0, 2].map(job_of_priority).to_vec())
        .await;
    world.crash().await;
    let lease = world.host().await;
    assert_eq!(world.claim_ids(lease, 9).await, [3, 2, 4, 1]);
    assert_eq!(world.store().job(&ns(), JobId(5)).await.unwrap(), None);
}

async fn a_backlog_larger_than_memory_is_drained_in_order(mut world: World) {
    let jobs: Vec<_> = (0..5_000).map(|n| job(&format!("\"{n:0500}\""))).collect();
    world.submit(jobs.clone()).await;
    world.crash().await;
    let lease = world.host().await;
    let mut next = 0;
    while next < jobs.len() {
        for claim in world.claim(lease, 64).await {
            assert_eq!(claim.token.id.0, next as u64 + 1);
            assert_eq!(*claim.job, jobs[next]);
            next += 1;
        }
    }
}

async fn jobs_accepted_together_leave_the_queue_one_by_one(world: World) {
    let mut jobs = vec![job(""); 30];
    jobs[9] = job_of_priority(0);
    jobs[19].delay_ms = 60_000;
    world.submit(jobs).await;
    let store = world.store();
    let mut waits: BTreeSet<u64> = (1..=30).filter(|id| *id != 20).collect();
    let are_right = async |waits: &BTreeSet<u64>| {
        let status = store.status(&ns()).await.unwrap();
        assert_eq!((status.queued, status.scheduled), (waits.len() as u64, 1));
        let listed = listed(&world, of(&[State::Queued])).await;
        assert!(listed.iter().eq(waits.iter().rev()), "{listed:?}");
    };
    for id in [1, 15, 17, 16, 30] {
        let cancelled = store.cancel(&ns(), JobId(id)).await.unwrap();
        assert_eq!(cancelled, Cancelled::Done);
        waits.remove(&id);
        are_right(&waits).await;
    }
    let lease = world.host().await;
    assert_eq!(world.claim_ids(lease, 4).await, [10, 2, 3, 4]);
    let held = hold(&world, MOVER, 3).await;
    assert!(held.iter().map(|held| held.origin.id.0).eq(5..8));
    store
        .retry(&ns(), &[JobId(16)], Retriable::FailedOrCancelled)
        .await
        .unwrap();
    waits.insert(16);
    waits.retain(|id| *id > 7 && *id != 10);
    are_right(&waits).await;
    assert_eq!(store.release(&ns()).await.unwrap(), 7);
    waits.extend([2, 3, 4, 5, 6, 7, 10]);
    are_right(&waits).await;
    let taken = world.claim_ids(lease, 15).await;
    assert_eq!(taken, [10, 2, 3, 4, 5, 6, 7, 8, 9, 11, 12, 13, 14, 16, 18]);
    waits.retain(|id| *id > 18);
    are_right(&waits).await;
    assert_eq!(store.purge(&ns()).await.unwrap(), waits.len() + 1);
    assert_eq!(store.status(&ns()).await.unwrap().waiting(), 0);
    assert_eq!(world.claim_ids(lease, 9).await, [0; 0]);
}
