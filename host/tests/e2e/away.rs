//! A Redis that is away, full, or not to be used: skep says so, accepts nothing that
//! it cannot keep, loses nothing, and recovers by itself.

use std::time::{Duration, Instant};

use reqwest::Method;
use serde_json::{Value, json};
use skep_testkit::{Fsync, RedisServer};

use crate::process::Process;
use crate::server::{Answer, PATIENCE, Server, eventually, guest_bytes, send};

fn job(function: &str, msg: &Value) -> String {
    json!({"msg": msg, "functions": [function]}).to_string()
}

/// Asks until this is answered.
async fn until(server: &Server, path: &str, status: u16) -> Answer {
    eventually(
        PATIENCE,
        || server.get(path),
        |answer| answer.status == status,
    )
    .await
}

#[tokio::test]
async fn a_server_waits_for_a_redis_that_is_away_at_its_start() {
    let redis = RedisServer::start();
    redis.kill();
    let server = Server::on(&redis.url(), &[]).await;
    let said = server.process.until_said("Redis is away").await;
    assert!(said.contains(&redis.port().to_string()), "{said}");
    server.get("/healthz").await.expect(200);
    server
        .get("/readyz")
        .await
        .expect(503)
        .naming(&["unavailable", "log"]);
    let refused = server.post_text(job("multiply", &json!(1))).await;
    assert!(refused.headers.contains_key("retry-after"));
    refused
        .expect(503)
        .naming(&["nothing was accepted", "try again"]);
    let upload = server.upload(guest_bytes("multiply")).await;
    upload.expect(503);

    redis.restart();
    until(&server, "/readyz", 200).await;
    server.process.until_said("Redis is there again").await;
    let keys: Vec<String> = redis.command(&["KEYS", "*:j:*"]);
    assert!(keys.is_empty(), "half-written: {keys:?}");
    server.upload(guest_bytes("multiply")).await.expect(200);
    let result = server.result("multiply", json!({"arg1": 6, "arg2": 7}));
    assert_eq!(result.await.text(), "42");
    assert_eq!(server.json("/queue").await["posted"], 1);
}

#[tokio::test]
async fn jobs_go_on_while_redis_is_away_and_their_outcomes_are_delivered() {
    let redis = RedisServer::options().aof(Fsync::Always).start();
    let server = Server::on(&redis.url(), &[]).await;
    server.upload(guest_bytes("probe")).await.expect(200);
    let mut ids = Vec::new();
    for _ in 0..3 {
        ids.push(
            server
                .post("busy", json!({"iterations": 300_000_000}))
                .await,
        );
    }
    for id in &ids {
        server
            .until(id, |record| record["state"] == "running")
            .await;
    }
    redis.kill();
    server.get("/readyz").await.expect(503);
    server
        .post_text(job("noop", &json!(1)))
        .await
        .expect(503)
        .naming(&["try again"]);
    server.process.until_said("outcomes are kept").await;
    tokio::time::sleep(Duration::from_secs(3)).await;
    redis.restart();
    until(&server, "/readyz", 200).await;
    for id in &ids {
        let record = server.ended(id).await;
        let outcome = (&record["state"], &record["attempt"]);
        assert_eq!(outcome, (&json!("completed"), &json!(1)), "{record}");
    }
    server.result("noop", json!(null)).await;
    let status = server.json("/queue").await;
    assert_eq!(
        (&status["posted"], &status["completed"]),
        (&json!(4), &json!(4))
    );
}

#[tokio::test]
async fn a_redis_that_is_full_is_told_to_the_poster_and_outcomes_still_count() {
    let redis = RedisServer::options().maxmemory(12 << 20).start();
    let door = Server::on(&redis.url(), &["--no-worker"]).await;
    door.upload(guest_bytes("probe")).await.expect(200);
    let mut ids = Vec::new();
    // Smaller and smaller ones, until there is room for none.
    for size in [100_000, 1_000, 1] {
        let message = json!("x".repeat(size));
        let full = loop {
            let answer = door.post_text(job("noop", &message)).await;
            if answer.status != 200 {
                break answer;
            }
            ids.push(answer.text());
            assert!(ids.len() < 1_000);
        };
        full.expect(507).naming(&["maxmemory", "retention_s"]);
    }
    let worker = Server::on(&redis.url(), &[]).await;
    for id in &ids {
        let record = worker.ended(id).await;
        assert_eq!(record["state"], "completed", "{record}");
    }
    let status = door.json("/queue").await;
    assert_eq!(status["posted"].as_u64().unwrap() as usize, ids.len());
    assert_eq!(status["completed"], status["posted"]);
    let large = json!("x".repeat(100_000));
    door.post_text(job("noop", &large)).await.expect(507);

    redis.cli(&["CONFIG", "SET", "maxmemory", "0"]);
    door.result("noop", json!(1)).await;
}

#[tokio::test]
async fn a_wrong_password_ends_a_host_with_the_form_of_a_right_one() {
    let redis = RedisServer::options().password("secret").start();
    let wrong = redis.url().replace("secret", "guess");
    let none = format!("redis://127.0.0.1:{}/0", redis.port());
    for verb in ["serve", "worker"] {
        for url in [&wrong, &none] {
            let mut args = vec![verb, "--store", url];
            if verb == "serve" {
                args.extend(["--listen", "127.0.0.1:0"]);
            }
            let begun = Instant::now();
            let mut process = Process::start(args);
            let said = process.until_said("redis://USER:PASSWORD@HOST").await;
            assert!(!said.contains("guess"), "{said}");
            assert_eq!(process.exit().await, Some(1));
            assert!(begun.elapsed() < Duration::from_secs(10));
        }
    }
}

#[tokio::test]
async fn a_redis_that_may_drop_jobs_is_warned_of() {
    let careless = RedisServer::options()
        .args(&["--maxmemory-policy", "allkeys-lru"])
        .start();
    let server = Server::on(&careless.url(), &[]).await;
    let said = server.process.until_said("evicts keys").await;
    assert!(said.contains("set maxmemory-policy noeviction"), "{said}");
    let said = server.process.until_said("no append-only file").await;
    assert!(said.contains("set appendonly yes"), "{said}");

    let careful = RedisServer::options().aof(Fsync::EverySecond).start();
    let server = Server::on(&careful.url(), &[]).await;
    server.get("/readyz").await.expect(200);
    let said = server.process.said();
    assert!(!said.contains("WARN"), "{said}");
}

#[tokio::test]
async fn a_namespace_with_odd_characters_is_refused_with_the_rule() {
    let redis = RedisServer::start();
    let server = Server::on(&redis.url(), &[]).await;
    for odd in ["a b", "}{", "a:b", "a/b", "*", ""] {
        let request = server.request(Method::POST, "/jobs");
        let request = request
            .header("skep-namespace", odd)
            .header("content-type", "application/json");
        let answer = send(request.body(job("f", &json!(1)))).await;
        answer.expect(400).naming(&["Skep-Namespace"]);
    }
    let keys: Vec<String> = redis.command(&["KEYS", "*:n:*"]);
    assert!(keys.is_empty(), "{keys:?}");
}
