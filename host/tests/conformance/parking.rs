//! Jobs that wait for other jobs, and hold no worker meanwhile.

use futures_util::future::BoxFuture;
use futures_util::poll;
use skep::job::{JobId, NewJob, State};
use skep::store::{Claim, Lease, Parked, QueueStatus, Result, StoreError, Verdict};

use crate::holding::{MOVER, hold, let_go, status};
use crate::support::{
    World, child, completed, done, eventually, job, namespace, not_yet, ns, retry, soon, trap,
};

conformance!(
    what_has_ended_or_is_unknown_is_not_waited_for,
    a_parked_job_goes_on_when_all_have_ended,
    every_kind_of_end_counts,
    a_moved_or_purged_job_is_waited_for_no_longer,
    an_end_through_another_process_is_told,
    an_end_that_races_with_a_park_is_told,
    thousands_are_awaited_at_once,
    many_parked_jobs_go_on_at_the_same_end,
    a_parked_job_is_seen_to_be_parked_until_it_goes_on,
    a_parked_job_that_ends_is_no_longer_parked,
    a_parked_job_can_be_handed_back,
    a_parked_job_can_be_released_by_a_person,
    a_parked_job_is_queued_after_a_crash,
    a_wait_that_is_dropped_leaves_the_job_parked,
    a_call_to_park_that_is_cut_short_leaves_no_trace,
    a_job_may_wait_again_and_again,
    what_its_lease_does_not_hold_is_not_parked,
    a_job_that_waits_for_itself_is_refused,
    a_child_that_waits_for_its_waiting_ancestor_is_refused,
    siblings_that_wait_for_each_other_are_refused,
    a_ring_of_waiting_jobs_is_refused,
    a_cycle_is_found_among_thousands,
    two_that_begin_to_wait_for_each_other_at_once_do_not_both_wait,
    a_refused_wait_leaves_no_trace,
    a_job_that_went_on_is_in_no_cycle,
    a_job_that_ended_or_was_given_back_is_in_no_cycle,
    the_last_wait_of_a_job_is_the_one_that_counts,
    a_wait_without_a_cycle_is_not_refused,
    namespaces_do_not_wait_for_each_other,
);

/// What resolves when a parked job goes on.
type Waiting = BoxFuture<'static, Result<()>>;

fn job_ids(ids: &[u64]) -> Vec<JobId> {
    ids.iter().copied().map(JobId).collect()
}

async fn park(world: &World, lease: Lease, claim: &Claim, ids: &[u64]) -> Parked {
    let awaited = job_ids(ids);
    let parked = world.store().park(lease, &claim.token, &awaited);
    soon("a park", parked).await.expect("park")
}

async fn unpark(world: &World, lease: Lease, claim: &Claim) {
    let answer = world.store().unpark(lease, &claim.token).await;
    answer.expect("unpark");
}

/// Parks a job that must wait.
async fn wait(world: &World, lease: Lease, claim: &Claim, ids: &[u64]) -> Waiting {
    match park(world, lease, claim, ids).await {
        Parked::Waiting(future) => future,
        other => panic!("{:?} waits for {ids:?}: {other:?}", claim.token.id),
    }
}

/// Parks a job, and gives up the wait.
async fn parks(world: &World, lease: Lease, claim: &Claim, ids: &[u64]) {
    drop(wait(world, lease, claim, ids).await);
}

async fn a_call_to_park_that_is_cut_short_leaves_no_trace(world: World) {
    world.submit(vec![job("1"), job("2"), job("3")]).await;
    let lease = world.host().await;
    let claims = world.claim(lease, 3).await;
    world.submit(vec![job("4")]).await;
    let awaited = job_ids(&[4]);
    let call = |n: usize| world.store().park(lease, &claims[n].token, &awaited);
    // The second call finds the first under way, and is given up.
    let mut first = call(0);
    assert!(poll!(&mut first).is_pending());
    let mut second = call(1);
    let _ = poll!(&mut second);
    drop(second);
    let (parked, ()) = tokio::join!(first, unpark(&world, lease, &claims[1]));
    assert!(matches!(parked, Ok(Parked::Waiting(_))));
    // By then whatever was on its way has been carried out.
    parks(&world, lease, &claims[2], &[4]).await;
    let now = status(&world).await;
    assert_eq!((now.running, now.parked), (1, 2));
}

