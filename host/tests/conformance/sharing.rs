//! Who is next: the namespace that has used the least of the slots.

use skep::job::Usage;
use skep::store::{Claim, Completion, Lease, Verdict};

use crate::support::{World, completed, done, job, namespace, retry, trap};

conformance!(
    slots_are_shared_by_time_and_not_by_jobs,
    one_batch_is_split_by_what_its_jobs_use,
    idleness_saves_nothing,
    what_was_used_while_nobody_else_waited_is_not_held_against_one,
    a_newcomer_is_next_however_many_wait,
    every_end_of_an_attempt_costs_what_it_used,
    what_is_given_back_costs_nothing,
    a_burst_of_quick_jobs_after_slow_ones_does_not_hold_up_others,
    the_lowest_of_a_hundred_namespaces_get_their_claims,
    a_wish_for_no_job_and_an_empty_store_are_no_harm,
);

async fn submit(world: &World, name: &str, count: usize) {
    let jobs = vec![job("0"); count];
    let store = world.store();
    store.submit(&namespace(name), jobs).await.expect("submit");
}

/// The end of an attempt that ran for so long.
fn ran(claim: &Claim, verdict: Verdict, run_us: u64) -> Completion {
    Completion {
        usage: Usage {
            run_us,
            ..Usage::default()
        },
        ..done(claim, verdict)
    }
}

fn of(claims: &[Claim], name: &str) -> usize {
    let of = |claim: &&Claim| claim.token.namespace == namespace(name);
    claims.iter().filter(of).count()
}

/// Ends these, each with what a job of its namespace uses, and takes others.
async fn turn(
    world: &World,
    lease: Lease,
    claims: &[Claim],
    want: usize,
    cost: impl Fn(&str) -> u64,
) -> Vec<Claim> {
    let end = |claim: &Claim| {
        let run_us = cost(claim.token.namespace.as_str());
        ran(claim, completed(""), run_us)
    };
    let ends = claims.iter().map(end).collect();
    let cycle = world.cycle(lease, ends, want).await;
    assert_eq!(cycle.refused, []);
    cycle.claimed
}

/// Runs jobs to their ends until nothing is held.
async fn run_all(world: &World, lease: Lease, cost: impl Fn(&str) -> u64) {
    let mut claims = world.claim(lease, 1000).await;
    while !claims.is_empty() {
        claims = turn(world, lease, &claims, 1000, &cost).await;
    }
}

async fn slots_are_shared_by_time_and_not_by_jobs(world: World) {
    let lease = world.host().await;
    for want in [1, 11, 64] {
        let (slow, quick) = (format!("slow{want}"), format!("quick{want}"));
        let cost = |name: &str| match name.starts_with("slow") {
            true => 10_000,
            false => 1000,
        };
        submit(&world, &slow, 400).await;
        submit(&world, &quick, 4000).await;
        let (mut slows, mut quicks, mut claims) = (0, 0, Vec::new());
        while slows + quicks < 1500 {
            claims = turn(&world, lease, &claims, want, cost).await;
            assert_eq!(claims.len(), want);
            slows += of(&claims, &slow);
            quicks += of(&claims, &quick);
        }
        // What both have used differs by a job or two, and by a first batch that knew
        // nothing of either.
        let (slow_us, quick_us) = (slows * 10_000, quicks * 1000);
        let first = want * 10_000;
        assert!(
            slow_us.abs_diff(quick_us) <= first + 20_000,
            "{want} at once: {slows} slow jobs, {quicks} quick ones"
        );
        assert!(slows > 80 && quicks > 1000, "{slows}, {quicks}");
        turn(&world, lease, &claims, 0, cost).await;
        world.store().purge(&namespace(&slow)).await.unwrap();
        world.store().purge(&namespace(&quick)).await.unwrap();
    }
}

