//! Several hosts on one Redis: they share jobs, functions, data and outcomes, and what
//! one of them cannot do, another does.

use std::path::PathBuf;
use std::time::{Duration, Instant};

use reqwest::Method;
use rustix::process::Signal;
use serde_json::{Value, json};
use skep_testkit::RedisServer;
use tempfile::TempDir;

use crate::process::Process;
use crate::server::{Answer, PATIENCE, Server, guest_bytes, send, skep};

/// Takes jobs in, and runs none.
const DOOR: &[&str] = &["--no-worker"];

/// Long enough to be seen while it runs, short enough to be waited for.
fn a_while() -> Value {
    json!({"iterations": 600_000_000})
}

/// A `skep worker`, and the directory of its compiled components.
struct Worker {
    process: Process,
    cache: TempDir,
}

impl Worker {
    async fn on(store: &str, more: &[&str]) -> Self {
        let cache = TempDir::new().unwrap();
        let directory = cache.path().display().to_string();
        let args = ["worker", "--store", store, "--cache", &directory];
        let process = Process::start(args.iter().chain(more));
        process.until_said("skep runs").await;
        Self { process, cache }
    }

    /// Where it keeps what its engine compiled.
    fn compiled(&self) -> PathBuf {
        let mut engines = std::fs::read_dir(self.cache.path().join("compiled")).unwrap();
        engines.next().unwrap().unwrap().path()
    }
}

