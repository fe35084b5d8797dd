//! Jobs that come between the steps of a host that wanted more than there were: each is taken
//! once, and no more are than were wanted.

use std::sync::Arc;
use std::time::Duration;

use skep::job::{JobId, State};
use skep::store::{Cancelled, Claim, Cycle, Lease, Step, StoreError, Verdict};

use crate::support::{World, completed, done, eventually, ids, ns, soon};

conformance!(
    what_comes_is_given_to_a_host_that_stands,
    a_gift_comes_again_until_the_host_has_it,
    a_step_made_before_a_gift_does_not_want_too_much,
    a_host_that_does_not_stand_is_given_nothing,
    a_host_that_stops_is_told_what_it_was_given,
    a_gift_that_is_cancelled_is_told_before_the_wish,
);

mod lost {
    use super::*;

    conformance!(Some(crate::support::SHORT_LEASE); the_gifts_of_a_silent_host_go_to_others);

    async fn the_gifts_of_a_silent_host_go_to_others(world: World) {
        let silent = world.host().await;
        stand(&world, silent, 1, 0).await;
        world.submit_some(1).await;
        world.reap(1).await;
        let fresh = world.host().await;
        let again = world.claim(fresh, 1).await.remove(0);
        assert_eq!(again.token.attempt, 2);
        eventually("its lease is lost", async || {
            let late = world.store().given(silent, 0).await;
            matches!(late, Err(StoreError::LeaseLost))
        })
        .await;
        world.finish(fresh, &again, completed("once")).await;
    }
}

/// A host's next step, which says how many gifts it has.
async fn step(world: &World, lease: Lease, want: usize, stands: bool, had: u64) -> Cycle {
    let plain = world.step(lease, vec![], want);
    let step = Step {
        stands,
        had,
        ..Step::clone(&plain)
    };
    let cycle = world.store().cycle(lease, Arc::new(step)).await;
    cycle.expect("cycle")
}

/// A step that lets jobs be given.
async fn stand(world: &World, lease: Lease, want: usize, had: u64) -> Cycle {
    step(world, lease, want, true, had).await
}

/// What is given to a host that has the first `had`.
async fn given(world: &World, lease: Lease, had: u64) -> Vec<Claim> {
    let given = soon("jobs are given", world.store().given(lease, had)).await;
    given.expect("given").beyond(had).collect()
}

/// Whether nothing more is given to a host for a moment.
async fn has_all(world: &World, lease: Lease, had: u64) -> bool {
    let more = world.store().given(lease, had);
    let more = tokio::time::timeout(Duration::from_millis(50), more).await;
    more.is_err()
}

async fn what_comes_is_given_to_a_host_that_stands(world: World) {
    let host = world.host().await;
    assert_eq!(ids(&stand(&world, host, 3, 0).await.claimed), [0; 0]);
    world.submit_some(5).await;
    let held = given(&world, host, 0).await;
    assert_eq!(ids(&held), [1, 2, 3]);
    assert_eq!(world.job(1).await.state, State::Running);
    assert_eq!(ids(&stand(&world, host, 0, 3).await.claimed), [0; 0]);
    assert!(held.iter().all(|claim| claim.token.attempt == 1));
    let status = world.store().status(&ns()).await.expect("status");
    assert_eq!((status.running, status.queued), (3, 2));
    for claim in &held {
        world.finish(host, claim, completed("done")).await;
    }
    assert_eq!(world.job(3).await.state, State::Completed);
}

async fn a_gift_comes_again_until_the_host_has_it(world: World) {
    let host = world.host().await;
    stand(&world, host, 2, 0).await;
    world.submit_some(2).await;
    for _ in 0..2 {
        assert_eq!(ids(&given(&world, host, 0).await), [1, 2]);
    }
    let asks = Step {
        stands: true,
        ..Step::clone(&world.step(host, vec![], 0))
    };
    for _ in 0..2 {
        let cycle = world.store().cycle(host, Arc::new(asks.clone())).await;
        let again: Vec<_> = cycle.expect("cycle").given.beyond(0).collect();
        assert_eq!(ids(&again), [1, 2]);
    }
    assert!(has_all(&world, host, 2).await);
    let cycle = stand(&world, host, 2, 2).await;
    assert_eq!(cycle.given.beyond(2).count() + cycle.claimed.len(), 0);
}

async fn a_step_made_before_a_gift_does_not_want_too_much(world: World) {
    let host = world.host().await;
    stand(&world, host, 2, 0).await;
    world.submit_some(1).await;
    let mut held = given(&world, host, 0).await;
    assert!(has_all(&world, host, 1).await);
    world.submit_some(2).await;
    // It knew of no gift when it said how many it wanted.
    let cycle = stand(&world, host, 2, 0).await;
    held.extend(cycle.given.beyond(1));
    assert_eq!((ids(&held), cycle.claimed.len()), (vec![1, 2], 0));
    let other = world.host().await;
    assert_eq!(world.claim_ids(other, 9).await, [3]);
}

async fn a_host_that_does_not_stand_is_given_nothing(world: World) {
    let host = world.host().await;
    stand(&world, host, 2, 0).await;
    step(&world, host, 2, false, 0).await;
    world.submit_some(2).await;
    assert!(has_all(&world, host, 0).await);
    let other = world.host().await;
    assert_eq!(world.claim_ids(other, 9).await, [1, 2]);
}

async fn a_host_that_stops_is_told_what_it_was_given(world: World) {
    let host = world.host().await;
    stand(&world, host, 2, 0).await;
    world.submit_some(2).await;
    let last = step(&world, host, 0, false, 0).await;
    let given: Vec<_> = last.given.beyond(0).collect();
    assert_eq!(ids(&given), [1, 2]);
    let back = |claim| done(claim, Verdict::Release { delay_ms: 0 });
    let back = given.iter().map(back).collect();
    assert_eq!(world.cycle(host, back, 0).await.refused, []);
    let other = world.host().await;
    let claims = world.claim(other, 9).await;
    assert_eq!(ids(&claims), [1, 2]);
    assert!(claims.iter().all(|claim| claim.token.attempt == 1));
}

async fn a_gift_that_is_cancelled_is_told_before_the_wish(world: World) {
    let host = world.host().await;
    stand(&world, host, 1, 0).await;
    world.submit_some(1).await;
    let cancelled = world.store().cancel(&ns(), JobId(1)).await.expect("cancel");
    assert_eq!(cancelled, Cancelled::Requested);
    let store = world.store();
    eventually("the host is to look", async || {
        store.wake(host, 0).await.is_ok()
    })
    .await;
    let cycle = stand(&world, host, 0, 0).await;
    let given: Vec<_> = cycle.given.beyond(0).collect();
    assert_eq!(cycle.cancelled, [given[0].token.clone()]);
    world.finish(host, &given[0], Verdict::Cancelled).await;
    assert_eq!(world.job(1).await.state, State::Cancelled);
}
