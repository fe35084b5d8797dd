//! Callbacks of jobs that have ended: an outbox from which none is lost.

use std::collections::HashSet;

use skep::job::{Delivery, JobId, NewJob, TraceContext};
use skep::store::{Callback, Verdict};

use crate::holding::{MOVER, hold, let_go};
use crate::support::{
    World, completed, job, namespace, not_yet, now_ms, ns, output, retry, soon, trap,
};

conformance!(
    a_job_without_a_callback_has_none,
    every_kind_of_end_is_called_back_once,
    a_callback_is_told_of_with_the_end,
    a_callback_that_was_taken_is_not_given_twice,
    callbacks_are_taken_a_few_at_a_time,
    two_that_take_at_once_share,
    a_callback_to_be_tried_again_is_given_again,
    a_callback_to_be_tried_later_waits,
    a_callback_that_is_done_is_never_given_again,
    every_try_is_on_the_record,
    whoever_waits_for_a_callback_is_told,
    whoever_waits_for_a_later_try_is_told,
    callbacks_survive_a_crash,
    a_purged_job_calls_nobody_back,
    a_job_that_moves_takes_its_callback_along,
    callbacks_of_all_namespaces_are_given,
    callbacks_of_hundreds_are_all_given,
);

const URL: &str = "http://localhost/done?a=1";

fn calls_back(message: &str) -> NewJob {
    NewJob {
        callback: Some(URL.into()),
        trace: trace(),
        ..job(message)
    }
}

fn trace() -> Option<TraceContext> {
    let trace = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
    Some(trace.parse().unwrap())
}

async fn take(world: &World, want: usize) -> Vec<Callback> {
    let mut taken = world.store().take_callbacks(want).await.expect("take");
    taken.sort_unstable_by_key(|callback| callback.id);
    taken
}

fn ids(callbacks: &[Callback]) -> Vec<u64> {
    callbacks.iter().map(|callback| callback.id.0).collect()
}

fn delivery(status: u16) -> Delivery {
    Delivery {
        at_ms: 1_000 + u64::from(status),
        status: Some(status),
        error: None,
    }
}

async fn called(world: &World, callback: &Callback, delivery: Delivery, again_in_ms: Option<u64>) {
    let answer = world.store().called_back(callback, delivery, again_in_ms);
    answer.await.expect("called_back");
}

/// A job that has ended, with its callback.
async fn ended(world: &World) -> Callback {
    let id = world.submit(vec![calls_back("0")]).await[0];
    let lease = world.host().await;
    let claim = world.claim(lease, 1).await.remove(0);
    world.finish(lease, &claim, completed("42")).await;
    let callback = take(world, 9).await.remove(0);
    assert_eq!((callback.id, callback.number), (JobId(id), 1));
    callback
}

async fn deliveries(world: &World, id: u64) -> (Option<u64>, Vec<Delivery>) {
    let callback = world.job(id).await.callback.expect("a callback");
    assert_eq!(callback.url, URL);
    (callback.due_at_ms, callback.deliveries)
}

async fn a_job_without_a_callback_has_none(world: World) {
    world.submit_some(1).await;
    let lease = world.host().await;
    let claim = world.claim(lease, 1).await.remove(0);
    world.finish(lease, &claim, completed("")).await;
    assert_eq!(take(&world, 9).await, []);
    assert_eq!(world.job(1).await.callback, None);
}

