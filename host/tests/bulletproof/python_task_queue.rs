//! python-task-queue (seung-lab).

use std::time::{Duration, Instant};

use skep::job::{CauseKind, Digest, JobId, Limits, NewJob, State};
use skep::store::{NewDeployment, StoreError};

use crate::backend::Backend;
use crate::guests::{host, run, to};
use crate::support::{World, completed, done, job, namespace, ns};

/// A lease whose end is waited for, and which does not end by itself on a busy machine.
const SHORT: Duration = Duration::from_millis(400);

on_both!(
    Some(super::SHORT);
    a_stale_holder_cannot_end_what_another_holds,
    a_lease_never_ends_early,
    a_poison_job_ends_in_the_dead_letter,
    totals_are_exact_whoever_posts_at_once,
    one_name_in_two_namespaces_is_two_functions,
);

/// A holder whose lease has ended deletes the task that another worker now holds,
/// since a delete names no lease.
async fn a_stale_holder_cannot_end_what_another_holds(world: World) {
    world.submit_some(1).await;
    let stale = world.host().await;
    let before = world.claim(stale, 1).await.remove(0);
    world.reap(1).await;
    let fresh = world.host().await;
    let now = world.claim(fresh, 1).await.remove(0);
    let late = world.try_cycle(stale, vec![done(&before, completed("stale"))], 0);
    let late = late.await;
    assert!(matches!(late, Err(StoreError::LeaseLost)), "{late:?}");
    assert_eq!(world.job(1).await.state, State::Running);
    // The right token in the wrong hands, and the wrong token in the right ones.
    let another = world.host().await;
    let cycle = world.cycle(another, vec![done(&now, completed("another's"))], 0);
    assert_eq!(cycle.await.refused, [now.token.clone()]);
    let cycle = world.cycle(fresh, vec![done(&before, completed("old"))], 0);
    assert_eq!(cycle.await.refused, [before.token]);
    world.finish(fresh, &now, completed("fresh")).await;
    assert_eq!(
        world.job(1).await.short_result.as_deref(),
        Some("short fresh")
    );
}

