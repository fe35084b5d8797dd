//! What is told of jobs while they run, and of jobs that are not there.

use skep::job::{JobId, State};
use skep::store::Outcome;

use crate::support::{World, completed, done, namespace, ns, progress, report, retry};

conformance!(
    progress_is_told_while_the_job_runs,
    progress_of_an_attempt_that_is_over_is_ignored,
    what_is_unknown_is_nothing,
    a_job_is_never_seen_to_go_backwards,
);

async fn progress_is_told_while_the_job_runs(world: World) {
    world.submit_some(1).await;
    let lease = world.host().await;
    let claim = world.claim(lease, 1).await.remove(0);
    assert_eq!(world.job(1).await.progress, None);
    for percent in [10, 90] {
        let update = vec![(claim.token.clone(), report(percent))];
        world.store().report(lease, update).await.unwrap();
        assert_eq!(world.job(1).await.progress, Some(progress(percent)));
    }
    world.finish(lease, &claim, completed("")).await;
    assert_eq!(world.job(1).await.progress, None);
}

async fn progress_of_an_attempt_that_is_over_is_ignored(world: World) {
    world.submit_some(1).await;
    let lease = world.host().await;
    let first = world.claim(lease, 1).await.remove(0);
    world.finish(lease, &first, retry(0)).await;
    let update = || vec![(first.token.clone(), report(10))];
    world.store().report(lease, update()).await.unwrap();
    assert_eq!(world.job(1).await.progress, None);
    world.claim(lease, 1).await;
    world.store().report(lease, update()).await.unwrap();
    assert_eq!(world.job(1).await.progress, None);
}

async fn what_is_unknown_is_nothing(world: World) {
    let store = world.store();
    for (namespace, id) in [
        (namespace("nowhere"), 1),
        (ns(), 1),
        (ns(), u64::MAX),
        (ns(), 0),
    ] {
        let id = JobId(id);
        assert_eq!(store.job(&namespace, id).await.unwrap(), None);
        let outcome = store.outcome(&namespace, id).await.unwrap();
        assert_eq!(outcome, Outcome::Unknown);
        assert_eq!(store.log(&namespace, id).await.unwrap().lines, []);
        assert_eq!(store.status(&namespace).await.unwrap().waiting(), 0);
        assert!(store.functions(&namespace).await.unwrap().is_empty());
    }
}

async fn a_job_is_never_seen_to_go_backwards(world: World) {
    let step = |state| match state {
        State::Queued => 0,
        State::Running => 1,
        State::Completed => 2,
        other => panic!("no job here is {other:?}"),
    };
    let lease = world.host().await;
    for id in world.submit_some(100).await {
        let watching = tokio::spawn({
            let store = world.store().clone();
            async move {
                let mut seen = 0;
                while seen < 2 {
                    let record = store.job(&ns(), JobId(id)).await.unwrap().unwrap();
                    assert!(
                        step(record.state) >= seen,
                        "{:?} after {seen}",
                        record.state
                    );
                    seen = step(record.state);
                }
            }
        });
        let claim = world.claim(lease, 1).await.remove(0);
        world
            .cycle(lease, vec![done(&claim, completed(""))], 0)
            .await;
        watching.await.unwrap();
    }
}