async fn every_kind_of_end_is_called_back_once(world: World) {
    world.submit(vec![calls_back("0"); 7]).await;
    let once = NewJob {
        max_attempts: 1,
        ..calls_back("8")
    };
    world.submit(vec![once, calls_back("9")]).await;
    let lease = world.host().await;
    let claims = world.claim(lease, 8).await;
    world.finish(lease, &claims[0], completed("42")).await;
    let failed = Verdict::Failed(trap());
    world.finish(lease, &claims[1], failed).await;
    world.finish(lease, &claims[2], Verdict::Cancelled).await;
    for id in [4, 5, 6, 9] {
        world.store().cancel(&ns(), JobId(id)).await.unwrap();
    }
    world.finish(lease, &claims[3], retry(0)).await;
    let release = || Verdict::Release { delay_ms: 0 };
    world.finish(lease, &claims[4], release()).await;
    // A person takes job 6, which is to stop, and job 7 from their host.
    world.finish(lease, &claims[7], retry(0)).await;
    world.store().release(&ns()).await.unwrap();
    let taken = take(&world, 99).await;
    assert_eq!(ids(&taken), [1, 2, 3, 4, 5, 6, 8, 9]);
    for callback in &taken {
        let success = callback.id == JobId(1);
        let expected = Callback {
            namespace: ns(),
            id: callback.id,
            url: URL.into(),
            number: 1,
            tried: 0,
            success,
            short_result: success.then(|| output("42").short_result.unwrap()),
            ended_at_ms: world.job(callback.id.0).await.ended_at_ms.unwrap(),
            trace: trace(),
        };
        assert_eq!(*callback, expected);
    }
    assert_eq!(take(&world, 99).await, []);
}

async fn a_callback_is_told_of_with_the_end(world: World) {
    world.submit(vec![calls_back("0")]).await;
    assert_eq!(deliveries(&world, 1).await, (None, vec![]));
    let lease = world.host().await;
    let claim = world.claim(lease, 1).await.remove(0);
    assert_eq!(claim.job.callback.as_deref(), Some(URL));
    assert_eq!(deliveries(&world, 1).await, (None, vec![]));
    world.finish(lease, &claim, retry(0)).await;
    assert_eq!(take(&world, 9).await, []);
    let claim = world.claim(lease, 1).await.remove(0);
    let before = now_ms();
    world.finish(lease, &claim, completed("")).await;
    let (due, tries) = deliveries(&world, 1).await;
    assert!(due.is_some_and(|due| (before..=now_ms()).contains(&due)));
    assert_eq!(tries, []);
}

async fn a_callback_that_was_taken_is_not_given_twice(world: World) {
    ended(&world).await;
    assert_eq!(take(&world, 9).await, []);
    let other = world.elsewhere().await;
    assert_eq!(other.take_callbacks(9).await.unwrap(), []);
}

async fn callbacks_are_taken_a_few_at_a_time(world: World) {
    world.submit(vec![calls_back("0"); 5]).await;
    let lease = world.host().await;
    for claim in world.claim(lease, 5).await {
        world.finish(lease, &claim, completed("")).await;
    }
    assert_eq!(take(&world, 0).await, []);
    let mut all = HashSet::new();
    for expected in [2, 2, 1, 0] {
        let taken = take(&world, 2).await;
        assert_eq!(taken.len(), expected);
        all.extend(ids(&taken));
    }
    assert_eq!(all, HashSet::from([1, 2, 3, 4, 5]));
}

async fn two_that_take_at_once_share(world: World) {
    world.submit(vec![calls_back("0"); 40]).await;
    let lease = world.host().await;
    for claim in world.claim(lease, 40).await {
        world.finish(lease, &claim, completed("")).await;
    }
    let other = world.elsewhere().await;
    let takes = (0..20).map(|n| {
        let store = if n % 2 == 0 { world.store() } else { &other };
        store.take_callbacks(3)
    });
    let taken = futures_util::future::join_all(takes).await;
    let mut taken: Vec<_> = taken.into_iter().flat_map(Result::unwrap).collect();
    taken.sort_unstable_by_key(|callback| callback.id);
    assert_eq!(ids(&taken), (1..=40).collect::<Vec<_>>());
}

async fn a_callback_to_be_tried_again_is_given_again(world: World) {
    let mut callback = ended(&world).await;
    for number in 2..=4 {
        called(&world, &callback, delivery(500), Some(0)).await;
        let again = take(&world, 9).await.remove(0);
        let tried = number - 1;
        let expected = Callback {
            number,
            tried,
            ..callback
        };
        assert_eq!(again, expected);
        callback = again;
    }
}

async fn a_callback_to_be_tried_later_waits(world: World) {
    let callback = ended(&world).await;
    let before = now_ms();
    called(&world, &callback, delivery(503), Some(60_000)).await;
    assert_eq!(take(&world, 9).await, []);
    let (due, tries) = deliveries(&world, 1).await;
    let between = before + 60_000..=now_ms() + 60_000;
    assert!(due.is_some_and(|due| between.contains(&due)), "{due:?}");
    assert_eq!(tries, [delivery(503)]);
}

