//! Jobs that wait for a model: they take no worker, and their time goes on.

use std::time::{Duration, Instant};

use reqwest::Method;
use serde_json::json;

use crate::inference_tensors::{call, f32s, occupy, waiting, with_models};
use crate::server::send;

fn one() -> serde_json::Value {
    call(
        "add",
        &[f32s("a", &[1, 3], &[1.0; 3]), f32s("b", &[1, 3], &[1.0; 3])],
    )
}

#[tokio::test]
async fn who_waits_takes_no_worker() {
    let server = with_models(&["--workers", "2"], &["loop", "add"]).await;
    occupy(&server).await;
    for _ in 0..8 {
        server.post("infer", one()).await;
    }
    waiting(&server, 9).await;
    let record = server.run("nothing", json!(null)).await;
    assert_eq!(record["state"], "completed", "{record}");
    let queue = server.json("/queue").await;
    assert_eq!(queue["running"], 9, "{queue}");
}

#[tokio::test]
async fn with_no_place_to_wait_in_it_keeps_its_worker() {
    let server = with_models(&["--workers", "2", "--max-parked", "1"], &["loop", "add"]).await;
    let busy = server
        .post("infer", crate::inference_tensors::turns(100_000))
        .await;
    for _ in 0..4 {
        server.post("infer", one()).await;
    }
    assert_eq!(server.ended(&busy).await["state"], "completed");
    for id in 2..=5 {
        assert_eq!(server.ended(&id.to_string()).await["state"], "completed");
    }
}

#[tokio::test]
async fn the_deadline_holds_while_a_job_waits_for_a_model() {
    let server = with_models(&[], &["loop", "add"]).await;
    occupy(&server).await;
    let body = json!({
        "msg": one(), "functions": ["infer"], "max_attempts": 1, "timeout_ms": 300,
    });
    let id = server.post_text(body.to_string()).await.expect(200).text();
    let record = server.ended(&id).await;
    assert_eq!(record["cause"]["kind"], "timed-out", "{record}");
    let usage = &record["attempts"][0]["usage"];
    let us = |name: &str| usage[name].as_u64().unwrap();
    assert!(us("run_us") >= 300_000, "{usage}");
    assert!(us("inference_wait_us") >= 200_000, "{usage}");
    assert_eq!(us("inference_us"), 0, "{usage}");
    waiting(&server, 1).await;
}

#[tokio::test]
async fn a_job_that_is_cancelled_waits_no_longer() {
    let server = with_models(&[], &["loop", "add"]).await;
    let busy = occupy(&server).await;
    let queued = server.post("infer", one()).await;
    waiting(&server, 2).await;
    let begun = Instant::now();
    for id in [&queued, &busy] {
        let cancel = server.request(Method::DELETE, &format!("/jobs/{id}"));
        send(cancel).await;
        let record = server.ended(id).await;
        assert_eq!(record["state"], "cancelled", "{record}");
    }
    // Before it would have been stopped.
    assert!(begun.elapsed() < Duration::from_secs(5));
    waiting(&server, 0).await;
}
