//! Lists of jobs: what fits, from the newest to the oldest, a page at a time.

use std::collections::BTreeMap;
use std::sync::Arc;

use skep::job::{Cause, CauseKind, JobId, JobSummary, Namespace, NewJob, Payload, State};
use skep::store::{
    JobFilter, Lease, Parked, Retriable, SEARCHED_BYTES, SearchText, Store, Verdict,
};
use skep_testkit::RedisServer;

use crate::holding::{MOVER, hold, later, let_go};
use crate::support::{World, completed, done, job, namespace, ns, output, report, retry, trap};

conformance!(
    a_list_goes_from_the_newest_job_to_the_oldest,
    a_list_tells_what_the_records_tell,
    a_list_is_of_the_states_that_are_asked_for,
    a_list_is_of_those_that_name_a_function,
    a_list_is_of_a_time,
    a_list_is_of_a_cause,
    a_text_is_found_in_whatever_people_write,
    a_list_is_of_the_named_jobs,
    a_page_looks_at_a_bounded_number_of_jobs,
    the_dead_letter_is_found_at_once_among_thousands,
    what_runs_is_found_at_once_among_thousands,
    ids_that_are_gone_are_passed_by,
    a_job_that_fits_all_the_while_is_neither_missed_nor_given_twice,
    lists_are_of_their_namespace,
    a_list_survives_a_crash,
);

const OPEN: [State; 4] = [
    State::Queued,
    State::Scheduled,
    State::Running,
    State::Parked,
];

pub(crate) fn of(states: &[State]) -> JobFilter {
    JobFilter {
        states: states.to_vec(),
        ..JobFilter::default()
    }
}

/// A whole list, a page at a time; and how many pages there were.
async fn walk_in(
    store: &Arc<dyn Store>,
    namespace: &Namespace,
    filter: JobFilter,
    want: usize,
) -> (Vec<JobSummary>, usize) {
    let filter = Arc::new(filter);
    let (mut jobs, mut before, mut pages) = (Vec::new(), None, 0);
    loop {
        let page = store.list(namespace, &filter, before, want).await;
        let page = page.expect("list");
        assert!(page.jobs.len() <= want, "{} jobs", page.jobs.len());
        jobs.extend(page.jobs);
        pages += 1;
        let Some(next) = page.next else {
            return (jobs, pages);
        };
        assert!(before.is_none_or(|before| next < before), "it goes on");
        before = Some(next);
    }
}

/// The ids of a whole list.
pub(crate) async fn listed(world: &World, filter: JobFilter) -> Vec<u64> {
    let (jobs, _) = walk_in(world.store(), &ns(), filter, 7).await;
    jobs.iter().map(|job| job.id.0).collect()
}

/// Ends the next job like this.
async fn end_next(world: &World, lease: Lease, verdict: Verdict) {
    let claim = world.claim(lease, 1).await.remove(0);
    world.finish(lease, &claim, verdict).await;
}

fn failed(kind: CauseKind, text: &str) -> Verdict {
    Verdict::Failed(Cause::new(kind, text))
}

async fn a_list_goes_from_the_newest_job_to_the_oldest(world: World) {
    assert_eq!(listed(&world, of(&[])).await, [0; 0]);
    world.submit_some(25).await;
    let all: Vec<u64> = (1..=25).rev().collect();
    for want in [1, 2, 24, 25, 26, 10_000] {
        let (jobs, pages) = walk_in(world.store(), &ns(), of(&[]), want).await;
        let ids: Vec<u64> = jobs.iter().map(|job| job.id.0).collect();
        assert_eq!(ids, all, "{want} at a time");
        assert!(
            pages <= 25_usize.div_ceil(want) + 1,
            "{pages} pages of {want}"
        );
    }
    let filter = Arc::new(of(&[]));
    let below = |before| {
        let (store, filter) = (world.store().clone(), filter.clone());
        async move {
            store
                .list(&ns(), &filter, Some(JobId(before)), 1)
                .await
                .unwrap()
        }
    };
    assert_eq!(below(9).await.jobs[0].id, JobId(8));
    assert_eq!(below(u64::MAX).await.jobs[0].id, JobId(25));
    for nothing in [0, 1] {
        let page = below(nothing).await;
        assert_eq!((page.jobs, page.next), (vec![], None));
    }
}

