//! Jobs that post jobs: which child a post is, who may post, and what became of them.

use bytes::Bytes;
use skep::job::{JobId, MAX_CHILDREN_LISTED, NewJob, Output, Payload};
use skep::store::{Claim, Lease, Outcome, StoreError, Verdict};

use crate::holding::{MOVER, hold, let_go, status};
use crate::support::{World, child, completed, job, namespace, ns, output, retry, trap};

conformance!(
    a_child_is_posted_once,
    a_child_of_another_parent_is_another_job,
    a_child_is_known_in_every_attempt_and_after_its_end,
    a_child_whose_idempotency_key_is_taken_is_that_job,
    a_child_with_an_idempotency_key_of_its_own_is_a_child,
    children_are_listed_in_order_and_paged,
    children_without_a_key_are_listed_too,
    what_has_no_children_lists_none,
    children_survive_a_crash,
    a_parent_that_has_ended_posts_no_more,
    a_parent_that_is_to_stop_posts_no_more,
    a_parent_that_is_unknown_posts_nothing,
    a_child_that_was_purged_stays_purged,
    a_parent_that_waits_again_still_posts,
    whoever_stops_a_parent_misses_none_of_its_children,
    many_children_at_once_are_all_there,
    outcomes_are_told_in_the_order_asked,
    outcomes_are_bounded_in_bytes_and_never_none,
    outcomes_of_thousands_are_whole,
    outcomes_of_many_are_those_of_each,
    outcomes_of_children_stand_between_those_of_others,
    the_outcome_of_one_job_is_whole,
);

/// A parent that runs.
async fn parent(world: &World) -> (Lease, Claim) {
    let id = world.submit_some(1).await[0];
    let lease = world.host().await;
    let claim = world.claim(lease, 1).await.remove(0);
    assert_eq!(claim.token.id, JobId(id));
    (lease, claim)
}

async fn children(world: &World, id: u64, after: u64, want: usize) -> Vec<u64> {
    let answer = world
        .store()
        .children(&ns(), JobId(id), JobId(after), want)
        .await;
    answer.expect("children").iter().map(|id| id.0).collect()
}

/// Asserts that the parent posts no more, and that nothing was added.
async fn posts_no_more(world: &World, id: u64, jobs: Vec<NewJob>) {
    let posted = status(world).await.posted;
    let answer = world.store().submit(&ns(), jobs).await;
    assert!(
        matches!(answer, Err(StoreError::ParentOver(over)) if over == JobId(id)),
        "{answer:?}"
    );
    assert_eq!(status(world).await.posted, posted);
}

async fn a_child_is_posted_once(world: World) {
    parent(&world).await;
    let posted = vec![child(1, "a"), child(1, "b"), child(1, "a")];
    assert_eq!(world.submit(posted).await, [2, 3, 2]);
    let again = vec![child(1, "b"), child(1, "c"), child(1, "a")];
    assert_eq!(world.submit(again).await, [3, 4, 2]);
    assert_eq!(world.submit(vec![child(1, "c")]).await, [4]);
    let now = status(&world).await;
    assert_eq!((now.posted, now.queued, now.running), (4, 3, 1));
    let record = world.job(2).await;
    assert_eq!((record.parent, record.depth), (Some(JobId(1)), 1));
    let record = world.job(1).await;
    assert_eq!(record.child_count, 3);
    assert_eq!(record.children, [2, 3, 4].map(JobId));
}

async fn a_child_of_another_parent_is_another_job(world: World) {
    world.submit_some(2).await;
    let lease = world.host().await;
    world.claim(lease, 2).await;
    assert_eq!(world.submit(vec![child(1, "a")]).await, [3]);
    assert_eq!(world.submit(vec![child(2, "a")]).await, [4]);
    let other = namespace("other");
    let store = world.store();
    store.submit(&other, vec![job("0")]).await.unwrap();
    let posted = store.submit(&other, vec![child(1, "a")]).await.unwrap();
    assert_eq!(posted, [JobId(2)]);
    assert_eq!(children(&world, 1, 0, 9).await, [3]);
    assert_eq!(children(&world, 2, 0, 9).await, [4]);
}

