//! What people do to a queue: look at it, pause it, release, rezero and purge it.

use skep::job::{CauseKind, JobId, NewJob, State};
use skep::store::{Cancelled, QueueStatus, Verdict};

use crate::support::{
    World, completed, done, eventually, ids, job, namespace, not_yet, ns, retry, soon, trap,
};

conformance!(
    a_status_tells_where_all_jobs_are,
    the_totals_survive_a_crash_and_are_those_of_one_namespace,
    what_is_due_is_queued_and_no_more_scheduled,
    a_job_with_a_known_key_is_not_posted_again,
    the_totals_begin_again_when_rezeroed,
    a_paused_namespace_accepts_jobs_and_gives_none,
    a_pause_stops_one_namespace_only,
    a_pause_survives_a_crash,
    to_resume_wakes_a_sleeping_host,
    a_retry_waits_while_its_namespace_is_paused,
    released_jobs_are_first_again_and_their_old_holder_is_refused,
    a_release_grants_one_more_attempt_than_there_were,
    a_released_job_that_somebody_cancelled_does_not_run_again,
    a_release_takes_the_jobs_of_one_namespace_only,
    a_purge_deletes_what_waits_and_nothing_else,
    a_purge_frees_the_keys_and_never_an_id,
    a_purge_of_many_jobs_deletes_all_of_them,
    a_purged_job_keeps_nobody_waiting,
    what_nobody_has_used_can_be_administered,
);

/// How the queue stands, but for how long its oldest job has waited.
async fn status(world: &World) -> QueueStatus {
    QueueStatus {
        oldest_queued_at_ms: None,
        ..world.store().status(&ns()).await.expect("status")
    }
}

async fn pause(world: &World, paused: bool) {
    world.store().pause(&ns(), paused).await.expect("pause");
}

async fn release(world: &World) -> usize {
    world.store().release(&ns()).await.expect("release")
}

async fn purge(world: &World) -> usize {
    world.store().purge(&ns()).await.expect("purge")
}

fn later(message: &str) -> NewJob {
    NewJob {
        delay_ms: 3_600_000,
        ..job(message)
    }
}

/// One job completed, one failed, one cancelled, one running, two waiting.
async fn one_of_each(world: &World) {
    world.submit_some(5).await;
    world.submit(vec![later("6")]).await;
    let lease = world.host().await;
    let claims = world.claim(lease, 3).await;
    world.finish(lease, &claims[0], completed("")).await;
    let failed = Verdict::Failed(trap());
    world.finish(lease, &claims[1], failed).await;
    let cancelled = world.store().cancel(&ns(), JobId(4)).await.unwrap();
    assert_eq!(cancelled, Cancelled::Done);
}

async fn a_status_tells_where_all_jobs_are(world: World) {
    assert_eq!(status(&world).await, QueueStatus::default());
    one_of_each(&world).await;
    let expected = QueueStatus {
        queued: 1,
        scheduled: 1,
        running: 1,
        parked: 0,
        moving: 0,
        posted: 6,
        completed: 1,
        failed: 1,
        cancelled: 1,
        paused: false,
        concurrency: None,
        oldest_queued_at_ms: None,
    };
    assert_eq!(status(&world).await, expected);
    assert_eq!(expected.waiting(), 2);
}

async fn the_totals_survive_a_crash_and_are_those_of_one_namespace(mut world: World) {
    one_of_each(&world).await;
    let before = status(&world).await;
    world.crash().await;
    let expected = QueueStatus {
        queued: 2,
        running: 0,
        ..before
    };
    assert_eq!(status(&world).await, expected);
    let other = world.store().status(&namespace("other")).await.unwrap();
    assert_eq!(other, QueueStatus::default());
}

async fn what_is_due_is_queued_and_no_more_scheduled(world: World) {
    let soon = NewJob {
        delay_ms: 30,
        ..job("0")
    };
    world.submit(vec![soon]).await;
    eventually("the job is due", async || status(&world).await.queued == 1).await;
    assert_eq!(status(&world).await.scheduled, 0);
}

async fn a_job_with_a_known_key_is_not_posted_again(world: World) {
    for _ in 0..3 {
        let job = NewJob {
            idempotency_key: Some("k".into()),
            ..job("0")
        };
        assert_eq!(world.submit(vec![job]).await, [1]);
    }
    let status = status(&world).await;
    assert_eq!((status.posted, status.queued), (1, 1));
}

async fn the_totals_begin_again_when_rezeroed(mut world: World) {
    one_of_each(&world).await;
    pause(&world, true).await;
    world.store().rezero(&ns()).await.unwrap();
    let expected = QueueStatus {
        queued: 1,
        scheduled: 1,
        running: 1,
        paused: true,
        ..QueueStatus::default()
    };
    assert_eq!(status(&world).await, expected);
    world.crash().await;
    world.submit_some(1).await;
    let status = status(&world).await;
    assert_eq!((status.posted, status.completed), (1, 0));
}

