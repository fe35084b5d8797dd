//! How far behind a queue is, and how a whole store stands.

use std::num::NonZeroU32;

use skep::job::{JobId, NewJob};
use skep::store::{Completion, NewDeployment, Overview, Retriable, Retried, Standing, Verdict};

use crate::support::{World, completed, done, eventually, job, namespace, now_ms, ns, retry, trap};

conformance!(
    the_oldest_job_is_the_one_that_was_accepted_first,
    a_delayed_job_is_as_old_as_the_time_it_was_due,
    a_job_that_is_tried_again_is_as_old_as_its_return,
    a_lost_job_is_as_old_as_its_return,
    a_job_at_a_gate_waits_too,
    what_does_not_wait_has_no_age,
    an_overview_has_every_namespace_and_the_hosts_that_live,
    the_dead_letter_is_counted_whatever_the_totals_say,
);

/// When the oldest job that waits became due.
async fn oldest(world: &World) -> Option<u64> {
    let status = world.store().status(&ns()).await.unwrap();
    status.oldest_queued_at_ms
}

async fn posted_at(world: &World, id: u64) -> Option<u64> {
    Some(world.job(id).await.posted_at_ms)
}

/// Two calls of the store in the same ms cannot be told apart.
async fn a_moment() {
    let begun = now_ms();
    while now_ms() <= begun + 1 {
        tokio::task::yield_now().await;
    }
}

fn delayed(ms: u64) -> NewJob {
    NewJob {
        delay_ms: ms,
        ..job("delayed")
    }
}

async fn the_oldest_job_is_the_one_that_was_accepted_first(world: World) {
    assert_eq!(oldest(&world).await, None);
    // Of another priority than the next.
    let urgent = NewJob {
        priority: 0.try_into().unwrap(),
        ..job("urgent")
    };
    world.submit_some(1).await;
    a_moment().await;
    world.submit(vec![urgent]).await;
    a_moment().await;
    world.submit_some(1).await;
    assert_eq!(oldest(&world).await, posted_at(&world, 1).await);
    // The urgent one goes first, and the oldest is the same.
    let lease = world.host().await;
    assert_eq!(world.claim_ids(lease, 1).await, [2]);
    assert_eq!(oldest(&world).await, posted_at(&world, 1).await);
    assert_eq!(world.claim_ids(lease, 1).await, [1]);
    assert_eq!(oldest(&world).await, posted_at(&world, 3).await);
}

async fn a_delayed_job_is_as_old_as_the_time_it_was_due(world: World) {
    world.submit(vec![delayed(40)]).await;
    assert_eq!(oldest(&world).await, None, "it is not due");
    let due = world.job(1).await.due_at_ms;
    eventually("it is due", async || oldest(&world).await.is_some()).await;
    assert_eq!(oldest(&world).await, due);
    // A step, which moves what is due to the queue, changes nothing.
    let lease = world.host().await;
    world.cycle(lease, Vec::new(), 0).await;
    assert_eq!(oldest(&world).await, due);
    assert_eq!(world.claim_ids(lease, 1).await, [1]);
    assert_eq!(oldest(&world).await, None);
}

async fn a_job_that_is_tried_again_is_as_old_as_its_return(world: World) {
    world.submit_some(1).await;
    let lease = world.host().await;
    let claims = world.claim(lease, 1).await;
    a_moment().await;
    world.submit_some(1).await;
    a_moment().await;
    world.finish(lease, &claims[0], retry(30)).await;
    eventually("it is due again", async || {
        let status = world.store().status(&ns()).await.unwrap();
        status.queued == 2
    })
    .await;
    // It stands before the second job and has waited for less.
    assert_eq!(oldest(&world).await, posted_at(&world, 2).await);
    world.store().cancel(&ns(), JobId(2)).await.unwrap();
    let again = oldest(&world).await.unwrap();
    assert!(again >= claims[0].claimed_at_ms + 30, "{again}");
    assert_eq!(world.claim_ids(lease, 1).await, [1]);
    assert_eq!(oldest(&world).await, None);
}

