//! The main job: upload, post, progress, result.

use reqwest::Method;
use serde_json::json;

use crate::server::{Server, send};

#[tokio::test]
async fn a_posted_job_runs_and_its_result_can_be_fetched() {
    let server = Server::with("multiply").await;
    let id = server.post("multiply", json!({"arg1": 6, "arg2": 7})).await;
    assert_eq!(id, "1", "ids count from 1, as MLQ's did");
    let result = server.get("/jobs/1/result?wait_ms=60000").await.expect(200);
    assert_eq!(
        (result.text().as_str(), result.content_type.as_str()),
        ("42", "application/json")
    );
    assert_eq!(
        server.get("/jobs/1/short_result").await.expect(200).text(),
        "42"
    );
    assert_eq!(
        server.get("/jobs/1/progress").await.expect(200).text(),
        "[completed]"
    );
    assert_eq!(server.get("/jobs/count").await.expect(200).text(), "0");

    let record = server.json("/jobs/1").await;
    assert_eq!(record["state"], "completed");
    assert_eq!(record["attempt"], 1);
    let usage = &record["attempts"][0]["usage"];
    assert!(usage["fuel"].as_u64().unwrap() > 100, "{record}");
    assert!(
        usage["peak_memory_bytes"].as_u64().unwrap() >= 65536,
        "{record}"
    );
}

#[tokio::test]
async fn a_failure_of_the_handler_is_the_cause_on_the_record() {
    let server = Server::with("multiply").await;
    let record = server.run("divide", json!({"arg1": 1, "arg2": 0})).await;
    assert_eq!(record["state"], "failed");
    assert_eq!(record["cause"]["kind"], "failed");
    assert_eq!(server.get("/jobs/1/progress").await.text(), "[failed]");
    server
        .get("/jobs/1/result")
        .await
        .expect(422)
        .naming(&["failed", "zero"]);
}

#[tokio::test]
async fn a_picture_goes_in_and_a_thumbnail_comes_out() {
    let server = Server::with("thumbnail").await;
    let cat = concat!(env!("CARGO_MANIFEST_DIR"), "/../examples/thumbnail/cat.jpg");
    let id = server
        .post_bytes("thumbnail", "image/jpeg", std::fs::read(cat).unwrap())
        .await;
    let record = server.ended(&id).await;
    assert_eq!(record["state"], "completed", "{record}");
    for path in ["result", "result.png"] {
        let result = server.get(&format!("/jobs/{id}/{path}")).await.expect(200);
        assert_eq!(result.content_type, "image/png");
        assert!(result.body.starts_with(b"\x89PNG\r\n"), "{path}");
        assert_eq!(result.headers["x-content-type-options"], "nosniff");
    }
}

#[tokio::test]
async fn a_message_that_is_not_json_reaches_the_handler_as_it_is() {
    let server = Server::with("probe").await;
    let bytes: Vec<u8> = (0..=255).collect();
    let id = server
        .post_bytes("echo", "application/x-odd", bytes.clone())
        .await;
    let result = server
        .get(&format!("/jobs/{id}/result?wait_ms=60000"))
        .await
        .expect(200);
    assert_eq!(
        (result.body, result.content_type.as_str()),
        (bytes, "application/x-odd")
    );
}

#[tokio::test]
async fn json_clients_get_json_and_mlqs_clients_get_text() {
    let server = Server::with("multiply").await;
    let body = r#"{"msg": {"arg1": 2, "arg2": 3}, "functions": ["multiply"]}"#;
    let request = server
        .request(Method::POST, "/jobs")
        .header("content-type", "application/json");
    let answer = send(request.header("accept", "application/json").body(body))
        .await
        .expect(200);
    assert_eq!(answer.json(), json!({"id": "1"}));
    assert_eq!(server.post_text(body).await.expect(200).text(), "2");
    let request = server
        .request(Method::GET, "/jobs/99")
        .header("accept", "application/json");
    let problem = send(request).await.expect(404);
    assert_eq!(problem.content_type, "application/problem+json");
    assert_eq!(problem.json()["status"], 404);
}

#[tokio::test]
async fn a_job_that_names_nothing_runs_all_functions_and_the_last_output_wins() {
    let server = Server::start().await;
    let body = r#"{"msg": {"arg1": 12, "arg2": 4}}"#;
    server.post_text(body).await.expect(200);
    assert_eq!(
        server.get("/jobs/count").await.text(),
        "1",
        "it waits for functions"
    );
    server
        .upload(crate::server::guest_bytes("multiply"))
        .await
        .expect(200);
    let result = server.get("/jobs/1/result?wait_ms=60000").await.expect(200);
    assert_eq!(
        result.text(),
        "3",
        "divide is the last one that was deployed"
    );
    let record = server.json("/jobs/1").await;
    assert_eq!(
        record["attempts"][0]["components"]
            .as_array()
            .unwrap()
            .len(),
        2
    );
}

#[tokio::test]
async fn a_short_and_a_long_result_are_two_things() {
    let server = Server::with("probe").await;
    let record = server.run("short_long", json!(null)).await;
    assert_eq!(record["state"], "completed", "{record}");
    let short = server.get("/jobs/1/short_result").await.expect(200).text();
    let long = server.get("/jobs/1/result").await.expect(200).text();
    assert_ne!(short, long);
}

#[tokio::test]
async fn namespaces_do_not_meet() {
    let server = Server::with("multiply").await;
    server.post("multiply", json!({"arg1": 6, "arg2": 7})).await;
    server.ended("1").await;
    let elsewhere = |path: &str| {
        send(
            server
                .request(Method::GET, path)
                .header("skep-namespace", "elsewhere"),
        )
    };
    elsewhere("/jobs/1").await.expect(404);
    elsewhere("/jobs/1/result").await.expect(404);
    elsewhere("/functions/multiply").await.expect(404);
}

#[tokio::test]
async fn a_redeployed_function_serves_the_next_job() {
    let server = Server::with("multiply").await;
    server
        .put("multiply", "multiply", "?timeout_ms=1000")
        .await
        .expect(200);
    let functions = server.json("/functions").await;
    let text = functions.to_string();
    assert!(text.contains("\"version\":2"), "{text}");
    assert_eq!(
        server
            .result("multiply", json!({"arg1": 6, "arg2": 7}))
            .await
            .text(),
        "42"
    );
}