/// Jobs in every state that there is: ids of each.
async fn in_every_state(world: &World) -> BTreeMap<&'static str, u64> {
    let lease = world.host().await;
    world.submit_some(8).await;
    let claims = world.claim(lease, 8).await;
    world.finish(lease, &claims[0], completed("42")).await;
    world
        .finish(lease, &claims[1], Verdict::Failed(trap()))
        .await;
    world.finish(lease, &claims[2], Verdict::Cancelled).await;
    world.finish(lease, &claims[3], retry(3_600_000)).await;
    world
        .finish(lease, &claims[4], failed(CauseKind::Invalid, "no"))
        .await;
    let failed = (ns(), [JobId(5)], Retriable::Failed);
    let again = world.store().retry(&failed.0, &failed.1, failed.2).await;
    again.unwrap();
    let reports = vec![(claims[5].token.clone(), report(7))];
    world.store().report(lease, reports).await.unwrap();
    world.submit(vec![later("9"), job("10"), job("11")]).await;
    let parked = world.store().park(lease, &claims[6].token, &[JobId(10)]);
    assert!(matches!(parked.await.unwrap(), Parked::Waiting(_)));
    world.store().cancel(&ns(), JobId(11)).await.unwrap();
    world.finish(lease, &claims[7], retry(0)).await;
    BTreeMap::from([
        ("completed", 1),
        ("failed", 2),
        ("cancelled", 3),
        ("backing off", 4),
        ("again", 5),
        ("running", 6),
        ("parked", 7),
        ("tried", 8),
        ("delayed", 9),
        ("queued", 10),
        ("cancelled before it ran", 11),
    ])
}

async fn a_list_tells_what_the_records_tell(world: World) {
    let jobs = in_every_state(&world).await;
    let moved = world.submit(vec![later("12")]).await[0];
    let named = NewJob {
        idempotency_key: Some("k".into()),
        functions: vec!["f".parse().unwrap(), "g".parse().unwrap()],
        priority: 0.try_into().unwrap(),
        ..job("1234567")
    };
    world.submit(vec![named]).await;
    assert_eq!(hold(&world, MOVER, 1).await.len(), 1);
    let (list, _) = walk_in(world.store(), &ns(), of(&[]), 5).await;
    assert_eq!(list.len(), 13);
    for summary in list {
        let record = world.job(summary.id.0).await;
        assert_eq!(summary, JobSummary::from(record), "of {jobs:?}, {moved}");
    }
}

async fn a_list_is_of_the_states_that_are_asked_for(world: World) {
    in_every_state(&world).await;
    use State::{Cancelled, Completed, Failed, Parked, Queued, Running, Scheduled};
    for (states, ids) in [
        (&[][..], &[11, 10, 9, 8, 7, 6, 5, 4, 3, 2, 1][..]),
        (&[Queued], &[10, 8, 5]),
        (&[Scheduled], &[9, 4]),
        (&[Running], &[6]),
        (&[Parked], &[7]),
        (&[Running, Parked], &[7, 6]),
        (&[Completed], &[1]),
        (&[Failed], &[2]),
        (&[Cancelled], &[11, 3]),
        (&OPEN, &[10, 9, 8, 7, 6, 5, 4]),
        (&[Failed, Queued], &[10, 8, 5, 2]),
        (&[Completed, Failed, Cancelled], &[11, 3, 2, 1]),
    ] {
        assert_eq!(listed(&world, of(states)).await, ids, "{states:?}");
    }
}

async fn a_list_is_of_those_that_name_a_function(world: World) {
    let names = |functions: &[&str]| NewJob {
        functions: functions.iter().map(|name| name.parse().unwrap()).collect(),
        ..job("0")
    };
    let jobs = [&["a"][..], &["b", "a"], &[], &["ab"], &["b"]];
    world
        .submit(jobs.iter().map(|jobs| names(jobs)).collect())
        .await;
    let of = |name: &str| JobFilter {
        function: name.parse().ok(),
        ..JobFilter::default()
    };
    assert_eq!(listed(&world, of("a")).await, [2, 1]);
    assert_eq!(listed(&world, of("b")).await, [5, 2]);
    assert_eq!(listed(&world, of("c")).await, [0; 0]);
}

