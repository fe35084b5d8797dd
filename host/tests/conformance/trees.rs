//! How many jobs a whole tree may have.

use skep::job::{ChildKey, JobId, NewJob};
use skep::store::{Claim, Lease, StoreError};

use crate::holding::status;
use crate::support::{World, child, completed, job, namespace, ns, retry};

conformance!(
    a_tree_has_no_more_jobs_than_it_may,
    children_of_children_are_of_the_same_tree,
    what_is_not_added_is_not_counted,
    a_full_tree_still_answers_for_the_jobs_that_it_has,
    a_tree_that_may_have_more_goes_on,
    what_was_purged_was_a_job_of_its_tree,
    a_tree_is_counted_across_a_crash,
    trees_do_not_count_for_each_other,
    a_job_without_a_root_is_not_counted,
    a_wide_fan_out_is_counted_whole,
    posts_at_once_do_not_get_past_the_bound,
);

/// A child of `parent`, in the tree of job 1, which may have `most` jobs.
fn of_tree(parent: u64, key: &str, most: u64) -> NewJob {
    NewJob {
        root: Some(JobId(1)),
        tree_jobs: Some(most),
        ..child(parent, key)
    }
}

fn many(parent: u64, keys: &[&str], most: u64) -> Vec<NewJob> {
    keys.iter().map(|key| of_tree(parent, key, most)).collect()
}

/// The root of a tree, which runs.
async fn root(world: &World) -> (Lease, Claim) {
    world.submit_some(1).await;
    let lease = world.host().await;
    let claim = world.claim(lease, 1).await.remove(0);
    (lease, claim)
}

/// Asserts that the tree is full at `jobs` of `most`, and that nothing was added.
async fn is_full(world: &World, posts: Vec<NewJob>, full: u64, most: u64) {
    let posted = status(world).await.posted;
    match world.store().submit(&ns(), posts).await {
        Err(StoreError::TreeFull { root, jobs, limit }) => {
            assert_eq!((root, jobs, limit), (JobId(1), full, most));
        }
        other => panic!("the tree should be full: {other:?}"),
    }
    assert_eq!(status(world).await.posted, posted);
}

async fn a_tree_has_no_more_jobs_than_it_may(world: World) {
    root(&world).await;
    assert_eq!(world.submit(many(1, &["a", "b"], 4)).await, [2, 3]);
    is_full(&world, many(1, &["c", "d"], 4), 3, 4).await;
    assert_eq!(world.submit(many(1, &["c"], 4)).await, [4]);
    is_full(&world, many(1, &["d"], 4), 4, 4).await;
    assert_eq!(world.job(1).await.child_count, 3);
}

async fn children_of_children_are_of_the_same_tree(world: World) {
    let (lease, _) = root(&world).await;
    assert_eq!(world.submit(many(1, &["a"], 4)).await, [2]);
    let claim = world.claim(lease, 1).await.remove(0);
    assert_eq!(claim.job.root, Some(JobId(1)), "its host must know it");
    assert_eq!(world.submit(many(2, &["a", "b"], 4)).await, [3, 4]);
    is_full(&world, many(2, &["c"], 4), 4, 4).await;
    is_full(&world, many(1, &["b"], 4), 4, 4).await;
}

async fn what_is_not_added_is_not_counted(world: World) {
    root(&world).await;
    let keyed = |key: &str| NewJob {
        idempotency_key: Some("k".into()),
        message: job("0").message,
        ..of_tree(1, key, 3)
    };
    let stranger = NewJob {
        idempotency_key: Some("k".into()),
        ..job("0")
    };
    assert_eq!(world.submit(vec![stranger]).await, [2]);
    // An idempotency key that a job has, and the same post several times.
    let posts = vec![
        keyed("x"),
        of_tree(1, "a", 3),
        of_tree(1, "a", 3),
        keyed("y"),
    ];
    assert_eq!(world.submit(posts).await, [2, 3, 3, 2]);
    for _ in 0..3 {
        assert_eq!(world.submit(many(1, &["a"], 3)).await, [3]);
    }
    // Two posts of one call with one new key are one job.
    let fresh = |key: &str| NewJob {
        idempotency_key: Some("fresh".into()),
        message: job("0").message,
        ..of_tree(1, key, 3)
    };
    assert_eq!(world.submit(vec![fresh("p"), fresh("q")]).await, [4, 4]);
    is_full(&world, many(1, &["b"], 3), 3, 3).await;
}

