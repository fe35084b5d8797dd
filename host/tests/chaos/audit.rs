//! What must hold in the end, read from Redis itself.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::{Duration, Instant};

use futures_util::{StreamExt as _, stream};
use skep::job::{CauseKind, JobId, JobRecord, Namespace, State};
use skep::store::{JobFilter, Store, StoreError};
use skep_testkit::RedisServer;

use crate::hosts::LEASE;
use crate::poster::Posted;

/// How long the last jobs may take once nothing breaks any more. Far longer than they
/// do, unless one is lost: those that were lost with a host wait for its lease to end,
/// and a store that failed a handler is tried again in seconds.
const PATIENCE: Duration = Duration::from_secs(120);

/// What every key begins with.
const PREFIX: &str = "{skep}:";

/// What hosts that were lost have cost.
pub(crate) struct Runs {
    pub(crate) lost_attempts: usize,
    pub(crate) run_again: usize,
    /// Attempts that a person asked for.
    pub(crate) requeued: u32,
}

/// Posted = finished.
pub(crate) async fn all_ended(store: &Arc<dyn Store>, posted: &Posted) {
    let ns = Namespace::default();
    let deadline = Instant::now() + PATIENCE;
    for id in posted.keys().map(|id| JobId(*id)) {
        let left = deadline.saturating_duration_since(Instant::now());
        if tokio::time::timeout(left, store.ended(&ns, id))
            .await
            .is_err()
        {
            let status = store.status(&ns).await.unwrap();
            let record = store.job(&ns, id).await.unwrap();
            panic!("does not end: {record:#?}\nin a queue of {status:?}");
        }
    }
}

/// Every host that has stopped is forgotten a lease later, and held nothing.
pub(crate) async fn hosts_forgotten(server: &RedisServer, store: &Arc<dyn Store>) {
    let deadline = Instant::now() + 10 * LEASE;
    loop {
        let reaped = store.reap().await.unwrap();
        assert_eq!(reaped, 0, "hosts that stopped in an orderly way held jobs");
        if server.cli(&["EXISTS", "{skep}:hosts"]) == "0" {
            return;
        }
        let hosts = server.cli(&["ZRANGE", "{skep}:hosts", "0", "-1"]);
        assert!(Instant::now() < deadline, "hosts stay for ever: {hosts}");
        tokio::time::sleep(LEASE / 10).await;
    }
}

/// Each job has one outcome, the right one.
pub(crate) async fn jobs(store: &Arc<dyn Store>, posted: &Posted) -> Runs {
    let ns = Namespace::default();
    let records = posted.iter().map(|(id, case)| {
        let (ns, id) = (&ns, JobId(*id));
        async move {
            let record = store.job(ns, id).await?;
            Ok::<_, StoreError>((id, case, record, store.outcome(ns, id).await?))
        }
    });
    let mut records = stream::iter(records).buffered(16);
    let mut runs = Runs {
        lost_attempts: 0,
        run_again: 0,
        requeued: 0,
    };
    let mut ended = BTreeMap::new();
    let mut descendants = 0;
    while let Some(read) = records.next().await {
        let (id, case, record, outcome) = read.unwrap();
        let record = record.unwrap_or_else(|| panic!("job {id} is lost"));
        assert_eq!(record.idempotency_key, Some(case.key()));
        case.check(&record, outcome);
        let family = family(store, &ns, record.clone()).await;
        assert_eq!(family, case.descendants(), "each job once: {record:#?}");
        descendants += family;
        let lost = (record.attempts.iter())
            .filter(|attempt| {
                (attempt.cause.as_ref()).is_some_and(|c| c.kind == CauseKind::HostLost)
            })
            .count();
        let trapped = (record.attempts.iter())
            .filter(|attempt| (attempt.cause.as_ref()).is_some_and(|c| c.kind == CauseKind::Trap))
            .count();
        runs.requeued += u32::try_from(trapped).unwrap().saturating_sub(1);
        runs.lost_attempts += lost;
        runs.run_again += usize::from(lost > 0);
        *ended.entry(format!("{:?}", record.state)).or_insert(0) += 1;
    }
    assert!(runs.requeued > 0, "nobody let a job run again");
    lists(
        store,
        &ns,
        posted.len() as u64 + descendants,
        ended.get("Failed"),
    )
    .await;
    // A job that ended twice would be counted twice.
    let status = store.status(&ns).await.unwrap();
    let mut of = |state: State| ended.remove(&format!("{state:?}")).unwrap_or(0);
    let totals = [status.completed, status.failed, status.cancelled];
    let mut counted = [State::Completed, State::Failed, State::Cancelled].map(&mut of);
    counted[0] += descendants;
    assert_eq!(totals, counted, "totals, and what there is");
    assert_eq!(
        status.posted,
        posted.len() as u64 + descendants,
        "posted, and what was answered"
    );
    let left = [
        status.queued,
        status.scheduled,
        status.running,
        status.parked,
        status.moving,
    ];
    assert_eq!(left, [0; 5], "left over");
    runs
}

