//! Caps on how many jobs run at once: of a function, and of a namespace.

use std::num::NonZeroU32;

use skep::job::{Digest, JobId, NewJob, State};
use skep::store::{Cancelled, Claim, Lease, NewDeployment, Parked, Verdict};

use crate::holding::{MOVER, hold, ids_of, let_go, status};
use crate::support::{
    World, completed, done, eventually, ids, job, namespace, ns, retry, soon, trap,
};

conformance!(
    no_more_jobs_of_a_function_run_than_may,
    no_more_jobs_of_a_namespace_run_than_may,
    every_way_out_lets_the_next_one_in,
    what_a_cap_holds_up_lets_others_pass,
    what_a_cap_holds_up_keeps_its_order,
    low_priorities_do_not_starve_at_a_gate,
    a_job_of_several_functions_needs_a_place_in_each,
    a_job_without_functions_needs_a_place_in_all,
    a_parked_job_leaves_its_place_and_may_exceed_the_cap_when_it_goes_on,
    the_caps_of_a_namespace_are_its_own,
    a_cap_counts_what_ran_before_it,
    a_cap_that_is_widened_or_taken_away_lets_jobs_in,
    an_undeployed_function_has_no_cap,
    what_waits_at_a_gate_waits,
    what_waits_at_a_gate_can_be_moved,
    a_pause_holds_up_what_waits_at_a_gate,
    a_place_that_is_left_wakes_a_sleeping_host,
    caps_survive_a_crash,
    thousands_at_a_gate_hold_up_nobody_behind_them,
    a_full_namespace_keeps_its_share,
);

pub(crate) fn names(functions: &[&str]) -> NewJob {
    let functions = functions.iter().map(|name| name.parse().unwrap());
    NewJob {
        functions: functions.collect(),
        ..job("0")
    }
}

/// Deploys a function with a cap, or with none if it is 0.
pub(crate) async fn cap(world: &World, function: &str, cap: u32) {
    let new = NewDeployment {
        function: function.parse().unwrap(),
        component: Digest::of(b""),
        summary: String::new(),
        message_schema: None,
        limits: Default::default(),
        concurrency: NonZeroU32::new(cap),
    };
    world.store().deploy(&ns(), vec![new]).await.unwrap();
}

pub(crate) async fn limit(world: &World, limit: u32) {
    let limit = NonZeroU32::new(limit);
    world.store().set_concurrency(&ns(), limit).await.unwrap();
}

/// Lets one job run at once, by a cap of its function or of the namespace.
async fn one_at_a_time(world: &World, by_function: bool) {
    if by_function {
        cap(world, "f", 1).await;
    } else {
        cap(world, "f", 0).await;
        limit(world, 1).await;
    }
}

/// Parks a job until another one ends.
pub(crate) async fn park(world: &World, lease: Lease, claim: &Claim, awaited: u64) {
    let awaited = [JobId(awaited)];
    let parked = world.store().park(lease, &claim.token, &awaited);
    let parked = parked.await.unwrap();
    assert!(matches!(parked, Parked::Waiting(_)), "{parked:?}");
}

pub(crate) async fn goes_on(world: &World, lease: Lease, claim: &Claim) {
    world.store().unpark(lease, &claim.token).await.unwrap();
    eventually("it goes on", async || {
        world.job(claim.token.id.0).await.state == State::Running
    })
    .await;
}

const NONE: [u64; 0] = [];

async fn no_more_jobs_of_a_function_run_than_may(world: World) {
    cap(&world, "f", 2).await;
    world.submit_some(5).await;
    let (one, two) = (world.host().await, world.host().await);
    let claims = world.claim(one, 9).await;
    assert_eq!(ids(&claims), [1, 2]);
    assert_eq!(world.claim_ids(two, 9).await, NONE);
    let now = status(&world).await;
    assert_eq!((now.queued, now.running), (3, 2));
    let ends = vec![done(&claims[0], completed(""))];
    // On whichever host, and in the step that makes room as well.
    assert_eq!(ids(&world.cycle(one, ends, 9).await.claimed), [3]);
    assert_eq!(world.claim_ids(two, 9).await, NONE);
    world.finish(one, &claims[1], completed("")).await;
    assert_eq!(world.claim_ids(two, 9).await, [4]);
}

