//! What running jobs say, and who is told.

use std::sync::Arc;

use skep::job::{JobId, LogLevel, LogLine, State};
use skep::store::{AttemptLog, Claim, Lease, News, Parked, Report, Store, Token, Verdict, Watch};

use crate::holding::{MOVER, hold, let_go};
use crate::support::{
    World, completed, done, job, namespace, not_yet, ns, progress, report, retry, soon, trap,
};

conformance!(
    what_a_running_job_logs_is_read_at_once,
    the_log_of_a_running_attempt_replaces_the_one_before,
    the_log_of_an_attempt_that_ended_replaces_what_was_reported,
    a_stale_report_is_ignored,
    a_report_of_a_lost_lease_is_ignored,
    reports_of_many_jobs_at_once_are_all_noted,
    a_watcher_is_told_what_a_job_does,
    a_watcher_is_told_what_a_job_says,
    a_report_of_everything_is_told_whole,
    lines_are_counted_in_each_attempt,
    every_kind_of_end_is_told,
    news_of_another_job_are_not_told,
    a_stale_report_is_not_told,
    news_from_another_process_are_told,
    all_watchers_of_a_job_are_told,
    a_watcher_that_leaves_leaves_the_others,
    what_happens_after_the_watch_began_is_news,
);

fn line(text: &str) -> LogLine {
    LogLine {
        at_ms: 5,
        level: LogLevel::Info,
        text: text.into(),
    }
}

fn lines(texts: &[&str]) -> Vec<LogLine> {
    texts.iter().copied().map(line).collect()
}

fn says(texts: &[&str]) -> Report {
    Report {
        progress: None,
        log: lines(texts),
    }
}

async fn tell(world: &World, lease: Lease, token: &Token, report: Report) {
    let reports = vec![(token.clone(), report)];
    world.store().report(lease, reports).await.expect("report");
}

async fn log(world: &World, id: u64) -> AttemptLog {
    world.store().log(&ns(), JobId(id)).await.expect("log")
}

fn log_of(attempt: u32, texts: &[&str]) -> AttemptLog {
    AttemptLog {
        attempt,
        lines: lines(texts),
    }
}

/// A job that runs.
async fn running(world: &World) -> (Lease, Claim) {
    world.submit_some(1).await;
    let lease = world.host().await;
    let claim = world.claim(lease, 1).await.remove(0);
    (lease, claim)
}

async fn watch(store: &Arc<dyn Store>, id: u64) -> Watch {
    store.watch(&ns(), JobId(id)).await.expect("watch")
}

/// The next news that says something.
async fn next(watch: &mut Watch) -> News {
    loop {
        match soon("there is news", watch.next()).await {
            News::Missed => {}
            news => break news,
        }
    }
}

fn does(attempt: u32, state: State) -> News {
    News::State { attempt, state }
}

fn logs(attempt: u32, first: usize, texts: &[&str]) -> News {
    News::Log {
        attempt,
        first,
        lines: lines(texts).into(),
    }
}

async fn what_a_running_job_logs_is_read_at_once(world: World) {
    assert_eq!(log(&world, 1).await, AttemptLog::default());
    world.submit_some(1).await;
    assert_eq!(log(&world, 1).await, AttemptLog::default());
    let lease = world.host().await;
    let claim = world.claim(lease, 1).await.remove(0);
    assert_eq!(log(&world, 1).await, log_of(1, &[]));
    tell(&world, lease, &claim.token, says(&["one", "two"])).await;
    assert_eq!(log(&world, 1).await, log_of(1, &["one", "two"]));
    tell(&world, lease, &claim.token, report(50)).await;
    tell(&world, lease, &claim.token, says(&["three"])).await;
    assert_eq!(log(&world, 1).await, log_of(1, &["one", "two", "three"]));
    assert_eq!(world.job(1).await.progress, Some(progress(50)));
    let other = world.elsewhere().await;
    let told = other.log(&ns(), JobId(1)).await.unwrap();
    assert_eq!(told, log_of(1, &["one", "two", "three"]));
}

async fn the_log_of_a_running_attempt_replaces_the_one_before(world: World) {
    let (lease, claim) = running(&world).await;
    let mut end = done(&claim, retry(0));
    end.log = lines(&["first", "attempt"]);
    world.cycle(lease, vec![end], 0).await;
    assert_eq!(log(&world, 1).await, log_of(1, &["first", "attempt"]));
    let again = world.claim(lease, 1).await.remove(0);
    assert_eq!(log(&world, 1).await, log_of(2, &[]));
    tell(&world, lease, &again.token, says(&["second"])).await;
    assert_eq!(log(&world, 1).await, log_of(2, &["second"]));
}