async fn a_child_is_known_in_every_attempt_and_after_its_end(mut world: World) {
    let (lease, claim) = parent(&world).await;
    let posted = || vec![child(1, "a"), child(1, "b")];
    assert_eq!(world.submit(posted()).await, [2, 3]);
    let first = world.claim(lease, 1).await.remove(0);
    assert_eq!(first.token.id, JobId(2));
    world.finish(lease, &first, completed("a")).await;
    assert_eq!(world.submit(posted()).await, [2, 3]);
    world.finish(lease, &claim, retry(0)).await;
    let again = world.claim(lease, 1).await.remove(0);
    assert_eq!((again.token.id, again.token.attempt), (JobId(1), 2));
    assert_eq!(world.submit(posted()).await, [2, 3]);
    world.crash().await;
    let lease = world.host().await;
    let again = world.claim(lease, 1).await.remove(0);
    assert_eq!((again.token.id, again.token.attempt), (JobId(1), 3));
    // It takes another path this time.
    let other = vec![child(1, "b"), child(1, "x"), child(1, "a")];
    assert_eq!(world.submit(other).await, [3, 4, 2]);
    assert_eq!(world.job(1).await.child_count, 3);
}

async fn a_child_whose_idempotency_key_is_taken_is_that_job(world: World) {
    parent(&world).await;
    let keyed = |job: NewJob| NewJob {
        idempotency_key: Some("k".into()),
        ..job
    };
    assert_eq!(world.submit(vec![keyed(job("a"))]).await, [2]);
    for _ in 0..2 {
        assert_eq!(world.submit(vec![keyed(child(1, "a"))]).await, [2]);
    }
    // It is somebody else's.
    let record = world.job(1).await;
    assert_eq!((record.child_count, record.children), (0, vec![]));
    assert_eq!(world.job(2).await.parent, None);
}

async fn a_child_with_an_idempotency_key_of_its_own_is_a_child(world: World) {
    parent(&world).await;
    let keyed = || NewJob {
        idempotency_key: Some("k".into()),
        ..child(1, "a")
    };
    for _ in 0..2 {
        assert_eq!(world.submit(vec![keyed()]).await, [2]);
    }
    assert_eq!(children(&world, 1, 0, 9).await, [2]);
    let stranger = NewJob {
        parent: None,
        child_key: None,
        depth: 0,
        ..keyed()
    };
    assert_eq!(world.submit(vec![stranger]).await, [2]);
    assert_eq!(world.job(1).await.child_count, 1);
}

async fn children_are_listed_in_order_and_paged(world: World) {
    parent(&world).await;
    let mut expected = Vec::new();
    for batch in 0..5 {
        let jobs = (0..50).map(|n| child(1, &(batch * 50 + n).to_string()));
        expected.extend(world.submit(jobs.collect()).await);
        // Somebody else's jobs lie between them.
        world.submit_some(3).await;
    }
    let mut listed = Vec::new();
    loop {
        let after = listed.last().copied().unwrap_or(0);
        let page = children(&world, 1, after, 40).await;
        assert!(page.len() == 40 || listed.len() + page.len() == 250);
        if page.is_empty() {
            break;
        }
        listed.extend(page);
    }
    assert_eq!(listed, expected);
    assert_eq!(children(&world, 1, expected[59], 2).await, expected[60..62]);
    assert_eq!(children(&world, 1, expected[249], 2).await, [0; 0]);
    assert_eq!(children(&world, 1, 0, 0).await, [0; 0]);
    assert_eq!(children(&world, 1, u64::MAX, 5).await, [0; 0]);
    let record = world.job(1).await;
    let first = expected[..MAX_CHILDREN_LISTED].iter().copied().map(JobId);
    assert_eq!(record.child_count, 250);
    assert_eq!(record.children, first.collect::<Vec<_>>());
}

async fn children_without_a_key_are_listed_too(world: World) {
    parent(&world).await;
    let unkeyed = || NewJob {
        child_key: None,
        ..child(1, "a")
    };
    let posted = vec![unkeyed(), child(1, "a"), unkeyed()];
    assert_eq!(world.submit(posted).await, [2, 3, 4]);
    assert_eq!(world.submit(vec![unkeyed()]).await, [5]);
    assert_eq!(children(&world, 1, 0, 9).await, [2, 3, 4, 5]);
    assert_eq!(world.job(1).await.child_count, 4);
}