/// Expects that a job that begins to wait would wait for ever.
async fn refused(world: &World, lease: Lease, claim: &Claim, ids: &[u64], cycle: &[u64]) {
    match park(world, lease, claim, ids).await {
        Parked::Cycle(jobs) => assert_eq!(jobs, job_ids(cycle)),
        other => panic!("{:?} waits for {ids:?}: {other:?}", claim.token.id),
    }
}

async fn has_ended(world: &World, lease: Lease, claim: &Claim, ids: &[u64]) {
    match park(world, lease, claim, ids).await {
        Parked::Ended => {}
        other => panic!("{:?} waits for {ids:?}: {other:?}", claim.token.id),
    }
}

/// So many jobs that run.
async fn running(world: &World, count: usize) -> (Lease, Vec<Claim>) {
    world.submit_some(count).await;
    let lease = world.host().await;
    let claims = world.claim(lease, count).await;
    assert_eq!(claims.len(), count);
    (lease, claims)
}

async fn state(world: &World, id: u64) -> State {
    world.job(id).await.state
}

async fn what_has_ended_or_is_unknown_is_not_waited_for(mut world: World) {
    let (lease, claims) = running(&world, 5).await;
    has_ended(&world, lease, &claims[0], &[]).await;
    has_ended(&world, lease, &claims[0], &[99, u64::MAX, 0]).await;
    world.finish(lease, &claims[1], completed("")).await;
    let failed = Verdict::Failed(trap());
    world.finish(lease, &claims[2], failed).await;
    world.finish(lease, &claims[3], Verdict::Cancelled).await;
    has_ended(&world, lease, &claims[0], &[2]).await;
    has_ended(&world, lease, &claims[0], &[2, 99, 3, 4, 2]).await;
    assert_eq!(state(&world, 1).await, State::Running);
    world.crash().await;
    let lease = world.host().await;
    let claim = world.claim(lease, 1).await.remove(0);
    has_ended(&world, lease, &claim, &[4, 3, 2]).await;
}

async fn a_parked_job_goes_on_when_all_have_ended(world: World) {
    let (lease, claims) = running(&world, 4).await;
    world.finish(lease, &claims[3], completed("")).await;
    let mut waiting = wait(&world, lease, &claims[0], &[2, 4, 3, 2]).await;
    not_yet("two run", &mut waiting).await;
    world.finish(lease, &claims[2], completed("")).await;
    not_yet("one runs", &mut waiting).await;
    world.finish(lease, &claims[1], completed("")).await;
    soon("all have ended", waiting).await.unwrap();
    unpark(&world, lease, &claims[0]).await;
    world.finish(lease, &claims[0], completed("")).await;
}

async fn every_kind_of_end_counts(world: World) {
    let (lease, claims) = running(&world, 3).await;
    let once = NewJob {
        max_attempts: 1,
        ..job("4")
    };
    world.submit(vec![once, job("5")]).await;
    let last = world.claim(lease, 1).await.remove(0);
    let mut waiting = wait(&world, lease, &claims[0], &[2, 3, 4, 5]).await;
    let failed = Verdict::Failed(trap());
    world.finish(lease, &claims[1], failed).await;
    world.store().cancel(&ns(), JobId(3)).await.unwrap();
    world.finish(lease, &claims[2], Verdict::Cancelled).await;
    world.finish(lease, &last, retry(0)).await;
    not_yet("one is queued", &mut waiting).await;
    world.store().cancel(&ns(), JobId(5)).await.unwrap();
    soon("all have ended", waiting).await.unwrap();
}

