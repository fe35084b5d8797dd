//! What was answered survives `kill -9`: a child process works, is killed at any
//! instant, and the store is opened again.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::Arc;

use skep::job::{Cause, CauseKind, Digest, JobId, NewJob, Payload, State};
use skep::store::embedded::EmbeddedStore;
use skep::store::{JobFilter, Outcome, Retriable, Retried, Step, Store, StoreError, Verdict};

use crate::backend::open_again;
use crate::support::{completed, done, job, ns, output};

const DIRECTORY: &str = "SKEP_CONFORMANCE_DIRECTORY";

/// Kills per test. Each run is a new process and a new instant.
const KILLS: usize = 12;

/// Not a test: the child that works until it is killed. It says what the store
/// has answered, and only then.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn child() {
    let Ok(directory) = std::env::var(DIRECTORY) else {
        return;
    };
    let store = Arc::new(EmbeddedStore::open(Path::new(&directory)).expect("the store opens"));
    let say = |line: String| {
        let mut out = std::io::stdout().lock();
        writeln!(out, "#{line}")
            .and_then(|()| out.flush())
            .expect("the parent reads");
    };
    say("ready".into());
    let poster = tokio::spawn({
        let store = store.clone();
        async move {
            loop {
                let ids = store
                    .submit(&ns(), vec![job("1"), job("2"), job("3")])
                    .await
                    .unwrap();
                ids.iter().for_each(|id| say(format!("posted {id}")));
                while store.status(&ns()).await.unwrap().waiting() > 100 {
                    tokio::task::yield_now().await;
                }
            }
        }
    });
    let lease = store.register().await.unwrap();
    let mut step = Arc::new(take(7));
    loop {
        let cycle = store.cycle(lease, step.clone()).await.unwrap();
        for end in &step.done {
            say(format!("ended {}", end.token.id));
        }
        for claim in &cycle.claimed {
            say(format!(
                "claimed {} {}",
                claim.token.id, claim.token.attempt
            ));
        }
        let end = |claim| done(claim, completed(&format!("{}", claim.token.id)));
        step = Arc::new(Step {
            number: step.number + 1,
            done: cycle.claimed.iter().map(end).collect(),
            want: 7,
            stands: false,
            had: 0,
        });
        // A host that holds jobs when it dies.
        tokio::task::yield_now().await;
        assert!(!poster.is_finished(), "the poster has stopped");
    }
}

/// A host's first step.
fn take(want: usize) -> Step {
    Step {
        number: 1,
        done: vec![],
        want,
        stands: false,
        had: 0,
    }
}

/// What a child has said.
#[derive(Default)]
struct Said {
    posted: BTreeSet<u64>,
    claimed: BTreeMap<u64, u32>,
    ended: BTreeSet<u64>,
}

fn run_and_kill(directory: &Path, lines: usize, said: &mut Said) {
    let mut child = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "durability::child", "--nocapture"])
        .env(DIRECTORY, directory)
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let mut heard = 0;
    for line in BufReader::new(child.stdout.take().unwrap()).lines() {
        let Ok(line) = line else { break };
        // The test harness writes its own words before the first of ours.
        let Some((_, line)) = line.split_once('#') else {
            continue;
        };
        let words: Vec<&str> = line.split(' ').collect();
        let number = |n: usize| words[n].parse::<u64>().unwrap();
        match words[0] {
            "posted" => drop(said.posted.insert(number(1))),
            "ended" => drop(said.ended.insert(number(1))),
            "claimed" => drop(said.claimed.insert(number(1), words[2].parse().unwrap())),
            _ => {}
        }
        heard += 1;
        if heard == lines {
            // SIGKILL. What the child said meanwhile is read, too.
            child.kill().unwrap();
        }
    }
    child.wait().unwrap();
    assert!(
        heard >= lines,
        "the child ended by itself after {heard} lines"
    );
}