async fn one_batch_is_split_by_what_its_jobs_use(world: World) {
    let lease = world.host().await;
    let cost = |name: &str| if name == "a" { 10_000 } else { 100 };
    submit(&world, "a", 1).await;
    submit(&world, "b", 100).await;
    run_all(&world, lease, cost).await;
    // Both have used 10,000 µs.
    submit(&world, "a", 50).await;
    submit(&world, "b", 1000).await;
    let claims = world.claim(lease, 101).await;
    assert_eq!((of(&claims, "a"), of(&claims, "b")), (1, 100));
    // The next batch begins where this one stands, though nothing has ended.
    let claims = world.claim(lease, 505).await;
    assert_eq!((of(&claims, "a"), of(&claims, "b")), (5, 500));
}

async fn idleness_saves_nothing(world: World) {
    let lease = world.host().await;
    let cost = |_: &str| 1000;
    submit(&world, "idle", 1).await;
    run_all(&world, lease, cost).await;
    submit(&world, "busy", 200).await;
    let mut claims = Vec::new();
    for _ in 0..100 {
        claims = turn(&world, lease, &claims, 1, cost).await;
    }
    submit(&world, "idle", 100).await;
    let mut idle = 0;
    for n in 1..=40_usize {
        claims = turn(&world, lease, &claims, 1, cost).await;
        idle += of(&claims, "idle");
        assert!((2 * idle).abs_diff(n) <= 3, "{idle} of {n}");
    }
}

async fn what_was_used_while_nobody_else_waited_is_not_held_against_one(world: World) {
    let lease = world.host().await;
    let cost = |_: &str| 1000;
    // Nobody else is there, and nothing waits in between.
    for _ in 0..100 {
        submit(&world, "alone", 1).await;
        run_all(&world, lease, cost).await;
    }
    submit(&world, "new", 100).await;
    submit(&world, "alone", 100).await;
    let (mut claims, mut alone) = (Vec::new(), 0);
    for n in 1..=40_usize {
        claims = turn(&world, lease, &claims, 1, cost).await;
        alone += of(&claims, "alone");
        assert!((2 * alone).abs_diff(n) <= 3, "{alone} of {n}");
    }
}

async fn a_newcomer_is_next_however_many_wait(world: World) {
    let lease = world.host().await;
    submit(&world, "flood", 2000).await;
    let claims = world.claim(lease, 8).await;
    // Eight slow jobs are held, and their namespace is known to be slow.
    turn(&world, lease, &claims, 8, |_| 1_000_000).await;
    for _ in 0..5 {
        submit(&world, "canary", 1).await;
        let claims = world.claim(lease, 1).await;
        assert_eq!(of(&claims, "canary"), 1);
        turn(&world, lease, &claims, 0, |_| 1000).await;
    }
    submit(&world, "canary", 1).await;
    let claims = world.claim(lease, 8).await;
    assert_eq!((of(&claims, "canary"), of(&claims, "flood")), (1, 7));
}

async fn every_end_of_an_attempt_costs_what_it_used(world: World) {
    let lease = world.host().await;
    type End = fn() -> Verdict;
    let ends: [(&str, End); 4] = [
        ("completed", || completed("")),
        ("failed", || Verdict::Failed(trap())),
        ("retried", || retry(0)),
        ("stopped", || Verdict::Cancelled),
    ];
    for (name, _) in ends {
        submit(&world, name, 100).await;
    }
    let (mut claims, mut counts) = (Vec::new(), [0; 4]);
    for _ in 0..80 {
        let end = |claim: &Claim| {
            let name = claim.token.namespace.as_str();
            let (_, verdict) = ends.iter().find(|(other, _)| *other == name).unwrap();
            ran(claim, verdict(), 1000)
        };
        let done = claims.iter().map(end).collect();
        claims = world.cycle(lease, done, 1).await.claimed;
        for (count, (name, _)) in counts.iter_mut().zip(ends) {
            *count += of(&claims, name);
        }
    }
    // A retried job ends as failed after its last attempt, which costs as much.
    assert!(counts.iter().all(|n| (19..=21).contains(n)), "{counts:?}");
}