async fn a_list_is_of_a_time(world: World) {
    world.submit_some(2).await;
    let first = world.job(2).await.posted_at_ms;
    let mut second = first;
    // Until the store's clock has gone on.
    while second == first {
        let id = world.submit_some(1).await[0];
        second = world.job(id).await.posted_at_ms;
    }
    let all = listed(&world, of(&[])).await;
    let at = |after, before| JobFilter {
        posted_after_ms: after,
        posted_before_ms: before,
        ..JobFilter::default()
    };
    let early: Vec<u64> = all[1..].to_vec();
    assert_eq!(listed(&world, at(Some(second), None)).await, [all[0]]);
    assert_eq!(listed(&world, at(None, Some(second))).await, early);
    assert_eq!(listed(&world, at(Some(first), Some(second))).await, early);
    assert_eq!(listed(&world, at(Some(0), Some(u64::MAX))).await, all);
    assert_eq!(listed(&world, at(Some(second), Some(second))).await, [0; 0]);
    assert_eq!(listed(&world, at(Some(second + 1), None)).await, [0; 0]);
    for states in [&OPEN[..1], &OPEN[..]] {
        let filter = JobFilter {
            states: states.to_vec(),
            ..at(None, Some(second))
        };
        assert_eq!(listed(&world, filter).await, early, "{states:?}");
    }
}

async fn a_list_is_of_a_cause(world: World) {
    world.submit_some(5).await;
    let lease = world.host().await;
    end_next(&world, lease, failed(CauseKind::Trap, "a")).await;
    end_next(&world, lease, failed(CauseKind::Failed, "b")).await;
    end_next(&world, lease, failed(CauseKind::Trap, "c")).await;
    end_next(&world, lease, completed("")).await;
    hold(&world, MOVER, 1).await;
    assert_eq!(let_go(&world, MOVER, &[5]).await, 1);
    let of_kind = |kind, states: &[State]| JobFilter {
        cause: Some(kind),
        ..of(states)
    };
    let (trap, moved) = (CauseKind::Trap, CauseKind::Moved);
    assert_eq!(listed(&world, of_kind(trap, &[])).await, [3, 1]);
    assert_eq!(
        listed(&world, of_kind(trap, &[State::Failed])).await,
        [3, 1]
    );
    assert_eq!(
        listed(&world, of_kind(trap, &[State::Queued])).await,
        [0; 0]
    );
    assert_eq!(
        listed(&world, of_kind(CauseKind::Invalid, &[])).await,
        [0; 0]
    );
    assert_eq!(listed(&world, of_kind(moved, &[])).await, [5]);
}

async fn a_text_is_found_in_whatever_people_write(world: World) {
    let far = format!("\"{}NEEDLE\"", " ".repeat(SEARCHED_BYTES));
    let bytes = |kind: &str, data: &[u8]| NewJob {
        message: Payload {
            content_type: kind.into(),
            data: data.to_vec().into(),
        },
        ..job("")
    };
    let keyed = NewJob {
        idempotency_key: Some("a-needle-in-a-key".into()),
        ..job("3")
    };
    world
        .submit(vec![
            job("{\"a\": [\"a NeedlE, \u{e4}\"]}"),
            bytes("text/csv; charset=utf-8", b"x,needle"),
            keyed,
            job("4"),
            job("5"),
            // Not in these: of no text, too far in, almost.
            bytes("image/png", b"needle"),
            job(&far),
            job("\"need le\""),
        ])
        .await;
    let lease = world.host().await;
    world.claim(lease, 3).await;
    let with = |text: &str| JobFilter {
        text: SearchText::new(text),
        ..JobFilter::default()
    };
    assert_eq!(listed(&world, with("needle")).await, [3, 2, 1]);
    let claims = world.claim(lease, 2).await;
    let failure = failed(CauseKind::Failed, "no needle\nin here");
    world.finish(lease, &claims[0], failure).await;
    let short = Verdict::Completed(skep::job::Output {
        short_result: Some("a NEEDLE".into()),
        ..output("needle")
    });
    world.finish(lease, &claims[1], short).await;
    assert_eq!(listed(&world, with("nEEdle")).await, [5, 4, 3, 2, 1]);
    assert_eq!(listed(&world, with("E, \u{c4}")).await, [1]);
    assert_eq!(listed(&world, with("nowhere")).await, [0; 0]);
    let dead = with("needle").dead();
    assert_eq!(listed(&world, dead).await, [4]);
}

