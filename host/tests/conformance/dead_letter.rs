//! The dead letter: jobs that run again since a person says so, and jobs that go for good.

use skep::job::{CauseKind, Delivery, JobId, NewJob, State};
use skep::store::{
    Callback, Cancelled, MAX_ATTEMPTS_BEFORE_RETRY, News, Outcome, Retriable, Retried, Verdict,
};

use crate::capping::{cap, names};
use crate::holding::{MOVER, hold, let_go, status};
use crate::listing::{listed, of};
use crate::support::{
    World, child, completed, done, eventually, ids, job, namespace, not_yet, ns, retry, soon, trap,
};

conformance!(
    a_failed_job_runs_again_with_its_attempts_behind_it,
    a_job_that_runs_again_has_as_many_attempts_as_its_poster_gave_it,
    a_lost_host_does_not_take_the_attempts_that_were_granted,
    what_cannot_run_again_says_why,
    a_job_with_too_many_attempts_behind_it_is_not_retried,
    a_cancelled_job_runs_again_only_if_that_is_asked_for,
    a_job_that_was_cancelled_while_it_was_handed_back_runs_again_whole,
    an_end_of_the_time_before_does_not_count,
    a_retried_job_leaves_the_totals_of_those_that_failed,
    a_retried_job_leaves_the_dead_letter,
    a_retried_job_is_at_its_place_in_the_queue,
    a_retried_job_waits_as_others_do,
    a_retry_wakes_a_sleeping_host,
    who_waits_for_a_retried_job_waits_for_its_new_end,
    a_watcher_hears_that_a_job_waits_again,
    a_retried_job_is_called_back_for_anew,
    a_retried_job_keeps_its_key_and_its_children,
    a_retried_job_moves_with_its_attempts,
    jobs_of_another_namespace_are_unknown,
    thousands_run_again_and_thousands_go,
    a_forgotten_job_is_gone_with_all_that_was_kept_of_it,
    only_the_dead_are_forgotten,
    a_child_whose_parent_goes_on_is_not_forgotten,
    no_id_of_a_forgotten_job_is_given_again,
    what_was_retried_or_forgotten_survives_a_crash,
);

async fn again(world: &World, ids: &[u64]) -> Vec<Retried> {
    let ids: Vec<JobId> = ids.iter().copied().map(JobId).collect();
    let which = Retriable::FailedOrCancelled;
    world
        .store()
        .retry(&ns(), &ids, which)
        .await
        .expect("retry")
}

async fn forget(world: &World, ids: &[u64]) -> usize {
    let ids: Vec<JobId> = ids.iter().copied().map(JobId).collect();
    world.store().forget(&ns(), &ids).await.expect("forget")
}

/// Lets the next jobs fail, on a host of their own.
async fn fail(world: &World, jobs: usize) -> Vec<u64> {
    let lease = world.host().await;
    let claims = world.claim(lease, jobs).await;
    let ends = claims
        .iter()
        .map(|claim| done(claim, Verdict::Failed(trap())));
    let cycle = world.cycle(lease, ends.collect(), 0).await;
    assert_eq!(cycle.refused, []);
    ids(&claims)
}

fn tried(most: u32) -> NewJob {
    NewJob {
        max_attempts: most,
        ..job("0")
    }
}

async fn a_failed_job_runs_again_with_its_attempts_behind_it(mut world: World) {
    world.submit_some(1).await;
    fail(&world, 1).await;
    assert_eq!(again(&world, &[1]).await, [Retried::Done]);
    for _ in 0..2 {
        let record = world.job(1).await;
        let found = (record.state, record.attempt, record.max_attempts);
        assert_eq!(found, (State::Queued, 1, 6));
        assert_eq!(record.attempts[0].cause, Some(trap()));
        assert_eq!((record.cause, record.ended_at_ms), (None, None));
        let outcome = world.store().outcome(&ns(), JobId(1)).await.unwrap();
        assert_eq!(outcome, Outcome::Open);
        world.crash().await;
    }
    let lease = world.host().await;
    let claim = world.claim(lease, 1).await.remove(0);
    assert_eq!((claim.token.attempt, claim.job.max_attempts), (2, 6));
    world.finish(lease, &claim, completed("42")).await;
    let record = world.job(1).await;
    assert_eq!((record.state, record.cause), (State::Completed, None));
    assert_eq!((record.attempts.len(), record.max_attempts), (2, 6));
    assert_eq!(again(&world, &[1]).await, [Retried::Completed]);
}

