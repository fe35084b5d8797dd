//! Stopping jobs.

use skep::job::{JobId, NewJob, State};
use skep::store::{Cancelled, Verdict};

use crate::support::{World, completed, done, job, namespace, ns, retry, soon, trap};

conformance!(
    a_waiting_job_is_cancelled_at_once,
    a_scheduled_job_is_cancelled_at_once,
    a_running_job_is_told_to_its_host_once,
    a_job_that_ends_before_it_hears_keeps_its_outcome,
    a_job_that_fails_before_it_hears_is_cancelled,
    what_has_ended_or_is_unknown_cannot_be_cancelled,
    a_cancelled_job_that_is_handed_back_does_not_run_again,
    a_cancelled_retry_keeps_its_attempts,
);

async fn cancel(world: &World, id: u64) -> Cancelled {
    world.store().cancel(&ns(), JobId(id)).await.unwrap()
}

async fn a_waiting_job_is_cancelled_at_once(mut world: World) {
    world.submit_some(3).await;
    assert_eq!(cancel(&world, 2).await, Cancelled::Done);
    assert_eq!(world.store().status(&ns()).await.unwrap().waiting(), 2);
    let record = world.job(2).await;
    assert_eq!(
        (record.state, record.cancel_requested),
        (State::Cancelled, true)
    );
    assert!(record.ended_at_ms.is_some());
    world.crash().await;
    assert_eq!(world.job(2).await.state, State::Cancelled);
    let lease = world.host().await;
    assert_eq!(world.claim_ids(lease, 9).await, [1, 3]);
}

async fn a_scheduled_job_is_cancelled_at_once(world: World) {
    world
        .submit(vec![NewJob {
            delay_ms: 60_000,
            ..job("0")
        }])
        .await;
    assert_eq!(cancel(&world, 1).await, Cancelled::Done);
    assert_eq!(world.store().status(&ns()).await.unwrap().waiting(), 0);
    soon("it has ended", world.store().ended(&ns(), JobId(1)))
        .await
        .unwrap();
}

async fn a_running_job_is_told_to_its_host_once(world: World) {
    world.submit_some(2).await;
    let (lease, other) = (world.host().await, world.host().await);
    let claim = world.claim(lease, 1).await.remove(0);
    let bystander = world.claim(other, 1).await.remove(0);
    let woken = world.store().wake(lease, 1);
    assert_eq!(cancel(&world, 1).await, Cancelled::Requested);
    soon("a wish to cancel wakes", woken).await.unwrap();
    assert_eq!(cancel(&world, 1).await, Cancelled::Requested);
    let record = world.job(1).await;
    assert_eq!(
        (record.state, record.cancel_requested),
        (State::Running, true)
    );
    assert_eq!(world.cycle(other, vec![], 1).await.cancelled, []);
    assert_eq!(
        world.cycle(lease, vec![], 1).await.cancelled,
        [claim.token.clone()]
    );
    assert_eq!(world.cycle(lease, vec![], 1).await.cancelled, []);
    world.finish(lease, &claim, Verdict::Cancelled).await;
    assert_eq!(world.job(1).await.state, State::Cancelled);
    world.finish(other, &bystander, completed("")).await;
}

async fn a_job_that_ends_before_it_hears_keeps_its_outcome(world: World) {
    world.submit_some(1).await;
    let lease = world.host().await;
    let claim = world.claim(lease, 1).await.remove(0);
    assert_eq!(cancel(&world, 1).await, Cancelled::Requested);
    let cycle = world
        .cycle(lease, vec![done(&claim, completed("done"))], 1)
        .await;
    assert_eq!((cycle.refused.len(), cycle.cancelled.len()), (0, 0));
    assert_eq!(world.job(1).await.state, State::Completed);
}

async fn a_job_that_fails_before_it_hears_is_cancelled(world: World) {
    world.submit_some(1).await;
    let lease = world.host().await;
    let claim = world.claim(lease, 1).await.remove(0);
    assert_eq!(cancel(&world, 1).await, Cancelled::Requested);
    // Perhaps since a job that it waited for was cancelled too.
    world.finish(lease, &claim, Verdict::Failed(trap())).await;
    let record = world.job(1).await;
    assert_eq!((record.state, record.attempts.len()), (State::Cancelled, 1));
}

async fn what_has_ended_or_is_unknown_cannot_be_cancelled(world: World) {
    world.submit_some(1).await;
    let lease = world.host().await;
    let claim = world.claim(lease, 1).await.remove(0);
    world.finish(lease, &claim, completed("done")).await;
    assert_eq!(cancel(&world, 1).await, Cancelled::HadEnded);
    assert_eq!(cancel(&world, 2).await, Cancelled::Unknown);
    let nowhere = world
        .store()
        .cancel(&namespace("nowhere"), JobId(1))
        .await
        .unwrap();
    assert_eq!(nowhere, Cancelled::Unknown);
    assert_eq!(world.job(1).await.state, State::Completed);
}

async fn a_cancelled_job_that_is_handed_back_does_not_run_again(world: World) {
    world.submit_some(1).await;
    let lease = world.host().await;
    let claim = world.claim(lease, 1).await.remove(0);
    assert_eq!(cancel(&world, 1).await, Cancelled::Requested);
    world
        .finish(lease, &claim, Verdict::Release { delay_ms: 0 })
        .await;
    assert_eq!(world.job(1).await.state, State::Cancelled);
    assert_eq!(world.claim_ids(lease, 1).await, [0; 0]);
}

async fn a_cancelled_retry_keeps_its_attempts(world: World) {
    world.submit_some(1).await;
    let lease = world.host().await;
    let claim = world.claim(lease, 1).await.remove(0);
    world.finish(lease, &claim, retry(60_000)).await;
    assert_eq!(cancel(&world, 1).await, Cancelled::Done);
    let record = world.job(1).await;
    assert_eq!((record.state, record.attempts.len()), (State::Cancelled, 1));
}