async fn a_list_is_of_the_named_jobs(world: World) {
    world.submit_some(3_000).await;
    let lease = world.host().await;
    end_next(&world, lease, Verdict::Failed(trap())).await;
    let named = |ids: &[u64], states: &[State]| JobFilter {
        ids: Some(ids.iter().copied().map(JobId).collect()),
        ..of(states)
    };
    let some = [7, 1, 9_999, 1, 0, u64::MAX, 30];
    assert_eq!(listed(&world, named(&some, &[])).await, [30, 7, 1]);
    assert_eq!(listed(&world, named(&some, &[State::Failed])).await, [1]);
    assert_eq!(listed(&world, named(&[], &[])).await, [0; 0]);
    let all: Vec<u64> = (1..=3_000).collect();
    let (jobs, _) = walk_in(world.store(), &ns(), named(&all, &[]), 1_000).await;
    assert!(
        jobs.iter()
            .map(|job| job.id.0)
            .eq(all.iter().rev().copied())
    );
}

async fn a_page_looks_at_a_bounded_number_of_jobs(world: World) {
    const JOBS: usize = 5_000;
    world.submit_some(JOBS).await;
    for filter in [
        of(&[State::Completed]),
        of(&[State::Scheduled, State::Running]),
    ] {
        let states = filter.states.clone();
        let (jobs, pages) = walk_in(world.store(), &ns(), filter, 10).await;
        assert_eq!(jobs, []);
        assert!((4..100).contains(&pages), "{pages} pages for {states:?}");
    }
}

/// Completes many jobs.
async fn complete(world: &World, lease: Lease, jobs: usize) {
    for _ in 0..jobs.div_ceil(500) {
        let claims = world.claim(lease, 500).await;
        let ends = claims.iter().map(|claim| done(claim, completed("")));
        let cycle = world.cycle(lease, ends.collect(), 0).await;
        assert_eq!(cycle.refused, []);
    }
}

async fn the_dead_letter_is_found_at_once_among_thousands(world: World) {
    world.submit_some(2).await;
    let lease = world.host().await;
    end_next(&world, lease, Verdict::Failed(trap())).await;
    end_next(&world, lease, failed(CauseKind::Failed, "")).await;
    world.submit_some(5_000).await;
    complete(&world, lease, 5_000).await;
    for (filter, ids) in [
        (of(&[State::Failed]), &[2, 1][..]),
        (
            JobFilter {
                cause: Some(CauseKind::Trap),
                ..JobFilter::default()
            },
            &[1],
        ),
    ] {
        let (jobs, pages) = walk_in(world.store(), &ns(), filter, 10).await;
        let found: Vec<u64> = jobs.iter().map(|job| job.id.0).collect();
        assert_eq!((&found[..], pages), (ids, 1));
    }
}

async fn what_runs_is_found_at_once_among_thousands(world: World) {
    world.submit_some(5_000).await;
    let lease = world.host().await;
    world.claim(lease, 3).await;
    let (jobs, pages) = walk_in(world.store(), &ns(), of(&[State::Running]), 10).await;
    let found: Vec<u64> = jobs.iter().map(|job| job.id.0).collect();
    assert_eq!((&found[..], pages), (&[3, 2, 1][..], 1));
}

async fn ids_that_are_gone_are_passed_by(world: World) {
    world.submit_some(1).await;
    let lease = world.host().await;
    world.claim(lease, 1).await;
    for _ in 0..3 {
        world.submit_some(4_000).await;
        assert_eq!(world.store().purge(&ns()).await.unwrap(), 4_000);
    }
    world.submit_some(1).await;
    let (jobs, pages) = walk_in(world.store(), &ns(), of(&[]), 10).await;
    let found: Vec<u64> = jobs.iter().map(|job| job.id.0).collect();
    assert_eq!(found, [12_002, 1]);
    assert!(pages < 20, "{pages} pages");
}

