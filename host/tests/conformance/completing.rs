//! Ends of attempts, and which of them count.

use skep::job::{Cause, CauseKind, Digest, JobId, LogLevel, LogLine, State};
use skep::store::{Completion, Outcome, Verdict};

use crate::support::{World, completed, done, ids, namespace, ns, output, soon, trap};

conformance!(
    a_completed_job_has_its_output_and_record,
    a_failed_job_is_in_the_dead_letter_with_its_cause,
    a_cancelled_verdict_ends_the_job,
    a_completion_counts_once,
    a_completion_of_another_host_is_refused,
    a_completion_of_another_attempt_is_refused,
    a_completion_of_an_unknown_job_is_refused,
    one_refused_completion_leaves_the_others,
    a_released_job_is_first_again_and_keeps_its_attempt,
    a_released_job_stays_released_after_a_crash,
    the_log_of_the_attempt_is_kept,
    an_empty_result_is_a_result,
    a_cycle_completes_and_claims_at_once,
    a_repeated_step_is_answered_as_it_was,
    an_old_step_does_nothing,
    a_job_released_for_a_while_waits_as_long_and_keeps_its_log,
);

async fn a_completed_job_has_its_output_and_record(mut world: World) {
    world.submit_some(1).await;
    let lease = world.host().await;
    let claim = world.claim(lease, 1).await.remove(0);
    let outcome = world.store().outcome(&ns(), JobId(1)).await.unwrap();
    assert_eq!(outcome, Outcome::Open);
    world.finish(lease, &claim, completed("42")).await;
    for _ in 0..2 {
        let record = world.job(1).await;
        assert_eq!((record.state, record.attempt), (State::Completed, 1));
        assert_eq!(record.short_result.as_deref(), Some("short 42"));
        assert_eq!(record.result_content_type.as_deref(), Some("text/plain"));
        assert_eq!((record.result_bytes, record.cause.clone()), (Some(2), None));
        assert_eq!(record.ended_at_ms, Some(claim.claimed_at_ms + 5));
        let attempt = &record.attempts[0];
        assert_eq!((attempt.number, attempt.cause.clone()), (1, None));
        assert_eq!((attempt.usage.fuel, attempt.usage.run_us), (7, 11));
        assert_eq!(attempt.components, [Digest::of(b"component")]);
        let outcome = world.store().outcome(&ns(), JobId(1)).await.unwrap();
        assert_eq!(outcome, Outcome::Completed(output("42")));
        world.crash().await;
    }
}

async fn a_failed_job_is_in_the_dead_letter_with_its_cause(mut world: World) {
    world.submit_some(1).await;
    let lease = world.host().await;
    let claim = world.claim(lease, 1).await.remove(0);
    world.finish(lease, &claim, Verdict::Failed(trap())).await;
    world.crash().await;
    let record = world.job(1).await;
    assert_eq!((record.state, record.cause), (State::Failed, Some(trap())));
    assert_eq!(record.attempts[0].cause, Some(trap()));
    let outcome = world.store().outcome(&ns(), JobId(1)).await.unwrap();
    assert_eq!(outcome, Outcome::Failed(trap()));
    let lease = world.host().await;
    assert_eq!(world.claim_ids(lease, 1).await, [0; 0]);
}

async fn a_cancelled_verdict_ends_the_job(world: World) {
    world.submit_some(1).await;
    let lease = world.host().await;
    let claim = world.claim(lease, 1).await.remove(0);
    world.finish(lease, &claim, Verdict::Cancelled).await;
    assert_eq!(world.job(1).await.state, State::Cancelled);
}

async fn a_completion_counts_once(world: World) {
    world.submit_some(1).await;
    let lease = world.host().await;
    let claim = world.claim(lease, 1).await.remove(0);
    let twice = vec![
        done(&claim, completed("first")),
        done(&claim, completed("second")),
    ];
    let cycle = world.cycle(lease, twice, 0).await;
    assert_eq!(cycle.refused, [claim.token.clone()]);
    let again = world
        .cycle(lease, vec![done(&claim, Verdict::Failed(trap()))], 0)
        .await;
    assert_eq!(again.refused, [claim.token]);
    let outcome = world.store().outcome(&ns(), JobId(1)).await.unwrap();
    assert_eq!(outcome, Outcome::Completed(output("first")));
}