async fn the_log_of_an_attempt_that_ended_replaces_what_was_reported(mut world: World) {
    let (lease, claim) = running(&world).await;
    tell(&world, lease, &claim.token, says(&["reported"])).await;
    let mut end = done(&claim, retry(0));
    end.log = lines(&["reported", "and more"]);
    world.cycle(lease, vec![end], 0).await;
    assert_eq!(log(&world, 1).await, log_of(1, &["reported", "and more"]));
    let again = world.claim(lease, 1).await.remove(0);
    tell(&world, lease, &again.token, says(&["again"])).await;
    let mut end = done(&again, completed(""));
    end.log = lines(&["again", "the end"]);
    world.cycle(lease, vec![end], 0).await;
    for _ in 0..2 {
        assert_eq!(log(&world, 1).await, log_of(2, &["again", "the end"]));
        world.crash().await;
    }
}

async fn a_stale_report_is_ignored(world: World) {
    let (lease, first) = running(&world).await;
    let everything = || Report {
        progress: Some(progress(9)),
        log: lines(&["late"]),
    };
    world.finish(lease, &first, retry(0)).await;
    tell(&world, lease, &first.token, everything()).await;
    assert_eq!(log(&world, 1).await, log_of(1, &[]));
    let second = world.claim(lease, 1).await.remove(0);
    tell(&world, lease, &second.token, says(&["mine"])).await;
    tell(&world, lease, &first.token, everything()).await;
    assert_eq!(log(&world, 1).await, log_of(2, &["mine"]));
    assert_eq!(world.job(1).await.progress, None);
    world.finish(lease, &second, completed("")).await;
    tell(&world, lease, &second.token, everything()).await;
    assert_eq!(log(&world, 1).await, log_of(2, &[]));
    assert_eq!(world.job(1).await.progress, None);
}

async fn a_report_of_a_lost_lease_is_ignored(world: World) {
    let (lease, claim) = running(&world).await;
    let other = world.host().await;
    tell(&world, other, &claim.token, says(&["not mine"])).await;
    let stranger = Lease {
        incarnation: uuid::Uuid::from_u128(7),
    };
    tell(&world, stranger, &claim.token, says(&["nobody's"])).await;
    let mut elsewhere = claim.token.clone();
    elsewhere.namespace = namespace("nowhere");
    tell(&world, lease, &elsewhere, says(&["nowhere"])).await;
    assert_eq!(log(&world, 1).await, log_of(1, &[]));
    world.finish(lease, &claim, completed("")).await;
}

async fn reports_of_many_jobs_at_once_are_all_noted(world: World) {
    world.submit_some(200).await;
    let lease = world.host().await;
    let claims = world.claim(lease, 200).await;
    let says_its_id = |claim: &Claim| {
        let id = claim.token.id.to_string();
        (claim.token.clone(), says(&[&id]))
    };
    let reports = claims.iter().map(says_its_id).collect();
    world.store().report(lease, reports).await.unwrap();
    for id in [1, 77, 200] {
        assert_eq!(log(&world, id).await, log_of(1, &[&id.to_string()]));
    }
}

async fn a_watcher_is_told_what_a_job_does(world: World) {
    world.submit_some(2).await;
    let mut watch = watch(world.store(), 1).await;
    let lease = world.host().await;
    let claims = world.claim(lease, 2).await;
    assert_eq!(next(&mut watch).await, does(1, State::Running));
    let awaited = [JobId(2)];
    let parked = world.store().park(lease, &claims[0].token, &awaited);
    assert!(matches!(parked.await, Ok(Parked::Waiting(_))));
    assert_eq!(next(&mut watch).await, does(1, State::Parked));
    let unparked = world.store().unpark(lease, &claims[0].token);
    unparked.await.unwrap();
    assert_eq!(next(&mut watch).await, does(1, State::Running));
    world.finish(lease, &claims[0], retry(0)).await;
    assert_eq!(next(&mut watch).await, does(1, State::Queued));
    let again = world.claim(lease, 1).await.remove(0);
    assert_eq!(next(&mut watch).await, does(2, State::Running));
    let release = Verdict::Release { delay_ms: 0 };
    world.finish(lease, &again, release).await;
    let News::State { state, .. } = next(&mut watch).await else {
        panic!("it waits again");
    };
    assert_eq!(state, State::Queued);
    let again = world.claim(lease, 1).await.remove(0);
    assert_eq!(next(&mut watch).await, does(2, State::Running));
    world.finish(lease, &again, retry(60_000)).await;
    assert_eq!(next(&mut watch).await, does(2, State::Scheduled));
    world.store().cancel(&ns(), JobId(1)).await.unwrap();
    assert_eq!(next(&mut watch).await, News::Ended);
}

