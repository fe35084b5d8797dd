//! Accepting jobs.

use std::time::Duration;

use skep::job::{JobId, NewJob, Payload, State};
use skep::store::StoreError;

use crate::support::{World, completed, job, namespace, now_ms, ns};

conformance!(
    ids_count_from_one_in_each_namespace,
    ids_are_never_used_twice,
    a_job_is_what_was_posted,
    a_taken_idempotency_key_answers_its_id_and_adds_nothing,
    an_idempotency_key_works_within_one_batch_and_after_the_job_ended,
    an_idempotency_key_is_of_its_namespace,
    an_idempotency_key_of_another_job_refuses_the_call,
    an_idempotency_key_of_another_job_of_the_call_refuses_it,
    options_are_no_part_of_what_an_idempotency_key_is_of,
    of_posts_that_meet_only_those_with_the_key_of_another_job_are_refused,
    an_empty_batch_is_accepted,
    a_large_message_is_kept_whole,
    many_submits_at_once_lose_nothing,
    each_of_many_submits_at_once_gets_the_ids_of_its_own_jobs,
);

async fn ids_count_from_one_in_each_namespace(world: World) {
    assert_eq!(world.submit_some(3).await, [1, 2, 3]);
    let other = world
        .store()
        .submit(&namespace("other"), vec![job("x")])
        .await
        .unwrap();
    assert_eq!(other, [JobId(1)]);
    assert_eq!(world.submit_some(1).await, [4]);
}

async fn ids_are_never_used_twice(mut world: World) {
    world.submit_some(2).await;
    let lease = world.host().await;
    for claim in world.claim(lease, 2).await {
        world.finish(lease, &claim, completed("")).await;
    }
    world.crash().await;
    assert_eq!(world.submit_some(1).await, [3]);
}

async fn a_job_is_what_was_posted(world: World) {
    world.submit_some(1).await;
    let before = now_ms();
    let posted = NewJob {
        functions: vec!["resize".parse().unwrap(), "store".parse().unwrap()],
        priority: 1.try_into().unwrap(),
        idempotency_key: Some("a key".into()),
        max_attempts: 9,
        limits: "timeout_ms=1234,posts=0".parse().unwrap(),
        retention_s: Some(60),
        parent: Some(JobId(1)),
        depth: 3,
        root: Some(JobId(1)),
        callback: Some("http://localhost/done?x=1".into()),
        ..NewJob::new(
            Payload {
                content_type: "image/png".into(),
                data: vec![0, 159, 146, 150].into(),
            },
            vec![],
        )
    };
    let id = world.submit(vec![posted.clone()]).await[0];
    let record = world.job(id).await;
    assert_eq!(record.state, State::Queued);
    assert_eq!(record.functions, posted.functions);
    assert_eq!(
        (record.priority, record.max_attempts, record.attempt),
        (posted.priority, 9, 0)
    );
    assert_eq!((record.parent, record.depth), (Some(JobId(1)), 3));
    assert_eq!(record.limits, posted.limits);
    assert_eq!(record.idempotency_key.as_deref(), Some("a key"));
    assert_eq!(
        (record.message_content_type.as_str(), record.message_bytes),
        ("image/png", 4)
    );
    assert!((before..=now_ms()).contains(&record.posted_at_ms));
    let lease = world.host().await;
    let claim = world.claim(lease, 1).await.remove(0);
    assert_eq!(*claim.job, posted);
    assert_eq!(
        (claim.token.namespace, claim.posted_at_ms),
        (ns(), record.posted_at_ms)
    );
}

fn keyed(key: &str) -> NewJob {
    NewJob {
        idempotency_key: Some(key.into()),
        ..job("1")
    }
}

async fn a_taken_idempotency_key_answers_its_id_and_adds_nothing(world: World) {
    assert_eq!(world.submit(vec![job("0"), keyed("a")]).await, [1, 2]);
    assert_eq!(
        world.submit(vec![keyed("b"), keyed("a"), job("0")]).await,
        [3, 2, 4]
    );
    assert_eq!(world.store().status(&ns()).await.unwrap().waiting(), 4);
}