#[tokio::test]
async fn what_was_answered_survives_kill_9() {
    let directory = tempfile::tempdir().unwrap();
    let mut said = Said::default();
    for round in 0..KILLS {
        run_and_kill(directory.path(), 1 + round * 97, &mut said);
        let store = open_again(EmbeddedStore::options(), directory.path()).unwrap();
        let mut open = 0;
        for id in &said.posted {
            let record = store.job(&ns(), JobId(*id)).await.unwrap();
            let record = record.unwrap_or_else(|| panic!("job {id} was posted and is gone"));
            let claimed = said.claimed.get(id).copied().unwrap_or(0);
            assert!(
                record.attempt >= claimed,
                "job {id}: attempt {claimed} does not count"
            );
            if said.ended.contains(id) {
                assert_eq!(record.state, State::Completed, "job {id} had ended");
                let outcome = store.outcome(&ns(), JobId(*id)).await.unwrap();
                assert_eq!(outcome, Outcome::Completed(output(&id.to_string())));
            }
            assert_ne!(record.state, State::Running, "no host is left");
            open += u64::from(!record.state.has_ended());
        }
        let count = store.status(&ns()).await.unwrap().waiting();
        assert!(
            count >= open && count <= open + 3,
            "{count} wait, and {open} are known to"
        );
    }
    assert!(
        said.ended.len() > 100,
        "only {} jobs ended",
        said.ended.len()
    );
}

#[tokio::test]
async fn a_directory_in_use_is_refused_at_once() {
    let directory = tempfile::tempdir().unwrap();
    let _open = EmbeddedStore::open(directory.path()).unwrap();
    let error = EmbeddedStore::open(directory.path()).err().unwrap();
    assert!(matches!(error, StoreError::InUse(_)), "{error}");
    assert!(
        error
            .to_string()
            .contains(&directory.path().display().to_string()),
        "{error}"
    );
}

#[tokio::test]
async fn a_directory_that_cannot_be_made_is_named() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("file");
    std::fs::write(&file, "").unwrap();
    let inside = file.join("store");
    let error = EmbeddedStore::open(&inside).err().unwrap();
    assert!(matches!(error, StoreError::Unavailable(_)), "{error}");
    assert!(
        error.to_string().contains(&inside.display().to_string()),
        "{error}"
    );
}

#[tokio::test]
async fn what_is_newer_or_foreign_is_refused_and_left_as_it_is() {
    for pragma in ["PRAGMA user_version = 1000000", "PRAGMA application_id = 7"] {
        let directory = tempfile::tempdir().unwrap();
        let store = open_again(EmbeddedStore::options(), directory.path()).unwrap();
        store.submit(&ns(), vec![job("1")]).await.unwrap();
        drop(store);
        let path = directory.path().join("skep.db");
        rusqlite::Connection::open(&path)
            .unwrap()
            .execute_batch(pragma)
            .unwrap();
        let before = std::fs::read(&path).unwrap();
        let error = open_again(EmbeddedStore::options(), directory.path())
            .err()
            .unwrap();
        assert!(matches!(error, StoreError::Unreadable(_)), "{error}");
        assert_eq!(std::fs::read(&path).unwrap(), before);
    }
}

/// What turns a directory into one that an earlier version has made.
const EARLIER: [&str; 5] = [
    "DROP TABLE store; DROP TABLE queues; DROP TABLE delivered;
     ALTER TABLE open DROP COLUMN mover; PRAGMA user_version = 1",
    "DROP TABLE children; DROP TABLE broods; DROP TABLE callbacks; PRAGMA user_version = 2",
    "DROP TABLE trees; ALTER TABLE queues DROP COLUMN concurrency; DROP TABLE tokens;
      PRAGMA user_version = 3",
    "DROP TABLE dead; PRAGMA user_version = 4",
    "DROP TABLE chunks; DROP TABLE models; DROP TABLE model_versions; DROP INDEX blobs_expires;
     ALTER TABLE blobs DROP COLUMN expires; ALTER TABLE blobs DROP COLUMN whole;
     ALTER TABLE blobs RENAME TO components; PRAGMA user_version = 5",
];