async fn a_job_that_runs_again_has_as_many_attempts_as_its_poster_gave_it(world: World) {
    world.submit(vec![tried(2)]).await;
    let lease = world.host().await;
    for round in 0..3 {
        for attempt in [1, 2] {
            let claim = world.claim(lease, 1).await.remove(0);
            assert_eq!(claim.token.attempt, 2 * round + attempt);
            assert_eq!(claim.job.max_attempts, 2 * round + 2);
            assert_eq!(world.job(1).await.max_attempts, 2 * round + 2);
            world.finish(lease, &claim, retry(0)).await;
        }
        assert_eq!(world.job(1).await.state, State::Failed);
        assert_eq!(world.job(1).await.max_attempts, 2 * round + 2);
        assert_eq!(again(&world, &[1]).await, [Retried::Done]);
    }
}

async fn a_lost_host_does_not_take_the_attempts_that_were_granted(mut world: World) {
    world.submit(vec![tried(2)]).await;
    fail(&world, 1).await;
    again(&world, &[1]).await;
    for state in [State::Queued, State::Failed] {
        let lease = world.host().await;
        assert_eq!(world.claim_ids(lease, 1).await, [1]);
        world.crash().await;
        assert_eq!(world.job(1).await.state, state);
    }
    assert_eq!(world.job(1).await.attempt, 3);
}

async fn what_cannot_run_again_says_why(world: World) {
    world.submit_some(4).await;
    let lease = world.host().await;
    let claims = world.claim(lease, 2).await;
    world.finish(lease, &claims[0], completed("")).await;
    hold(&world, MOVER, 1).await;
    let_go(&world, MOVER, &[3]).await;
    let answers = again(&world, &[1, 2, 3, 4, 5, u64::MAX]).await;
    let expected = [
        Retried::Completed,
        Retried::NotEnded,
        Retried::Moved,
        Retried::NotEnded,
        Retried::Unknown,
        Retried::Unknown,
    ];
    assert_eq!(answers, expected);
    assert_eq!(again(&world, &[]).await, []);
    let states = async |id| world.job(id).await.state;
    assert_eq!(states(1).await, State::Completed);
    assert_eq!(states(3).await, State::Cancelled);
}

async fn a_job_with_too_many_attempts_behind_it_is_not_retried(world: World) {
    let there = world.fresh().await;
    there.submit(vec![tried(u32::MAX); 2]).await;
    let lease = there.host().await;
    for claim in there.claim(lease, 2).await {
        there.finish(lease, &claim, retry(0)).await;
    }
    let mut parcels = hold(&there, MOVER, 2).await;
    for (parcel, attempts) in parcels.iter_mut().zip([2, 1]) {
        let first = parcel.attempts[0].clone();
        let most = u32::try_from(MAX_ATTEMPTS_BEFORE_RETRY).unwrap();
        parcel.attempts = (1..=most - attempts)
            .map(|number| skep::job::AttemptRecord {
                number,
                ..first.clone()
            })
            .collect();
    }
    world.store().deliver(&ns(), parcels).await.unwrap();
    fail(&world, 2).await;
    assert_eq!(
        again(&world, &[1, 2]).await,
        [Retried::Done, Retried::TooOften]
    );
    assert_eq!(world.job(2).await.attempt, 1_000);
}