async fn a_callback_that_is_done_is_never_given_again(mut world: World) {
    let callback = ended(&world).await;
    called(&world, &callback, delivery(200), None).await;
    for _ in 0..2 {
        assert_eq!(take(&world, 9).await, []);
        assert_eq!(deliveries(&world, 1).await, (None, vec![delivery(200)]));
        world.crash().await;
    }
    // Nor when somebody says later that it is not.
    called(&world, &callback, delivery(500), Some(0)).await;
    assert_eq!(take(&world, 9).await, []);
}

async fn every_try_is_on_the_record(mut world: World) {
    let mut callback = ended(&world).await;
    let failed = Delivery {
        at_ms: 7,
        status: None,
        error: Some("connection refused".into()),
    };
    let tries = [failed, delivery(500), delivery(204)];
    for (n, delivery) in tries.iter().enumerate() {
        let again = (n < 2).then_some(0);
        called(&world, &callback, delivery.clone(), again).await;
        if again.is_some() {
            callback = take(&world, 9).await.remove(0);
        }
    }
    for _ in 0..2 {
        assert_eq!(deliveries(&world, 1).await, (None, tries.to_vec()));
        world.crash().await;
    }
}

async fn whoever_waits_for_a_callback_is_told(world: World) {
    let store = world.store().clone();
    let mut due = store.callback_due();
    not_yet("nothing has ended", &mut due).await;
    world.submit(vec![calls_back("0")]).await;
    let lease = world.host().await;
    let claim = world.claim(lease, 1).await.remove(0);
    world.finish(lease, &claim, completed("")).await;
    soon("a callback is due", due).await.unwrap();
    soon("it still is", store.callback_due()).await.unwrap();
    assert_eq!(ids(&take(&world, 9).await), [1]);
    // The one that was taken is due again, but not so soon.
    let other = world.elsewhere().await;
    world.submit(vec![calls_back("0")]).await;
    world.store().cancel(&ns(), JobId(2)).await.unwrap();
    soon("another is due", other.callback_due()).await.unwrap();
}

async fn whoever_waits_for_a_later_try_is_told(world: World) {
    let callback = ended(&world).await;
    called(&world, &callback, delivery(500), Some(100)).await;
    let again = async {
        loop {
            world.store().callback_due().await.unwrap();
            if let Some(again) = take(&world, 9).await.pop() {
                break again;
            }
            tokio::task::yield_now().await;
        }
    };
    assert_eq!(soon("it is due again", again).await.number, 2);
}

async fn callbacks_survive_a_crash(mut world: World) {
    world.submit(vec![calls_back("0"); 3]).await;
    let lease = world.host().await;
    for claim in world.claim(lease, 3).await {
        world.finish(lease, &claim, completed("42")).await;
    }
    world.crash().await;
    let taken = take(&world, 9).await;
    assert_eq!(ids(&taken), [1, 2, 3]);
    assert!(taken.iter().all(|callback| callback.success));
    called(&world, &taken[0], delivery(500), Some(0)).await;
    called(&world, &taken[1], delivery(200), None).await;
    world.crash().await;
    soon("one is due", world.store().callback_due())
        .await
        .unwrap();
    // The third one is taken still, as far as anybody knows.
    let again = take(&world, 9).await;
    assert_eq!(ids(&again), [1]);
    assert_eq!(again[0].number, 2);
}

async fn a_purged_job_calls_nobody_back(world: World) {
    world.submit(vec![calls_back("0"); 2]).await;
    let lease = world.host().await;
    let claim = world.claim(lease, 1).await.remove(0);
    world.finish(lease, &claim, completed("")).await;
    assert_eq!(world.store().purge(&ns()).await.unwrap(), 1);
    assert_eq!(ids(&take(&world, 9).await), [1]);
}