async fn what_has_no_children_lists_none(world: World) {
    world.submit_some(1).await;
    assert_eq!(children(&world, 1, 0, 9).await, [0; 0]);
    assert_eq!(children(&world, 2, 0, 9).await, [0; 0]);
    assert_eq!(children(&world, u64::MAX, 0, 9).await, [0; 0]);
    let nowhere = namespace("nowhere");
    let store = world.store();
    let none = store.children(&nowhere, JobId(1), JobId(0), 9).await;
    assert_eq!(none.unwrap(), []);
    let record = world.job(1).await;
    assert_eq!((record.child_count, record.children), (0, vec![]));
}

async fn children_survive_a_crash(mut world: World) {
    let (lease, claim) = parent(&world).await;
    world.submit(vec![child(1, "a"), child(1, "b")]).await;
    world.finish(lease, &claim, completed("")).await;
    world.crash().await;
    assert_eq!(children(&world, 1, 0, 9).await, [2, 3]);
    assert_eq!(world.job(1).await.child_count, 2);
}

async fn a_parent_that_has_ended_posts_no_more(world: World) {
    world.submit_some(5).await;
    let lease = world.host().await;
    let claims = world.claim(lease, 3).await;
    world.submit(vec![child(1, "before")]).await;
    world.finish(lease, &claims[0], completed("")).await;
    let failed = Verdict::Failed(trap());
    world.finish(lease, &claims[1], failed).await;
    world.finish(lease, &claims[2], Verdict::Cancelled).await;
    world.store().cancel(&ns(), JobId(4)).await.unwrap();
    hold(&world, MOVER, 1).await;
    let_go(&world, MOVER, &[5]).await;
    for id in 1..=5 {
        posts_no_more(&world, id, vec![child(id, "a"), child(id, "b")]).await;
    }
    // Also what it has posted before.
    posts_no_more(&world, 1, vec![child(1, "before")]).await;
    assert_eq!(children(&world, 1, 0, 9).await, [6]);
}

async fn a_parent_that_is_to_stop_posts_no_more(mut world: World) {
    parent(&world).await;
    assert_eq!(world.submit(vec![child(1, "a")]).await, [2]);
    world.store().cancel(&ns(), JobId(1)).await.unwrap();
    posts_no_more(&world, 1, vec![child(1, "b")]).await;
    posts_no_more(&world, 1, vec![child(1, "a")]).await;
    world.crash().await;
    posts_no_more(&world, 1, vec![child(1, "b")]).await;
    // Its children may: they are stopped next.
    assert_eq!(world.submit(vec![child(2, "c")]).await, [3]);
}

async fn a_parent_that_is_unknown_posts_nothing(world: World) {
    posts_no_more(&world, 7, vec![child(7, "a")]).await;
    world.submit_some(1).await;
    posts_no_more(&world, 2, vec![child(2, "a")]).await;
    posts_no_more(&world, u64::MAX, vec![child(u64::MAX, "a")]).await;
    world.store().purge(&ns()).await.unwrap();
    posts_no_more(&world, 1, vec![child(1, "a")]).await;
    // A parent of another namespace is unknown here.
    let other = namespace("other");
    let store = world.store();
    store.submit(&other, vec![job("0"); 9]).await.unwrap();
    posts_no_more(&world, 9, vec![child(9, "a")]).await;
}

async fn a_child_that_was_purged_stays_purged(world: World) {
    parent(&world).await;
    assert_eq!(world.submit(vec![child(1, "a")]).await, [2]);
    assert_eq!(world.store().purge(&ns()).await.unwrap(), 1);
    assert_eq!(
        world.submit(vec![child(1, "a"), child(1, "b")]).await,
        [2, 3]
    );
    assert_eq!(
        outcomes(&world, &[2, 3], u64::MAX).await,
        [Outcome::Unknown, Outcome::Open]
    );
    assert_eq!(children(&world, 1, 0, 9).await, [2, 3]);
    assert_eq!(status(&world).await.queued, 1);
}

async fn a_parent_that_waits_again_still_posts(world: World) {
    let (lease, claim) = parent(&world).await;
    // Its guest may not have heard yet that its attempt is over.
    world.finish(lease, &claim, retry(60_000)).await;
    assert_eq!(world.submit(vec![child(1, "a")]).await, [2]);
    assert_eq!(world.job(1).await.children, [JobId(2)]);
}