async fn a_job_that_fits_all_the_while_is_neither_missed_nor_given_twice(world: World) {
    const JOBS: usize = 600;
    const WALKS: usize = 15;
    world.submit_some(JOBS).await;
    let lease = world.host().await;
    let (ended, mut walking) = tokio::sync::oneshot::channel::<()>();
    // Round and round: claimed, put back, delayed; never ended, and never all in one place.
    let shuffle = async {
        let (mut held, mut turn) = (Vec::new(), 0);
        while walking.try_recv() == Err(tokio::sync::oneshot::error::TryRecvError::Empty) {
            let ends = std::mem::take(&mut held);
            let ends = ends.iter().map(|claim| {
                turn += 1;
                let verdict = match turn % 3 {
                    0 => Verdict::Release { delay_ms: 1 },
                    1 => Verdict::Release { delay_ms: 0 },
                    _ => Verdict::Release { delay_ms: 5 },
                };
                done(claim, verdict)
            });
            held = world.cycle(lease, ends.collect(), 20).await.claimed;
            tokio::task::yield_now().await;
        }
    };
    let walks = async {
        let all: Vec<u64> = (1..=JOBS as u64).rev().collect();
        for _ in 0..WALKS {
            for states in [&OPEN[..], &[]] {
                let (jobs, _) = walk_in(world.store(), &ns(), of(states), 50).await;
                let ids: Vec<u64> = jobs.iter().map(|job| job.id.0).collect();
                assert_eq!(ids, all, "{states:?}");
            }
        }
        ended.send(()).unwrap();
    };
    tokio::join!(shuffle, walks);
}

async fn lists_are_of_their_namespace(world: World) {
    let other = namespace("other");
    world.submit_some(3).await;
    world
        .store()
        .submit(&other, vec![job("1"), job("2")])
        .await
        .unwrap();
    let lease = world.host().await;
    let claims = world.claim(lease, 5).await;
    for claim in &claims[..4] {
        world.finish(lease, claim, Verdict::Failed(trap())).await;
    }
    let running = &claims[4].token;
    for states in [&[][..], &[State::Failed], &[State::Running], &OPEN] {
        for (namespace, jobs) in [(ns(), 3), (other.clone(), 2)] {
            let (list, _) = walk_in(world.store(), &namespace, of(states), 10).await;
            let has_running = u64::from(running.namespace == namespace);
            let expected = match states {
                [] => jobs,
                [State::Failed] => jobs - has_running,
                _ => has_running,
            };
            assert_eq!(list.len() as u64, expected, "{namespace} {states:?}");
        }
        let (list, pages) = walk_in(world.store(), &namespace("none"), of(states), 10).await;
        assert_eq!((list, pages), (vec![], 1));
    }
}

async fn a_list_survives_a_crash(mut world: World) {
    in_every_state(&world).await;
    world.crash().await;
    use State::{Cancelled, Completed, Failed, Queued, Running, Scheduled};
    for (states, ids) in [
        (&[Queued][..], &[10, 8, 7, 6, 5][..]),
        (&[Scheduled], &[9, 4]),
        (&[Running], &[]),
        (&[Completed], &[1]),
        (&[Failed], &[2]),
        (&[Cancelled], &[11, 3]),
    ] {
        assert_eq!(listed(&world, of(states)).await, ids, "{states:?}");
    }
}

/// A host of an older version keeps the dead letter by time.
#[tokio::test]
async fn a_dead_letter_that_is_kept_by_time_is_put_in_order() {
    let server = RedisServer::start();
    let address = server.url().parse().unwrap();
    let options = skep::store::redis::RedisStore::options();
    let store: Arc<dyn Store> = Arc::new(options.open(&address).await.unwrap());
    const JOBS: usize = 2_500;
    let jobs = (0..JOBS).map(|n| job(&n.to_string())).collect();
    store.submit(&ns(), jobs).await.unwrap();
    let lease = store.register().await.unwrap();
    let mut step = skep::store::Step {
        number: 1,
        done: vec![],
        want: JOBS,
        stands: false,
        had: 0,
    };
    let claims = store.cycle(lease, Arc::new(step.clone())).await.unwrap();
    step.done = (claims.claimed.iter())
        .map(|claim| done(claim, Verdict::Failed(trap())))
        .collect();
    step = skep::store::Step {
        number: 2,
        want: 0,
        stands: false,
        had: 0,
        ..step
    };
    store.cycle(lease, Arc::new(step)).await.unwrap();
    let by_time = "for _, id in ipairs(redis.call('ZRANGE', KEYS[1], 0, -1)) do
         redis.call('ZADD', KEYS[1], 1700000000000 + (id * 7919) % 2500, id) end";
    server.cli(&["EVAL", by_time, "1", "{skep}:n:default:dead"]);
    for _ in 0..2 {
        let (jobs, _) = walk_in(&store, &ns(), of(&[State::Failed]), 1_000).await;
        let ids = jobs.iter().map(|job| job.id.0);
        assert!(ids.eq((1..=JOBS as u64).rev()));
    }
    assert_eq!(server.cli(&["ZCARD", "{skep}:n:default:dead"]), "2500");
}