async fn a_job_that_moves_takes_its_callback_along(world: World) {
    let there = world.fresh().await;
    world.submit(vec![calls_back("0")]).await;
    let parcels = hold(&world, MOVER, 1).await;
    assert_eq!(parcels[0].job.callback.as_deref(), Some(URL));
    there.store().deliver(&ns(), parcels).await.unwrap();
    let_go(&world, MOVER, &[1]).await;
    assert_eq!(take(&world, 9).await, []);
    assert_eq!(take(&there, 9).await, []);
    assert_eq!(deliveries(&world, 1).await, (None, vec![]));
    let lease = there.host().await;
    let claim = there.claim(lease, 1).await.remove(0);
    there.finish(lease, &claim, completed("")).await;
    let callback = take(&there, 9).await.remove(0);
    assert_eq!((callback.id, callback.url.as_str()), (JobId(1), URL));
    assert_eq!(take(&world, 9).await, []);
}

async fn callbacks_of_all_namespaces_are_given(world: World) {
    let store = world.store();
    let names = [ns(), namespace("one"), namespace("two")];
    for name in &names {
        store.submit(name, vec![calls_back("0")]).await.unwrap();
        store.cancel(name, JobId(1)).await.unwrap();
    }
    let taken = take(&world, 9).await;
    let told: HashSet<_> = taken.iter().map(|c| c.namespace.clone()).collect();
    assert_eq!(told, HashSet::from(names));
}

async fn callbacks_of_hundreds_are_all_given(world: World) {
    world.submit(vec![calls_back("0"); 700]).await;
    let lease = world.host().await;
    let claims = world.claim(lease, 700).await;
    let end = |claim| crate::support::done(claim, completed(""));
    world
        .cycle(lease, claims.iter().map(end).collect(), 0)
        .await;
    let mut all = HashSet::new();
    while all.len() < 700 {
        let taken = take(&world, 128).await;
        assert!(!taken.is_empty());
        for callback in taken {
            called(&world, &callback, delivery(200), None).await;
            assert!(all.insert(callback.id));
        }
    }
    assert_eq!(take(&world, 9).await, []);
}

mod late {
    use super::*;

    conformance!(
        Some(crate::support::SHORT_LEASE);
        a_callback_whose_taker_is_gone_is_given_to_another,
        a_try_that_another_host_has_made_meanwhile_is_not_noted,
        a_job_that_dies_with_its_host_is_called_back,
    );

    /// What is taken once nobody has it any more.
    async fn retake(world: &World) -> Callback {
        let again = async {
            loop {
                world.store().callback_due().await.unwrap();
                if let Some(again) = take(world, 9).await.pop() {
                    break again;
                }
                tokio::task::yield_now().await;
            }
        };
        soon("the taker is gone", again).await
    }

    async fn a_callback_whose_taker_is_gone_is_given_to_another(world: World) {
        let callback = ended(&world).await;
        let again = retake(&world).await;
        let expected = Callback {
            number: 2,
            ..callback
        };
        assert_eq!(again, expected);
        assert_eq!(retake(&world).await.number, 3);
    }

    async fn a_try_that_another_host_has_made_meanwhile_is_not_noted(world: World) {
        let late = ended(&world).await;
        let newer = retake(&world).await;
        called(&world, &late, delivery(500), Some(0)).await;
        called(&world, &late, delivery(500), None).await;
        assert_eq!(deliveries(&world, 1).await.1, []);
        called(&world, &newer, delivery(200), None).await;
        called(&world, &late, delivery(500), Some(0)).await;
        assert_eq!(deliveries(&world, 1).await, (None, vec![delivery(200)]));
        assert_eq!(take(&world, 9).await, []);
    }

    async fn a_job_that_dies_with_its_host_is_called_back(world: World) {
        let once = NewJob {
            max_attempts: 1,
            ..calls_back("0")
        };
        world
            .submit(vec![once, calls_back("1"), calls_back("2")])
            .await;
        let silent = world.host().await;
        world.claim(silent, 3).await;
        // It is to stop, and its host does not.
        world.store().cancel(&ns(), JobId(2)).await.unwrap();
        world.reap(3).await;
        let taken = take(&world, 9).await;
        assert_eq!(ids(&taken), [1, 2]);
        assert!(taken.iter().all(|callback| !callback.success));
        assert!(taken.iter().all(|callback| callback.number == 1));
    }
}