async fn a_completion_of_another_host_is_refused(world: World) {
    world.submit_some(1).await;
    let (holder, other) = (world.host().await, world.host().await);
    let claim = world.claim(holder, 1).await.remove(0);
    let cycle = world
        .cycle(other, vec![done(&claim, completed("stolen"))], 0)
        .await;
    assert_eq!(cycle.refused, [claim.token.clone()]);
    assert_eq!(world.job(1).await.state, State::Running);
    world.finish(holder, &claim, completed("mine")).await;
}

async fn a_completion_of_another_attempt_is_refused(world: World) {
    world.submit_some(1).await;
    let lease = world.host().await;
    let claim = world.claim(lease, 1).await.remove(0);
    let mut other = done(&claim, completed("late"));
    other.token.attempt = 2;
    let cycle = world.cycle(lease, vec![other.clone()], 0).await;
    assert_eq!(cycle.refused, [other.token]);
}

async fn a_completion_of_an_unknown_job_is_refused(world: World) {
    world.submit_some(1).await;
    let lease = world.host().await;
    let claim = world.claim(lease, 1).await.remove(0);
    let with = |change: fn(&mut Completion)| {
        let mut completion = done(&claim, completed("x"));
        change(&mut completion);
        completion
    };
    let unknown = vec![
        with(|c| c.token.id = JobId(99)),
        with(|c| c.token.id = JobId(u64::MAX)),
        with(|c| c.token.namespace = namespace("nowhere")),
    ];
    assert_eq!(world.cycle(lease, unknown, 0).await.refused.len(), 3);
}

async fn one_refused_completion_leaves_the_others(world: World) {
    world.submit_some(3).await;
    let lease = world.host().await;
    let claims = world.claim(lease, 3).await;
    world.finish(lease, &claims[1], completed("")).await;
    let all = claims
        .iter()
        .map(|claim| done(claim, completed("")))
        .collect();
    assert_eq!(
        world.cycle(lease, all, 0).await.refused,
        [claims[1].token.clone()]
    );
    for id in 1..=3 {
        assert_eq!(world.job(id).await.state, State::Completed);
    }
}

async fn a_released_job_is_first_again_and_keeps_its_attempt(world: World) {
    world.submit_some(3).await;
    let lease = world.host().await;
    let claims = world.claim(lease, 2).await;
    let released = claims
        .iter()
        .map(|claim| done(claim, Verdict::Release { delay_ms: 0 }))
        .collect();
    world.cycle(lease, released, 0).await;
    let record = world.job(1).await;
    assert_eq!(
        (record.state, record.attempt, record.attempts.len()),
        (State::Queued, 0, 0)
    );
    assert_eq!(world.store().status(&ns()).await.unwrap().waiting(), 3);
    let again = world.claim(lease, 3).await;
    assert_eq!(ids(&again), [1, 2, 3]);
    assert_eq!(again[0].token.attempt, 1);
    world.finish(lease, &again[0], completed("")).await;
}

async fn a_released_job_stays_released_after_a_crash(mut world: World) {
    world.submit_some(2).await;
    let lease = world.host().await;
    let claims = world.claim(lease, 2).await;
    world
        .finish(lease, &claims[0], Verdict::Release { delay_ms: 0 })
        .await;
    world.crash().await;
    assert_eq!(world.job(1).await.attempts, []);
    assert_eq!(world.job(2).await.attempts.len(), 1);
}

