//! What a server says on stderr: text, or JSON a line, with what each line is about, and
//! without secrets.

use reqwest::Method;
use serde_json::{Value, json};
use skep_testkit::RedisServer;
use tempfile::TempDir;

use crate::process::Process;
use crate::receiver::{Receiver, Reply};
use crate::server::{PATIENCE, Server, guest_bytes, run, send, skep, store_of};

/// A server that logs all it can in this format.
async fn logging(format: &str) -> Server {
    let directory = TempDir::new().unwrap();
    let mut command = skep();
    command
        .args([
            "serve",
            "--listen",
            "127.0.0.1:0",
            "--store",
            &store_of(&directory),
        ])
        .args(["--log-format", format])
        .env("SKEP_LOG", "skep=debug");
    Server::of(Process::of(command), directory).await
}

/// The lines of JSON; a line that is none fails the test.
fn lines(process: &Process) -> Vec<Value> {
    let said = process.said();
    let lines = said.lines().filter(|line| *line != "(end)");
    lines
        .map(|line| serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {line}")))
        .collect()
}

#[tokio::test]
async fn every_line_is_json_and_those_about_a_job_name_it() {
    let mut server = logging("json").await;
    server.upload(guest_bytes("probe")).await.expect(200);
    let id = server.post("trap", json!(null)).await;
    server.ended(&id).await;
    server.process.until_said("an attempt ended").await;
    let path = format!("/jobs/{id}/result");
    server.get(&format!("{path}?wait_ms=1")).await.expect(422);
    server.process.until_said("\"status\":422").await;
    server.process.signal(rustix::process::Signal::TERM);
    server.process.exit().await;
    server.process.until_said("(end)").await;
    let lines = lines(&server.process);
    for line in &lines {
        for field in ["timestamp", "level", "message", "target"] {
            assert!(line[field].is_string(), "{field}: {line}");
        }
    }
    let find = |message: &str| {
        let has = |line: &&Value| line["message"].as_str().unwrap().contains(message);
        lines
            .iter()
            .find(has)
            .unwrap_or_else(|| panic!("{message}: {lines:#?}"))
    };
    let registered = find("registered");
    let ended = find("an attempt ended");
    assert_eq!(
        ended["span"],
        json!({
            "name": "attempt", "namespace": "default", "job": id, "attempt": 1,
            "function": "trap", "incarnation": registered["incarnation"],
        })
    );
    assert_eq!(
        (&ended["outcome"], &ended["cause"]),
        (&json!("failed"), &json!("trap"))
    );
    // What is asked is logged by its route.
    let answered = lines.iter().find(|line| line["status"] == 422).unwrap();
    assert_eq!(answered["route"], "/jobs/{id}/result");
    assert!(!answered.to_string().contains("wait_ms"), "{answered}");
    find("skep listens on http://");
    find("stopping");
}

#[tokio::test]
async fn text_says_the_same_for_people() {
    let server = logging("text").await;
    server.upload(guest_bytes("probe")).await.expect(200);
    let id = server.post("noop", json!(null)).await;
    let line = server.process.until_said("an attempt ended").await;
    for word in [
        &format!("job={id}"),
        "namespace=default",
        "attempt=1",
        "function=\"noop\"",
    ] {
        assert!(line.contains(word), "{word}: {line}");
    }
    assert!(line.contains("DEBUG"), "{line}");
}

/// Whatever is logged, and by whom.
#[tokio::test]
async fn no_line_has_a_secret() {
    let redis = RedisServer::options().password("tr0ub4dor").start();
    let made = run(skep().args([
        "token",
        "create",
        "--scopes",
        "admin",
        "--store",
        &redis.url(),
    ]))
    .await;
    assert_eq!(made.0, Some(0), "{made:?}");
    let token = made.1;
    let environment = [("SKEP_LOG", "debug"), ("SKEP_LOG_FORMAT", "json")];
    let server = Server::with_env(&redis.url(), &["--require-token"], &environment).await;
    let ask = |method, path: &str| server.request(method, path).bearer_auth(&token);
    let upload = ask(Method::POST, "/consumer").header("content-type", "application/wasm");
    send(upload.body(guest_bytes("probe"))).await.expect(200);
    let receiver = Receiver::replying(vec![Reply::Status(500), Reply::Status(200)]).await;
    let callback = receiver.url("/?key=h00ksecret");
    let path = format!("/jobs?functions=noop&idempotency_key=1dempotent&callback={callback}");
    let post = ask(Method::POST, &path).header("content-type", "text/plain");
    send(post.body("m3ssage")).await.expect(200);
    receiver.until(PATIENCE, |calls| calls.len() == 2).await;
    // A token that does not count is told of, too.
    send(
        server
            .request(Method::GET, "/queue")
            .bearer_auth("w0rthless"),
    )
    .await
    .expect(401);
    server.process.until_said("does not count").await;
    redis.kill();
    server
        .process
        .until_said("listening for events was cut short")
        .await;
    let said = server.process.said();
    for secret in [
        "tr0ub4dor",
        &token,
        "h00ksecret",
        "1dempotent",
        "m3ssage",
        "w0rthless",
    ] {
        assert!(!said.contains(secret), "{secret}: {said}");
    }
    lines(&server.process);
}
