//! Waiting for work and for ends.

use std::time::Duration;

use skep::job::{JobId, NewJob};

use crate::support::{World, completed, job, namespace, not_yet, ns, soon};

conformance!(
    work_that_is_there_wakes_at_once,
    an_idle_host_sleeps_until_a_job_comes,
    a_full_host_sleeps_while_jobs_wait,
    every_idle_host_is_woken,
    no_wake_up_is_lost_between_a_cycle_and_a_wake,
    a_job_far_in_the_future_does_not_wake,
    whoever_waits_for_an_end_is_told,
    an_end_that_was_before_is_told_at_once,
    an_unknown_job_has_nothing_to_wait_for,
    an_end_that_races_with_its_waiter_is_told,
    whoever_stops_waiting_leaves_the_others_waiting,
);

async fn work_that_is_there_wakes_at_once(world: World) {
    let lease = world.host().await;
    world.submit_some(1).await;
    soon("there is work", world.store().wake(lease, 1))
        .await
        .unwrap();
}

async fn an_idle_host_sleeps_until_a_job_comes(world: World) {
    let lease = world.host().await;
    let mut woken = world.store().wake(lease, 1);
    not_yet("there is no work", &mut woken).await;
    world.submit_some(1).await;
    soon("a job came", woken).await.unwrap();
    assert_eq!(world.claim_ids(lease, 1).await, [1]);
    not_yet("the work is taken", &mut world.store().wake(lease, 1)).await;
}

async fn a_full_host_sleeps_while_jobs_wait(world: World) {
    let lease = world.host().await;
    world.submit_some(2).await;
    assert_eq!(world.claim_ids(lease, 1).await, [1]);
    let mut woken = world.store().wake(lease, 0);
    not_yet("it wants no more", &mut woken).await;
    world.store().cancel(&ns(), JobId(1)).await.unwrap();
    soon("its job is to stop", woken).await.unwrap();
}

async fn every_idle_host_is_woken(world: World) {
    let hosts: Vec<_> = futures_util::future::join_all((0..5).map(|_| world.host())).await;
    let mut woken: Vec<_> = hosts
        .iter()
        .map(|lease| world.store().wake(*lease, 1))
        .collect();
    for wake in &mut woken {
        not_yet("there is no work", wake).await;
    }
    world.submit_some(5).await;
    for answer in soon("five jobs came", futures_util::future::join_all(woken)).await {
        answer.unwrap();
    }
}

async fn no_wake_up_is_lost_between_a_cycle_and_a_wake(world: World) {
    const JOBS: usize = 500;
    let store = world.store().clone();
    let poster = tokio::spawn(async move {
        for _ in 0..JOBS {
            store.submit(&ns(), vec![job("0")]).await.unwrap();
        }
    });
    let lease = world.host().await;
    let mut taken = 0;
    while taken < JOBS {
        soon("another job comes", world.store().wake(lease, 1))
            .await
            .unwrap();
        taken += world.claim(lease, 1).await.len();
    }
    poster.await.unwrap();
}

async fn a_job_far_in_the_future_does_not_wake(world: World) {
    let lease = world.host().await;
    world
        .submit(vec![NewJob {
            delay_ms: 3_600_000,
            ..job("0")
        }])
        .await;
    not_yet("it is not due", &mut world.store().wake(lease, 1)).await;
}

async fn whoever_waits_for_an_end_is_told(world: World) {
    world.submit_some(1).await;
    let ends = |_| {
        tokio::spawn({
            let store = world.store().clone();
            async move { store.ended(&ns(), JobId(1)).await }
        })
    };
    let mut waiting: Vec<_> = (0..1000).map(ends).collect();
    let lease = world.host().await;
    let claim = world.claim(lease, 1).await.remove(0);
    not_yet("it runs", &mut waiting[0]).await;
    world.finish(lease, &claim, completed("")).await;
    for answer in soon("it ended", futures_util::future::join_all(waiting)).await {
        answer.unwrap().unwrap();
    }
}

async fn an_end_that_was_before_is_told_at_once(mut world: World) {
    world.submit_some(1).await;
    let lease = world.host().await;
    let claim = world.claim(lease, 1).await.remove(0);
    world.finish(lease, &claim, completed("")).await;
    soon("it ended before", world.store().ended(&ns(), JobId(1)))
        .await
        .unwrap();
    world.crash().await;
    soon("it ended long before", world.store().ended(&ns(), JobId(1)))
        .await
        .unwrap();
}

async fn an_unknown_job_has_nothing_to_wait_for(world: World) {
    soon(
        "no namespace",
        world.store().ended(&namespace("nowhere"), JobId(1)),
    )
    .await
    .unwrap();
    world.submit_some(1).await;
    soon("no such job", world.store().ended(&ns(), JobId(2)))
        .await
        .unwrap();
    soon("no such id", world.store().ended(&ns(), JobId(u64::MAX)))
        .await
        .unwrap();
}

async fn an_end_that_races_with_its_waiter_is_told(world: World) {
    let (lease, ns) = (world.host().await, ns());
    for id in world.submit_some(300).await {
        let claim = world.claim(lease, 1).await.remove(0);
        let ended = world.store().ended(&ns, JobId(id));
        let finish = world.finish(lease, &claim, completed(""));
        let (answer, ()) = soon("it ends now", async { tokio::join!(ended, finish) }).await;
        answer.unwrap();
    }
}

async fn whoever_stops_waiting_leaves_the_others_waiting(world: World) {
    world.submit_some(1).await;
    let ns = ns();
    let mut stays = world.store().ended(&ns, JobId(1));
    let mut leaves = world.store().ended(&ns, JobId(1));
    not_yet("it waits", &mut stays).await;
    not_yet("it waits", &mut leaves).await;
    drop(leaves);
    tokio::time::sleep(Duration::from_millis(1)).await;
    let lease = world.host().await;
    let claim = world.claim(lease, 1).await.remove(0);
    world.finish(lease, &claim, completed("")).await;
    soon("it ended", stays).await.unwrap();
}