async fn a_moved_or_purged_job_is_waited_for_no_longer(world: World) {
    let (lease, claims) = running(&world, 1).await;
    world.submit_some(2).await;
    hold(&world, MOVER, 1).await;
    let mut waiting = wait(&world, lease, &claims[0], &[2, 3]).await;
    not_yet("it is being moved", &mut waiting).await;
    let_go(&world, MOVER, &[2]).await;
    not_yet("one waits", &mut waiting).await;
    world.store().purge(&ns()).await.unwrap();
    soon("nothing is left", waiting).await.unwrap();
}

async fn an_end_through_another_process_is_told(world: World) {
    let (lease, claims) = running(&world, 1).await;
    world.submit_some(3).await;
    let other = world.elsewhere().await;
    let there = other.register().await.unwrap();
    let step = world.step(there, vec![], 3);
    let taken = other.cycle(there, step).await.unwrap().claimed;
    let mut waiting = wait(&world, lease, &claims[0], &[2, 3, 4]).await;
    let end = |claim: &Claim| vec![done(claim, completed(""))];
    for claim in &taken[..2] {
        let step = world.step(there, end(claim), 0);
        other.cycle(there, step).await.unwrap();
    }
    not_yet("one runs there", &mut waiting).await;
    let step = world.step(there, end(&taken[2]), 0);
    other.cycle(there, step).await.unwrap();
    soon("all have ended there", waiting).await.unwrap();
}

async fn an_end_that_races_with_a_park_is_told(world: World) {
    let (lease, claims) = running(&world, 1).await;
    for id in world.submit_some(200).await {
        let claim = world.claim(lease, 1).await.remove(0);
        let waits = async {
            match park(&world, lease, &claims[0], &[id]).await {
                Parked::Ended => {}
                Parked::Waiting(future) => future.await.unwrap(),
                Parked::Cycle(jobs) => panic!("{jobs:?}"),
            }
            unpark(&world, lease, &claims[0]).await;
        };
        let finish = world.finish(lease, &claim, completed(""));
        soon("it ends now", async { tokio::join!(waits, finish) }).await;
    }
}

async fn thousands_are_awaited_at_once(world: World) {
    let (lease, claims) = running(&world, 1).await;
    let jobs = (0..5000).map(|n| child(1, &n.to_string())).collect();
    let ids = world.submit(jobs).await;
    let mut waiting = wait(&world, lease, &claims[0], &ids).await;
    let mut ended = 0;
    while ended < 5000 {
        assert!(ended < 4000 || status(&world).await.parked == 1);
        let taken = world.claim(lease, 1000).await;
        ended += taken.len();
        let mut ends: Vec<_> = taken.iter().map(|c| done(c, completed(""))).collect();
        let last = ends.pop();
        world.cycle(lease, ends, 0).await;
        not_yet("at least one runs", &mut waiting).await;
        world.cycle(lease, last.into_iter().collect(), 0).await;
    }
    soon("all have ended", waiting).await.unwrap();
    has_ended(&world, lease, &claims[0], &ids).await;
}

async fn many_parked_jobs_go_on_at_the_same_end(world: World) {
    let (lease, claims) = running(&world, 300).await;
    let mut waiting = Vec::new();
    for claim in &claims[1..] {
        waiting.push(wait(&world, lease, claim, &[1]).await);
    }
    assert_eq!(status(&world).await.parked, 299);
    world.finish(lease, &claims[0], completed("")).await;
    let all = futures_util::future::join_all(waiting);
    for answer in soon("it ended", all).await {
        answer.unwrap();
    }
}

