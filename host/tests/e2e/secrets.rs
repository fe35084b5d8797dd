//! What goes wrong inside is told to strangers without addresses, paths and passwords,
//! and to those who run the host with all of it.

use std::time::Instant;

use reqwest::Method;
use serde_json::json;
use skep_testkit::RedisServer;
use tempfile::TempDir;

use crate::process::Process;
use crate::server::{Answer, PATIENCE, Server, guest_bytes, send};

/// Asks everything that asks the store.
async fn ask_everything(server: &Server) -> Vec<(String, Answer)> {
    let mut answers = Vec::new();
    for path in [
        "/readyz",
        "/jobs/count",
        "/jobs/1",
        "/jobs/1/progress",
        "/jobs/1/result",
        "/jobs/1/short_result",
        "/jobs/1/log",
        // Of no job: the events of one that waits have no end.
        "/jobs/999/events",
        "/functions",
        "/functions/noop",
        "/queue",
    ] {
        for accept in ["text/plain", "application/json"] {
            let request = server.request(Method::GET, path).header("accept", accept);
            answers.push((format!("GET {path}"), send(request).await));
        }
    }
    for (method, path) in [
        (Method::DELETE, "/jobs/1"),
        (Method::DELETE, "/functions/noop"),
        (Method::DELETE, "/consumer?name=noop"),
        (Method::POST, "/queue/pause"),
        (Method::POST, "/queue/resume"),
        (Method::POST, "/queue/release"),
        (Method::POST, "/queue/rezero"),
        (Method::POST, "/queue/purge"),
    ] {
        let what = format!("{method} {path}");
        answers.push((what, send(server.request(method, path)).await));
    }
    let job = json!({"msg": 1, "functions": ["noop"]}).to_string();
    answers.push(("POST /jobs".to_owned(), server.post_text(job.clone()).await));
    let batch = server
        .request(Method::POST, "/jobs/batch")
        .header("content-type", "application/x-ndjson");
    answers.push(("batch".to_owned(), send(batch.body(job)).await));
    answers.push((
        "upload".to_owned(),
        server.upload(guest_bytes("multiply")).await,
    ));
    answers
}

fn tells_nothing(what: &str, answer: &Answer, secrets: &[&str]) {
    let text = format!("{:?} {}", answer.headers, answer.text());
    for secret in secrets {
        assert!(!text.contains(secret), "{what} tells {secret:?}: {text}");
    }
}

#[tokio::test]
async fn where_redis_is_and_its_password_stay_with_the_host() {
    let redis = RedisServer::options().password("hush-hush").start();
    let server = Server::on(&redis.url(), &[]).await;
    server.upload(guest_bytes("probe")).await.expect(200);
    redis.kill();
    let port = redis.port().to_string();
    let secrets = [
        "hush",
        "redis://",
        "127.0.0.1",
        &port,
        "refused",
        "os error",
    ];
    let mut incident = String::new();
    for (what, answer) in ask_everything(&server).await {
        // What a host remembers, it may answer.
        assert!(
            [200, 503].contains(&answer.status.as_u16()),
            "{what}: {}",
            answer.text()
        );
        tells_nothing(&what, &answer, &secrets);
        if answer.status == 503 && answer.content_type == "application/problem+json" {
            incident = answer.json()["incident"].as_str().unwrap().to_owned();
        }
    }
    // Who runs the host finds the cause under the number.
    let said = server.process.until_said(&incident).await;
    assert!(!incident.is_empty() && said.contains(&port), "{said}");
    assert!(
        !server.process.said().contains("hush"),
        "a password is in the log"
    );
}

#[tokio::test]
async fn where_the_directory_is_stays_with_the_host() {
    let directory = TempDir::new().unwrap();
    let path = directory.path().display().to_string();
    let store = format!("embedded:{path}/store");
    // Files of at most 2 MiB: from there on, nothing can be written.
    let mut command = tokio::process::Command::new("sh");
    command
        .args(["-c", "trap '' XFSZ; ulimit -f 4096; exec \"$0\" \"$@\""])
        .arg(env!("CARGO_BIN_EXE_skep"))
        .args(["serve", "--listen", "127.0.0.1:0", "--store", &store])
        .arg("--no-worker")
        .env("NO_COLOR", "1")
        .kill_on_drop(true);
    let server = Server::of(Process::of(command), directory).await;
    let begun = Instant::now();
    let body = json!({"msg": "x".repeat(200_000)}).to_string();
    loop {
        let answer = server.post_text(body.clone()).await;
        if answer.status != 200 {
            assert!(
                [503, 507].contains(&answer.status.as_u16()),
                "{}",
                answer.text()
            );
            break;
        }
        assert!(begun.elapsed() < PATIENCE, "all of it is written");
    }
    let secrets = [
        path.as_str(),
        "/tmp",
        "sqlite",
        "SQLite",
        "disk I/O",
        "os error",
    ];
    for (what, answer) in ask_everything(&server).await {
        tells_nothing(&what, &answer, &secrets);
    }
    server.still_serves().await;
}
