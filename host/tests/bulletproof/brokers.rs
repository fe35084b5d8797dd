//! Sidekiq, Faktory, RQ, Celery and ChasquiMQ: jobs that vanish between a pop and a
//! run, and jobs that are run again though they are well.

use std::sync::Arc;
use std::time::Duration;

use skep::job::{JobId, State};
use skep::store::redis::RedisStore;
use skep::store::{Lease, Step, Store};
use skep_testkit::{Proxy, RedisServer};

use crate::backend::Backend;
use crate::support::{World, completed, done, eventually, ids, job, ns, soon};

/// A lease whose end is waited for, and which does not end by itself on a busy machine.
const SHORT: Duration = Duration::from_millis(400);

on_both!(
    Some(super::SHORT);
    a_job_whose_host_died_before_it_ran_runs_elsewhere,
    a_job_longer_than_the_lease_is_run_once,
);

/// Sidekiq, Faktory: BRPOP takes the job out of Redis before anybody noted who has it:
/// a process killed then has lost it. (`chaos` does this with real processes.)
async fn a_job_whose_host_died_before_it_ran_runs_elsewhere(mut world: World) {
    world.submit_some(3).await;
    let killed = world.host().await;
    assert_eq!(world.claim_ids(killed, 2).await, [1, 2]);
    world.crash().await;
    let other = world.host().await;
    assert_eq!(world.claim_ids(other, 9).await, [1, 2, 3]);
}

/// Celery #2481, #2599, #3270, #5935: a job that runs for longer than the visibility
/// timeout is given to another worker, for ever; ChasquiMQ the same after 30 s.
async fn a_job_longer_than_the_lease_is_run_once(world: World) {
    world.submit_some(2).await;
    let lease = world.host().await;
    let claim = world.claim(lease, 1).await.remove(0);
    // Others come and go meanwhile, whose end shows that leases pass.
    for _ in 0..3 {
        let silent = world.host().await;
        assert_eq!(world.claim_ids(silent, 1).await, [2]);
        eventually("another lease passes", async || {
            world.store().renew(lease).await.expect("the lease is held");
            world.store().reap().await.unwrap() > 0
        })
        .await;
    }
    world.finish(lease, &claim, completed("r")).await;
    let record = world.job(1).await;
    assert_eq!((record.state, record.attempts.len()), (State::Completed, 1));
}

/// A Redis of one's own, and a store that reaches it by a proxy.
async fn by_a_proxy(server: &RedisServer) -> (Proxy, RedisStore) {
    let proxy = Proxy::to_port(server.port());
    let address = proxy.url_for(&server.url()).parse().unwrap();
    let store = RedisStore::options().open(&address).await.unwrap();
    (proxy, store)
}

/// RQ #1716, #2079: a connection cut between the pop and its answer loses the job.
#[tokio::test]
async fn a_claim_whose_answer_was_lost_is_not_lost() {
    let server = RedisServer::start();
    let (proxy, store) = by_a_proxy(&server).await;
    store.submit(&ns(), vec![job("1"), job("2")]).await.unwrap();
    let lease = store.register().await.unwrap();
    for number in 1..=2 {
        proxy.lose_answer_to(lease.incarnation.to_string().as_bytes());
        let done = Vec::new();
        let step = Step {
            number,
            done,
            want: 1,
            stands: false,
            had: 0,
        };
        let step = Arc::new(step);
        let cycle = loop {
            match store.cycle(lease, step.clone()).await {
                Ok(cycle) => break cycle,
                Err(error) => println!("{error}"),
            }
        };
        assert_eq!(ids(&cycle.claimed), [number]);
        assert_eq!(proxy.losses(), number);
    }
}

/// The first step of a host that is given what comes.
async fn stand(store: &RedisStore, lease: Lease) {
    let step = Step {
        number: 1,
        done: Vec::new(),
        want: 9,
        stands: true,
        had: 0,
    };
    store.cycle(lease, Arc::new(step)).await.unwrap();
}