async fn an_idempotency_key_works_within_one_batch_and_after_the_job_ended(mut world: World) {
    assert_eq!(world.submit(vec![keyed("a"), keyed("a")]).await, [1, 1]);
    let lease = world.host().await;
    let claims = world.claim(lease, 2).await;
    assert_eq!(claims.len(), 1);
    world.finish(lease, &claims[0], completed("")).await;
    world.crash().await;
    assert_eq!(world.submit(vec![keyed("a")]).await, [1]);
}

async fn an_idempotency_key_is_of_its_namespace(world: World) {
    world.submit(vec![job("0"), keyed("a")]).await;
    let other = world
        .store()
        .submit(&namespace("other"), vec![keyed("a")])
        .await
        .unwrap();
    assert_eq!(other, [JobId(1)]);
}

/// What the store refuses, of which jobs.
async fn refused(world: &World, jobs: Vec<NewJob>) -> Vec<(usize, String, Option<u64>)> {
    match world.store().submit(&ns(), jobs).await {
        Err(StoreError::KeyReused(reused)) => reused
            .into_iter()
            .map(|one| (one.place, one.key, one.first.map(|id| id.0)))
            .collect(),
        other => panic!("it should be refused: {other:?}"),
    }
}

async fn an_idempotency_key_of_another_job_refuses_the_call(mut world: World) {
    assert_eq!(world.submit(vec![keyed("a"), keyed("b")]).await, [1, 2]);
    let named = |names: &[&str]| NewJob {
        functions: names.iter().map(|name| name.parse().unwrap()).collect(),
        ..keyed("b")
    };
    let message = |content_type: &str, data: &'static [u8]| NewJob {
        message: Payload {
            content_type: content_type.into(),
            data: data.into(),
        },
        ..keyed("b")
    };
    let others = [
        named(&[]),
        named(&["g"]),
        named(&["f", "f"]),
        message("application/json", b"2"),
        message("application/json", b"1 "),
        message("application/json", b""),
        message("text/plain", b"1"),
    ];
    let lease = world.host().await;
    for ended in [false, true] {
        for other in &others {
            let jobs = vec![job("0"), keyed("a"), other.clone(), keyed("new")];
            let expected = [(2, "b".to_owned(), Some(2))];
            assert_eq!(refused(&world, jobs).await, expected, "{other:?}");
        }
        if !ended {
            for claim in world.claim(lease, 2).await {
                world.finish(lease, &claim, completed("")).await;
            }
        }
    }
    world.crash().await;
    assert_eq!(world.store().status(&ns()).await.unwrap().posted, 2);
    // Neither an id nor a key was taken.
    assert_eq!(world.submit(vec![keyed("new"), keyed("b")]).await, [3, 2]);
}

async fn an_idempotency_key_of_another_job_of_the_call_refuses_it(world: World) {
    let other = NewJob {
        message: Payload::json("2"),
        ..keyed("a")
    };
    let jobs = vec![keyed("a"), other.clone(), keyed("a"), other.clone()];
    let expected = [(1, "a".to_owned(), None), (3, "a".to_owned(), None)];
    assert_eq!(refused(&world, jobs).await, expected);
    assert_eq!(world.store().status(&ns()).await.unwrap().posted, 0);
    assert_eq!(world.submit(vec![other]).await, [1]);
}

async fn options_are_no_part_of_what_an_idempotency_key_is_of(world: World) {
    assert_eq!(world.submit(vec![keyed("a")]).await, [1]);
    let later = NewJob {
        delay_ms: 5,
        priority: 0.try_into().unwrap(),
        max_attempts: 9,
        limits: "timeout_ms=1234,posts=0".parse().unwrap(),
        retention_s: Some(60),
        callback: Some("http://localhost/".into()),
        ..keyed("a")
    };
    assert_eq!(world.submit(vec![later.clone(), keyed("a")]).await, [1, 1]);
    assert_eq!(
        world
            .submit(vec![NewJob {
                idempotency_key: Some("b".into()),
                ..later
            }])
            .await,
        [2]
    );
    assert_eq!(world.submit(vec![keyed("b")]).await, [2]);
}