async fn a_watcher_is_told_what_a_job_says(world: World) {
    let (lease, claim) = running(&world).await;
    let mut watch = watch(world.store(), 1).await;
    for percent in [10, 20] {
        tell(&world, lease, &claim.token, report(percent)).await;
        let expected = News::Progress {
            attempt: 1,
            progress: progress(percent),
        };
        assert_eq!(next(&mut watch).await, expected);
    }
    tell(&world, lease, &claim.token, says(&["one", "two"])).await;
    assert_eq!(next(&mut watch).await, logs(1, 0, &["one", "two"]));
    tell(&world, lease, &claim.token, says(&["three"])).await;
    assert_eq!(next(&mut watch).await, logs(1, 2, &["three"]));
    world.finish(lease, &claim, completed("")).await;
    assert_eq!(next(&mut watch).await, News::Ended);
}

async fn a_report_of_everything_is_told_whole(world: World) {
    let (lease, claim) = running(&world).await;
    let mut watch = watch(world.store(), 1).await;
    let everything = Report {
        progress: Some(progress(30)),
        log: lines(&["a third"]),
    };
    tell(&world, lease, &claim.token, everything).await;
    let told = [next(&mut watch).await, next(&mut watch).await];
    let far = News::Progress {
        attempt: 1,
        progress: progress(30),
    };
    assert!(told.contains(&far), "{told:?}");
    assert!(told.contains(&logs(1, 0, &["a third"])), "{told:?}");
    // What says nothing is no news.
    tell(&world, lease, &claim.token, Report::default()).await;
    not_yet("nothing was said", &mut Box::pin(watch.next())).await;
}

async fn lines_are_counted_in_each_attempt(world: World) {
    let (lease, claim) = running(&world).await;
    // Nobody watched yet.
    tell(&world, lease, &claim.token, says(&["one", "two"])).await;
    let mut watch = watch(world.store(), 1).await;
    tell(&world, lease, &claim.token, says(&["three"])).await;
    assert_eq!(next(&mut watch).await, logs(1, 2, &["three"]));
    world.finish(lease, &claim, retry(0)).await;
    assert_eq!(next(&mut watch).await, does(1, State::Queued));
    let again = world.claim(lease, 1).await.remove(0);
    assert_eq!(next(&mut watch).await, does(2, State::Running));
    tell(&world, lease, &again.token, says(&["anew"])).await;
    assert_eq!(next(&mut watch).await, logs(2, 0, &["anew"]));
}

async fn every_kind_of_end_is_told(world: World) {
    world.submit_some(7).await;
    let mut watches = Vec::new();
    for id in 1..=7 {
        watches.push(watch(world.store(), id).await);
    }
    let lease = world.host().await;
    let claims = world.claim(lease, 4).await;
    for (claim, watch) in claims.iter().zip(&mut watches) {
        assert_eq!(next(watch).await, does(claim.token.attempt, State::Running));
    }
    world.finish(lease, &claims[0], completed("")).await;
    let failed = Verdict::Failed(trap());
    world.finish(lease, &claims[1], failed).await;
    world.finish(lease, &claims[2], Verdict::Cancelled).await;
    world.store().cancel(&ns(), JobId(4)).await.unwrap();
    world.finish(lease, &claims[3], retry(0)).await;
    world.store().cancel(&ns(), JobId(5)).await.unwrap();
    hold(&world, MOVER, 1).await;
    let_go(&world, MOVER, &[6]).await;
    world.store().purge(&ns()).await.unwrap();
    for (watch, id) in watches.iter_mut().zip(1..) {
        assert_eq!(next(watch).await, News::Ended, "job {id}");
    }
}

