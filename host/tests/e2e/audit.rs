//! The audit log: what is noted, by whom it was done, and that nobody can forge a line.

use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use reqwest::Method;
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::server::{Server, guest_bytes, send, skep, store_of};

/// The lines, as action, object, outcome, token and namespace.
fn lines(path: &Path) -> Vec<[String; 5]> {
    let text = std::fs::read_to_string(path).unwrap();
    let word = |line: &Value, name: &str| line[name].as_str().unwrap().to_owned();
    let line = |line| {
        let line: Value = serde_json::from_str(line).unwrap();
        assert!(word(&line, "peer").starts_with("127.0.0.1:"), "{line}");
        assert!(line["at_ms"].as_u64().unwrap() > 1_700_000_000_000);
        ["action", "object", "outcome", "token", "namespace"].map(|name| word(&line, name))
    };
    text.lines().map(line).collect()
}

async fn make(store: &str, scopes: &str) -> (String, String) {
    let args = [
        "token", "create", "--json", "--store", store, "--scopes", scopes,
    ];
    let made = skep().args(args).output().await.unwrap();
    let made: Value = serde_json::from_slice(&made.stdout).unwrap();
    let word = |name: &str| made[name].as_str().unwrap().to_owned();
    (word("id"), word("token"))
}

#[tokio::test]
async fn what_is_done_and_what_is_denied_is_noted_and_nothing_can_be_forged() {
    let directory = TempDir::new().unwrap();
    let path = directory.path().join("audit.jsonl");
    let store = store_of(&directory);
    let (admin, admin_token) = make(&store, "admin").await;
    let (reader, reader_token) = make(&store, "read").await;
    let log = path.display().to_string();
    let flags = ["--require-token", "--no-worker", "--audit-log", &log];
    let server = Server::start_with(directory, &flags).await;
    let ask = |method: Method, path: &str| {
        let request = server.request(method, path);
        send(request.bearer_auth(&admin_token))
    };
    let deploy = server.request(Method::POST, "/consumer");
    let deploy = deploy
        .header("content-type", "application/wasm")
        .body(guest_bytes("multiply"));
    send(deploy.bearer_auth(&admin_token)).await.expect(200);
    let job = json!({"msg": {"arg1": 1, "arg2": 2}, "functions": ["multiply"]});
    let post = server.request(Method::POST, "/jobs").json(&job);
    send(post.bearer_auth(&admin_token)).await.expect(200);
    ask(Method::GET, "/jobs/1").await.expect(200);
    ask(Method::DELETE, "/jobs/1").await.expect(200);
    ask(Method::DELETE, "/jobs/1").await.expect(409);
    ask(Method::POST, "/jobs/1/retry").await.expect(200);
    ask(Method::POST, "/dead/requeue").await.expect(200);
    ask(Method::DELETE, "/dead").await.expect(200);
    let rollback = "/functions/multiply/rollback";
    ask(Method::POST, rollback).await.expect(404);
    ask(Method::DELETE, "/functions/divide").await.expect(204);
    let forged = "/functions/x%0a%7B%22action%22:%22forged%22%7D%1b%5b2J";
    ask(Method::DELETE, forged).await.expect(404);
    ask(Method::POST, "/queue/purge").await.expect(200);
    let denied = server.request(Method::POST, "/queue/release");
    send(denied.bearer_auth(&reader_token)).await.expect(403);
    send(server.request(Method::POST, "/queue/release"))
        .await
        .expect(401);
    let create = server.request(Method::POST, "/tokens");
    let create = create.json(&json!({"scopes": ["post", "read"]}));
    let made = send(create.bearer_auth(&admin_token))
        .await
        .expect(200)
        .text();
    ask(Method::DELETE, &format!("/tokens/{reader}"))
        .await
        .expect(204);

    let noted = lines(&path);
    let deployed = &noted[0][1];
    assert!(
        deployed.contains("multiply version 1 sha256:") && deployed.contains(", divide version 1"),
        "{deployed}"
    );
    let made_id = made[5..17].to_owned();
    let created = format!("{made_id} for default: post, read");
    let revoked = format!("/tokens/{reader}");
    let none = "0 jobs of the dead letter";
    let expected: [[&str; 4]; 13] = [
        ["deploy", deployed, "done", &admin],
        ["cancel", "/jobs/1", "done", &admin],
        ["cancel", "/jobs/1", "failed", &admin],
        ["retry", "/jobs/1/retry", "done", &admin],
        ["requeue", none, "done", &admin],
        ["delete dead", none, "done", &admin],
        ["rollback", rollback, "failed", &admin],
        ["undeploy", "/functions/divide", "done", &admin],
        ["undeploy", forged, "failed", &admin],
        ["purge", "/queue/purge", "done", &admin],
        ["release", "/queue/release", "denied", &reader],
        ["create token", &created, "done", &admin],
        ["revoke token", &revoked, "done", &admin],
    ];
    assert_eq!(noted.len(), expected.len(), "{noted:#?}");
    for (line, expected) in noted.iter().zip(expected) {
        assert_eq!(line[..4], expected);
        assert_eq!(line[4], "default");
    }
    let mode = path.metadata().unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    // The same in the server's own log, and no secret in either.
    let said = server.process.until_said("revoke token").await;
    assert!(
        said.contains("skep::audit") && said.contains(&admin),
        "{said}"
    );
    let all = server.process.said() + &std::fs::read_to_string(&path).unwrap();
    for secret in [&admin_token, &reader_token, &made] {
        assert!(!all.contains(&secret[17..]), "{all}");
    }
}

#[tokio::test]
async fn an_audit_log_that_cannot_be_opened_keeps_a_server_from_starting() {
    let directory = TempDir::new().unwrap();
    let store = store_of(&directory);
    let log = directory.path().join("none/audit").display().to_string();
    let args = [
        "serve",
        "--listen",
        "127.0.0.1:0",
        "--store",
        &store,
        "--audit-log",
        &log,
    ];
    let output = skep().args(args).output().await.unwrap();
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(2), "{said}");
    assert!(
        said.contains("--audit-log") && said.contains("none/audit"),
        "{said}"
    );
}

#[tokio::test]
async fn what_cannot_be_noted_is_done_all_the_same_and_said() {
    // A disk that is always full.
    let flags = ["--audit-log", "/dev/full"];
    let server = Server::start_with(TempDir::new().unwrap(), &flags).await;
    send(server.request(Method::POST, "/queue/purge"))
        .await
        .expect(200);
    server
        .process
        .until_said("the audit log cannot be written")
        .await;
    let said = server.process.until_said("skep::audit").await;
    assert!(
        said.contains("purge") && said.contains("loopback"),
        "{said}"
    );
}