async fn of_posts_that_meet_only_those_with_the_key_of_another_job_are_refused(world: World) {
    world.submit(vec![keyed("a")]).await;
    let submits = (0..100).map(|n| {
        let store = world.store().clone();
        let job = match n % 4 {
            0 => NewJob {
                message: Payload::json("2"),
                ..keyed("a")
            },
            1 => keyed("a"),
            _ => job(&n.to_string()),
        };
        async move { (n % 4, store.submit(&ns(), vec![job]).await) }
    });
    for (kind, answer) in futures_util::future::join_all(submits).await {
        match (kind, answer) {
            (0, Err(StoreError::KeyReused(_))) => {}
            (1, Ok(ids)) => assert_eq!(ids, [JobId(1)]),
            (2 | 3, Ok(ids)) => assert!(ids[0].0 > 1),
            (kind, other) => panic!("{kind}: {other:?}"),
        }
    }
    assert_eq!(world.store().status(&ns()).await.unwrap().posted, 51);
}

async fn an_empty_batch_is_accepted(world: World) {
    assert_eq!(world.submit(vec![]).await, [0; 0]);
}

async fn a_large_message_is_kept_whole(mut world: World) {
    let data: Vec<u8> = (0..3_000_000_u32).map(|n| (n / 7) as u8).collect();
    let large = NewJob::new(
        Payload {
            content_type: "application/octet-stream".into(),
            data: data.clone().into(),
        },
        vec!["f".parse().unwrap()],
    );
    world.submit(vec![large]).await;
    world.crash().await;
    let lease = world.host().await;
    let claim = world.claim(lease, 1).await.remove(0);
    assert_eq!(claim.job.message.data, data);
}

async fn many_submits_at_once_lose_nothing(world: World) {
    let submits = (0..200).map(|n| {
        let store = world.store().clone();
        async move {
            store
                .submit(&ns(), vec![job(&n.to_string()); 3])
                .await
                .unwrap()
        }
    });
    let batches = futures_util::future::join_all(submits).await;
    for batch in &batches {
        assert_eq!(
            [batch[0].0 + 1, batch[0].0 + 2],
            [batch[1].0, batch[2].0],
            "a batch is torn"
        );
    }
    let mut ids: Vec<u64> = batches.concat().iter().map(|id| id.0).collect();
    ids.sort_unstable();
    assert_eq!(ids, (1..=600).collect::<Vec<_>>());
    assert_eq!(world.store().status(&ns()).await.unwrap().waiting(), 600);
}

async fn each_of_many_submits_at_once_gets_the_ids_of_its_own_jobs(world: World) {
    let text = |n: usize, i: usize| format!("{n}/{i}");
    let mut submits = Vec::new();
    for n in 0..300 {
        let jobs = (0..=n % 4).map(|i| match n % 5 {
            // Some were there before, or are in another submit of the same moment.
            0 => keyed(&format!("key {}", n % 25)),
            _ => job(&text(n, i)),
        });
        let (store, jobs) = (world.store().clone(), jobs.collect::<Vec<_>>());
        let is_dropped = n % 7 == 3;
        submits.push(async move {
            let namespace = ns();
            let mut submit = store.submit(&namespace, jobs);
            if is_dropped {
                // On its way, and then nobody waits for it any more.
                drop(tokio::time::timeout(Duration::ZERO, &mut submit).await);
                return None;
            }
            Some(submit.await.unwrap())
        });
    }
    let answers = futures_util::future::join_all(submits).await;
    let mut last = 0;
    for (n, ids) in answers.iter().enumerate() {
        let Some(ids) = ids else { continue };
        assert_eq!(ids.len(), n % 4 + 1);
        last = ids.iter().fold(last, |last, id| last.max(id.0));
    }
    let mut messages = std::collections::HashMap::new();
    let mut after = JobId(0);
    loop {
        let parcels = world.store().peek(&ns(), after, 1_000).await.unwrap();
        let Some(end) = parcels.last() else { break };
        after = end.origin.id;
        for parcel in parcels {
            let text = String::from_utf8(parcel.job.message.data.to_vec()).unwrap();
            assert!(
                messages
                    .insert(parcel.origin.id, (text, parcel.job))
                    .is_none()
            );
        }
    }
    for (n, ids) in answers.into_iter().enumerate() {
        for (i, id) in ids.into_iter().flatten().enumerate() {
            let (message, job) = &messages[&id];
            match &job.idempotency_key {
                None => assert_eq!(*message, text(n, i)),
                Some(key) => assert_eq!(*key, format!("key {}", n % 25)),
            }
        }
    }
    assert!(messages.len() as u64 >= last, "an id without a job");
}