async fn no_more_jobs_of_a_namespace_run_than_may(world: World) {
    limit(&world, 2).await;
    assert_eq!(status(&world).await.concurrency, NonZeroU32::new(2));
    world.submit(vec![names(&["f"]), names(&["g"])]).await;
    world.submit_some(3).await;
    let (one, two) = (world.host().await, world.host().await);
    let claims = world.claim(one, 9).await;
    assert_eq!(ids(&claims), [1, 2]);
    assert_eq!(world.claim_ids(two, 9).await, NONE);
    let ends = vec![done(&claims[0], completed(""))];
    assert_eq!(ids(&world.cycle(one, ends, 9).await.claimed), [3]);
    world.finish(one, &claims[1], completed("")).await;
    assert_eq!(world.claim_ids(two, 1).await, [4]);
    assert_eq!(world.claim_ids(two, 9).await, NONE);
}

async fn every_way_out_lets_the_next_one_in(world: World) {
    let lease = world.host().await;
    let other = world.host().await;
    for by_function in [true, false] {
        one_at_a_time(&world, by_function).await;
        let verdicts = [
            completed(""),
            Verdict::Failed(trap()),
            Verdict::Cancelled,
            retry(3_600_000),
            Verdict::Release {
                delay_ms: 3_600_000,
            },
        ];
        for verdict in verdicts {
            let next = world.submit_some(2).await;
            let claim = world.claim(lease, 9).await.remove(0);
            assert_eq!(claim.token.id.0, next[0]);
            assert_eq!(world.claim_ids(other, 9).await, NONE);
            world.finish(lease, &claim, verdict).await;
            let claim = world.claim(other, 9).await.remove(0);
            assert_eq!(claim.token.id.0, next[1]);
            world.finish(other, &claim, completed("")).await;
        }
        // At once again: it is first in the queue, and the only one that may run.
        for verdict in [retry(0), Verdict::Release { delay_ms: 0 }] {
            let next = world.submit_some(2).await;
            let claim = world.claim(lease, 9).await.remove(0);
            world.finish(lease, &claim, verdict).await;
            let claim = world.claim(other, 9).await.remove(0);
            assert_eq!(claim.token.id.0, next[0]);
            world.finish(other, &claim, completed("")).await;
            let claim = world.claim(lease, 9).await.remove(0);
            assert_eq!(claim.token.id.0, next[1]);
            world.finish(lease, &claim, completed("")).await;
        }
        // A person takes it from its host.
        let next = world.submit_some(2).await;
        world.claim(lease, 9).await;
        assert_eq!(world.store().release(&ns()).await.unwrap(), 1);
        let claims = world.claim(other, 9).await;
        assert_eq!(ids(&claims), next[..1]);
        world.finish(other, &claims[0], completed("")).await;
        let claims = world.claim(other, 9).await;
        assert_eq!(ids(&claims), next[1..]);
        world.finish(other, &claims[0], completed("")).await;
    }
}

async fn what_a_cap_holds_up_lets_others_pass(world: World) {
    cap(&world, "f", 1).await;
    let jobs = ["f", "f", "g", "f", "g"].map(|name| names(&[name]));
    world.submit(jobs.to_vec()).await;
    let lease = world.host().await;
    let claims = world.claim(lease, 3).await;
    assert_eq!(ids(&claims), [1, 3, 5]);
    // Nobody's attempt was counted for having waited.
    assert_eq!(world.job(2).await.attempt, 0);
    world.finish(lease, &claims[1], completed("")).await;
    assert_eq!(world.claim_ids(lease, 9).await, NONE);
    world.finish(lease, &claims[0], completed("")).await;
    assert_eq!(world.claim_ids(lease, 9).await, [2]);
}