async fn a_cancelled_job_runs_again_only_if_that_is_asked_for(world: World) {
    world.submit_some(2).await;
    let lease = world.host().await;
    let claim = world.claim(lease, 1).await.remove(0);
    for id in [1, 2] {
        world.store().cancel(&ns(), JobId(id)).await.unwrap();
    }
    world.finish(lease, &claim, Verdict::Cancelled).await;
    let (ns, ids) = (ns(), [JobId(1), JobId(2)]);
    let failed = world.store().retry(&ns, &ids, Retriable::Failed).await;
    assert_eq!(failed.unwrap(), [Retried::Cancelled; 2]);
    assert_eq!(again(&world, &[1, 2]).await, [Retried::Done; 2]);
    assert_eq!(again(&world, &[1, 2]).await, [Retried::NotEnded; 2]);
    let claims = world.claim(lease, 9).await;
    let numbers: Vec<u32> = claims.iter().map(|claim| claim.token.attempt).collect();
    assert_eq!(numbers, [2, 1]);
    for claim in claims {
        assert!(!world.job(claim.token.id.0).await.cancel_requested);
        world.finish(lease, &claim, completed("")).await;
    }
    let now = status(&world).await;
    assert_eq!((now.completed, now.cancelled, now.posted), (2, 0, 2));
}

async fn a_job_that_was_cancelled_while_it_was_handed_back_runs_again_whole(mut world: World) {
    world.submit_some(2).await;
    let lease = world.host().await;
    // The other one of the batch runs on.
    let claims = world.claim(lease, 2).await;
    let cancelled = world.store().cancel(&ns(), JobId(1)).await.unwrap();
    assert_eq!(cancelled, Cancelled::Requested);
    let release = Verdict::Release { delay_ms: 0 };
    world.finish(lease, &claims[0], release).await;
    assert_eq!(world.job(1).await.state, State::Cancelled);
    assert_eq!(again(&world, &[1]).await, [Retried::Done]);
    world.crash().await;
    let record = world.job(1).await;
    assert_eq!((record.state, record.attempt), (State::Queued, 0));
    assert_eq!(record.attempts, []);
}

async fn an_end_of_the_time_before_does_not_count(world: World) {
    world.submit_some(1).await;
    let lease = world.host().await;
    let old = world.claim(lease, 1).await.remove(0);
    world.finish(lease, &old, Verdict::Failed(trap())).await;
    again(&world, &[1]).await;
    let stale = || vec![done(&old, completed("stale"))];
    let cycle = world.cycle(lease, stale(), 0).await;
    assert_eq!(cycle.refused, [old.token.clone()]);
    let new = world.claim(lease, 1).await.remove(0);
    assert_ne!(new.token, old.token);
    let cycle = world.cycle(lease, stale(), 0).await;
    assert_eq!(cycle.refused, [old.token.clone()]);
    world.finish(lease, &new, completed("new")).await;
    let outcome = world.store().outcome(&ns(), JobId(1)).await.unwrap();
    assert_eq!(outcome, Outcome::Completed(crate::support::output("new")));
}

async fn a_retried_job_leaves_the_totals_of_those_that_failed(mut world: World) {
    world.submit_some(3).await;
    fail(&world, 2).await;
    again(&world, &[1]).await;
    for _ in 0..2 {
        let now = status(&world).await;
        assert_eq!((now.posted, now.failed, now.queued), (3, 1, 2));
        assert_eq!(now.running, 0);
        world.crash().await;
    }
    // Totals that began again know nothing of those before, and do not fall below 0.
    world.store().rezero(&ns()).await.unwrap();
    again(&world, &[2]).await;
    let now = status(&world).await;
    assert_eq!((now.posted, now.failed, now.queued), (0, 0, 3));
    assert_eq!(now.running, 0);
    fail(&world, 1).await;
    assert_eq!(status(&world).await.failed, 1);
}

async fn a_retried_job_leaves_the_dead_letter(world: World) {
    world.submit_some(3).await;
    fail(&world, 3).await;
    let dead = async || listed(&world, of(&[State::Failed])).await;
    assert_eq!(dead().await, [3, 2, 1]);
    again(&world, &[2]).await;
    assert_eq!(dead().await, [3, 1]);
    fail(&world, 1).await;
    assert_eq!(dead().await, [3, 2, 1]);
}

async fn a_retried_job_is_at_its_place_in_the_queue(world: World) {
    let urgent = NewJob {
        priority: 0.try_into().unwrap(),
        ..job("0")
    };
    world.submit(vec![job("1"), urgent.clone(), job("3")]).await;
    fail(&world, 3).await;
    world.submit(vec![urgent, job("5")]).await;
    again(&world, &[3, 2, 1]).await;
    let lease = world.host().await;
    assert_eq!(world.claim_ids(lease, 4).await, [2, 4, 1, 3]);
}