/// The record of a job as soon as its log says this.
async fn once_logged(server: &Server, id: &str, text: &str) -> Value {
    let begun = Instant::now();
    loop {
        let log = server.get(&format!("/jobs/{id}/log")).await.text();
        if log.contains(text) {
            return server.json(&format!("/jobs/{id}")).await;
        }
        assert!(begun.elapsed() < PATIENCE, "{text:?} is not logged: {log}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

fn product(n: u64) -> Value {
    json!({"arg1": n, "arg2": 2})
}

async fn in_space(server: &Server, namespace: &str, function: &str, msg: Value) -> Answer {
    let request = server
        .request(Method::POST, "/jobs")
        .header("skep-namespace", namespace);
    let id = send(request.json(&json!({"msg": msg, "functions": [function]})))
        .await
        .expect(200)
        .text();
    let path = format!("/jobs/{id}/result?wait_ms=60000");
    let request = server.request(Method::GET, &path);
    send(request.header("skep-namespace", namespace)).await
}

#[tokio::test]
async fn two_servers_and_a_worker_share_the_jobs() {
    let redis = RedisServer::start();
    let (one, two) = (
        Server::on(&redis.url(), &[]).await,
        Server::on(&redis.url(), &[]).await,
    );
    let _worker = Worker::on(&redis.url(), &[]).await;
    one.upload(guest_bytes("multiply")).await.expect(200);
    let mut ids = Vec::new();
    for n in 0..60 {
        let server = if n % 2 == 0 { &one } else { &two };
        ids.push((n, server.post("multiply", product(n)).await));
    }
    for (n, id) in ids {
        let server = if n % 3 == 0 { &one } else { &two };
        let path = format!("/jobs/{id}/result?wait_ms=60000");
        let result = server.get(&path).await.expect(200);
        assert_eq!(result.text(), (2 * n).to_string());
    }
    let status = two.json("/queue").await;
    assert_eq!(
        (&status["posted"], &status["completed"]),
        (&json!(60), &json!(60))
    );
}

#[tokio::test]
async fn what_is_deployed_through_one_host_is_served_by_all_at_once() {
    let redis = RedisServer::start();
    let (one, two) = (
        Server::on(&redis.url(), DOOR).await,
        Server::on(&redis.url(), DOOR).await,
    );
    let worker = Worker::on(&redis.url(), &[]).await;
    // It knows by now that there are none.
    two.post_text(r#"{"msg": 1, "functions": ["multiply"]}"#)
        .await
        .expect(422);
    one.upload(guest_bytes("multiply")).await.expect(200);
    let id = two.post("multiply", product(3)).await;
    // Listed there within a second, too.
    let begun = Instant::now();
    while two.get("/functions/multiply").await.status != 200 {
        assert!(begun.elapsed() < Duration::from_secs(1));
    }
    let record = two.ended(&id).await;
    assert_eq!(
        (&record["state"], &record["attempt"]),
        (&json!("completed"), &json!(1))
    );
    assert!(worker.compiled().read_dir().unwrap().count() == 1);
    send(one.request(Method::DELETE, "/functions/multiply"))
        .await
        .expect(204);
    let begun = Instant::now();
    while two.get("/functions/multiply").await.status != 404 {
        assert!(begun.elapsed() < Duration::from_secs(1));
    }
}

#[tokio::test]
async fn a_job_is_followed_on_a_host_that_does_not_run_it() {
    let redis = RedisServer::start();
    let door = Server::on(&redis.url(), DOOR).await;
    door.upload(guest_bytes("probe")).await.expect(200);
    let id = door
        .post("progress", json!({"iterations": 200_000_000}))
        .await;
    let result = tokio::spawn({
        let path = format!("/jobs/{id}/result?wait_ms=60000");
        let request = door.request(Method::GET, &path);
        async move { (send(request).await, Instant::now()) }
    });
    let _worker = Worker::on(&redis.url(), &[]).await;
    let path = format!("/jobs/{id}/progress");
    let begun = Instant::now();
    let mut seen = Vec::new();
    while !result.is_finished() {
        let progress = door.get(&path).await.text();
        if seen.last() != Some(&progress) {
            seen.push(progress);
        }
        assert!(begun.elapsed() < PATIENCE, "{seen:?}");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    assert!(seen.contains(&"50".to_owned()), "{seen:?}");
    let (result, answered) = result.await.unwrap();
    result.expect(200);
    let record = door.ended(&id).await;
    let ended = record["ended_at_ms"].as_u64().unwrap();
    let now = std::time::SystemTime::now();
    let now = now.duration_since(std::time::UNIX_EPOCH).unwrap();
    let answered = now.as_millis() as u64 - answered.elapsed().as_millis() as u64;
    assert!(answered < ended + 1_000, "{} ms late", answered - ended);
}

#[tokio::test]
async fn a_log_is_read_on_a_host_that_did_not_write_it() {
    let redis = RedisServer::start();
    let door = Server::on(&redis.url(), DOOR).await;
    door.upload(guest_bytes("probe")).await.expect(200);
    let _worker = Worker::on(&redis.url(), &[]).await;
    let id = door.post("panic", json!(null)).await;
    assert_eq!(door.ended(&id).await["state"], "failed");
    let log = door.get(&format!("/jobs/{id}/log")).await.expect(200);
    log.naming(&["panic"]);
}

#[tokio::test]
async fn data_is_shared_under_any_key_and_never_across_namespaces() {
    let redis = RedisServer::start();
    let one = Server::on(&redis.url(), &[]).await;
    for namespace in ["default", "a.b-c_d"] {
        let request = one.request(Method::POST, "/consumer");
        let request = request.header("skep-namespace", namespace);
        send(
            request
                .body(guest_bytes("probe"))
                .header("content-type", "application/wasm"),
        )
        .await
        .expect(200);
    }
    let two = Server::on(&redis.url(), &[]).await;
    let keys = [
        "two words",
        "a\nb\r\n",
        "nul\0nul",
        "\u{1f41d}",
        "}{",
        "{x}:y",
        "*?[a]",
        "\"'\\",
        "n:default:meta",
        " ",
    ];
    for key in keys {
        let message = json!({"key": key, "data": format!("<{key}>")});
        let stored = in_space(&one, "default", "store", message).await;
        stored.expect(200);
        let message = json!({"key": key});
        let found = in_space(&two, "default", "fetch", message.clone()).await;
        assert_eq!(found.expect(200).text(), format!("<{key}>"), "{key:?}");
        let other = in_space(&two, "a.b-c_d", "fetch", message).await;
        assert_eq!(other.expect(200).text(), "null", "{key:?}");
    }
}

#[tokio::test]
async fn a_host_that_is_asked_to_stop_hands_back_what_does_not_end_in_time() {
    let redis = RedisServer::start();
    let door = Server::on(&redis.url(), DOOR).await;
    door.upload(guest_bytes("probe")).await.expect(200);
    let mut first = Worker::on(&redis.url(), &["--grace", "6s"]).await;
    let short = door.post("busy", json!({"iterations": 150_000_000})).await;
    let long = door.post("spin", json!(null)).await;
    for id in [&short, &long] {
        door.until(id, |record| record["state"] != "queued").await;
    }
    first.process.signal(Signal::TERM);
    first.process.until_said("running jobs get 6 s").await;
    // It says so before it does so.
    tokio::time::sleep(Duration::from_millis(500)).await;
    let late = door.post("noop", json!(null)).await;
    assert_eq!(first.process.exit().await, Some(0));
    let record = door.json(&format!("/jobs/{short}")).await;
    assert_eq!(record["state"], "completed", "within the grace: {record}");
    let record = door.json(&format!("/jobs/{long}")).await;
    assert_eq!(
        (&record["state"], &record["attempt"]),
        (&json!("queued"), &json!(0))
    );
    let record = door.json(&format!("/jobs/{late}")).await;
    assert_eq!(
        record["state"], "queued",
        "no new jobs while stopping: {record}"
    );

    let _second = Worker::on(&redis.url(), &[]).await;
    assert_eq!(door.ended(&late).await["state"], "completed");
    let running = |record: &Value| record["state"] == "running";
    assert_eq!(door.until(&long, running).await["attempt"], 1);
}

#[tokio::test]
async fn a_second_signal_ends_a_host_at_once() {
    let redis = RedisServer::start();
    let server = Server::on(&redis.url(), &["--grace", "1h"]).await;
    server.upload(guest_bytes("probe")).await.expect(200);
    let id = server.post("spin", json!(null)).await;
    server
        .until(&id, |record| record["state"] == "running")
        .await;
    let mut process = server.process;
    process.signal(Signal::TERM);
    process.until_said("again to stop at once").await;
    let begun = Instant::now();
    process.signal(Signal::INT);
    assert_eq!(process.exit().await, Some(130));
    assert!(begun.elapsed() < Duration::from_secs(5));
}

#[tokio::test]
async fn the_jobs_of_a_host_that_was_killed_run_elsewhere() {
    let redis = RedisServer::start();
    let lease = ["--lease", "2s"];
    let door = Server::on(&redis.url(), DOOR).await;
    door.upload(guest_bytes("probe")).await.expect(200);
    let mut doomed = Worker::on(&redis.url(), &lease).await;
    let id = door.post("busy", a_while()).await;
    door.until(&id, |record| record["state"] == "running").await;
    let _other = Worker::on(&redis.url(), &lease).await;
    doomed.process.kill().await;
    let record = door.ended(&id).await;
    assert_eq!(
        (&record["state"], &record["attempt"]),
        (&json!("completed"), &json!(2))
    );
    assert_eq!(
        record["attempts"][0]["cause"]["kind"], "host-lost",
        "{record}"
    );
}

#[tokio::test]
async fn a_host_that_cannot_compile_hands_the_job_back_and_another_one_runs_it() {
    let redis = RedisServer::start();
    let door = Server::on(&redis.url(), DOOR).await;
    door.upload(guest_bytes("multiply")).await.expect(200);
    let broken = Worker::on(&redis.url(), &[]).await;
    // The tests may run as root, whom permissions do not keep from writing.
    let compiled = broken.cache.path().join("compiled");
    std::fs::remove_dir_all(&compiled).unwrap();
    std::fs::write(&compiled, "in the way").unwrap();
    let id = door.post("multiply", product(21)).await;
    let record = once_logged(&door, &id, "gave this job back unrun").await;
    // Whose job it is need not know where the host keeps what.
    let log = door.get(&format!("/jobs/{id}/log")).await;
    let log = log.naming(&["cannot prepare the component"]).text();
    assert!(!log.contains("compiled"), "{log}");
    let said = broken.process.until_said("Not a directory").await;
    assert!(said.contains("looking for an artefact"), "{said}");
    assert_ne!(record["state"], "failed", "{record}");
    assert_eq!(record["attempts"], json!([]), "{record}");

    let _good = Worker::on(&redis.url(), &[]).await;
    let record = door.ended(&id).await;
    assert_eq!(
        (&record["state"], &record["attempt"]),
        (&json!("completed"), &json!(1))
    );
}

#[tokio::test]
async fn a_component_that_was_damaged_in_redis_is_refused_until_it_is_whole() {
    let redis = RedisServer::start();
    let door = Server::on(&redis.url(), DOOR).await;
    door.upload(guest_bytes("multiply")).await.expect(200);
    let keys: Vec<String> = redis.command(&[
        "KEYS",
        "*c:????????????????????????????????????????????????????????????????",
    ]);
    assert_eq!(keys.len(), 1, "{keys:?}");
    redis.cli(&["SETRANGE", &keys[0], "5000", "damaged"]);
    let worker = Worker::on(&redis.url(), &[]).await;
    let id = door.post("multiply", product(21)).await;
    let record = once_logged(&door, &id, "gave this job back unrun").await;
    let digest = keys[0].rsplit(':').next().unwrap();
    let said = worker.process.until_said("is not what was uploaded").await;
    assert!(
        said.contains(digest) && said.contains("upload it again"),
        "{said}"
    );
    assert_eq!(record["attempts"], json!([]), "{record}");
    door.upload(guest_bytes("multiply")).await.expect(200);
    assert_eq!(door.ended(&id).await["attempt"], 1);
}

#[tokio::test]
async fn a_record_of_a_newer_version_is_left_alone_and_the_others_go_on() {
    let redis = RedisServer::start();
    let door = Server::on(&redis.url(), DOOR).await;
    door.upload(guest_bytes("multiply")).await.expect(200);
    let newer = door.post("multiply", product(1)).await;
    let other = door.post("multiply", product(2)).await;
    let key = format!("{{skep}}:j:default/{newer}");
    // The first byte of a record, behind the time, the rank and the length.
    let version = 13 + 2 + 8;
    let found: Vec<u8> =
        redis.command(&["GETRANGE", &key, &version.to_string(), &version.to_string()]);
    assert_eq!(found, [1]);
    redis.cli(&["SETRANGE", &key, &version.to_string(), "\x02"]);
    let record: Vec<u8> = redis.command(&["GET", &key]);

    let worker = Worker::on(&redis.url(), &[]).await;
    assert_eq!(door.ended(&other).await["state"], "completed");
    worker.process.until_said("newer").await;
    door.get(&format!("/jobs/{newer}"))
        .await
        .expect(500)
        .naming(&["cannot read", "incident"]);
    let said = door.process.until_said("incident=").await;
    assert!(
        said.contains(&format!("job {newer}")) && said.contains("newer"),
        "{said}"
    );
    let output = skep().args(["--url", &door.url, "get", &newer]).output();
    let output = tokio::time::timeout(PATIENCE, output)
        .await
        .unwrap()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(1));
    assert!(said.contains("cannot read"), "{said}");
    assert_eq!(
        redis.command::<Vec<u8>>(&["GET", &key]),
        record,
        "untouched"
    );
    // It waits for a host that can read it.
    assert_eq!(door.get("/jobs/count").await.text(), "1");
    redis.cli(&["SETRANGE", &key, &version.to_string(), "\x01"]);
}