async fn what_a_cap_holds_up_keeps_its_order(world: World) {
    cap(&world, "f", 1).await;
    let of_priority = |priority: u8| crate::support::job_of_priority(priority);
    let lease = world.host().await;
    world.submit([2, 2, 1, 3].map(of_priority).to_vec()).await;
    let mut claims = world.claim(lease, 9).await;
    assert_eq!(ids(&claims), [3]);
    // One that comes later and is more urgent is before those that wait.
    world.submit([0, 2].map(of_priority).to_vec()).await;
    for expected in [5, 1, 2, 6, 4] {
        let ends = vec![done(&claims[0], completed(""))];
        claims = world.cycle(lease, ends, 9).await.claimed;
        assert_eq!(ids(&claims), [expected]);
    }
}

async fn low_priorities_do_not_starve_at_a_gate(world: World) {
    cap(&world, "f", 1).await;
    let lease = world.host().await;
    let mut jobs = vec![crate::support::job_of_priority(3)];
    jobs.extend(vec![crate::support::job_of_priority(0); 20]);
    world.submit(jobs).await;
    let mut ends = Vec::new();
    let mut taken = Vec::new();
    while !taken.contains(&1) {
        let claims = world.cycle(lease, ends, 9).await.claimed;
        taken.extend(ids(&claims));
        ends = vec![done(&claims[0], completed(""))];
        assert!(taken.len() <= 8, "{taken:?}");
    }
}

async fn a_job_of_several_functions_needs_a_place_in_each(world: World) {
    cap(&world, "f", 1).await;
    cap(&world, "g", 1).await;
    let jobs = [&["f"][..], &["g", "f", "g"], &["g"], &["h", "f"], &["h"]];
    world.submit(jobs.map(names).to_vec()).await;
    let lease = world.host().await;
    let claims = world.claim(lease, 9).await;
    assert_eq!(ids(&claims), [1, 3, 5]);
    world.finish(lease, &claims[1], completed("")).await;
    assert_eq!(world.claim_ids(lease, 9).await, NONE);
    world.finish(lease, &claims[0], completed("")).await;
    let claims = world.claim(lease, 9).await;
    assert_eq!(ids(&claims), [2]);
    world.finish(lease, &claims[0], completed("")).await;
    assert_eq!(world.claim_ids(lease, 9).await, [4]);
}

async fn a_job_without_functions_needs_a_place_in_all(world: World) {
    cap(&world, "f", 1).await;
    cap(&world, "g", 1).await;
    let jobs = [&[][..], &["f"], &[], &["g"], &["h"]];
    world.submit(jobs.map(names).to_vec()).await;
    let lease = world.host().await;
    let claims = world.claim(lease, 9).await;
    assert_eq!(ids(&claims), [1, 5]);
    world.finish(lease, &claims[0], completed("")).await;
    let claims = world.claim(lease, 9).await;
    assert_eq!(ids(&claims), [2, 4]);
    world.finish(lease, &claims[0], completed("")).await;
    assert_eq!(world.claim_ids(lease, 9).await, NONE);
    world.finish(lease, &claims[1], completed("")).await;
    assert_eq!(world.claim_ids(lease, 9).await, [3]);
}

async fn a_parked_job_leaves_its_place_and_may_exceed_the_cap_when_it_goes_on(world: World) {
    let lease = world.host().await;
    for by_function in [true, false] {
        one_at_a_time(&world, by_function).await;
        let next = world.submit_some(4).await;
        let parent = world.claim(lease, 9).await.remove(0);
        park(&world, lease, &parent, next[1]).await;
        let child = world.claim(lease, 9).await.remove(0);
        assert_eq!(child.token.id.0, next[1]);
        assert_eq!(world.claim_ids(lease, 9).await, NONE);
        goes_on(&world, lease, &parent).await;
        assert_eq!(status(&world).await.running, 2);
        // Two run where one may: the end of one makes no room, that of both does.
        world.finish(lease, &child, completed("")).await;
        assert_eq!(world.claim_ids(lease, 9).await, NONE);
        // It may be parked again, twice if it likes.
        park(&world, lease, &parent, next[3]).await;
        park(&world, lease, &parent, next[2]).await;
        let third = world.claim(lease, 9).await.remove(0);
        assert_eq!(third.token.id.0, next[2]);
        assert_eq!(world.claim_ids(lease, 9).await, NONE);
        // One that ends while it is parked has left its place before.
        world.finish(lease, &parent, completed("")).await;
        assert_eq!(world.claim_ids(lease, 9).await, NONE);
        world.finish(lease, &third, completed("")).await;
        let last = world.claim(lease, 9).await.remove(0);
        assert_eq!(last.token.id.0, next[3]);
        world.finish(lease, &last, completed("")).await;
    }
}