async fn a_paused_namespace_accepts_jobs_and_gives_none(world: World) {
    world.submit_some(3).await;
    let lease = world.host().await;
    let claim = world.claim(lease, 1).await.remove(0);
    pause(&world, true).await;
    assert!(status(&world).await.paused);
    assert_eq!(world.submit_some(1).await, [4]);
    assert_eq!(world.claim_ids(lease, 9).await, [0; 0]);
    // What runs goes on.
    world.finish(lease, &claim, completed("")).await;
    assert_eq!(world.job(2).await.state, State::Queued);
    assert_eq!(
        world.store().cancel(&ns(), JobId(2)).await.unwrap(),
        Cancelled::Done
    );
    pause(&world, false).await;
    assert!(!status(&world).await.paused);
    assert_eq!(world.claim_ids(lease, 9).await, [3, 4]);
}

async fn a_pause_stops_one_namespace_only(world: World) {
    pause(&world, true).await;
    world.submit_some(1).await;
    let other = namespace("other");
    world.store().submit(&other, vec![job("1")]).await.unwrap();
    let lease = world.host().await;
    let claims = world.claim(lease, 9).await;
    assert_eq!(claims.len(), 1);
    assert_eq!(claims[0].token.namespace, other);
}

async fn a_pause_survives_a_crash(mut world: World) {
    pause(&world, true).await;
    world.submit_some(2).await;
    world.crash().await;
    assert!(status(&world).await.paused);
    let lease = world.host().await;
    assert_eq!(world.claim_ids(lease, 9).await, [0; 0]);
    pause(&world, false).await;
    world.crash().await;
    let lease = world.host().await;
    assert_eq!(world.claim_ids(lease, 9).await, [1, 2]);
}

async fn to_resume_wakes_a_sleeping_host(world: World) {
    pause(&world, true).await;
    world.submit_some(1).await;
    let lease = world.host().await;
    assert_eq!(world.claim_ids(lease, 1).await, [0; 0]);
    let mut woken = std::pin::pin!(world.store().wake(lease, 1));
    not_yet("a host of a paused namespace", &mut woken).await;
    pause(&world, false).await;
    soon("a resume wakes", woken).await.unwrap();
    assert_eq!(world.claim_ids(lease, 1).await, [1]);
}

async fn a_retry_waits_while_its_namespace_is_paused(world: World) {
    world.submit_some(1).await;
    let lease = world.host().await;
    let claim = world.claim(lease, 1).await.remove(0);
    pause(&world, true).await;
    world.finish(lease, &claim, retry(0)).await;
    assert_eq!(world.claim_ids(lease, 1).await, [0; 0]);
    pause(&world, false).await;
    assert_eq!(world.claim(lease, 1).await[0].token.attempt, 2);
}

async fn released_jobs_are_first_again_and_their_old_holder_is_refused(world: World) {
    world.submit_some(4).await;
    let (old, new) = (world.host().await, world.host().await);
    let claims = world.claim(old, 3).await;
    assert_eq!(world.claim_ids(new, 1).await, [4]);
    assert_eq!(release(&world).await, 4);
    assert_eq!(status(&world).await.queued, 4);
    let record = world.job(1).await;
    assert_eq!((record.state, record.attempt), (State::Queued, 1));
    let cause = record.attempts[0].cause.as_ref().unwrap();
    assert_eq!(cause.kind, CauseKind::Released);
    assert_eq!(record.attempts[0].started_at_ms, claims[0].claimed_at_ms);
    // The old holder lives on, and holds nothing.
    let late = vec![done(&claims[0], completed("too late"))];
    assert_eq!(
        world.cycle(old, late, 0).await.refused,
        [claims[0].token.clone()]
    );
    let again = world.claim(new, 9).await;
    assert_eq!(ids(&again), [1, 2, 3, 4]);
    assert!(again.iter().all(|claim| claim.token.attempt == 2));
    let late = vec![done(&claims[1], completed("too late"))];
    assert_eq!(
        world.cycle(old, late, 0).await.refused,
        [claims[1].token.clone()]
    );
    world.finish(new, &again[0], completed("")).await;
    assert_eq!(release(&world).await, 3);
    assert_eq!(release(&world).await, 0);
}

async fn a_release_grants_one_more_attempt_than_there_were(mut world: World) {
    let last = NewJob {
        max_attempts: 1,
        ..job("0")
    };
    world.submit(vec![last]).await;
    let lease = world.host().await;
    world.claim(lease, 1).await;
    assert_eq!(release(&world).await, 1);
    world.crash().await;
    assert_eq!(world.job(1).await.state, State::Queued);
    let lease = world.host().await;
    let claim = world.claim(lease, 1).await.remove(0);
    assert_eq!(claim.token.attempt, 2);
    world.finish(lease, &claim, retry(0)).await;
    let record = world.job(1).await;
    assert_eq!((record.state, record.attempts.len()), (State::Failed, 2));
}