async fn a_retried_job_waits_as_others_do(world: World) {
    cap(&world, "f", 1).await;
    world.submit(vec![names(&["f"]), names(&["f"])]).await;
    fail(&world, 1).await;
    let lease = world.host().await;
    let second = world.claim(lease, 9).await.remove(0);
    assert_eq!(second.token.id, JobId(2));
    again(&world, &[1]).await;
    assert_eq!(world.claim_ids(lease, 9).await, [0; 0]);
    let cycle = world.cycle(lease, vec![done(&second, completed(""))], 9);
    let claims = cycle.await.claimed;
    assert_eq!(ids(&claims), [1]);
    world
        .finish(lease, &claims[0], Verdict::Failed(trap()))
        .await;
    world.store().pause(&ns(), true).await.unwrap();
    again(&world, &[1]).await;
    assert_eq!(world.claim_ids(lease, 9).await, [0; 0]);
    world.store().pause(&ns(), false).await.unwrap();
    // One that names no function waits until there is one again.
    world.submit(vec![names(&[])]).await;
    let claims = world.claim(lease, 1).await;
    world.finish(lease, &claims[0], completed("")).await;
    let claims = world.claim(lease, 1).await;
    world
        .finish(lease, &claims[0], Verdict::Failed(trap()))
        .await;
    let f = "f".parse().unwrap();
    world.store().undeploy(&ns(), &[f]).await.unwrap();
    again(&world, &[3]).await;
    assert_eq!(world.claim_ids(lease, 9).await, [0; 0]);
    cap(&world, "f", 0).await;
    assert_eq!(world.claim_ids(lease, 9).await, [3]);
}

async fn a_retry_wakes_a_sleeping_host(world: World) {
    world.submit_some(1).await;
    fail(&world, 1).await;
    let lease = world.host().await;
    assert_eq!(world.claim_ids(lease, 1).await, [0; 0]);
    let elsewhere = world.elsewhere().await;
    let mut asleep = std::pin::pin!(world.store().wake(lease, 1));
    not_yet("there is nothing to do", &mut asleep).await;
    let which = Retriable::Failed;
    elsewhere.retry(&ns(), &[JobId(1)], which).await.unwrap();
    soon("the host wakes", asleep).await.unwrap();
    drop(elsewhere);
    eventually("the job is taken", async || {
        world.claim_ids(lease, 1).await == [1]
    })
    .await;
}

async fn who_waits_for_a_retried_job_waits_for_its_new_end(world: World) {
    world.submit_some(1).await;
    let mut watch = world.store().watch(&ns(), JobId(1)).await.unwrap();
    fail(&world, 1).await;
    // The news of the old end is the old end for whoever waits while it comes.
    while soon("news of the old end", watch.next()).await != News::Ended {}
    again(&world, &[1]).await;
    let ns = ns();
    let mut ended = std::pin::pin!(world.store().ended(&ns, JobId(1)));
    not_yet("the end of a job that waits again", &mut ended).await;
    fail(&world, 1).await;
    soon("the new end", ended).await.unwrap();
}

async fn a_watcher_hears_that_a_job_waits_again(world: World) {
    world.submit_some(1).await;
    fail(&world, 1).await;
    let mut watch = world.store().watch(&ns(), JobId(1)).await.unwrap();
    again(&world, &[1]).await;
    let waits = News::State {
        attempt: 1,
        state: State::Queued,
    };
    // What was said before the watch began may come first.
    while soon("news of the retry", watch.next()).await != waits {}
}

async fn take(world: &World) -> Vec<Callback> {
    world.store().take_callbacks(9).await.expect("take")
}

async fn called(world: &World, callback: &Callback, status: u16, again_in_ms: Option<u64>) {
    let delivery = Delivery {
        at_ms: 1_000,
        status: Some(status),
        error: None,
    };
    let answer = world.store().called_back(callback, delivery, again_in_ms);
    answer.await.expect("called_back");
}