async fn the_log_of_the_attempt_is_kept(mut world: World) {
    world.submit_some(1).await;
    let lease = world.host().await;
    let claim = world.claim(lease, 1).await.remove(0);
    let line = |text: &str| LogLine {
        at_ms: 5,
        level: LogLevel::Warn,
        text: text.into(),
    };
    let cause = Cause::new(CauseKind::TimedOut, "too slow");
    let mut first = done(&claim, Verdict::Retry { cause, delay_ms: 0 });
    first.log = vec![line("one"), line("two")];
    world.cycle(lease, vec![first], 0).await;
    assert_eq!(
        world.store().log(&ns(), JobId(1)).await.unwrap().lines,
        [line("one"), line("two")]
    );
    let claim = world.claim(lease, 1).await.remove(0);
    let mut second = done(&claim, completed(""));
    second.log = vec![line("three")];
    world.cycle(lease, vec![second], 0).await;
    world.crash().await;
    assert_eq!(
        world.store().log(&ns(), JobId(1)).await.unwrap().lines,
        [line("three")]
    );
    assert_eq!(world.store().log(&ns(), JobId(2)).await.unwrap().lines, []);
}

async fn an_empty_result_is_a_result(world: World) {
    world.submit_some(1).await;
    let lease = world.host().await;
    let claim = world.claim(lease, 1).await.remove(0);
    world.finish(lease, &claim, completed("")).await;
    let outcome = world.store().outcome(&ns(), JobId(1)).await.unwrap();
    assert_eq!(outcome, Outcome::Completed(output("")));
}

async fn a_cycle_completes_and_claims_at_once(world: World) {
    world.submit_some(3).await;
    let lease = world.host().await;
    let first = world.claim(lease, 1).await.remove(0);
    let cycle = world
        .cycle(lease, vec![done(&first, completed(""))], 1)
        .await;
    assert_eq!((ids(&cycle.claimed), cycle.refused.len()), (vec![2], 0));
}

async fn a_repeated_step_is_answered_as_it_was(world: World) {
    world.submit_some(4).await;
    let lease = world.host().await;
    let held = world.claim(lease, 2).await;
    let other = world.host().await;
    let foreign = world.claim(other, 1).await.remove(0);
    let ends = [&held[0], &foreign].map(|claim| done(claim, completed("")));
    let step = world.step(lease, ends.to_vec(), 5);
    let first = world.store().cycle(lease, step.clone()).await.unwrap();
    assert_eq!(ids(&first.claimed), [4]);
    for _ in 0..3 {
        let again = world.store().cycle(lease, step.clone()).await.unwrap();
        assert_eq!(again.refused, [foreign.token.clone()]);
        assert_eq!(ids(&again.claimed), [4]);
        assert_eq!(again.claimed[0].token, first.claimed[0].token);
        assert_eq!(again.claimed[0].job, first.claimed[0].job);
    }
    assert_eq!(world.job(1).await.attempts.len(), 1);
    world.finish(lease, &first.claimed[0], completed("")).await;
}

async fn an_old_step_does_nothing(world: World) {
    world.submit_some(3).await;
    let lease = world.host().await;
    let old = world.step(lease, vec![], 1);
    let new = world.step(lease, vec![], 1);
    assert_eq!(
        ids(&world.store().cycle(lease, new).await.unwrap().claimed),
        [1]
    );
    let answer = world.store().cycle(lease, old).await.unwrap();
    assert_eq!(ids(&answer.claimed), [0; 0]);
    assert_eq!(world.claim_ids(lease, 9).await, [2, 3]);
}

async fn a_job_released_for_a_while_waits_as_long_and_keeps_its_log(world: World) {
    world.submit_some(1).await;
    let lease = world.host().await;
    let claim = world.claim(lease, 1).await.remove(0);
    let line = LogLine {
        at_ms: 7,
        level: LogLevel::Warn,
        text: "cannot compile it".into(),
    };
    let release = Verdict::Release { delay_ms: 100 };
    let end = Completion {
        log: vec![line.clone()],
        ..done(&claim, release)
    };
    world.cycle(lease, vec![end], 1).await;
    let record = world.job(1).await;
    assert_eq!((record.state, record.attempt), (State::Scheduled, 0));
    assert_eq!(
        world.store().log(&ns(), JobId(1)).await.unwrap().lines,
        [line]
    );
    assert_eq!(world.claim_ids(lease, 1).await, [0; 0]);
    soon("the pause is over", world.store().wake(lease, 1))
        .await
        .unwrap();
    let again = world.claim(lease, 1).await.remove(0);
    assert_eq!(again.token.attempt, 1);
    assert!(again.claimed_at_ms >= claim.claimed_at_ms + 100);
}