/// The same of a claim that a post took along: whoever posts hears it when it asks again.
#[tokio::test]
async fn a_gift_whose_answer_was_lost_is_not_lost() {
    let server = RedisServer::start();
    let (proxy, store) = by_a_proxy(&server).await;
    let lease = store.register().await.unwrap();
    stand(&store, lease).await;
    proxy.lose_answer_to(lease.incarnation.to_string().as_bytes());
    let posted = store.submit(&ns(), vec![job("1"), job("2")]).await.unwrap();
    assert_eq!((posted.len(), proxy.losses()), (2, 1));
    let given = soon("they are given", store.given(lease, 0)).await.unwrap();
    assert_eq!(ids(&given.jobs), [1, 2]);
}

/// Also if Redis is out of memory by then: what it has accepted it does not refuse.
#[tokio::test]
async fn a_gift_whose_answer_was_lost_is_told_by_a_redis_that_is_full() {
    let server = RedisServer::start();
    let (proxy, store) = by_a_proxy(&server).await;
    let lease = store.register().await.unwrap();
    // From now on Redis knows the script.
    store.submit(&ns(), vec![job("0")]).await.unwrap();
    stand(&store, lease).await;
    proxy.delay(Duration::from_millis(300));
    let full = async {
        let near = on(&server).await;
        eventually("it is carried out", async || {
            near.store().status(&ns()).await.unwrap().running > 1
        })
        .await;
        server.cli(&["CONFIG", "SET", "maxmemory", "1"]);
        // As another host would, so that it is woken anew.
        server.cli(&["LPOP", "{skep}:wake"]);
        proxy.cut();
        proxy.delay(Duration::ZERO);
    };
    let namespace = ns();
    // More than the host takes: others are woken for the rest.
    let jobs = (1..=12).map(|n| job(&n.to_string())).collect();
    let (posted, ()) = tokio::join!(store.submit(&namespace, jobs), full);
    assert_eq!(posted.unwrap().len(), 12);
    let given = soon("they are given", store.given(lease, 0)).await.unwrap();
    assert_eq!(ids(&given.jobs), [2, 3, 4, 5, 6, 7, 8, 9]);
}

/// And when nobody waits for that post any more, its host asks what it took, before its
/// next step, for which it is woken.
#[tokio::test]
async fn a_gift_of_a_post_that_was_given_up_is_not_lost() {
    for stands in [true, false] {
        let server = RedisServer::start();
        let (proxy, store) = by_a_proxy(&server).await;
        let lease = store.register().await.unwrap();
        // From now on Redis knows the script.
        store.submit(&ns(), vec![job("0")]).await.unwrap();
        stand(&store, lease).await;
        // It is carried out, and its answer does not come in time.
        proxy.delay(Duration::from_millis(300));
        let namespace = ns();
        let post = store.submit(&namespace, vec![job("1"), job("2")]);
        let given_up = tokio::time::timeout(Duration::from_millis(100), post).await;
        assert!(given_up.is_err());
        let near = on(&server).await;
        eventually("it is carried out", async || {
            near.store().status(&ns()).await.unwrap().running == 3
        })
        .await;
        proxy.delay(Duration::ZERO);
        soon("the host is woken", store.wake(lease, 0))
            .await
            .unwrap();
        let step = Step {
            number: 2,
            done: Vec::new(),
            want: 9,
            stands,
            had: 0,
        };
        let cycle = store.cycle(lease, Arc::new(step)).await.unwrap();
        assert_eq!(ids(&cycle.given.jobs), [2, 3]);
        assert_eq!(cycle.claimed.len(), 0);
    }
}

