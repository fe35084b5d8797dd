//! `skep queue mv` and `cp` between two directories: killed at any moment and run
//! again, each job is in one place, and runs there.

use std::collections::BTreeSet;
use std::path::Path;
use std::process::{Output, Stdio};
use std::sync::Arc;
use std::time::Duration;

use serde_json::{Value, json};
use skep::job::{JobId, Namespace, NewJob, Payload};
use skep::store::embedded::EmbeddedStore;
use skep::store::{Store, StoreError};
use tempfile::TempDir;

use crate::server::{PATIENCE, Server, guest_bytes, skep};

/// Enough that a move takes many batches.
const JOBS: usize = 6_000;

/// When the move is killed, in ms after its start: within its first hundredths of a
/// second it opens the stores, carries the function, and moves. How many of them still
/// find it at work is the machine's to say.
const KILLS_MS: [u64; 8] = [4, 14, 8, 20, 28, 11, 45, 17];

pub(crate) fn url(directory: &Path) -> String {
    format!("embedded:{}", directory.join("store").display())
}

pub(crate) async fn queue(arguments: &[&str]) -> Output {
    let output = skep().arg("queue").args(arguments).output();
    tokio::time::timeout(PATIENCE, output)
        .await
        .unwrap()
        .unwrap()
}

fn out(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).into_owned()
}