async fn a_lost_job_is_as_old_as_its_return(world: World) {
    world.submit_some(1).await;
    let lease = world.host().await;
    let claims = world.claim(lease, 1).await;
    a_moment().await;
    assert_eq!(world.store().release(&ns()).await.unwrap(), 1);
    let again = oldest(&world).await.unwrap();
    assert!(again > claims[0].posted_at_ms, "{again}");
}

async fn a_job_at_a_gate_waits_too(world: World) {
    let function = NewDeployment {
        function: "f".parse().unwrap(),
        component: skep::job::Digest::of(b"f"),
        summary: String::new(),
        message_schema: None,
        limits: Default::default(),
        concurrency: NonZeroU32::new(1),
    };
    world.store().deploy(&ns(), vec![function]).await.unwrap();
    let named = || NewJob {
        functions: vec!["f".parse().unwrap()],
        ..job("named")
    };
    world.submit(vec![named()]).await;
    a_moment().await;
    world.submit(vec![named()]).await;
    let lease = world.host().await;
    assert_eq!(world.claim_ids(lease, 2).await, [1], "one may run");
    assert_eq!(oldest(&world).await, posted_at(&world, 2).await);
}

async fn what_does_not_wait_has_no_age(world: World) {
    world.submit_some(3).await;
    world.submit(vec![delayed(3_600_000)]).await;
    let lease = world.host().await;
    let claims = world.claim(lease, 2).await;
    let ends: Vec<Completion> = vec![done(&claims[0], completed(""))];
    world.cycle(lease, ends, 0).await;
    assert_eq!(oldest(&world).await, posted_at(&world, 3).await);
    assert_eq!(world.store().purge(&ns()).await.unwrap(), 2);
    assert_eq!(oldest(&world).await, None, "one runs, one has ended");
}

async fn an_overview_has_every_namespace_and_the_hosts_that_live(world: World) {
    let Overview { queues, hosts, .. } = world.store().overview().await.unwrap();
    assert_eq!((queues.len(), hosts), (0, 0));
    world.submit_some(2).await;
    let other = namespace("other");
    world.store().submit(&other, vec![job("1")]).await.unwrap();
    world.store().pause(&other, true).await.unwrap();
    let lease = world.host().await;
    world.host().await;
    assert_eq!(world.claim_ids(lease, 1).await, [1]);
    let overview = world.store().overview().await.unwrap();
    assert_eq!((overview.namespaces, overview.hosts), (2, 2));
    assert_eq!(overview.queues.len(), 2);
    for one in &overview.queues {
        let Standing {
            namespace,
            status,
            dead,
        } = one;
        let alone = world.store().status(namespace).await.unwrap();
        assert_eq!(status, &alone, "{namespace}");
        assert_eq!((status.paused, *dead), (*namespace == other, 0));
        assert!(status.oldest_queued_at_ms <= Some(overview.now_ms));
    }
}

async fn the_dead_letter_is_counted_whatever_the_totals_say(mut world: World) {
    world.submit_some(4).await;
    let lease = world.host().await;
    for claim in world.claim(lease, 4).await {
        world.finish(lease, &claim, Verdict::Failed(trap())).await;
    }
    world.store().rezero(&ns()).await.unwrap();
    assert_eq!(dead(&world).await, 4);
    let (retried, forgotten) = ([JobId(1)], [JobId(2)]);
    a_moment().await;
    let store = world.store();
    let retried = store.retry(&ns(), &retried, Retriable::Failed).await;
    assert_eq!(retried.unwrap(), [Retried::Done]);
    assert_eq!(world.store().forget(&ns(), &forgotten).await.unwrap(), 1);
    assert_eq!(dead(&world).await, 2);
    // What runs again has waited since then, and not since it was posted.
    assert!(oldest(&world).await > posted_at(&world, 1).await);
    world.crash().await;
    assert_eq!(dead(&world).await, 2);
}

async fn dead(world: &World) -> u64 {
    let overview = world.store().overview().await.unwrap();
    overview.queues.iter().map(|one| one.dead).sum()
}