async fn the_caps_of_a_namespace_are_its_own(world: World) {
    cap(&world, "f", 1).await;
    limit(&world, 1).await;
    world.submit_some(2).await;
    let other = namespace("other");
    let store = world.store();
    store.submit(&other, vec![job("0"); 3]).await.unwrap();
    let lease = world.host().await;
    let claims = world.claim(lease, 9).await;
    let others = claims.iter().filter(|c| c.token.namespace == other);
    assert_eq!((claims.len(), others.count()), (4, 3));
    assert_eq!(store.status(&other).await.unwrap().concurrency, None);
}

async fn a_cap_counts_what_ran_before_it(world: World) {
    let lease = world.host().await;
    world.submit_some(4).await;
    let claims = world.claim(lease, 2).await;
    park(&world, lease, &claims[1], 4).await;
    cap(&world, "f", 1).await;
    assert_eq!(world.claim_ids(lease, 9).await, NONE);
    world.finish(lease, &claims[0], completed("")).await;
    let third = world.claim(lease, 9).await;
    assert_eq!(ids(&third), [3]);
    goes_on(&world, lease, &claims[1]).await;
    world.finish(lease, &third[0], completed("")).await;
    assert_eq!(world.claim_ids(lease, 9).await, NONE);
    world.finish(lease, &claims[1], completed("")).await;
    let last = world.claim(lease, 9).await;
    assert_eq!(ids(&last), [4]);
    world.submit_some(1).await;
    limit(&world, 1).await;
    assert_eq!(world.claim_ids(lease, 9).await, NONE);
    world.finish(lease, &last[0], completed("")).await;
    assert_eq!(world.claim_ids(lease, 9).await, [5]);
}

async fn a_cap_that_is_widened_or_taken_away_lets_jobs_in(world: World) {
    let lease = world.host().await;
    cap(&world, "f", 1).await;
    world.submit_some(9).await;
    assert_eq!(world.claim_ids(lease, 9).await, [1]);
    cap(&world, "f", 3).await;
    assert_eq!(world.claim_ids(lease, 9).await, [2, 3]);
    // A narrower one takes nothing from its host.
    cap(&world, "f", 2).await;
    limit(&world, 4).await;
    assert_eq!(world.claim_ids(lease, 9).await, NONE);
    cap(&world, "f", 0).await;
    assert_eq!(world.claim_ids(lease, 9).await, [4]);
    limit(&world, 5).await;
    assert_eq!(world.claim_ids(lease, 9).await, [5]);
    limit(&world, 0).await;
    assert_eq!(status(&world).await.concurrency, None);
    assert_eq!(world.claim_ids(lease, 9).await, [6, 7, 8, 9]);
}

async fn an_undeployed_function_has_no_cap(world: World) {
    let lease = world.host().await;
    cap(&world, "f", 1).await;
    world.submit_some(3).await;
    assert_eq!(world.claim_ids(lease, 9).await, [1]);
    assert_eq!(world.claim_ids(lease, 9).await, NONE);
    let gone = ["f".parse().unwrap()];
    assert_eq!(world.store().undeploy(&ns(), &gone).await.unwrap(), 1);
    // They end as those do that name a function that nobody serves.
    assert_eq!(world.claim_ids(lease, 9).await, [2, 3]);
}

