//! daskqueue (AmineDiro).

use std::collections::BTreeMap;

use skep::job::{CauseKind, JobId, NewJob, Output, Payload, State};
use skep::store::{Outcome, Verdict};

use crate::guests::{end_of, host, post, to};
use crate::support::{World, completed, done, job, namespace, ns, retry, trap};

on_both!(
    crate::guests::LEASE;
    one_host_serves_every_queue,
    what_was_delivered_and_lost_is_not_dropped,
    a_late_end_is_refused_and_its_host_goes_on,
    max_attempts_is_obeyed,
    each_result_is_found_by_the_id_of_its_job,
    a_runaway_handler_gives_its_slot_back,
    any_bytes_are_carried,
    a_queue_goes_on_for_longer_than_it_holds,
);

/// Each consumer is bound to one queue for life: with fewer consumers than queues,
/// some are never drained.
async fn one_host_serves_every_queue(world: World) {
    let spaces: Vec<_> = (0..5).map(|n| namespace(&format!("space-{n}"))).collect();
    for space in &spaces {
        let jobs = vec![job("1"), job("2")];
        world.store().submit(space, jobs).await.unwrap();
    }
    let lease = world.host().await;
    let claims = world.claim(lease, 10).await;
    for space in &spaces {
        let of_space = claims
            .iter()
            .filter(|claim| &claim.token.namespace == space);
        assert_eq!(of_space.count(), 2);
    }
}

/// The collector takes every delivered message, whatever its age, and by default marks
/// it as done: dropped.
async fn what_was_delivered_and_lost_is_not_dropped(mut world: World) {
    world.submit_some(2).await;
    let alive = world.host().await;
    let claim = world.claim(alive, 1).await.remove(0);
    // Delivered just now is not lost.
    assert_eq!(world.store().reap().await.unwrap(), 0);
    world.finish(alive, &claim, completed("r")).await;
    let dead = world.host().await;
    assert_eq!(world.claim_ids(dead, 1).await, [2]);
    world.crash().await;
    let other = world.host().await;
    assert_eq!(world.claim_ids(other, 1).await, [2]);
}

/// An acknowledgement after the collector was there raises ValueError.
async fn a_late_end_is_refused_and_its_host_goes_on(mut world: World) {
    world.submit_some(2).await;
    let before = world.host().await;
    let late = world.claim(before, 1).await.remove(0);
    world.crash().await;
    let lease = world.host().await;
    let cycle = world
        .cycle(lease, vec![done(&late, completed("late"))], 9)
        .await;
    assert_eq!(cycle.refused, [late.token]);
    assert_eq!(cycle.claimed.len(), 2);
    for claim in &cycle.claimed {
        world.finish(lease, claim, completed("in time")).await;
    }
}

/// `retries` is stored, and never used.
async fn max_attempts_is_obeyed(world: World) {
    let with = |max_attempts| NewJob {
        max_attempts,
        ..job("")
    };
    world.submit((1..=4).map(with).collect()).await;
    let lease = world.host().await;
    let mut runs = BTreeMap::new();
    loop {
        let claims = world.claim(lease, 9).await;
        if claims.is_empty() {
            break;
        }
        for claim in claims {
            *runs.entry(claim.token.id.0).or_insert(0) += 1;
            world.finish(lease, &claim, retry(0)).await;
        }
    }
    assert_eq!(runs, (1..=4).map(|n| (n, n)).collect());
}

/// Results are kept by a hash that no caller knows, and failures not at all.
async fn each_result_is_found_by_the_id_of_its_job(world: World) {
    let ids = world.submit_some(300).await;
    let lease = world.host().await;
    let claims = world.claim(lease, 300).await;
    let ends = claims.iter().rev().map(|claim| {
        let n = claim.token.id.0;
        let fails = n % 3 == 0;
        let verdict = if fails {
            Verdict::Failed(trap())
        } else {
            completed(&n.to_string())
        };
        done(claim, verdict)
    });
    world.cycle(lease, ends.collect(), 0).await;
    for id in ids {
        let outcome = world.store().outcome(&ns(), JobId(id)).await.unwrap();
        let record = world.job(id).await;
        match outcome {
            Outcome::Completed(output) => assert_eq!(output.result.data, id.to_string()),
            other => {
                assert_eq!((other, id % 3), (Outcome::Failed(trap()), 0));
                assert_eq!(record.cause, Some(trap()));
            }
        }
    }
}

