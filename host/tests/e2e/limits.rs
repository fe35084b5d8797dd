//! Each bound of the sandbox, met by a guest that goes beyond it: the job ends with
//! the bound's name as its cause, and the host goes on.

use serde_json::{Value, json};

use crate::server::Server;

/// Runs `function` under limits and expects the job to fail for `kind`.
async fn fails(query: &str, function: &str, message: Value, kind: &str) -> Value {
    let server = Server::start().await;
    server.put(function, "probe", query).await.expect(200);
    server.put("noop", "probe", "").await.expect(200);
    let record = server.run(function, message).await;
    assert_eq!(record["state"], "failed", "{record}");
    assert_eq!(record["cause"]["kind"], kind, "{record}");
    assert_eq!(server.result("noop", json!(null)).await.text(), "null");
    record
}

#[tokio::test]
async fn a_spinning_guest_runs_out_of_fuel() {
    let record = fails("?fuel=50000000", "spin", json!(null), "fuel-exhausted").await;
    let used = record["attempts"][0]["usage"]["fuel"].as_u64().unwrap();
    assert!((49_000_000..=50_000_000).contains(&used), "{used}");
    assert_eq!(record["attempt"], 1, "it would only happen again");
}

#[tokio::test]
async fn a_spinning_guest_is_stopped_by_the_clock() {
    let server = Server::start().await;
    server
        .put("spin", "probe", "?timeout_ms=200")
        .await
        .expect(200);
    let body = r#"{"msg": null, "functions": ["spin"], "max_attempts": 1}"#;
    server.post_text(body).await.expect(200);
    let record = server.ended("1").await;
    assert_eq!(record["cause"]["kind"], "timed-out", "{record}");
    let run_us = record["attempts"][0]["usage"]["run_us"].as_u64().unwrap();
    assert!((200_000..2_000_000).contains(&run_us), "{run_us}");
}

#[tokio::test]
async fn a_job_may_ask_for_less_time_than_the_deployment_grants() {
    let server = Server::with("probe").await;
    let body = r#"{"msg": null, "functions": ["spin"], "max_attempts": 1, "timeout_ms": 100}"#;
    server.post_text(body).await.expect(200);
    assert_eq!(server.ended("1").await["cause"]["kind"], "timed-out");
}

#[tokio::test]
async fn a_host_full_of_spinning_guests_still_answers_and_still_runs_others() {
    let server = Server::start().await;
    server
        .put("spin", "probe", "?timeout_ms=3000")
        .await
        .expect(200);
    server.put("noop", "probe", "").await.expect(200);
    for _ in 0..3 {
        server
            .post_text(r#"{"msg": null, "functions": ["spin"], "max_attempts": 1}"#)
            .await
            .expect(200);
    }
    server
        .until("1", |record| record["state"] == "running")
        .await;
    server.still_serves().await;
    assert_eq!(server.result("noop", json!(null)).await.text(), "null");
    assert_eq!(
        server.json("/jobs/1").await["state"],
        "running",
        "the others still spin"
    );
}

#[tokio::test]
async fn a_guest_that_wants_all_memory_ends_at_its_limit() {
    let record = fails(
        "?memory_bytes=20000000",
        "grow",
        json!(null),
        "memory-limit",
    )
    .await;
    let peak = record["attempts"][0]["usage"]["peak_memory_bytes"]
        .as_u64()
        .unwrap();
    assert!((1_000_000..=20_000_000).contains(&peak), "{peak}");
}

#[tokio::test]
async fn a_panic_is_a_trap_that_says_what_the_panic_said() {
    let record = fails("", "panic", json!(null), "trap").await;
    let message = record["cause"]["message"].as_str().unwrap();
    for words in ["unreachable", "boom", "hostile.rs:", "\n    at "] {
        assert!(message.contains(words), "{words:?} is not in: {message}");
    }
}

#[tokio::test]
async fn a_trap_carries_the_guests_backtrace() {
    let record = fails("", "trap", json!(null), "trap").await;
    let message = record["cause"]["message"].as_str().unwrap();
    assert!(
        message.contains("unreachable") && message.contains("probe"),
        "{message}"
    );
}

#[tokio::test]
async fn endless_recursion_is_caught() {
    let server = Server::with("probe").await;
    let record = server.run("recurse", json!(null)).await;
    assert_eq!(record["state"], "failed");
    let cause = &record["cause"];
    let named = cause["kind"] == "stack-overflow"
        || cause["message"]
            .as_str()
            .unwrap()
            .contains("endless recursion");
    assert!(named, "{record}");
    server.still_serves().await;
}

#[tokio::test]
async fn a_result_over_the_limit_is_refused() {
    fails(
        "?result_bytes=1000",
        "big",
        json!({"bytes": 1001}),
        "output-too-large",
    )
    .await;
    let server = Server::with("probe").await;
    let large = server.result("big", json!({"bytes": 8_000_000})).await;
    assert_eq!(large.body.len(), 8_000_000);
}

#[tokio::test]
async fn a_flood_of_log_lines_is_cut() {
    let server = Server::with("probe").await;
    let record = server.run("flood", json!(null)).await;
    assert_eq!(record["state"], "completed", "{record}");
    let log = server.get("/jobs/1/log").await.expect(200);
    assert!(log.body.len() < 200_000, "{}", log.body.len());
    log.naming(&["were dropped"]);
}

#[tokio::test]
async fn failures_go_to_the_dead_letter_and_retries_come_back() {
    let server = Server::with("probe").await;
    for (function, kind) in [("invalid", "invalid"), ("failed", "failed")] {
        let record = server.run(function, json!(null)).await;
        assert_eq!(
            (&record["cause"]["kind"], &record["attempt"]),
            (&json!(kind), &json!(1))
        );
    }
    let record = server
        .run("retry", json!({"succeed_at": 3, "after_ms": 1}))
        .await;
    assert_eq!(record["state"], "completed", "{record}");
    assert_eq!(record["attempt"], 3);
    assert_eq!(record["attempts"][0]["cause"]["kind"], "retry");
    let record = server
        .run("retry", json!({"succeed_at": 99, "after_ms": 1}))
        .await;
    assert_eq!(
        (&record["state"], &record["attempt"]),
        (&json!("failed"), &json!(5))
    );
    assert_eq!(
        record["attempts"].as_array().unwrap().len(),
        5,
        "each with its cause"
    );
}