async fn whoever_stops_a_parent_misses_none_of_its_children(world: World) {
    parent(&world).await;
    let store = world.store().clone();
    let poster = tokio::spawn(async move {
        let mut posted = Vec::new();
        for n in 0.. {
            match store.submit(&ns(), vec![child(1, &n.to_string())]).await {
                Ok(ids) => posted.extend(ids.iter().map(|id| id.0)),
                Err(StoreError::ParentOver(_)) => break,
                Err(error) => panic!("{error}"),
            }
        }
        posted
    });
    while world.job(1).await.child_count < 20 {
        tokio::task::yield_now().await;
    }
    world.store().cancel(&ns(), JobId(1)).await.unwrap();
    let listed = children(&world, 1, 0, usize::MAX >> 1).await;
    assert_eq!(poster.await.unwrap(), listed);
}

async fn many_children_at_once_are_all_there(world: World) {
    parent(&world).await;
    let all = || (0..5000).map(|n| child(1, &n.to_string())).collect();
    let ids = world.submit(all()).await;
    assert_eq!(ids, (2..5002).collect::<Vec<_>>());
    assert_eq!(world.submit(all()).await, ids);
    assert_eq!(children(&world, 1, 0, 9999).await, ids);
    assert_eq!(world.job(1).await.child_count, 5000);
    assert_eq!(status(&world).await.posted, 5001);
}

async fn outcomes(world: &World, ids: &[u64], max_bytes: u64) -> Vec<Outcome> {
    let ids: Vec<_> = ids.iter().copied().map(JobId).collect();
    let answer = world.store().outcomes(&ns(), &ids, max_bytes).await;
    answer.expect("outcomes")
}

async fn outcomes_are_told_in_the_order_asked(mut world: World) {
    world.submit_some(6).await;
    world
        .submit(vec![NewJob {
            retention_s: Some(0),
            ..job("7")
        }])
        .await;
    let lease = world.host().await;
    let claims = world.claim(lease, 7).await;
    world.finish(lease, &claims[1], completed("two")).await;
    let failed = Verdict::Failed(trap());
    world.finish(lease, &claims[2], failed).await;
    world.finish(lease, &claims[3], Verdict::Cancelled).await;
    world.finish(lease, &claims[4], retry(0)).await;
    world.finish(lease, &claims[5], retry(60_000)).await;
    world.store().cancel(&ns(), JobId(6)).await.unwrap();
    world.finish(lease, &claims[6], completed("gone")).await;
    let asked = [7, 99, 1, 2, 3, 4, 5, 6, 2, u64::MAX, 0];
    let expected = [
        Outcome::Expired,
        Outcome::Unknown,
        Outcome::Open,
        Outcome::Completed(output("two")),
        Outcome::Failed(trap()),
        Outcome::Cancelled,
        Outcome::Open,
        Outcome::Cancelled,
        Outcome::Completed(output("two")),
        Outcome::Unknown,
        Outcome::Unknown,
    ];
    assert_eq!(outcomes(&world, &asked, u64::MAX).await, expected);
    world.crash().await;
    assert_eq!(outcomes(&world, &asked, u64::MAX).await, expected);
    while world.store().sweep().await.unwrap() > 0 {}
    assert_eq!(outcomes(&world, &asked, u64::MAX).await, expected);
    assert_eq!(outcomes(&world, &[], u64::MAX).await, []);
    let nowhere = namespace("nowhere");
    let unknown = world
        .store()
        .outcomes(&nowhere, &[JobId(2), JobId(3)], u64::MAX);
    assert_eq!(unknown.await.unwrap(), [Outcome::Unknown, Outcome::Unknown]);
}

/// Ends jobs with a result of so many bytes each.
async fn end_with_results(world: &World, bytes: &[usize]) {
    world.submit_some(bytes.len()).await;
    let lease = world.host().await;
    for bytes in bytes {
        let claim = world.claim(lease, 1).await.remove(0);
        let result = Verdict::Completed(result_of(*bytes));
        world.finish(lease, &claim, result).await;
    }
}

fn result_of(bytes: usize) -> Output {
    let data: Vec<u8> = (0..bytes).map(|n| (n / 7) as u8).collect();
    Output {
        short_result: None,
        result: Payload {
            content_type: "application/octet-stream".into(),
            data: Bytes::from(data),
        },
    }
}

