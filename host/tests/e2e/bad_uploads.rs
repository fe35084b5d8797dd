//! Uploads that must be refused: each with a 4xx that says what is wrong, nothing
//! stored, and a server as healthy as before.

use crate::server::{Answer, Server, guest_bytes, send};
use reqwest::Method;

async fn refused(component: Vec<u8>, status: u16, words: &[&str]) -> Answer {
    let server = Server::start().await;
    let answer = server.upload(component).await.expect(status).naming(words);
    assert_eq!(
        server
            .json("/functions")
            .await
            .to_string()
            .matches("version")
            .count(),
        0
    );
    server.still_serves().await;
    server.upload(guest_bytes("multiply")).await.expect(200);
    answer
}

fn wat(text: &str) -> Vec<u8> {
    wat::parse_str(text).unwrap()
}

#[tokio::test]
async fn nothing_at_all() {
    refused(Vec::new(), 422, &["empty"]).await;
}

#[tokio::test]
async fn something_that_is_not_wasm() {
    refused(
        b"#!/bin/sh\necho hello\n".to_vec(),
        422,
        &["not a WASM component"],
    )
    .await;
}

#[tokio::test]
async fn text_that_would_be_wasm() {
    refused(b"(component)".to_vec(), 422, &["not a WASM component"]).await;
}

#[tokio::test]
async fn a_core_module() {
    refused(wat("(module)"), 422, &["core WASM module", "component new"]).await;
}

#[tokio::test]
async fn a_component_that_imports_what_the_world_does_not_offer() {
    let component = wat(r#"(component (import "evil:corp/root@1.0.0" (instance)))"#);
    refused(
        component,
        422,
        &["`evil:corp/root@1.0.0`", "does not offer"],
    )
    .await;
}

#[tokio::test]
async fn a_component_without_a_handler() {
    refused(
        wat("(component)"),
        422,
        &["skep:jobs/handler@0.1.0", "export"],
    )
    .await;
}

#[tokio::test]
async fn a_handler_of_the_wrong_type() {
    let component = wat(
        r#"(component (component $empty) (instance $handler (instantiate $empty))
             (export "skep:jobs/handler@0.1.0" (instance $handler)))"#,
    );
    refused(component, 422, &["skep:jobs/listener"]).await;
}

#[tokio::test]
async fn a_truncated_component() {
    let whole = guest_bytes("multiply");
    for length in [4, 8, 9, 100, whole.len() / 2, whole.len() - 1] {
        refused(whole[..length].to_vec(), 422, &[]).await;
    }
}

#[tokio::test]
async fn a_component_with_flipped_bytes() {
    let server = Server::start().await;
    let whole = guest_bytes("multiply");
    for at in (0..whole.len()).step_by(whole.len() / 12) {
        let mut broken = whole.clone();
        broken[at] ^= 0xff;
        // Some of these are still components; none may harm the server.
        let status = server.upload(broken).await.status.as_u16();
        assert!(
            status == 200 || (400..500).contains(&status),
            "byte {at}: {status}"
        );
        server.still_serves().await;
    }
}

#[tokio::test]
async fn a_component_over_the_limit() {
    let server = Server::start().await;
    let mut large = guest_bytes("multiply");
    large.resize((64 << 20) + 1, 0);
    server.upload(large).await.expect(413).naming(&["67108864"]);
    server.still_serves().await;
}

#[tokio::test]
async fn two_functions_of_the_same_name() {
    refused(guest_bytes("twice"), 422, &["twice"]).await;
}

#[tokio::test]
async fn a_function_that_the_component_does_not_offer() {
    let server = Server::start().await;
    let answer = server.put("add", "multiply", "").await;
    answer.expect(422).naming(&["add", "multiply", "divide"]);
    assert_eq!(
        server
            .json("/functions")
            .await
            .to_string()
            .matches("version")
            .count(),
        0
    );
}

#[tokio::test]
async fn limits_wider_than_anybody_is_granted() {
    let server = Server::start().await;
    let answer = server
        .put("multiply", "multiply", "?memory_bytes=99999999999")
        .await;
    (answer.expect(422)).naming(&["memory_bytes", "beyond 1073741824 (1 GiB)"]);
    server
        .put("multiply", "multiply", "?memory=1")
        .await
        .expect(400);
}

#[tokio::test]
async fn function_names_that_are_none() {
    let server = Server::start().await;
    for name in [
        "..%2f..%2fetc",
        "%00",
        "a%20b",
        "%F0%9F%90%9D",
        &"x".repeat(65),
    ] {
        let request = server.request(Method::PUT, &format!("/functions/{name}"));
        let answer = send(request.body("\0asm")).await;
        assert!(answer.status.is_client_error(), "{name}: {}", answer.status);
    }
    server.still_serves().await;
}

#[tokio::test]
async fn a_web_page_cannot_deploy() {
    let server = Server::start().await;
    let request = server
        .request(Method::POST, "/consumer")
        .header("sec-fetch-site", "cross-site");
    send(request.body(guest_bytes("multiply")))
        .await
        .expect(403);
}
