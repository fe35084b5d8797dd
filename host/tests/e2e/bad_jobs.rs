//! Jobs and paths that must be refused, with nothing queued.

use reqwest::Method;

use crate::server::{Server, send};

async fn refused(server: &Server, body: impl Into<reqwest::Body>, status: u16, words: &[&str]) {
    server.post_text(body).await.expect(status).naming(words);
    assert_eq!(server.get("/jobs/count").await.text(), "0");
    server.get("/jobs/1").await.expect(404);
}

#[tokio::test]
async fn what_is_no_job_is_refused_and_says_why() {
    let server = Server::with("probe").await;
    let cases: &[(&str, u16, &[&str])] = &[
        ("", 400, &[]),
        ("{", 400, &["line 1"]),
        ("[1, 2]", 400, &[]),
        ("{}", 400, &["msg"]),
        (r#"{"msg": 1, "functions": ["nope"]}"#, 422, &["nope"]),
        (r#"{"msg": 1, "functions": ["noob"]}"#, 422, &["noop"]),
        (
            r#"{"msg": 1, "functions": ["../x"]}"#,
            422,
            &["function name"],
        ),
        (r#"{"msg": 1, "functions": "noop"}"#, 400, &["functions"]),
        (r#"{"msg": 1, "function": ["noop"]}"#, 400, &["function"]),
        (
            r#"{"msg": 1, "functions": ["noop"], "priority": 7}"#,
            422,
            &["priority"],
        ),
        (
            r#"{"msg": 1, "functions": ["noop"], "max_attempts": 0}"#,
            422,
            &["max_attempts"],
        ),
        (
            r#"{"msg": {"wrong": true}, "functions": ["typed"]}"#,
            422,
            &["typed"],
        ),
        (
            r#"{"msg": 1, "functions": ["noop"], "callback": "file:///etc/passwd"}"#,
            422,
            &["callback", "https://"],
        ),
        (
            r#"{"msg": 1, "functions": ["noop"], "callback": "http://169.254.169.254/latest"}"#,
            422,
            &["callback", "link-local", "--callback-allow"],
        ),
    ];
    for (body, status, words) in cases {
        refused(&server, *body, *status, words).await;
    }
    server.still_serves().await;
}

#[tokio::test]
async fn a_message_that_is_too_large_is_refused() {
    let server = Server::with("probe").await;
    let large = format!(
        r#"{{"msg": "{}", "functions": ["echo"]}}"#,
        "x".repeat(17 << 20)
    );
    refused(&server, large, 413, &[]).await;
    let request = server.request(Method::POST, "/jobs?functions=echo");
    let request = request
        .header("content-type", "image/png")
        .body(vec![0; 17 << 20]);
    send(request).await.expect(413);
    server.still_serves().await;
}

#[tokio::test]
async fn json_as_deep_as_a_well_is_refused() {
    let server = Server::with("probe").await;
    let deep = format!(
        r#"{{"msg": {}1{}, "functions": ["echo"]}}"#,
        "[".repeat(100_000),
        "]".repeat(100_000)
    );
    refused(&server, deep, 400, &[]).await;
    server.still_serves().await;
}

#[tokio::test]
async fn bytes_without_a_function_say_how_to_name_one() {
    let server = Server::with("probe").await;
    let request = server
        .request(Method::POST, "/jobs")
        .header("content-type", "image/png");
    send(request.body("x"))
        .await
        .expect(415)
        .naming(&["functions="]);
}

#[tokio::test]
async fn ids_that_are_none_are_not_found() {
    let server = Server::start().await;
    for id in [
        "0",
        "99",
        "-1",
        "abc",
        "1e3",
        "%00",
        "..%2f..%2fetc%2fpasswd",
        "18446744073709551616",
    ] {
        for rest in ["", "/progress", "/result", "/short_result", "/log"] {
            let answer = server.get(&format!("/jobs/{id}{rest}")).await;
            assert!(
                [400, 404].contains(&answer.status.as_u16()),
                "{id}{rest}: {}",
                answer.status
            );
        }
    }
    for path in [
        "/../../etc/passwd",
        "/jobs/../jobs/1",
        "//",
        "/jobs/1/result/..",
        "/%2e%2e/",
    ] {
        assert!(server.get(path).await.status.is_client_error(), "{path}");
    }
    server.get(&format!("/jobs/{}", "9".repeat(20_000))).await;
    server.still_serves().await;
}

#[tokio::test]
async fn methods_that_are_not_allowed_say_what_is() {
    let server = Server::start().await;
    let answer = send(server.request(Method::DELETE, "/jobs/count"))
        .await
        .expect(405);
    assert!(answer.headers.contains_key("allow"));
}

#[tokio::test]
async fn a_result_that_is_not_there_says_why() {
    let server = Server::with("probe").await;
    let body = r#"{"msg": null, "functions": ["noop"], "delay_ms": 3600000}"#;
    server.post_text(body).await.expect(200);
    server
        .get("/jobs/1/result")
        .await
        .expect(409)
        .naming(&["not finished"]);
    assert_eq!(
        server.get("/jobs/1/progress").await.text(),
        "[queued; not started]"
    );
    send(server.request(Method::DELETE, "/jobs/1")).await;
    server
        .get("/jobs/1/result")
        .await
        .expect(422)
        .naming(&["cancelled"]);
}