async fn a_parked_job_is_seen_to_be_parked_until_it_goes_on(world: World) {
    let (lease, claims) = running(&world, 2).await;
    world.submit_some(1).await;
    let waiting = wait(&world, lease, &claims[0], &[3]).await;
    let record = world.job(1).await;
    assert_eq!((record.state, record.attempt), (State::Parked, 1));
    assert_eq!(record.attempts.len(), 1);
    let expected = QueueStatus {
        queued: 1,
        running: 1,
        parked: 1,
        posted: 3,
        ..QueueStatus::default()
    };
    assert_eq!(status(&world).await, expected);
    let other = world.store().status(&namespace("other")).await.unwrap();
    assert_eq!(other, QueueStatus::default());
    // A wait may be given up.
    drop(waiting);
    unpark(&world, lease, &claims[0]).await;
    eventually("it goes on", async || {
        state(&world, 1).await == State::Running
    })
    .await;
    let expected = QueueStatus {
        queued: 1,
        running: 2,
        posted: 3,
        ..QueueStatus::default()
    };
    assert_eq!(status(&world).await, expected);
    world.finish(lease, &claims[0], completed("")).await;
}

async fn a_parked_job_that_ends_is_no_longer_parked(world: World) {
    let (lease, claims) = running(&world, 4).await;
    for claim in &claims[..3] {
        parks(&world, lease, claim, &[4]).await;
    }
    // Whoever waits can be stopped, or run out of time.
    world.finish(lease, &claims[0], Verdict::Cancelled).await;
    let failed = Verdict::Failed(trap());
    world.finish(lease, &claims[1], failed).await;
    world.finish(lease, &claims[2], retry(0)).await;
    let expected = QueueStatus {
        queued: 1,
        running: 1,
        posted: 4,
        failed: 1,
        cancelled: 1,
        ..QueueStatus::default()
    };
    assert_eq!(status(&world).await, expected);
    assert_eq!(state(&world, 1).await, State::Cancelled);
    assert_eq!(state(&world, 3).await, State::Queued);
    let again = world.claim(lease, 1).await.remove(0);
    assert_eq!((again.token.id, again.token.attempt), (JobId(3), 2));
    assert_eq!(state(&world, 3).await, State::Running);
}

async fn a_parked_job_can_be_handed_back(world: World) {
    let (lease, claims) = running(&world, 2).await;
    parks(&world, lease, &claims[0], &[2]).await;
    let release = Verdict::Release { delay_ms: 0 };
    world.finish(lease, &claims[0], release).await;
    let now = status(&world).await;
    assert_eq!((now.queued, now.running, now.parked), (1, 1, 0));
    let again = world.claim(lease, 1).await.remove(0);
    assert_eq!((again.token.id, again.token.attempt), (JobId(1), 1));
    assert_eq!(state(&world, 1).await, State::Running);
    parks(&world, lease, &again, &[2]).await;
    assert_eq!(state(&world, 1).await, State::Parked);
}

async fn a_parked_job_can_be_released_by_a_person(world: World) {
    let (lease, claims) = running(&world, 2).await;
    parks(&world, lease, &claims[0], &[2]).await;
    assert_eq!(world.store().release(&ns()).await.unwrap(), 2);
    let now = status(&world).await;
    assert_eq!((now.queued, now.running, now.parked), (2, 0, 0));
    world.claim(lease, 2).await;
    let now = status(&world).await;
    assert_eq!((now.queued, now.running, now.parked), (0, 2, 0));
}

async fn a_parked_job_is_queued_after_a_crash(mut world: World) {
    let (lease, claims) = running(&world, 2).await;
    parks(&world, lease, &claims[0], &[2]).await;
    world.crash().await;
    let now = status(&world).await;
    assert_eq!((now.queued, now.running, now.parked), (2, 0, 0));
    assert_eq!(state(&world, 1).await, State::Queued);
}

