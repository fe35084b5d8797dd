//! What python-task-queue's users expect of a queue's verbs: `ptq status`, `release`,
//! `rezero`, `purge`, `cp` and `mv`, by what its own tests ask.
//!
//! Not here: a move that is killed (`moving`), a queue over HTTP (`queue`).

use reqwest::Method;
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::moving::{err, queue as offline, url};
use crate::server::{Server, run, send, skep};

/// Runs `skep queue …` against a server, and answers what it says.
async fn queue(server: &Server, arguments: &[&str]) -> String {
    let (code, out, said) = run(skep().args(["--url", &server.url, "queue"]).args(arguments)).await;
    assert_eq!(code, Some(0), "{arguments:?}: {said}");
    out
}

/// The numbers of `skep queue status`, by their names.
async fn numbers(server: &Server, names: &[&str]) -> Vec<String> {
    let status = queue(server, &["status"]).await;
    let of = |name: &&str| {
        let line = status.lines().find_map(|line| {
            let (key, value) = line.split_once(": ")?;
            (key == *name).then(|| value.to_owned())
        });
        line.unwrap_or_else(|| panic!("{name} is not in {status}"))
    };
    names.iter().map(of).collect()
}

async fn insert(server: &Server, tasks: usize) -> Vec<String> {
    let mut ids = Vec::new();
    for n in 0..tasks {
        ids.push(server.post("multiply", json!({"arg1": n, "arg2": 2})).await);
    }
    ids
}

#[tokio::test]
async fn status_counts_what_was_inserted_is_enqueued_and_completed() {
    let server = Server::with("multiply").await;
    queue(&server, &["pause"]).await;
    insert(&server, 20).await;
    let all = ["Posted", "Queued", "Running", "Completed"];
    assert_eq!(numbers(&server, &all).await, ["20", "20", "0", "0 (0%)"]);
    queue(&server, &["resume"]).await;
    for id in 1..=20 {
        server.ended(&id.to_string()).await;
    }
    assert_eq!(numbers(&server, &all).await, ["20", "0", "0", "20 (100%)"]);
    queue(&server, &["rezero"]).await;
    assert_eq!(numbers(&server, &all).await, ["0", "0", "0", "0"]);
    // The statistics are gone, the results are not.
    server.get("/jobs/20/result").await.expect(200);
    // What is not there cannot be deleted; ptq says nothing.
    let nothing = server.request(Method::DELETE, "/jobs/400");
    send(nothing).await.expect(404);
}

#[tokio::test]
async fn release_voids_all_leases() {
    let directory = TempDir::new().unwrap();
    let server = Server::start_with(directory, &["--workers", "4"]).await;
    server.put("spin", "probe", "").await.expect(200);
    for _ in 0..4 {
        let id = server.post("spin", Value::Null).await;
        server
            .until(&id, |record| record["state"] == "running")
            .await;
    }
    assert_eq!(numbers(&server, &["Running", "Queued"]).await, ["4", "0"]);
    // Or they would be leased again at once.
    queue(&server, &["pause"]).await;
    assert_eq!(
        queue(&server, &["release", "--json"]).await,
        r#"{"released":4}"#
    );
    assert_eq!(numbers(&server, &["Running", "Queued"]).await, ["0", "4"]);
}

#[tokio::test]
async fn purge_empties_the_queue_and_leaves_what_has_ended() {
    let server = Server::with("multiply").await;
    insert(&server, 1).await;
    server.ended("1").await;
    queue(&server, &["pause"]).await;
    insert(&server, 9).await;
    let said = queue(&server, &["purge", "--yes"]).await;
    assert_eq!(said, "deleted 9 jobs");
    assert_eq!(server.get("/jobs/count").await.text(), "0");
    // The statistics begin anew with it, as ptq's do.
    let totals = numbers(&server, &["Posted", "Completed"]).await;
    assert_eq!(totals, ["0", "0"]);
    server.get("/jobs/1/result").await.expect(200);
    server.get("/jobs/5").await.expect(404);
}

#[tokio::test]
async fn a_queue_is_copied_and_moved_whole_with_what_is_delayed() {
    let server = Server::with("multiply").await;
    queue(&server, &["pause"]).await;
    insert(&server, 20).await;
    let delayed =
        r#"{"msg": {"arg1": 3, "arg2": 3}, "functions": ["multiply"], "delay_ms": 86400000}"#;
    server.post_text(delayed).await.expect(200);
    let (_, source) = server.terminate().await;
    let (copy, moved) = (TempDir::new().unwrap(), TempDir::new().unwrap());
    let (from, to) = (url(source.path()), url(copy.path()));
    let copied = offline(&["cp", &from, &to]).await;
    assert!(copied.status.success(), "{}", err(&copied));
    let carried = offline(&["mv", &from, &url(moved.path())]).await;
    assert!(carried.status.success(), "{}", err(&carried));

    let there = ["Queued", "Scheduled"];
    for (directory, expected) in [(copy, ["0", "1"]), (moved, ["0", "1"])] {
        let server = Server::start_in(directory).await;
        for id in 1..=20 {
            let record = server.ended(&id.to_string()).await;
            assert_eq!(record["state"], "completed", "{record}");
        }
        assert_eq!(numbers(&server, &there).await, expected);
    }
    let left = Server::start_in(source).await;
    assert_eq!(numbers(&left, &there).await, ["0", "0"]);
}