async fn a_full_tree_still_answers_for_the_jobs_that_it_has(world: World) {
    let (lease, claim) = root(&world).await;
    assert_eq!(world.submit(many(1, &["a", "b"], 3)).await, [2, 3]);
    world.finish(lease, &claim, retry(0)).await;
    let again = world.claim(lease, 1).await.remove(0);
    assert_eq!((again.token.id, again.token.attempt), (JobId(1), 2));
    assert_eq!(world.submit(many(1, &["a", "b"], 3)).await, [2, 3]);
    is_full(&world, many(1, &["a", "b", "c"], 3), 3, 3).await;
    assert_eq!(world.submit(many(1, &["b"], 3)).await, [3]);
}

async fn a_tree_that_may_have_more_goes_on(world: World) {
    root(&world).await;
    assert_eq!(world.submit(many(1, &["a"], 2)).await, [2]);
    is_full(&world, many(1, &["b"], 2), 2, 2).await;
    assert_eq!(world.submit(many(1, &["b"], 3)).await, [3]);
    // A narrower poster is held by its own bound, whatever there is.
    is_full(&world, many(1, &["c"], 2), 3, 2).await;
}

async fn what_was_purged_was_a_job_of_its_tree(world: World) {
    root(&world).await;
    assert_eq!(world.submit(many(1, &["a", "b"], 3)).await, [2, 3]);
    assert_eq!(world.store().purge(&ns()).await.unwrap(), 2);
    is_full(&world, many(1, &["c"], 3), 3, 3).await;
}

async fn a_tree_is_counted_across_a_crash(mut world: World) {
    root(&world).await;
    world.submit(many(1, &["a", "b"], 3)).await;
    world.crash().await;
    is_full(&world, many(1, &["c"], 3), 3, 3).await;
}

async fn trees_do_not_count_for_each_other(world: World) {
    world.submit_some(2).await;
    let lease = world.host().await;
    world.claim(lease, 2).await;
    assert_eq!(world.submit(many(1, &["a"], 2)).await, [3]);
    let second = NewJob {
        root: Some(JobId(2)),
        ..of_tree(2, "a", 2)
    };
    assert_eq!(world.submit(vec![second]).await, [4]);
    let other = namespace("other");
    let store = world.store();
    store.submit(&other, vec![job("0")]).await.unwrap();
    let posted = store.submit(&other, many(1, &["a"], 2)).await;
    assert_eq!(posted.unwrap(), [JobId(2)]);
    is_full(&world, many(1, &["b"], 2), 2, 2).await;
}

async fn a_job_without_a_root_is_not_counted(world: World) {
    root(&world).await;
    // As an older version posted them.
    let posts = (0..9).map(|n| child(1, &n.to_string())).collect();
    assert_eq!(world.submit(posts).await.len(), 9);
    assert_eq!(world.submit(many(1, &["a"], 2)).await, [11]);
}

async fn a_wide_fan_out_is_counted_whole(world: World) {
    let (lease, claim) = root(&world).await;
    let post = |n: u32| NewJob {
        child_key: Some(ChildKey::of([&n.to_le_bytes()[..]])),
        ..of_tree(1, "x", 10_001)
    };
    let all = || (0..10_000).map(post).collect::<Vec<_>>();
    let ids = world.submit(all()).await;
    assert_eq!(ids, (2..=10_001).collect::<Vec<_>>());
    is_full(&world, many(1, &["y"], 10_001), 10_001, 10_001).await;
    // All of them are known.
    assert_eq!(world.submit(all()).await, ids);
    world.finish(lease, &claim, completed("")).await;
}

async fn posts_at_once_do_not_get_past_the_bound(world: World) {
    root(&world).await;
    let posts = (0..20).map(|n| {
        let store = world.store().clone();
        tokio::spawn(async move { store.submit(&ns(), many(1, &[&n.to_string()], 11)).await })
    });
    let mut added = 0;
    for post in posts.collect::<Vec<_>>() {
        match post.await.unwrap() {
            Ok(ids) => added += ids.len(),
            Err(StoreError::TreeFull { jobs, .. }) => assert_eq!(jobs, 11),
            Err(error) => panic!("{error}"),
        }
    }
    assert_eq!(added, 10);
    assert_eq!(world.job(1).await.child_count, 10);
}