/// A task has no timeout, and a thread cannot be killed.
async fn a_runaway_handler_gives_its_slot_back(world: World) {
    let host = host(&world, 1).await;
    let mut runaway = to("spin", "null");
    runaway.timeout_ms = Some(100);
    runaway.max_attempts = Some(1);
    let ids = post(&host, vec![runaway, to("noop", "null")]).await;
    let record = end_of(&host, ids[0]).await;
    let cause = record.cause.as_ref().map(|cause| cause.kind);
    assert_eq!(cause, Some(CauseKind::TimedOut));
    assert_eq!(end_of(&host, ids[1]).await.state, State::Completed);
}

/// A payload with the bytes that end a log segment is taken for its end.
async fn any_bytes_are_carried(mut world: World) {
    let mut odd: Vec<Vec<u8>> = vec![
        (0..=255).collect(),
        (0..=255).rev().cycle().take(70_000).collect(),
        b"SQLite format 3\0".to_vec(),
        // A header of SQLite's log, and a commit in it.
        b"\x37\x7f\x06\x82\x00\x2d\xe2\x18".to_vec(),
        b"\r\n$-1\r\n*0\r\n+OK\r\n-ERR no\r\n".to_vec(),
        b"*1\r\n$8\r\nFLUSHALL\r\n".to_vec(),
        b"1|default/1 default/2|3".to_vec(),
        b"{skep}:j:default/1 1:2:0:1:2.".to_vec(),
        b"000000000000000".to_vec(),
        b"\0".to_vec(),
        Vec::new(),
    ];
    odd.push(odd.concat().repeat(3));
    let payload = |bytes: &Vec<u8>| Payload {
        content_type: "application/octet-stream".into(),
        data: bytes.clone().into(),
    };
    let jobs = odd.iter().zip(0..).map(|(bytes, n)| NewJob {
        message: payload(bytes),
        idempotency_key: Some(format!("{n}:*/ |\r\n{{skep}}\u{0}☃")),
        ..job("")
    });
    let jobs: Vec<_> = jobs.collect();
    let ids = world.submit(jobs.clone()).await;
    world.crash().await;
    assert_eq!(world.submit(jobs.clone()).await, ids, "keys are kept whole");
    let lease = world.host().await;
    let claims = world.claim(lease, 99).await;
    let messages: Vec<_> = claims.iter().map(|claim| (*claim.job).clone()).collect();
    assert_eq!(messages, jobs);
    let ends = claims.iter().zip(&odd).map(|(claim, bytes)| {
        let output = Output {
            short_result: Some("|\r\n\0 default/1".into()),
            result: payload(bytes),
        };
        done(claim, Verdict::Completed(output))
    });
    world.cycle(lease, ends.collect(), 0).await;
    drop(claims);
    world.crash().await;
    for (id, bytes) in ids.iter().zip(&odd) {
        let outcome = world.store().outcome(&ns(), JobId(*id)).await.unwrap();
        let Outcome::Completed(output) = outcome else {
            panic!("{outcome:?}");
        };
        assert_eq!(output.result.data, *bytes);
    }
}

/// A queue dies after some number of messages.
async fn a_queue_goes_on_for_longer_than_it_holds(world: World) {
    const ROUNDS: u64 = 70;
    let lease = world.host().await;
    let mut ended = Vec::new();
    for round in 1..=ROUNDS {
        world.submit_some(1_000).await;
        let claims = world
            .cycle(lease, std::mem::take(&mut ended), 1_000)
            .await
            .claimed;
        assert_eq!(claims.len(), 1_000, "in round {round}");
        ended = claims.iter().map(|c| done(c, completed("r"))).collect();
        world.store().renew(lease).await.unwrap();
    }
    world.cycle(lease, ended, 0).await;
    let status = world.store().status(&ns()).await.unwrap();
    assert_eq!(status.completed, ROUNDS * 1_000);
    let last = world.job(ROUNDS * 1_000).await;
    assert_eq!(last.state, State::Completed);
}