#[tokio::test]
async fn a_store_of_an_earlier_version_is_upgraded_with_what_it_holds() {
    for version in 0..EARLIER.len() {
        let directory = tempfile::tempdir().unwrap();
        let store = EmbeddedStore::open(directory.path()).unwrap();
        store.submit(&ns(), vec![job("1"), job("2")]).await.unwrap();
        let component = Digest::of(b"component");
        let put = store.put_blob(component, "component".into());
        put.await.unwrap();
        drop(store);
        let db = rusqlite::Connection::open(directory.path().join("skep.db")).unwrap();
        for back in EARLIER[version..].iter().rev() {
            db.execute_batch(back).unwrap();
        }
        drop(db);
        let store = open_again(EmbeddedStore::options(), directory.path()).unwrap();
        let found = store.blob(component).await.unwrap();
        assert_eq!(found.as_deref(), Some(&b"component"[..]));
        let id = store.store_id().await.unwrap();
        let next = store.submit(&ns(), vec![job("3")]).await.unwrap();
        assert_eq!(next, [JobId(3)]);
        let child = |key| NewJob {
            root: Some(JobId(3)),
            tree_jobs: Some(2),
            ..crate::support::child(3, key)
        };
        let next = store.submit(&ns(), vec![child("4")]).await.unwrap();
        assert_eq!(next, [JobId(4)]);
        let full = store.submit(&ns(), vec![child("5")]).await;
        assert!(matches!(full, Err(StoreError::TreeFull { .. })), "{full:?}");
        let status = store.status(&ns()).await.unwrap();
        let posted = if version == 0 { 2 } else { 4 };
        assert_eq!((status.queued, status.posted), (4, posted));
        assert_eq!(store.take_callbacks(9).await.unwrap(), []);
        drop(store);
        let store = open_again(EmbeddedStore::options(), directory.path()).unwrap();
        assert_eq!(store.store_id().await.unwrap(), id);
    }
}

#[tokio::test]
async fn the_dead_letter_of_an_earlier_version_is_found() {
    let directory = tempfile::tempdir().unwrap();
    let store = EmbeddedStore::open(directory.path()).unwrap();
    store.submit(&ns(), vec![job("0"); 6]).await.unwrap();
    let lease = store.register().await.unwrap();
    let claims = store.cycle(lease, Arc::new(take(5))).await.unwrap().claimed;
    let cause = crate::support::trap();
    let ends = [
        Verdict::Failed(cause.clone()),
        completed("Failed"),
        Verdict::Cancelled,
        Verdict::Failed(Cause::new(CauseKind::Failed, "\u{a6}Failed".repeat(99))),
    ];
    let done = claims.iter().zip(ends).map(|(claim, end)| done(claim, end));
    let step = Step {
        number: 2,
        done: done.collect(),
        want: 0,
        stands: false,
        had: 0,
    };
    store.cycle(lease, Arc::new(step)).await.unwrap();
    drop(store);
    let db = rusqlite::Connection::open(directory.path().join("skep.db")).unwrap();
    for back in EARLIER[3..].iter().rev() {
        db.execute_batch(back).unwrap();
    }
    drop(db);
    let store = open_again(EmbeddedStore::options(), directory.path()).unwrap();
    let dead = Arc::new(JobFilter::default().dead());
    let page = store.list(&ns(), &dead, None, 9).await.unwrap();
    let ids: Vec<u64> = page.jobs.iter().map(|job| job.id.0).collect();
    assert_eq!(ids, [4, 1]);
    assert_eq!(page.jobs[1].cause, Some(cause));
    let retried = store.retry(&ns(), &[JobId(1)], Retriable::Failed).await;
    assert_eq!(retried.unwrap(), [Retried::Done]);
}