async fn a_wait_that_is_dropped_leaves_the_job_parked(world: World) {
    let (lease, claims) = running(&world, 2).await;
    drop(wait(&world, lease, &claims[0], &[2]).await);
    assert_eq!(state(&world, 1).await, State::Parked);
    refused(&world, lease, &claims[1], &[1], &[2, 1]).await;
}

async fn a_job_may_wait_again_and_again(world: World) {
    let (lease, claims) = running(&world, 1).await;
    for id in world.submit_some(20).await {
        let claim = world.claim(lease, 1).await.remove(0);
        let mut waiting = wait(&world, lease, &claims[0], &[id]).await;
        assert_eq!(state(&world, 1).await, State::Parked);
        not_yet("it runs", &mut waiting).await;
        world.finish(lease, &claim, completed("")).await;
        soon("it ended", waiting).await.unwrap();
        unpark(&world, lease, &claims[0]).await;
    }
}

async fn what_its_lease_does_not_hold_is_not_parked(world: World) {
    let (lease, claims) = running(&world, 2).await;
    let first = &claims[0];
    world.finish(lease, first, retry(0)).await;
    let second = world.claim(lease, 1).await.remove(0);
    assert_eq!(second.token.attempt, 2);
    // An attempt that is over, and a host that does not hold the job.
    let other = world.host().await;
    for (lease, claim) in [(lease, first), (other, &second)] {
        let awaited = job_ids(&[2]);
        let answer = world.store().park(lease, &claim.token, &awaited).await;
        assert!(!matches!(answer, Ok(Parked::Cycle(_))), "{answer:?}");
        assert_eq!(state(&world, 1).await, State::Running);
    }
    let stranger = Lease {
        incarnation: uuid::Uuid::from_u128(7),
    };
    let store = world.store();
    let answer = store.park(stranger, &second.token, &job_ids(&[2])).await;
    assert!(matches!(answer, Err(StoreError::LeaseLost)), "{answer:?}");
    assert_eq!(status(&world).await.parked, 0);
    // Nor does one that is over take another one out.
    parks(&world, lease, &second, &[2]).await;
    unpark(&world, lease, first).await;
    store.unpark(other, &second.token).await.unwrap();
    assert_eq!(state(&world, 1).await, State::Parked);
}

async fn a_job_that_waits_for_itself_is_refused(world: World) {
    let (lease, claims) = running(&world, 2).await;
    refused(&world, lease, &claims[0], &[1], &[1]).await;
    refused(&world, lease, &claims[1], &[1, 2], &[2]).await;
    assert_eq!(status(&world).await.parked, 0);
}

async fn a_child_that_waits_for_its_waiting_ancestor_is_refused(world: World) {
    let (lease, claims) = running(&world, 1).await;
    world.submit(vec![child(1, "a")]).await;
    let child_claim = world.claim(lease, 1).await.remove(0);
    world.submit(vec![child(2, "b")]).await;
    let grandchild = world.claim(lease, 1).await.remove(0);
    parks(&world, lease, &claims[0], &[2]).await;
    refused(&world, lease, &child_claim, &[1], &[2, 1]).await;
    parks(&world, lease, &child_claim, &[3]).await;
    refused(&world, lease, &grandchild, &[1], &[3, 1, 2]).await;
}

async fn siblings_that_wait_for_each_other_are_refused(world: World) {
    let (lease, claims) = running(&world, 3).await;
    let mut waiting = wait(&world, lease, &claims[0], &[2]).await;
    refused(&world, lease, &claims[1], &[3, 1], &[2, 1]).await;
    // Whoever was refused goes on, and so does the other one in time.
    not_yet("it runs", &mut waiting).await;
    world.finish(lease, &claims[1], completed("")).await;
    soon("it ended", waiting).await.unwrap();
}

async fn a_ring_of_waiting_jobs_is_refused(world: World) {
    let (lease, claims) = running(&world, 3).await;
    parks(&world, lease, &claims[0], &[2]).await;
    parks(&world, lease, &claims[1], &[3]).await;
    refused(&world, lease, &claims[2], &[1], &[3, 1, 2]).await;
    refused(&world, lease, &claims[2], &[2], &[3, 2]).await;
}