pub(crate) fn err(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

/// Opens the store once a killed process has let go of it.
fn open(directory: &Path) -> Arc<EmbeddedStore> {
    let deadline = std::time::Instant::now() + PATIENCE;
    loop {
        match EmbeddedStore::open(&directory.join("store")) {
            Err(StoreError::InUse(_)) if std::time::Instant::now() < deadline => {
                std::thread::sleep(Duration::from_millis(5));
            }
            opened => return Arc::new(opened.unwrap()),
        }
    }
}

/// Moves jobs, killed again and again, and then to its end; answers how often it was cut
/// off. After each kill it is `looked` at what is where.
pub(crate) async fn move_with_kills(
    source: &str,
    destination: &str,
    looked: impl AsyncFn(),
) -> usize {
    let mut cut_off = 0;
    for after in KILLS_MS {
        let mut child = skep()
            .args(["queue", "mv", source, destination])
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let ended = tokio::time::timeout(Duration::from_millis(after), child.wait()).await;
        if ended.is_err() {
            child.kill().await.unwrap();
            cut_off += 1;
        }
        looked().await;
    }
    let output = queue(&["mv", source, destination]).await;
    assert!(output.status.success(), "{}", err(&output));
    cut_off
}

/// A store with a function and jobs that wait, whose server has stopped.
pub(crate) async fn stopped_with_jobs(jobs: usize) -> TempDir {
    let server = Server::start().await;
    server.upload(guest_bytes("multiply")).await.expect(200);
    let (_, directory) = server.terminate().await;
    let store = open(directory.path());
    let job = |n: usize| {
        let message = json!({"arg1": n, "arg2": 2}).to_string();
        NewJob {
            idempotency_key: n.is_multiple_of(10).then(|| format!("key {n}")),
            ..NewJob::new(Payload::json(message), vec!["multiply".parse().unwrap()])
        }
    };
    let jobs = (0..jobs).map(job).collect();
    store.submit(&Namespace::default(), jobs).await.unwrap();
    directory
}

/// A server on the destination, which has run each of `jobs` jobs, once.
pub(crate) async fn runs_each_once(directory: TempDir, jobs: usize) -> Server {
    let server = Server::start_in(directory).await;
    let mut results = BTreeSet::new();
    for id in 1..=jobs {
        let record = server.ended(&id.to_string()).await;
        assert_eq!(record["state"], "completed", "{record}");
        let result = server.get(&format!("/jobs/{id}/result")).await;
        results.insert(result.expect(200).text().parse::<usize>().unwrap());
    }
    assert_eq!(results, (0..jobs).map(|n| n * 2).collect());
    let status = server.json("/queue").await;
    assert_eq!(
        (&status["posted"], &status["completed"]),
        (&json!(jobs), &json!(jobs))
    );
    server
}

#[tokio::test]
async fn a_move_that_is_killed_again_and_again_loses_and_doubles_nothing() {
    let (from, to) = (stopped_with_jobs(JOBS).await, TempDir::new().unwrap());
    let (source, destination) = (url(from.path()), url(to.path()));
    let cut_off = move_with_kills(&source, &destination, async || {
        let (left, came) = (open(from.path()), open(to.path()));
        let (left, came) = (
            left.status(&Namespace::default()).await.unwrap(),
            came.status(&Namespace::default()).await.unwrap(),
        );
        println!("killed: {left:?} {came:?}");
        // What has left is there, and at most one batch is in both.
        assert!(came.posted >= left.cancelled && came.posted <= left.cancelled + 256);
        assert_eq!(left.waiting() + left.moving + left.cancelled, JOBS as u64);
    })
    .await;
    assert!(cut_off > 0, "no move was cut off");
    let left = open(from.path()).status(&Namespace::default()).await;
    let left = left.unwrap();
    assert_eq!((left.waiting(), left.moving), (0, 0));

    let server = runs_each_once(to, JOBS).await;
    // The keys have come along.
    let body = json!({"msg": {"arg1": 0, "arg2": 2}, "functions": ["multiply"], "idempotency_key": "key 0"});
    let id = server.post_text(body.to_string()).await.expect(200).text();
    assert!(id.parse::<usize>().unwrap() <= JOBS, "{id}");

    // And the source says of each where it is.
    let source = open(from.path());
    let record = source.job(&Namespace::default(), JobId(1)).await.unwrap();
    let cause = record.unwrap().cause.unwrap().to_string();
    assert!(cause.starts_with("moved: moved to embedded:/"), "{cause}");
    assert!(cause.ends_with(" as job 1"), "{cause}");
}

#[tokio::test]
async fn a_copy_leaves_the_source_and_doubles_nothing() {
    let (from, to) = (stopped_with_jobs(3).await, TempDir::new().unwrap());
    let (source, destination) = (url(from.path()), url(to.path()));
    let output = queue(&["cp", &source, &destination]).await;
    assert!(output.status.success(), "{}", err(&output));
    let text = out(&output);
    assert!(text.contains("deployed multiply"), "{text}");
    assert!(text.contains("copied 3 jobs"), "{text}");
    assert_eq!(err(&output), "", "nothing else to say in a pipe");
    let output = queue(&["cp", &source, &destination, "--json"]).await;
    let answer: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(
        (&answer["copied"], &answer["functions"]),
        (&json!(3), &json!([]))
    );
    for directory in [from.path(), to.path()] {
        let status = open(directory).status(&Namespace::default()).await.unwrap();
        assert_eq!((status.queued, status.posted), (3, 3));
    }
    let server = Server::start_in(to).await;
    assert_eq!(server.ended("3").await["state"], "completed");
}

#[tokio::test]
async fn what_cannot_be_moved_is_said_with_its_fix() {
    let server = Server::start().await;
    let used = server.store();
    let there = TempDir::new().unwrap();
    let destination = url(there.path());
    let missing = url(&there.path().join("typo"));
    for (arguments, code, words) in [
        (["mv", &used, &destination], 1, "stop its server first"),
        (["mv", &missing, &destination], 1, "check the path"),
        (["cp", &destination, &destination], 2, "name two stores"),
        (["mv", "skep-data", &destination], 2, "embedded:DIRECTORY"),
    ] {
        let output = queue(&arguments).await;
        assert_eq!(output.status.code(), Some(code), "{}", err(&output));
        assert!(err(&output).contains(words), "{}", err(&output));
        assert!(!there.path().join("store").exists(), "nothing was made");
    }
}