/// Times are whole seconds, so that a lease of one second can end at once.
async fn a_lease_never_ends_early(world: World) {
    for _ in 0..5 {
        world.submit_some(1).await;
        let begun = Instant::now();
        let lease = world.host().await;
        world.claim(lease, 1).await;
        while world.store().reap().await.unwrap() == 0 {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        // Redis counts in whole ms.
        assert!(begun.elapsed() + Duration::from_millis(1) >= SHORT);
    }
}

/// A task that kills its worker comes back for ever.
async fn a_poison_job_ends_in_the_dead_letter(mut world: World) {
    world
        .submit(vec![NewJob {
            max_attempts: 3,
            ..job("poison")
        }])
        .await;
    for attempt in 1..=3 {
        let lease = world.host().await;
        let claims = world.claim(lease, 1).await;
        assert_eq!(claims[0].token.attempt, attempt);
        drop(claims);
        world.crash().await;
    }
    let record = world.job(1).await;
    assert_eq!((record.state, record.attempts.len()), (State::Failed, 3));
    for attempt in &record.attempts {
        let kind = attempt.cause.as_ref().map(|cause| cause.kind);
        assert_eq!(kind, Some(CauseKind::HostLost), "each says why");
    }
    let lease = world.host().await;
    assert_eq!(world.claim_ids(lease, 1).await, [0; 0]);
}

/// The counter of insertions is read, changed and written: posts at once are lost.
async fn totals_are_exact_whoever_posts_at_once(world: World) {
    let posts = (0..8).map(|_| {
        let store = world.store().clone();
        tokio::spawn(async move {
            for n in 0..50 {
                let jobs = vec![job("1"); 1 + n % 3];
                store.submit(&ns(), jobs).await.unwrap();
            }
        })
    });
    futures_util::future::join_all(posts).await;
    // 50 batches are 17 of 1, 17 of 2 and 16 of 3.
    let status = world.store().status(&ns()).await.unwrap();
    assert_eq!((status.posted, status.queued), (8 * 99, 8 * 99));
}

/// Tasks are known by the name of their class: two modules with one name collide.
async fn one_name_in_two_namespaces_is_two_functions(world: World) {
    let spaces = [namespace("a"), namespace("b")];
    for space in &spaces {
        let deployment = NewDeployment {
            function: "f".parse().unwrap(),
            component: Digest::of(space.as_str().as_bytes()),
            summary: String::new(),
            message_schema: None,
            limits: Limits::default(),
            concurrency: None,
        };
        world.store().deploy(space, vec![deployment]).await.unwrap();
    }
    for space in &spaces {
        let functions = world.store().functions(space).await.unwrap();
        let expected = Digest::of(space.as_str().as_bytes());
        assert_eq!((functions.len(), functions[0].component), (1, expected));
    }
}

/// With guests; the leases are longer.
mod with_guests {
    use super::*;

    on_both!(
        crate::guests::LEASE;
        a_handler_that_fails_does_not_end_its_host,
        retries_back_off,
    );

    /// A task's error ends the worker, and its lease is kept until it expires.
    async fn a_handler_that_fails_does_not_end_its_host(world: World) {
        let host = host(&world, 1).await;
        for (function, kind) in [
            ("trap", CauseKind::Trap),
            ("panic", CauseKind::Trap),
            ("failed", CauseKind::Failed),
            ("recurse", CauseKind::Trap),
        ] {
            let record = run(&host, to(function, "null")).await;
            let cause = record.cause.as_ref().map(|cause| cause.kind);
            assert_eq!((record.attempt, cause), (1, Some(kind)), "{record:#?}");
        }
        let record = run(&host, to("noop", "null")).await;
        assert_eq!(record.state, State::Completed);
    }

    /// The documented random exponential back-off never happens: tries are only counted
    /// after a success.
    async fn retries_back_off(world: World) {
        let host = host(&world, 1).await;
        let record = run(&host, to("retry", r#"{"succeed_at":3}"#)).await;
        let pauses = record.attempts.windows(2).map(|two| {
            let ended = two[0].ended_at_ms.unwrap();
            two[1].started_at_ms.saturating_sub(ended)
        });
        let pauses: Vec<_> = pauses.collect();
        // Half of 1 s and of 2 s, at least; the clock is read at different moments.
        assert!(pauses[0] >= 450 && pauses[1] >= 950, "{pauses:?}");
    }
}

/// An empty queue is polled, once a second at best.
#[tokio::test]
async fn an_idle_host_does_not_poll() {
    let server = skep_testkit::RedisServer::start();
    let backend = Backend::Redis {
        url: server.url(),
        prefix: "skep".into(),
    };
    let world = World::new(backend, skep::store::LEASE).await;
    let host = host(&world, 2).await;
    run(&host, to("noop", "null")).await;
    tokio::time::sleep(Duration::from_millis(500)).await;
    server.cli(&["CONFIG", "RESETSTAT"]);
    tokio::time::sleep(Duration::from_secs(3)).await;
    let stats = server.info("commandstats");
    let calls = stats.iter().filter(|(name, _)| !name.contains("config"));
    let calls: Vec<_> = calls.filter(|(name, _)| !name.contains("info")).collect();
    // The two calls that block may end in this time, and be made again.
    assert!(calls.len() <= 2, "{calls:?}");
    for (name, text) in &calls {
        assert!(
            ["cmdstat_blpop", "cmdstat_xread"].contains(&name.as_str()),
            "{calls:?}"
        );
        assert!(text.starts_with("calls=1,"), "{calls:?}");
    }
    let record = host.store.job(&ns(), JobId(1)).await.unwrap().unwrap();
    assert_eq!(record.state, State::Completed);
}