async fn a_cycle_is_found_among_thousands(world: World) {
    let (lease, claims) = running(&world, 3).await;
    let many = world.submit_some(2000).await;
    let with = |id: u64| {
        let mut ids = many.clone();
        ids.insert(1000, id);
        ids
    };
    parks(&world, lease, &claims[0], &with(2)).await;
    parks(&world, lease, &claims[1], &with(3)).await;
    refused(&world, lease, &claims[2], &with(1), &[3, 1, 2]).await;
    parks(&world, lease, &claims[2], &many).await;
}

async fn two_that_begin_to_wait_for_each_other_at_once_do_not_both_wait(world: World) {
    for round in 0..30 {
        let (lease, claims) = running(&world, 2).await;
        let (one, two) = ([claims[0].token.id.0], [claims[1].token.id.0]);
        let first = park(&world, lease, &claims[0], &two);
        let second = park(&world, lease, &claims[1], &one);
        let (first, second) = tokio::join!(first, second);
        let waits = |parked: &Parked| usize::from(matches!(parked, Parked::Waiting(_)));
        let refused = |parked: &Parked| usize::from(matches!(parked, Parked::Cycle(_)));
        assert_eq!(waits(&first) + waits(&second), 1, "round {round}");
        assert_eq!(refused(&first) + refused(&second), 1, "round {round}");
    }
}

async fn a_refused_wait_leaves_no_trace(world: World) {
    let (lease, claims) = running(&world, 3).await;
    parks(&world, lease, &claims[0], &[2]).await;
    refused(&world, lease, &claims[1], &[1, 3], &[2, 1]).await;
    assert_eq!(state(&world, 2).await, State::Running);
    assert_eq!(status(&world).await.parked, 1);
    parks(&world, lease, &claims[2], &[2]).await;
}

async fn a_job_that_went_on_is_in_no_cycle(world: World) {
    let (lease, claims) = running(&world, 2).await;
    parks(&world, lease, &claims[0], &[2]).await;
    unpark(&world, lease, &claims[0]).await;
    eventually("it goes on", async || {
        state(&world, 1).await == State::Running
    })
    .await;
    parks(&world, lease, &claims[1], &[1]).await;
    refused(&world, lease, &claims[0], &[2], &[1, 2]).await;
}

async fn a_job_that_ended_or_was_given_back_is_in_no_cycle(world: World) {
    let (lease, claims) = running(&world, 5).await;
    for claim in &claims[..4] {
        parks(&world, lease, claim, &[5]).await;
    }
    world.finish(lease, &claims[0], completed("")).await;
    has_ended(&world, lease, &claims[4], &[1]).await;
    world.finish(lease, &claims[1], retry(0)).await;
    parks(&world, lease, &claims[4], &[2]).await;
    let release = Verdict::Release { delay_ms: 0 };
    world.finish(lease, &claims[2], release).await;
    parks(&world, lease, &claims[4], &[2, 3]).await;
    refused(&world, lease, &claims[4], &[2, 3, 4], &[5, 4]).await;
    world.store().release(&ns()).await.unwrap();
    let again = world.claim(lease, 5).await;
    let ids: Vec<u64> = again.iter().map(|claim| claim.token.id.0).collect();
    assert_eq!(ids, [2, 3, 4, 5]);
    parks(&world, lease, &again[3], &[2, 3, 4]).await;
}