async fn a_released_job_that_somebody_cancelled_does_not_run_again(world: World) {
    world.submit_some(1).await;
    let lease = world.host().await;
    world.claim(lease, 1).await;
    let answer = world.store().cancel(&ns(), JobId(1)).await.unwrap();
    assert_eq!(answer, Cancelled::Requested);
    release(&world).await;
    let record = world.job(1).await;
    assert_eq!((record.state, record.attempts.len()), (State::Cancelled, 1));
    soon("it has ended", world.store().ended(&ns(), JobId(1)))
        .await
        .unwrap();
    assert_eq!(world.claim_ids(lease, 1).await, [0; 0]);
    let status = status(&world).await;
    assert_eq!((status.queued, status.running, status.cancelled), (0, 0, 1));
}

async fn a_release_takes_the_jobs_of_one_namespace_only(world: World) {
    world.submit_some(1).await;
    let other = namespace("other");
    world.store().submit(&other, vec![job("1")]).await.unwrap();
    let lease = world.host().await;
    let claims = world.claim(lease, 2).await;
    assert_eq!(world.store().release(&other).await.unwrap(), 1);
    let kept = claims.iter().find(|claim| claim.token.namespace == ns());
    world.finish(lease, kept.unwrap(), completed("")).await;
}

async fn a_purge_deletes_what_waits_and_nothing_else(mut world: World) {
    one_of_each(&world).await;
    let other = namespace("other");
    world.store().submit(&other, vec![job("1")]).await.unwrap();
    assert_eq!(purge(&world).await, 2);
    let expected = QueueStatus {
        running: 1,
        ..QueueStatus::default()
    };
    assert_eq!(status(&world).await, expected);
    for crashed in [false, true] {
        for gone in [5, 6] {
            let record = world.store().job(&ns(), JobId(gone)).await.unwrap();
            assert_eq!(record, None, "job {gone}, crashed: {crashed}");
        }
        for (id, state) in [
            (1, State::Completed),
            (2, State::Failed),
            (4, State::Cancelled),
        ] {
            assert_eq!(world.job(id).await.state, state);
        }
        let kept = world.store().status(&other).await.unwrap();
        assert_eq!((kept.queued, kept.posted), (1, 1));
        if !crashed {
            world.crash().await;
        }
    }
    // The one that ran has lost its host.
    let lease = world.host().await;
    let claims = world.claim(lease, 9).await;
    assert_eq!(claims.len(), 2, "{claims:?}");
}

async fn a_purge_frees_the_keys_and_never_an_id(mut world: World) {
    let keyed = || NewJob {
        idempotency_key: Some("k".into()),
        ..job("0")
    };
    world.submit(vec![job("1"), keyed(), later("3")]).await;
    assert_eq!(purge(&world).await, 3);
    world.crash().await;
    assert_eq!(world.submit(vec![keyed(), keyed()]).await, [4, 4]);
    assert_eq!(purge(&world).await, 1);
    assert_eq!(world.submit_some(1).await, [5]);
    let lease = world.host().await;
    assert_eq!(world.claim_ids(lease, 9).await, [5]);
}

async fn a_purge_of_many_jobs_deletes_all_of_them(world: World) {
    const JOBS: usize = 10_000;
    world.submit_some(JOBS).await;
    let lease = world.host().await;
    assert_eq!(world.claim(lease, 7).await.len(), 7);
    pause(&world, true).await;
    assert_eq!(purge(&world).await, JOBS - 7);
    let expected = QueueStatus {
        running: 7,
        paused: true,
        ..QueueStatus::default()
    };
    assert_eq!(status(&world).await, expected);
    assert_eq!(world.submit_some(1).await, [JOBS as u64 + 1]);
}

async fn a_purged_job_keeps_nobody_waiting(world: World) {
    world.submit_some(1).await;
    let ns = ns();
    let mut ended = std::pin::pin!(world.store().ended(&ns, JobId(1)));
    not_yet("the end of a waiting job", &mut ended).await;
    purge(&world).await;
    soon("a purge ends the wait", ended).await.unwrap();
}

async fn what_nobody_has_used_can_be_administered(world: World) {
    let unused = namespace("unused");
    let store = world.store();
    assert_eq!(store.release(&unused).await.unwrap(), 0);
    assert_eq!(store.purge(&unused).await.unwrap(), 0);
    store.rezero(&unused).await.unwrap();
    store.pause(&unused, true).await.unwrap();
    assert!(store.status(&unused).await.unwrap().paused);
    store.submit(&unused, vec![job("1")]).await.unwrap();
    let lease = world.host().await;
    assert_eq!(world.claim_ids(lease, 1).await, [0; 0]);
}