async fn outcomes_are_bounded_in_bytes_and_never_none(world: World) {
    end_with_results(&world, &[100, 10, 100_000, 10]).await;
    let lengths = async |ids: &[u64], max_bytes| {
        let outcomes = outcomes(&world, ids, max_bytes).await;
        let length = |outcome: &Outcome| match outcome {
            Outcome::Completed(output) => output.result.data.len(),
            _ => 0,
        };
        outcomes.iter().map(length).collect::<Vec<_>>()
    };
    let all = [1, 2, 3, 4];
    assert_eq!(lengths(&all, 0).await, [100]);
    assert_eq!(lengths(&all, 109).await, [100]);
    assert_eq!(lengths(&all, 110).await, [100, 10]);
    assert_eq!(lengths(&all, 100_109).await, [100, 10]);
    assert_eq!(lengths(&all, 100_110).await, [100, 10, 100_000]);
    assert_eq!(lengths(&all, 100_120).await, [100, 10, 100_000, 10]);
    assert_eq!(lengths(&[3, 2], 5).await, [100_000]);
    assert_eq!(lengths(&[3, 3, 3], 250_000).await, [100_000, 100_000]);
    // What has no result weighs nothing.
    assert_eq!(lengths(&[9, 2, 9, 9, 1], 10).await, [0, 10, 0, 0]);
    assert_eq!(lengths(&[9, 3, 2], 10).await, [0]);
}

async fn outcomes_of_thousands_are_whole(world: World) {
    let ids = world.submit_some(3000).await;
    let lease = world.host().await;
    let claims = world.claim(lease, 3000).await;
    let end = |claim: &Claim| {
        let result = claim.token.id.to_string();
        crate::support::done(claim, completed(&result))
    };
    let done = claims.iter().map(end).collect();
    world.cycle(lease, done, 0).await;
    let told = outcomes(&world, &ids, u64::MAX).await;
    let expected = ids
        .iter()
        .map(|id| Outcome::Completed(output(&id.to_string())));
    assert_eq!(told, expected.collect::<Vec<_>>());
}

async fn outcomes_of_many_are_those_of_each(world: World) {
    world.submit_some(60).await;
    let lease = world.host().await;
    for claim in world.claim(lease, 60).await {
        let verdict = match claim.token.id.0 % 6 {
            0 => Verdict::Failed(trap()),
            1 => retry(60_000),
            2 => Verdict::Completed(result_of(100_000)),
            3 => Verdict::Completed(result_of(2_049)),
            _ => Verdict::Completed(result_of(2_048)),
        };
        world.finish(lease, &claim, verdict).await;
    }
    // Close together, with gaps, and up to some that do not exist.
    let ids: Vec<u64> = (3..70).filter(|id| id % 4 != 1).collect();
    let mut each = Vec::new();
    for id in &ids {
        each.extend(outcomes(&world, &[*id], u64::MAX).await);
    }
    assert_eq!(outcomes(&world, &ids, u64::MAX).await, each);
    let some = outcomes(&world, &ids, 250_000).await;
    assert!((1..ids.len()).contains(&some.len()));
    assert_eq!(some, each[..some.len()]);
}

/// A store may have some of them at hand.
async fn outcomes_of_children_stand_between_those_of_others(world: World) {
    let (lease, _) = parent(&world).await;
    let children = ["a", "b", "c"].map(|key| child(1, key));
    world.submit(children.to_vec()).await;
    world.submit_some(3).await;
    for claim in world.claim(lease, 6).await {
        let result = result_of(10 * claim.token.id.0 as usize);
        world
            .finish(lease, &claim, Verdict::Completed(result))
            .await;
    }
    let asked = [5, 2, 6, 3, 99, 4, 2, 7];
    let expected = asked.map(|id| match id {
        99 => Outcome::Unknown,
        id => Outcome::Completed(result_of(10 * id as usize)),
    });
    assert_eq!(outcomes(&world, &asked, 130).await, expected[..3]);
    assert_eq!(outcomes(&world, &asked, u64::MAX).await, expected);
    assert_eq!(outcomes(&world, &asked, 160).await, expected[..5]);
}

async fn the_outcome_of_one_job_is_whole(mut world: World) {
    end_with_results(&world, &[3_000_000]).await;
    world.crash().await;
    let outcome = world.store().outcome(&ns(), JobId(1)).await.unwrap();
    assert_eq!(outcome, Outcome::Completed(result_of(3_000_000)));
    let unknown = world.store().outcome(&ns(), JobId(2)).await.unwrap();
    assert_eq!(unknown, Outcome::Unknown);
}