async fn the_last_wait_of_a_job_is_the_one_that_counts(world: World) {
    let (lease, claims) = running(&world, 3).await;
    let mut first = wait(&world, lease, &claims[0], &[2]).await;
    let mut second = wait(&world, lease, &claims[0], &[3]).await;
    assert_eq!(status(&world).await.parked, 1);
    parks(&world, lease, &claims[1], &[1]).await;
    refused(&world, lease, &claims[2], &[1], &[3, 1]).await;
    not_yet("both run", &mut first).await;
    world.finish(lease, &claims[2], completed("")).await;
    soon("it ended", &mut second).await.unwrap();
    not_yet("the other one runs", &mut first).await;
    // It waits for nothing more, so that it is not parked.
    has_ended(&world, lease, &claims[0], &[3]).await;
    assert_eq!(state(&world, 1).await, State::Running);
}

async fn a_wait_without_a_cycle_is_not_refused(world: World) {
    let (lease, claims) = running(&world, 5).await;
    // Two ways lead to the last, and none back.
    parks(&world, lease, &claims[0], &[2, 3]).await;
    parks(&world, lease, &claims[1], &[4]).await;
    parks(&world, lease, &claims[2], &[4, 2]).await;
    parks(&world, lease, &claims[3], &[5]).await;
    assert_eq!(status(&world).await.parked, 4);
}

async fn namespaces_do_not_wait_for_each_other(world: World) {
    let (lease, claims) = running(&world, 1).await;
    let other = namespace("other");
    let store = world.store();
    store.submit(&other, vec![job("0"); 3]).await.unwrap();
    let others = world.claim(lease, 3).await;
    // Ids 2 and 3 are theirs, and unknown here.
    has_ended(&world, lease, &claims[0], &[2, 3]).await;
    world.submit_some(1).await;
    let mine = world.claim(lease, 1).await.remove(0);
    let here = wait(&world, lease, &claims[0], &[2]).await;
    // No cycle leads through two namespaces.
    let mut there = wait(&world, lease, &others[1], &[1]).await;
    world.finish(lease, &mine, completed("")).await;
    soon("mine ended", here).await.unwrap();
    parks(&world, lease, &others[0], &[3]).await;
    not_yet("theirs runs", &mut there).await;
    assert_eq!(status(&world).await.parked, 1);
    let status = store.status(&other).await.unwrap();
    assert_eq!((status.running, status.parked), (1, 2));
}

mod lost {
    use super::*;

    conformance!(
        Some(crate::support::SHORT_LEASE);
        a_parked_job_of_a_lost_host_is_queued_and_in_no_cycle,
        a_job_that_dies_with_its_host_is_waited_for_no_longer,
    );

    /// Reaps the silent host, while the other one stays.
    async fn reap(world: &World, stays: Lease) {
        eventually("the silent host's lease expires", async || {
            world.store().renew(stays).await.expect("the lease is held");
            world.store().reap().await.expect("reap") > 0
        })
        .await;
    }

    async fn a_parked_job_of_a_lost_host_is_queued_and_in_no_cycle(world: World) {
        world.submit_some(2).await;
        let (silent, stays) = (world.host().await, world.host().await);
        let lost = world.claim(silent, 1).await.remove(0);
        let claim = world.claim(stays, 1).await.remove(0);
        parks(&world, silent, &lost, &[2]).await;
        reap(&world, stays).await;
        let now = status(&world).await;
        assert_eq!((now.queued, now.running, now.parked), (1, 1, 0));
        assert_eq!(state(&world, 1).await, State::Queued);
        parks(&world, stays, &claim, &[1]).await;
    }

    async fn a_job_that_dies_with_its_host_is_waited_for_no_longer(world: World) {
        let once = NewJob {
            max_attempts: 1,
            ..job("poison")
        };
        world.submit(vec![once, job("1")]).await;
        let (silent, stays) = (world.host().await, world.host().await);
        world.claim(silent, 1).await;
        let claim = world.claim(stays, 1).await.remove(0);
        let waiting = wait(&world, stays, &claim, &[1]).await;
        reap(&world, stays).await;
        soon("it died", waiting).await.unwrap();
        assert_eq!(state(&world, 1).await, State::Failed);
    }
}