async fn a_retried_job_is_called_back_for_anew(world: World) {
    let calls_back = NewJob {
        callback: Some("http://localhost/".into()),
        ..job("0")
    };
    world.submit(vec![calls_back]).await;
    fail(&world, 1).await;
    let first = take(&world).await.remove(0);
    called(&world, &first, 500, Some(0)).await;
    let late = take(&world).await.remove(0);
    assert_eq!((late.number, late.tried), (2, 1));
    again(&world, &[1]).await;
    assert_eq!(take(&world).await, [], "it has not ended");
    // A try that was under way is of the old end.
    called(&world, &late, 200, None).await;
    let deliveries = async || world.job(1).await.callback.unwrap().deliveries.len();
    assert_eq!(deliveries().await, 0);
    let lease = world.host().await;
    let claim = world.claim(lease, 1).await.remove(0);
    world.finish(lease, &claim, completed("42")).await;
    called(&world, &late, 200, None).await;
    assert_eq!(deliveries().await, 0);
    let anew = take(&world).await.remove(0);
    assert!(anew.number > late.number, "{anew:?}");
    assert_eq!((anew.tried, anew.success), (0, true));
    called(&world, &late, 200, None).await;
    called(&world, &anew, 204, None).await;
    assert_eq!(deliveries().await, 1);
    assert_eq!(take(&world).await, []);
}

async fn a_retried_job_keeps_its_key_and_its_children(world: World) {
    let keyed = NewJob {
        idempotency_key: Some("k".into()),
        ..job("0")
    };
    world.submit(vec![keyed.clone()]).await;
    let lease = world.host().await;
    let claim = world.claim(lease, 1).await.remove(0);
    assert_eq!(world.submit(vec![child(1, "a")]).await, [2]);
    world.finish(lease, &claim, Verdict::Failed(trap())).await;
    again(&world, &[1]).await;
    assert_eq!(world.submit(vec![keyed]).await, [1]);
    assert_eq!(world.claim(lease, 1).await[0].token.attempt, 2);
    // Its posts are those of the attempt before.
    let children = world.submit(vec![child(1, "a"), child(1, "b")]).await;
    assert_eq!(children, [2, 3]);
    assert_eq!(world.job(1).await.child_count, 2);
}

async fn a_retried_job_moves_with_its_attempts(world: World) {
    let there = world.fresh().await;
    world.submit(vec![tried(2)]).await;
    fail(&world, 1).await;
    again(&world, &[1]).await;
    let parcels = hold(&world, MOVER, 1).await;
    there.store().deliver(&ns(), parcels).await.unwrap();
    let lease = there.host().await;
    let claim = there.claim(lease, 1).await.remove(0);
    assert_eq!((claim.token.attempt, claim.job.max_attempts), (2, 3));
}

async fn jobs_of_another_namespace_are_unknown(world: World) {
    world.submit_some(1).await;
    fail(&world, 1).await;
    let other = namespace("other");
    for is_used in [false, true] {
        if is_used {
            let one = vec![job("0")];
            world.store().submit(&other, one).await.unwrap();
            world.store().purge(&other).await.unwrap();
        }
        let which = Retriable::FailedOrCancelled;
        let retried = world.store().retry(&other, &[JobId(1)], which).await;
        assert_eq!(retried.unwrap(), [Retried::Unknown]);
        assert_eq!(world.store().forget(&other, &[JobId(1)]).await.unwrap(), 0);
    }
    assert_eq!(world.job(1).await.state, State::Failed);
}

async fn thousands_run_again_and_thousands_go(world: World) {
    const JOBS: u64 = 3_000;
    world.submit_some(3_000).await;
    fail(&world, 3_000).await;
    let (first, rest): (Vec<u64>, Vec<u64>) = (1..=JOBS).partition(|id| *id <= 1_500);
    assert_eq!(again(&world, &first).await, vec![Retried::Done; 1_500]);
    let all: Vec<u64> = (1..=JOBS).collect();
    assert_eq!(forget(&world, &all).await, rest.len());
    assert_eq!(listed(&world, of(&[State::Failed])).await, [0; 0]);
    let (mut left, now) = (listed(&world, of(&[])).await, status(&world).await);
    left.reverse();
    assert_eq!(left, first);
    assert_eq!((now.queued, now.failed, now.running), (1_500, 1_500, 0));
}