/// A list has each job once, and the dead letter all that failed.
async fn lists(store: &Arc<dyn Store>, ns: &Namespace, jobs: u64, failed: Option<&u64>) {
    let all = JobFilter::default();
    for (filter, expected) in [
        (all.clone(), jobs),
        (all.dead(), failed.copied().unwrap_or(0)),
    ] {
        let filter = Arc::new(filter);
        let (mut ids, mut before) = (BTreeSet::new(), None);
        loop {
            let page = store.list(ns, &filter, before, 100).await.unwrap();
            for job in page.jobs {
                assert!(ids.insert(job.id), "job {} is listed twice", job.id);
            }
            before = page.next;
            if before.is_none() {
                break;
            }
        }
        assert_eq!(ids.len() as u64, expected, "{filter:?}");
    }
}

/// How many descendants a job has, each of which has completed.
async fn family(store: &Arc<dyn Store>, ns: &Namespace, job: JobRecord) -> u64 {
    let (mut count, mut next) = (0, vec![job]);
    while let Some(job) = next.pop() {
        assert_eq!(job.child_count, job.children.len() as u64, "{job:#?}");
        for child in job.children {
            let record = store.job(ns, child).await.unwrap().unwrap();
            assert_eq!(record.parent, Some(job.id), "{record:#?}");
            assert_eq!(record.state, State::Completed, "{record:#?}");
            count += 1;
            next.push(record);
        }
    }
    count
}