async fn news_of_another_job_are_not_told(world: World) {
    world.submit_some(2).await;
    let other = namespace("other");
    let store = world.store();
    store.submit(&other, vec![job("0"); 2]).await.unwrap();
    let mut watch = watch(store, 1).await;
    let lease = world.host().await;
    let mut claims = world.claim(lease, 4).await;
    assert_eq!(next(&mut watch).await, does(1, State::Running));
    let mine = |claim: &Claim| claim.token.id == JobId(1) && claim.token.namespace == ns();
    claims.retain(|claim| !mine(claim));
    assert_eq!(claims.len(), 3);
    for claim in &claims {
        tell(&world, lease, &claim.token, says(&["not yours"])).await;
        world.finish(lease, claim, completed("")).await;
    }
    not_yet("its job runs", &mut Box::pin(watch.next())).await;
}

async fn a_stale_report_is_not_told(world: World) {
    let (lease, first) = running(&world).await;
    let mut watch = watch(world.store(), 1).await;
    world.finish(lease, &first, retry(0)).await;
    assert_eq!(next(&mut watch).await, does(1, State::Queued));
    tell(&world, lease, &first.token, report(99)).await;
    let second = world.claim(lease, 1).await.remove(0);
    assert_eq!(next(&mut watch).await, does(2, State::Running));
    tell(&world, lease, &first.token, says(&["late"])).await;
    tell(&world, lease, &second.token, says(&["mine"])).await;
    assert_eq!(next(&mut watch).await, logs(2, 0, &["mine"]));
}

async fn news_from_another_process_are_told(world: World) {
    let (lease, claim) = running(&world).await;
    let other = world.elsewhere().await;
    let mut there = watch(&other, 1).await;
    let mut here = watch(world.store(), 1).await;
    tell(&world, lease, &claim.token, says(&["hello"])).await;
    world.finish(lease, &claim, completed("")).await;
    for watch in [&mut there, &mut here] {
        assert_eq!(next(watch).await, logs(1, 0, &["hello"]));
        assert_eq!(next(watch).await, News::Ended);
    }
}

async fn all_watchers_of_a_job_are_told(world: World) {
    let (lease, claim) = running(&world).await;
    let mut watches = Vec::new();
    for _ in 0..500 {
        watches.push(watch(world.store(), 1).await);
    }
    tell(&world, lease, &claim.token, says(&["to all"])).await;
    for watch in &mut watches {
        assert_eq!(next(watch).await, logs(1, 0, &["to all"]));
    }
    world.finish(lease, &claim, completed("")).await;
    for watch in &mut watches {
        assert_eq!(next(watch).await, News::Ended);
    }
}

async fn a_watcher_that_leaves_leaves_the_others(world: World) {
    let (lease, claim) = running(&world).await;
    let leaves = watch(world.store(), 1).await;
    let mut stays = watch(world.store(), 1).await;
    drop(leaves);
    tell(&world, lease, &claim.token, says(&["one"])).await;
    assert_eq!(next(&mut stays).await, logs(1, 0, &["one"]));
    drop(stays);
    tell(&world, lease, &claim.token, says(&["two"])).await;
    let mut comes = watch(world.store(), 1).await;
    tell(&world, lease, &claim.token, says(&["three"])).await;
    assert_eq!(next(&mut comes).await, logs(1, 2, &["three"]));
}

async fn what_happens_after_the_watch_began_is_news(world: World) {
    let (lease, ns) = (world.host().await, ns());
    for id in world.submit_some(100).await {
        let claim = world.claim(lease, 1).await.remove(0);
        let follow = async {
            let mut watch = watch(world.store(), id).await;
            let record = world.store().job(&ns, JobId(id)).await.unwrap().unwrap();
            if !record.state.has_ended() {
                while next(&mut watch).await != News::Ended {}
            }
        };
        let finish = world.finish(lease, &claim, completed(""));
        soon("it ends now", async { tokio::join!(follow, finish) }).await;
    }
}

mod lost {
    use super::*;

    conformance!(
        Some(crate::support::SHORT_LEASE);
        the_end_of_a_host_is_told,
    );

    async fn the_end_of_a_host_is_told(world: World) {
        let once = skep::job::NewJob {
            max_attempts: 1,
            ..job("0")
        };
        world.submit(vec![job("1"), once]).await;
        let silent = world.host().await;
        world.claim(silent, 2).await;
        let mut lost = watch(world.store(), 1).await;
        let mut dead = watch(world.store(), 2).await;
        world.reap(2).await;
        assert_eq!(next(&mut lost).await, does(1, State::Queued));
        assert_eq!(next(&mut dead).await, News::Ended);
    }
}