#[tokio::test]
async fn a_file_that_was_just_being_made_is_made_anew() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("skep.db");
    let db = rusqlite::Connection::open(&path).unwrap();
    // What the first statement of a process leaves that is killed after it.
    db.pragma_update(None, "journal_mode", "wal").unwrap();
    drop(db);
    assert!(std::fs::metadata(&path).unwrap().len() > 0);
    let store = EmbeddedStore::open(directory.path()).unwrap();
    assert_eq!(
        store.submit(&ns(), vec![job("1")]).await.unwrap(),
        [JobId(1)]
    );
}

#[tokio::test]
async fn a_file_of_noise_is_refused_and_left_as_it_is() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("skep.db");
    std::fs::write(&path, vec![0xa5; 20_000]).unwrap();
    let error = open_again(EmbeddedStore::options(), directory.path())
        .err()
        .unwrap();
    assert!(matches!(error, StoreError::Unreadable(_)), "{error}");
    assert_eq!(std::fs::read(&path).unwrap(), vec![0xa5; 20_000]);
}

#[tokio::test]
async fn a_corrupt_job_is_unreadable_and_does_not_stop_the_others() {
    let directory = tempfile::tempdir().unwrap();
    let store = EmbeddedStore::open(directory.path()).unwrap();
    store
        .submit(&ns(), vec![job("1"), job("2"), job("3")])
        .await
        .unwrap();
    drop(store);
    let path = directory.path().join("skep.db");
    let db = rusqlite::Connection::open(&path).unwrap();
    let second = "key = (SELECT key FROM posted ORDER BY key LIMIT 1 OFFSET 1)";
    db.execute(
        &format!("UPDATE posted SET head = x'01ff' WHERE {second}"),
        [],
    )
    .unwrap();
    drop(db);
    let store = open_again(EmbeddedStore::options(), directory.path()).unwrap();
    let lease = store.register().await.unwrap();
    let cycle = store.cycle(lease, Arc::new(take(9))).await.unwrap();
    assert_eq!(crate::support::ids(&cycle.claimed), [1, 3]);
    let error = store.job(&ns(), JobId(2)).await.err().unwrap();
    assert!(matches!(error, StoreError::Unreadable(_)), "{error}");
    let all = Arc::default();
    let page = store.list(&ns(), &all, None, 9).await.unwrap();
    let listed: Vec<u64> = page.jobs.iter().map(|job| job.id.0).collect();
    assert_eq!(listed, [3, 1]);
}

#[tokio::test]
async fn a_full_disk_accepts_nothing_and_the_store_lives_on() {
    let directory = tempfile::tempdir().unwrap();
    let store = EmbeddedStore::options()
        .max_bytes(1 << 20)
        .open(directory.path())
        .unwrap();
    store.submit(&ns(), vec![job("1")]).await.unwrap();
    let large = || {
        NewJob::new(
            Payload::json(vec![b'1'; 2 << 20]),
            vec!["f".parse().unwrap()],
        )
    };
    let mut calls = Vec::new();
    for n in 0..20 {
        // Some of these share a transaction; only the large ones fail.
        let jobs = if n % 2 == 0 {
            vec![job("2")]
        } else {
            vec![job("3"), large()]
        };
        let ns = ns();
        let store = &store;
        calls.push(async move { store.submit(&ns, jobs).await });
    }
    let mut ids = vec![1];
    for (n, answer) in futures_util::future::join_all(calls)
        .await
        .into_iter()
        .enumerate()
    {
        match answer {
            Ok(accepted) => ids.extend(accepted.iter().map(|id| id.0)),
            Err(error) => assert!(
                n % 2 == 1 && matches!(error, StoreError::Full(_)),
                "{error}"
            ),
        }
    }
    assert_eq!(ids, (1..=11).collect::<Vec<_>>());
    assert_eq!(store.status(&ns()).await.unwrap().waiting(), 11);
    let lease = store.register().await.unwrap();
    let cycle = store.cycle(lease, Arc::new(take(99))).await.unwrap();
    assert_eq!(crate::support::ids(&cycle.claimed), ids);
    // An id that a failed call was given for a moment is another job's now.
    for claim in &cycle.claimed[1..] {
        assert_eq!(claim.job.message.data, "2");
    }
}