/// ChasquiMQ: `XADD MAXLEN ~` trims the stream that holds the jobs: "job vanished".
/// What we trim is only news, and whoever missed some looks again.
#[tokio::test]
async fn trimming_the_news_loses_neither_jobs_nor_those_who_wait() {
    let server = RedisServer::start();
    let world = on(&server).await;
    let (proxy, far) = by_a_proxy(&server).await;
    let far: Arc<dyn Store> = Arc::new(far);
    world.submit_some(10_000).await;
    let waiting = tokio::spawn({
        let far = far.clone();
        async move { far.ended(&ns(), JobId(1)).await }
    });
    // It waits, by an event that it has not read.
    tokio::time::sleep(Duration::from_millis(200)).await;
    proxy.stall(true);
    let lease = world.host().await;
    let mut taken = 0;
    while taken < 10_000 {
        let claims = world.claim(lease, 500).await;
        assert!(!claims.is_empty(), "{taken} jobs of 10,000");
        taken += claims.len();
        let ends = claims.iter().map(|c| done(c, completed("r")));
        world.cycle(lease, ends.collect(), 0).await;
        server.cli(&["DEL", "{skep}:events"]);
    }
    proxy.stall(false);
    proxy.cut();
    soon("who missed the news looks again", waiting)
        .await
        .unwrap()
        .unwrap();
}

/// Redis's pub/sub forgets whom it did not reach: never the only way to wake anybody.
#[tokio::test]
async fn a_sleeping_host_is_woken_also_when_its_connections_were_cut() {
    let server = RedisServer::start();
    let world = on(&server).await;
    let lease = world.host().await;
    for id in 1..=3 {
        let store = world.store().clone();
        let waking = tokio::spawn(async move { store.wake(lease, 1).await });
        tokio::time::sleep(Duration::from_millis(50)).await;
        server.cli(&["CLIENT", "KILL", "TYPE", "normal"]);
        world.submit_some(1).await;
        soon("the host is woken", waking).await.unwrap().unwrap();
        let claimed = async {
            loop {
                if let Some(claim) = world.claim(lease, 1).await.pop() {
                    break claim;
                }
                world.store().wake(lease, 1).await.unwrap();
            }
        };
        let claim = soon("the job is taken", claimed).await;
        assert_eq!(claim.token.id, JobId(id));
        world.finish(lease, &claim, completed("r")).await;
    }
}

/// MLQ, BullMQ: LREM takes the job out of the list of active ones: O(in flight), 216 us
/// at 10,000. Ours asks the same of Redis however many there are, and nothing that
/// searches.
#[tokio::test]
async fn to_end_a_job_costs_the_same_however_many_are_in_flight() {
    let server = RedisServer::start();
    let world = on(&server).await;
    let lease = world.host().await;
    let mut costs = Vec::new();
    for in_flight in [10, 10_000] {
        world.submit_some(in_flight).await;
        let mut claims = world.claim(lease, in_flight).await;
        let claim = claims.remove(in_flight / 2);
        server.cli(&["CONFIG", "RESETSTAT"]);
        world.finish(lease, &claim, completed("r")).await;
        let stats = server.info("commandstats");
        let calls = stats.iter().filter_map(|(name, text)| {
            let name = name.strip_prefix("cmdstat_")?;
            let calls = text.split(',').next()?.strip_prefix("calls=")?;
            // What other tasks and this test ask.
            let ours = !matches!(name, "info" | "xread" | "blpop") && !name.contains('|');
            ours.then(|| (name.to_owned(), calls.to_owned()))
        });
        costs.push(calls.collect::<Vec<_>>());
        let searches = [
            "lrem", "lpos", "linsert", "smembers", "hgetall", "hkeys", "keys",
        ];
        let searched = costs
            .iter()
            .flatten()
            .find(|(n, _)| searches.contains(&n.as_str()));
        assert_eq!(searched, None);
    }
    assert_eq!(costs[0], costs[1]);
    assert!(costs[0].iter().any(|(name, _)| name == "evalsha"));
}

/// A store on a server of one's own.
async fn on(server: &RedisServer) -> World {
    let backend = Backend::Redis {
        url: server.url(),
        prefix: "skep".into(),
    };
    World::new(backend, skep::store::LEASE).await
}