async fn what_is_given_back_costs_nothing(world: World) {
    let lease = world.host().await;
    submit(&world, "a", 10).await;
    submit(&world, "b", 10).await;
    let mut claims = world.claim(lease, 2).await;
    assert_eq!((of(&claims, "a"), of(&claims, "b")), (1, 1));
    claims.sort_by_key(|claim| claim.token.namespace.to_string());
    let back = Verdict::Release { delay_ms: 0 };
    let ends = vec![
        ran(&claims[0], completed(""), 1000),
        ran(&claims[1], back.clone(), 1000),
    ];
    let mut claims = world.cycle(lease, ends, 1).await.claimed;
    for _ in 0..5 {
        assert_eq!(of(&claims, "b"), 1);
        let ends = vec![ran(&claims[0], back.clone(), 1000)];
        claims = world.cycle(lease, ends, 1).await.claimed;
    }
}

async fn a_burst_of_quick_jobs_after_slow_ones_does_not_hold_up_others(world: World) {
    let lease = world.host().await;
    submit(&world, "flood", 1000).await;
    let claims = world.claim(lease, 8).await;
    let held = turn(&world, lease, &claims, 8, |_| 300_000_000).await;
    // It comes while eight more are thought to be slow.
    submit(&world, "canary", 1).await;
    let claims = world.claim(lease, 1).await;
    assert_eq!(of(&claims, "canary"), 1);
    turn(&world, lease, &claims, 0, |_| 1000).await;
    // They were quick: what was thought of them is forgotten.
    turn(&world, lease, &held, 0, |_| 10).await;
    submit(&world, "canary", 1).await;
    let mut before = 0;
    loop {
        let claims = world.claim(lease, 1).await;
        turn(&world, lease, &claims, 0, |_| 1000).await;
        if of(&claims, "canary") == 1 {
            break;
        }
        before += 1;
        assert!(before <= 2, "the canary used 1000 µs and waits for more");
    }
}

async fn the_lowest_of_a_hundred_namespaces_get_their_claims(world: World) {
    let lease = world.host().await;
    for n in 0..100 {
        submit(&world, &format!("n{n:02}"), 20).await;
    }
    let (mut counts, mut claims) = (vec![0; 100], Vec::new());
    for want in [7, 150, 1, 342, 500] {
        claims = turn(&world, lease, &claims, want, |_| 500).await;
        assert_eq!(claims.len(), want);
        for (n, count) in counts.iter_mut().enumerate() {
            *count += of(&claims, &format!("n{n:02}"));
        }
    }
    // Each had ten of the thousand; a batch is of 64 namespaces at once.
    let least = counts.iter().min().unwrap();
    assert!(*least >= 4, "{counts:?}");
    while !claims.is_empty() {
        claims = turn(&world, lease, &claims, 1000, |_| 500).await;
    }
}

async fn a_wish_for_no_job_and_an_empty_store_are_no_harm(world: World) {
    let lease = world.host().await;
    assert_eq!(world.claim(lease, 0).await.len(), 0);
    assert_eq!(world.claim(lease, 5).await.len(), 0);
    submit(&world, "a", 1).await;
    assert_eq!(world.claim(lease, 0).await.len(), 0);
    let claims = world.claim(lease, 5).await;
    assert_eq!(claims.len(), 1);
    // One that used nothing, and one that used more than there is.
    turn(&world, lease, &claims, 0, |_| 0).await;
    submit(&world, "a", 2).await;
    let claims = world.claim(lease, 1).await;
    turn(&world, lease, &claims, 0, |_| 1 << 60).await;
    submit(&world, "b", 1).await;
    assert_eq!(world.claim(lease, 5).await.len(), 2);
}

mod lost {
    use super::*;

    conformance!(
        Some(crate::support::SHORT_LEASE);
        what_a_lost_host_held_is_not_charged,
    );

    async fn what_a_lost_host_held_is_not_charged(world: World) {
        let lease = world.host().await;
        submit(&world, "a", 200).await;
        let claims = world.claim(lease, 100).await;
        assert_eq!(claims.len(), 100);
        world.reap(100).await;
        submit(&world, "b", 100).await;
        let lease = world.host().await;
        let claims = world.claim(lease, 50).await;
        assert_eq!((of(&claims, "a"), of(&claims, "b")), (25, 25));
    }
}
