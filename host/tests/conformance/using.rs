//! What attempts used, and the limits that held, on the record.

use skep::job::{Cause, CauseKind, JobId, Limits, NewJob, Usage};
use skep::store::{Claim, Completion, Verdict};

use crate::holding::{MOVER, hold};
use crate::support::{World, completed, done, job, ns, retry};

conformance!(
    what_each_attempt_used_and_its_limits_are_on_the_record,
    what_a_result_takes_is_said_of_the_attempt_that_gave_it,
    what_earlier_attempts_stored_is_told_with_the_next_claim,
    what_attempts_used_goes_along_to_another_store,
    an_attempt_that_was_not_reported_on_had_no_limits,
);

const USAGE: Usage = Usage {
    fuel: 1_000,
    peak_memory_bytes: 65_536,
    run_us: 12_345,
    result_bytes: 0,
    short_result_bytes: 0,
    log_bytes: 77,
    posts: 3,
    stored_bytes: 4_000_000_000,
    fetched_bytes: 5,
    host_calls: 1_000_000,
    parked_ms: 86_400_000,
    new_data_bytes: 4_000,
    inferences: 6,
    inference_us: 7_000,
    inference_wait_us: 8_000,
};

fn narrow() -> Limits {
    Limits {
        fuel: 5_000,
        posts: 3,
        tree_depth: 0,
        ..Limits::default()
    }
}

fn end(claim: &Claim, verdict: Verdict, usage: Usage, limits: Limits) -> Completion {
    Completion {
        usage,
        limits: Some(limits),
        ..done(claim, verdict)
    }
}

async fn what_each_attempt_used_and_its_limits_are_on_the_record(mut world: World) {
    let asked = NewJob {
        limits: "fuel=5000,posts=3".parse().unwrap(),
        ..job("0")
    };
    world.submit(vec![asked.clone()]).await;
    let lease = world.host().await;
    let claim = world.claim(lease, 1).await.remove(0);
    let first = end(&claim, retry(0), USAGE, narrow());
    let again = world.cycle(lease, vec![first], 1).await.claimed.remove(0);
    let running = world.job(1).await;
    assert_eq!(running.limits, asked.limits);
    assert_eq!(running.attempts[0].usage, USAGE);
    assert_eq!(running.attempts[0].limits, Some(narrow()));
    assert_eq!(running.attempts[1].limits, None, "it runs");
    let second = Usage { posts: 0, ..USAGE };
    let failed = Verdict::Failed(Cause::new(CauseKind::Failed, "no"));
    let second = end(&again, failed, second, Limits::default());
    world.cycle(lease, vec![second.clone()], 0).await;
    world.crash().await;
    let record = world.job(1).await;
    assert_eq!(record.limits, asked.limits);
    let told: Vec<_> = (record.attempts.iter())
        .map(|attempt| (attempt.usage, attempt.limits.unwrap()))
        .collect();
    let expected = [(USAGE, narrow()), (second.usage, Limits::default())];
    assert_eq!(told, expected);
}

async fn what_a_result_takes_is_said_of_the_attempt_that_gave_it(world: World) {
    world.submit_some(1).await;
    let lease = world.host().await;
    let claim = world.claim(lease, 1).await.remove(0);
    world.finish(lease, &claim, retry(0)).await;
    let claim = world.claim(lease, 1).await.remove(0);
    world.finish(lease, &claim, completed("seven.")).await;
    let record = world.job(1).await;
    let sizes = |n: usize| {
        let usage = record.attempts[n].usage;
        (usage.result_bytes, usage.short_result_bytes)
    };
    assert_eq!((sizes(0), sizes(1)), ((0, 0), (6, 12)));
}

async fn what_earlier_attempts_stored_is_told_with_the_next_claim(mut world: World) {
    world.submit_some(1).await;
    let lease = world.host().await;
    let claim = world.claim(lease, 1).await.remove(0);
    assert_eq!(claim.data_bytes, 0);
    let first = end(&claim, retry(0), USAGE, narrow());
    let again = world.cycle(lease, vec![first], 1).await.claimed.remove(0);
    assert_eq!((again.token.attempt, again.data_bytes), (2, 4_000));
    let second = end(&again, retry(0), USAGE, narrow());
    world.cycle(lease, vec![second], 0).await;
    world.crash().await;
    let lease = world.host().await;
    let again = world.claim(lease, 1).await.remove(0);
    assert_eq!((again.token.attempt, again.data_bytes), (3, 8_000));
}

async fn what_attempts_used_goes_along_to_another_store(world: World) {
    let there = world.fresh().await;
    world.submit_some(1).await;
    let lease = world.host().await;
    let claim = world.claim(lease, 1).await.remove(0);
    let first = end(&claim, retry(0), USAGE, narrow());
    world.cycle(lease, vec![first], 0).await;
    let held = hold(&world, MOVER, 1).await;
    let delivered = there.store().deliver(&ns(), held).await;
    assert_eq!(delivered.unwrap(), [JobId(1)]);
    let attempt = there.job(1).await.attempts.remove(0);
    assert_eq!((attempt.usage, attempt.limits), (USAGE, Some(narrow())));
    let lease = there.host().await;
    let claim = there.claim(lease, 1).await.remove(0);
    assert_eq!((claim.token.attempt, claim.data_bytes), (2, 4_000));
}

async fn an_attempt_that_was_not_reported_on_had_no_limits(world: World) {
    world.submit_some(1).await;
    let lease = world.host().await;
    world.claim(lease, 1).await;
    assert_eq!(world.store().release(&ns()).await.unwrap(), 1);
    let record = world.store().job(&ns(), JobId(1)).await.unwrap().unwrap();
    let attempt = &record.attempts[0];
    assert_eq!((attempt.usage, attempt.limits), (Usage::default(), None));
}
