//! Clients of Redis: scripts that are gone, timeouts that are too short.

use std::sync::Arc;
use std::time::{Duration, Instant};

use skep::job::JobId;
use skep::store::{Outcome, Parked};
use skep_testkit::{Fsync, RedisServer};

use crate::backend::Backend;
use crate::support::{World, child, completed, eventually, job, ns};

async fn on(server: &RedisServer) -> World {
    let backend = Backend::Redis {
        url: server.url(),
        prefix: "skep".into(),
    };
    World::new(backend, skep::store::LEASE).await
}

/// apalis #492: after a restart of Redis its scripts are unknown there, and every call
/// fails for ever. asynq: EVALSHA does not load what is missing.
#[tokio::test]
async fn scripts_that_redis_forgot_are_loaded_again() {
    let server = Arc::new(RedisServer::options().aof(Fsync::Always).start());
    let world = on(&server).await;
    let lease = world.host().await;
    for id in 1..=4 {
        let forget = || {
            let (server, store) = (server.clone(), world.store().clone());
            async move {
                if id % 2 == 0 {
                    server.cli(&["SCRIPT", "FLUSH"]);
                    return;
                }
                let restarted = tokio::task::spawn_blocking(move || server.restart());
                restarted.await.unwrap();
                // A store that found nobody there looks again a moment later.
                eventually("Redis is there", async || store.store_id().await.is_ok()).await;
            }
        };
        forget().await;
        assert_eq!(world.submit_some(1).await, [id]);
        forget().await;
        let claim = world.claim(lease, 1).await.remove(0);
        forget().await;
        world.finish(lease, &claim, completed("r")).await;
        forget().await;
        world.store().renew(lease).await.unwrap();
        forget().await;
        assert_eq!(world.store().reap().await.unwrap(), 0);
        forget().await;
        assert_eq!(world.store().status(&ns()).await.unwrap().completed, id);
        assert_eq!(world.job(id).await.short_result.as_deref(), Some("short r"));
    }
}

/// redis-rs waits for 500 ms by default: a Redis that saves, or runs somebody's slow
/// command, fails every call meanwhile.
#[tokio::test]
async fn a_slow_redis_is_waited_for() {
    let server = RedisServer::start();
    let world = on(&server).await;
    let lease = world.host().await;
    world.submit_some(1).await;
    let claim = world.claim(lease, 1).await.remove(0);
    let store = world.store().clone();
    server.freeze();
    let begun = Instant::now();
    let ns = ns();
    let (ended, posted, renewed, read, ()) = tokio::join!(
        world.cycle(lease, vec![crate::support::done(&claim, completed("r"))], 0),
        store.submit(&ns, vec![job("2")]),
        store.renew(lease),
        store.job(&ns, JobId(1)),
        async {
            tokio::time::sleep(Duration::from_secs(2)).await;
            server.thaw();
        },
    );
    assert!(begun.elapsed() >= Duration::from_secs(2));
    assert_eq!(ended.refused, []);
    assert_eq!(posted.unwrap(), [JobId(2)]);
    renewed.unwrap();
    assert!(read.unwrap().is_some());
}

/// What a client remembers of a Redis that has lost jobs since (a crash before it wrote them
/// down, a replica that was behind) is of other jobs, as soon as their ids are given out again.
#[tokio::test]
async fn a_job_has_no_result_of_one_that_redis_has_lost() {
    let server = RedisServer::start();
    let world = on(&server).await;
    let family = async || {
        let lease = world.host().await;
        world.submit(vec![job("parent")]).await;
        let parent = world.claim(lease, 1).await.remove(0);
        let ids = world.submit(vec![child(1, "child")]).await;
        assert_eq!((parent.token.id.0, ids), (1, vec![2]));
        (lease, parent)
    };
    let (lease, _) = family().await;
    let claim = world.claim(lease, 1).await.remove(0);
    world.finish(lease, &claim, completed("of before")).await;
    server.cli(&["FLUSHALL"]);
    let (lease, parent) = family().await;
    let outcomes = world.store().outcomes(&ns(), &[JobId(2)], 9).await;
    assert_eq!(outcomes.unwrap(), [Outcome::Open]);
    let parked = world.store().park(lease, &parent.token, &[JobId(2)]).await;
    assert!(matches!(parked.unwrap(), Parked::Waiting(_)));
}
