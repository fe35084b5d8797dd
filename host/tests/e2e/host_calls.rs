//! The host functions, called by a real guest.

use reqwest::Method;
use serde_json::json;

use crate::server::{Server, send};

#[tokio::test]
async fn stored_data_can_be_fetched_by_another_job() {
    let server = Server::with("probe").await;
    let key = server
        .result(
            "store",
            json!({"key": "a key/../with odd ☃ bytes", "data": "hello"}),
        )
        .await;
    assert_eq!(key.json(), json!("a key/../with odd ☃ bytes"));
    let fetched = server
        .result("fetch", json!({"key": "a key/../with odd ☃ bytes"}))
        .await;
    assert_eq!(fetched.text(), "hello");
    let generated = server
        .result("store", json!({"data": "again"}))
        .await
        .json();
    let fetched = server.result("fetch", json!({"key": generated})).await;
    assert_eq!(fetched.text(), "again");
    assert_eq!(
        server
            .result("fetch", json!({"key": "nothing here"}))
            .await
            .text(),
        "null"
    );
}

#[tokio::test]
async fn a_job_posts_jobs() {
    let server = Server::with("probe").await;
    let ids = server
        .result("spawn", json!({"n": 100, "function": "noop"}))
        .await
        .json();
    let ids = ids.as_array().unwrap();
    assert_eq!(ids.len(), 100);
    for id in ids {
        let record = server.ended(id.as_str().unwrap()).await;
        assert_eq!(
            (&record["state"], &record["parent"]),
            (&json!("completed"), &json!("1"))
        );
        assert_eq!(record["depth"], 1);
    }
}

#[tokio::test]
async fn a_post_to_an_unknown_function_is_an_error_the_guest_can_read() {
    let server = Server::with("probe").await;
    let record = server
        .run("spawn", json!({"n": 1, "function": "nope"}))
        .await;
    assert_eq!(record["state"], "failed");
    assert!(
        record["cause"]["message"]
            .as_str()
            .unwrap()
            .contains("nope"),
        "{record}"
    );
}

#[tokio::test]
async fn a_fork_bomb_ends_at_the_depth_limit() {
    let server = Server::with("probe").await;
    server.run("bomb", json!(null)).await;
    // Each job posts the next one; the last one has 64 ancestors.
    for id in 1..65 {
        let record = server.ended(&id.to_string()).await;
        assert_eq!(record["state"], "completed", "{record}");
    }
    let record = server.ended("65").await;
    assert_eq!(
        (&record["state"], &record["depth"]),
        (&json!("failed"), &json!(64))
    );
    assert!(
        record["cause"]["message"].as_str().unwrap().contains("64"),
        "{record}"
    );
    server.get("/jobs/66").await.expect(404);
}

#[tokio::test]
async fn progress_is_seen_while_the_job_runs() {
    let server = Server::with("probe").await;
    let id = server
        .post("progress", json!({"iterations": 100_000_000}))
        .await;
    let record = server
        .until(&id, |record| {
            record["progress"]["percent"].as_u64() >= Some(10)
        })
        .await;
    assert!(record["progress"]["note"].is_string(), "{record}");
    let percent = server.get(&format!("/jobs/{id}/progress")).await.text();
    assert!(
        ["10", "50", "90", "[completed]"].contains(&percent.as_str()),
        "{percent}"
    );
    assert_eq!(server.ended(&id).await["state"], "completed");
}

#[tokio::test]
async fn a_cancelled_job_is_told_and_stops() {
    let server = Server::with("probe").await;
    let id = server.post("cancelled", json!(null)).await;
    server
        .until(&id, |record| record["state"] == "running")
        .await;
    send(server.request(Method::DELETE, &format!("/jobs/{id}"))).await;
    let record = server.ended(&id).await;
    assert_eq!(record["state"], "cancelled", "{record}");
}

#[tokio::test]
async fn a_cancelled_job_that_does_not_listen_is_stopped() {
    let server = Server::with("probe").await;
    let id = server.post("spin", json!(null)).await;
    server
        .until(&id, |record| record["state"] == "running")
        .await;
    send(server.request(Method::DELETE, &format!("/jobs/{id}"))).await;
    let record = server.ended(&id).await;
    assert_eq!(record["state"], "cancelled", "{record}");
}

#[tokio::test]
async fn options_do_what_they_say() {
    let server = Server::with("probe").await;
    let body = r#"{"msg": null, "functions": ["noop"], "idempotency_key": "once"}"#;
    assert_eq!(server.post_text(body).await.text(), "1");
    assert_eq!(
        server.post_text(body).await.text(),
        "1",
        "the same key, the same job"
    );
    let body = r#"{"msg": null, "functions": ["noop"], "retention_s": 0}"#;
    let id = server.post_text(body).await.expect(200).text();
    server
        .until(&id, |record| record["state"] == "completed")
        .await;
    server.get(&format!("/jobs/{id}/result")).await.expect(410);
    let body = r#"{"msg": null, "functions": ["noop"], "delay_ms": 300}"#;
    let id = server.post_text(body).await.expect(200).text();
    assert_eq!(
        server.json(&format!("/jobs/{id}")).await["state"],
        "scheduled"
    );
    let record = server.ended(&id).await;
    let (posted, started) = (&record["posted_at_ms"], &record["started_at_ms"]);
    assert!(
        started.as_u64().unwrap() >= posted.as_u64().unwrap() + 300,
        "{record}"
    );
}