async fn what_waits_at_a_gate_waits(world: World) {
    let lease = world.host().await;
    cap(&world, "f", 1).await;
    world.submit_some(6).await;
    let first = world.claim(lease, 9).await.remove(0);
    let now = status(&world).await;
    assert_eq!((now.queued, now.running, now.waiting()), (5, 1, 5));
    assert_eq!(world.job(3).await.state, State::Queued);
    let cancelled = world.store().cancel(&ns(), JobId(2)).await.unwrap();
    assert_eq!(cancelled, Cancelled::Done);
    assert_eq!(world.job(2).await.state, State::Cancelled);
    assert_eq!(status(&world).await.queued, 4);
    world.finish(lease, &first, completed("")).await;
    let third = world.claim(lease, 9).await;
    assert_eq!(ids(&third), [3]);
    assert_eq!(world.store().purge(&ns()).await.unwrap(), 3);
    assert_eq!(world.store().job(&ns(), JobId(4)).await.unwrap(), None);
    world.finish(lease, &third[0], completed("")).await;
    assert_eq!(world.claim_ids(lease, 9).await, NONE);
    assert_eq!(world.submit_some(1).await, [7]);
    assert_eq!(world.claim_ids(lease, 9).await, [7]);
}

async fn what_waits_at_a_gate_can_be_moved(world: World) {
    let lease = world.host().await;
    cap(&world, "f", 1).await;
    world.submit_some(5).await;
    let first = world.claim(lease, 9).await.remove(0);
    let peeked = world.store().peek(&ns(), JobId(0), 9).await.unwrap();
    assert_eq!(ids_of(&peeked), [2, 3, 4, 5]);
    assert_eq!(ids_of(&hold(&world, MOVER, 2).await), [2, 3]);
    world.finish(lease, &first, completed("")).await;
    let next = world.claim(lease, 9).await;
    assert_eq!(ids(&next), [4]);
    assert_eq!(let_go(&world, MOVER, &[2]).await, 1);
    assert_eq!(world.store().release(&ns()).await.unwrap(), 2);
    let third = world.claim(lease, 9).await;
    assert_eq!(ids(&third), [3]);
    world.finish(lease, &third[0], completed("")).await;
    assert_eq!(world.claim_ids(lease, 9).await, [4]);
}

async fn a_pause_holds_up_what_waits_at_a_gate(world: World) {
    let lease = world.host().await;
    cap(&world, "f", 1).await;
    world.submit_some(3).await;
    let first = world.claim(lease, 9).await.remove(0);
    world.store().pause(&ns(), true).await.unwrap();
    world.finish(lease, &first, completed("")).await;
    cap(&world, "f", 2).await;
    limit(&world, 2).await;
    assert_eq!(world.claim_ids(lease, 9).await, NONE);
    world.store().pause(&ns(), false).await.unwrap();
    assert_eq!(world.claim_ids(lease, 9).await, [2, 3]);
}

async fn a_place_that_is_left_wakes_a_sleeping_host(world: World) {
    let (busy, sleeps) = (world.host().await, world.host().await);
    for by_function in [true, false] {
        one_at_a_time(&world, by_function).await;
        let next = world.submit_some(4).await;
        let woken = async |expected: u64| {
            let claim = soon("a place is left", async {
                loop {
                    world.store().wake(sleeps, 1).await.unwrap();
                    if let Some(claim) = world.claim(sleeps, 9).await.pop() {
                        return claim;
                    }
                }
            });
            let claim = claim.await;
            assert_eq!(claim.token.id.0, expected);
            claim
        };
        let first = world.claim(busy, 9).await.remove(0);
        assert_eq!(world.claim_ids(sleeps, 9).await, NONE);
        // `join!` polls in order: the host is asleep before the place is left.
        let (second, ()) = tokio::join!(woken(next[1]), async {
            park(&world, busy, &first, next[3]).await;
        });
        assert_eq!(world.claim_ids(sleeps, 9).await, NONE);
        let (third, ()) = tokio::join!(woken(next[2]), async {
            world.finish(sleeps, &second, completed("")).await;
        });
        let (fourth, ()) = tokio::join!(woken(next[3]), async {
            if by_function {
                cap(&world, "f", 2).await;
            } else {
                limit(&world, 2).await;
            }
        });
        for claim in [third, fourth] {
            world.finish(sleeps, &claim, completed("")).await;
        }
        world.finish(busy, &first, completed("")).await;
    }
}