/// Every key has an owner; answers how many there are.
pub(crate) fn keys(server: &RedisServer, posted: &Posted) -> usize {
    let words = |words: &[&str]| -> Vec<String> { server.command(words) };
    let mut jobs = BTreeSet::new();
    let mut ends = BTreeSet::new();
    let mut data = BTreeSet::new();
    let mut idempotency = BTreeMap::new();
    let mut children = BTreeSet::new();
    let mut logs = BTreeSet::new();
    let mut strangers = Vec::new();
    let keys = words(&["KEYS", "*"]);
    let id_of = |text: &str| text.parse::<u64>().expect("an id");
    for key in &keys {
        let name = key.strip_prefix(PREFIX).unwrap_or("?");
        let mut parts = name.splitn(4, [':', '/']);
        let parts: [&str; 4] = std::array::from_fn(|_| parts.next().unwrap_or_default());
        match parts {
            ["meta" | "events" | "ns" | "expire", "", "", ""] => {}
            ["wake", "", "", ""] => assert_eq!(server.cli(&["LLEN", key]), "1"),
            ["c", _, "", ""] => {}
            // What a post was answered is remembered for a minute.
            ["b", _, "", ""] => {
                let ttl: i64 = server.command(&["TTL", key]);
                // -2: gone by now.
                assert!(
                    (0..=60).contains(&ttl) || ttl == -2,
                    "{key} lives for {ttl} s"
                );
            }
            [
                "n",
                "default",
                "meta" | "dead" | "f" | "fl" | "fv" | "fp" | "trees" | "caps",
                "",
            ] => {}
            ["n", "default", "u", text] => {
                let id: String = server.command(&["GET", key]);
                idempotency.insert(id_of(&id), text.to_owned());
            }
            // What somebody watches is known for some seconds.
            ["watch", "", "", ""] => {
                let ttl: i64 = server.command(&["TTL", key]);
                assert!(
                    (0..=15).contains(&ttl) || ttl == -2,
                    "{key} lives for {ttl} s"
                );
            }
            ["k", "default", parent, ""] => {
                // Keys of posts are no text.
                let range = ["ZRANGEBYSCORE", key, "-inf", "+inf", "WITHSCORES"];
                let found: Vec<Vec<u8>> = server.command(&range);
                for child in found.iter().skip(1).step_by(2) {
                    let child = str::from_utf8(child).unwrap();
                    let job = format!("{PREFIX}j:default/{child}");
                    let known = server.cli(&["EXISTS", &job]);
                    assert_eq!(known, "1", "child {child} of {parent}");
                    assert!(children.insert(id_of(child)), "{child} has two parents");
                }
            }
            ["n", "default", "x", text] => drop(data.insert(text.to_owned())),
            ["j", "default", id, ""] => drop(jobs.insert(id_of(id))),
            ["e", "default", id, ""] => drop(ends.insert(id_of(id))),
            ["l", "default", id, ""] => drop(logs.insert(id_of(id))),
            // Also what is right only while a job waits or runs, a host lives, or somebody
            // is to be called back: q0, i0, aside, d, t, a, m, p, g, gate, g0 to g3, busy, in,
            // active, dues, stop, hosts, w, s, g, h, v, out; nor has any job a callback, and so a cb.
            _ => strangers.push(format!("{key}: {}", server.cli(&["TYPE", key]))),
        }
    }
    assert!(
        strangers.is_empty(),
        "keys without an owner: {strangers:#?}"
    );
    // Each tree was counted, once for each of its jobs, however often they were posted.
    let counted: BTreeMap<u64, u64> = server.command(&["HGETALL", "{skep}:n:default:trees"]);
    let families = posted.iter().map(|(id, case)| (*id, case.descendants()));
    let families = families.filter(|(_, descendants)| *descendants > 0);
    let trees = families.map(|(id, descendants)| (id, 1 + descendants));
    assert_eq!(counted, trees.collect(), "the jobs of each tree");
    let ids: BTreeSet<u64> = posted.keys().copied().chain(children).collect();
    assert_eq!(
        jobs, ids,
        "the jobs that are there, and those that were posted"
    );
    assert!(logs.is_subset(&ids), "logs of nobody: {logs:?}");
    assert_eq!(ends, ids, "the ends that are there, and the jobs");
    let expected = posted.iter().map(|(id, case)| (*id, case.key())).collect();
    assert_eq!(idempotency, expected, "idempotency keys");
    let stored: Vec<_> = posted.values().filter_map(|case| case.data_key()).collect();
    let stored: BTreeSet<_> = stored.into_iter().map(ToOwned::to_owned).collect();
    assert_eq!(data, stored, "data");
    let expire = words(&["ZRANGE", "{skep}:expire", "0", "-1"]);
    let expire: BTreeSet<_> = expire.into_iter().collect();
    let expected = posted.iter().filter(|(_, case)| case.expires());
    let expected = expected.map(|(id, _)| format!("default/{id}")).collect();
    assert_eq!(expire, expected, "results that expire");
    let held = server.cli(&["HGET", "{skep}:n:default:meta", "held"]);
    assert_eq!(
        held, "0",
        "what a namespace counts as held, of which caps live"
    );
    let more = server.cli(&["HGET", "{skep}:n:default:meta", "more"]);
    assert_eq!(more, "0", "jobs that wait in runs, of which there are none");
    let failed = server.cli(&["HGET", "{skep}:n:default:meta", "failed"]);
    let dead = server.cli(&["ZCARD", "{skep}:n:default:dead"]);
    assert_eq!(dead, failed, "the dead letter, and how many failed");
    keys.len()
}