async fn a_forgotten_job_is_gone_with_all_that_was_kept_of_it(world: World) {
    let whole = NewJob {
        idempotency_key: Some("k".into()),
        callback: Some("http://localhost/".into()),
        ..job("0")
    };
    world.submit(vec![whole.clone()]).await;
    let lease = world.host().await;
    let claim = world.claim(lease, 1).await.remove(0);
    world.submit(vec![child(1, "a")]).await;
    let mut end = done(&claim, Verdict::Failed(trap()));
    end.log.push(skep::job::LogLine {
        at_ms: 5,
        level: skep::job::LogLevel::Info,
        text: "logged".into(),
    });
    world.cycle(lease, vec![end], 0).await;
    let before = status(&world).await;
    assert_eq!(forget(&world, &[1]).await, 1);
    assert_eq!(forget(&world, &[1]).await, 0);
    let (store, ns, id) = (world.store(), ns(), JobId(1));
    assert_eq!(store.job(&ns, id).await.unwrap(), None);
    assert_eq!(store.outcome(&ns, id).await.unwrap(), Outcome::Unknown);
    assert_eq!(store.log(&ns, id).await.unwrap().lines, []);
    let children = store.children(&ns, id, JobId(0), 9).await.unwrap();
    assert_eq!(children, []);
    assert_eq!(store.take_callbacks(9).await.unwrap(), []);
    soon("nobody waits for it", store.ended(&ns, id))
        .await
        .unwrap();
    assert_eq!(again(&world, &[1]).await, [Retried::Unknown]);
    assert_eq!(listed(&world, of(&[])).await, [2]);
    // The totals are of what happened; the key is free.
    assert_eq!(status(&world).await, before);
    assert_eq!(world.submit(vec![whole]).await, [3]);
}

async fn only_the_dead_are_forgotten(world: World) {
    world.submit_some(6).await;
    let lease = world.host().await;
    let claims = world.claim(lease, 4).await;
    world.finish(lease, &claims[0], completed("")).await;
    world.finish(lease, &claims[1], Verdict::Cancelled).await;
    world
        .finish(lease, &claims[2], Verdict::Failed(trap()))
        .await;
    world.store().cancel(&ns(), JobId(6)).await.unwrap();
    again(&world, &[3]).await;
    assert_eq!(forget(&world, &[1, 2, 3, 4, 5, 6, 7]).await, 0);
    assert_eq!(listed(&world, of(&[])).await, [6, 5, 4, 3, 2, 1]);
}

async fn a_child_whose_parent_goes_on_is_not_forgotten(world: World) {
    world.submit_some(1).await;
    let lease = world.host().await;
    let parent = world.claim(lease, 1).await.remove(0);
    world.submit(vec![child(1, "a")]).await;
    assert_eq!(fail(&world, 1).await, [2]);
    assert_eq!(forget(&world, &[2]).await, 0);
    let outcome = world.store().outcome(&ns(), JobId(2)).await.unwrap();
    assert_eq!(outcome, Outcome::Failed(trap()));
    world.finish(lease, &parent, completed("")).await;
    assert_eq!(forget(&world, &[2]).await, 1);
}

async fn no_id_of_a_forgotten_job_is_given_again(mut world: World) {
    world.submit_some(2).await;
    fail(&world, 2).await;
    assert_eq!(forget(&world, &[1, 2]).await, 2);
    world.crash().await;
    assert_eq!(world.submit_some(1).await, [3]);
}

async fn what_was_retried_or_forgotten_survives_a_crash(mut world: World) {
    world.submit_some(3).await;
    fail(&world, 3).await;
    again(&world, &[1]).await;
    forget(&world, &[2]).await;
    world.crash().await;
    assert_eq!(listed(&world, of(&[State::Failed])).await, [3]);
    assert_eq!(listed(&world, of(&[State::Queued])).await, [1]);
    let record = world.job(1).await;
    let cause = record.attempts[0].cause.clone().unwrap();
    assert_eq!(cause.kind, CauseKind::Trap);
    let lease = world.host().await;
    assert_eq!(world.claim(lease, 9).await[0].token.attempt, 2);
}