async fn caps_survive_a_crash(mut world: World) {
    cap(&world, "f", 1).await;
    limit(&world, 3).await;
    world.submit_some(3).await;
    let jobs = vec![names(&["g"]); 3];
    world.submit(jobs).await;
    let lease = world.host().await;
    assert_eq!(world.claim_ids(lease, 9).await, [1, 4, 5]);
    world.crash().await;
    assert_eq!(status(&world).await.concurrency, NonZeroU32::new(3));
    assert_eq!(status(&world).await.queued, 6);
    let lease = world.host().await;
    let claims = world.claim(lease, 9).await;
    assert_eq!(ids(&claims), [1, 4, 5]);
    world.finish(lease, &claims[0], completed("")).await;
    assert_eq!(world.claim_ids(lease, 9).await, [2]);
}

async fn thousands_at_a_gate_hold_up_nobody_behind_them(world: World) {
    cap(&world, "f", 1).await;
    world.submit_some(3000).await;
    world.submit(vec![names(&["g"])]).await;
    let other = namespace("other");
    let store = world.store();
    store.submit(&other, vec![job("0")]).await.unwrap();
    let lease = world.host().await;
    // The other namespace's job comes at once; each look then passes some hundreds.
    let mut taken = world.claim(lease, 100).await;
    assert!(taken.iter().any(|claim| claim.token.namespace == other));
    let mut looks = 1;
    while taken.len() < 3 {
        taken.extend(world.claim(lease, 100).await);
        looks += 1;
        assert!(looks <= 8, "{:?}", ids(&taken));
    }
    assert_eq!(ids(&taken).iter().max(), Some(&3001));
    assert_eq!(status(&world).await.queued, 2999);
    let mut ends = vec![done(&taken[0], completed(""))];
    let first = taken.iter().find(|claim| claim.token.id.0 == 1);
    for next in 2..20 {
        if next == 2 {
            ends = vec![done(first.unwrap(), completed(""))];
        }
        let claims = world.cycle(lease, ends, 100).await.claimed;
        assert_eq!(ids(&claims), [next]);
        ends = vec![done(&claims[0], completed(""))];
    }
    cap(&world, "f", 0).await;
    let rest = world.cycle(lease, ends, 5000).await.claimed;
    assert_eq!(ids(&rest), (20..=3000).collect::<Vec<_>>());
}

async fn a_full_namespace_keeps_its_share(world: World) {
    limit(&world, 1).await;
    world.submit_some(50).await;
    let other = namespace("other");
    let store = world.store();
    store.submit(&other, vec![job("0"); 500]).await.unwrap();
    let lease = world.host().await;
    let mut ends = Vec::new();
    let mut mine = 0;
    for _ in 0..20 {
        let claims = world.cycle(lease, ends, 4).await.claimed;
        assert_eq!(claims.len(), 4);
        mine += claims.iter().filter(|c| c.token.namespace == ns()).count();
        let end = |claim: &Claim| done(claim, completed(""));
        ends = claims.iter().map(end).collect();
    }
    // Its cap allows one of four, and its share would be two.
    assert_eq!(mine, 20);
}

mod lost {
    use super::*;

    conformance!(
        Some(crate::support::SHORT_LEASE);
        the_places_of_a_lost_host_are_left,
    );

    async fn the_places_of_a_lost_host_are_left(world: World) {
        cap(&world, "f", 2).await;
        limit(&world, 3).await;
        let jobs = ["f", "f", "f", "g", "g"].map(|name| names(&[name]));
        world.submit(jobs.to_vec()).await;
        let lease = world.host().await;
        let claims = world.claim(lease, 9).await;
        assert_eq!(ids(&claims), [1, 2, 4]);
        park(&world, lease, &claims[0], 5).await;
        world.reap(3).await;
        let lease = world.host().await;
        assert_eq!(world.claim_ids(lease, 9).await, [1, 2, 4]);
        assert_eq!(world.claim_ids(lease, 9).await, NONE);
    }
}
