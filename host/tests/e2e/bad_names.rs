//! Everything that has a name, an id or a number, asked for by what is none: refused
//! with a text, nothing stored, and the server as it was.

use std::fmt::Write as _;

use serde_json::json;

use crate::place::{Place, on_both_stores};
use crate::raw::told;
use crate::server::Server;

on_both_stores!(
    names_that_are_none_are_refused,
    numbers_that_are_none_are_refused,
    what_is_only_a_wish_does_no_harm,
);

/// What is neither a job's id nor a deployed function's name nor a used namespace's.
fn bad_names() -> Vec<String> {
    let mut names: Vec<String> = [
        "",
        " ",
        "\u{1}\u{8}\u{1b}[31m",
        "a\0b",
        "a\r\nSet-Cookie: x=1",
        ".",
        "..",
        "../../etc/passwd",
        "..\\..\\windows",
        "%2e%2e%2f",
        "%00",
        "%ff",
        "%zz",
        "n\u{43e}\u{43e}p",
        "noop\u{202e}",
        "\u{feff}noop",
        "\u{ff11}",
        "\u{661}",
        "99999999999999999999999",
        "18446744073709551616",
        "-1",
        "007",
        "01",
        "+1",
        "1.0",
        "1e3",
        "0x1",
        "NaN",
        "*",
        "noop,",
        "default/noop",
        "{{7*7}}",
        "'; DROP TABLE jobs; --",
    ]
    .map(str::to_owned)
    .to_vec();
    names.push("x".repeat(65));
    names.push("x".repeat(64 << 10));
    names.push("\u{1f41d}".repeat(1_000));
    names
}

/// In a path or a query, byte by byte.
fn encoded(text: &str) -> String {
    text.bytes().fold(String::new(), |mut encoded, byte| {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' => encoded.push(char::from(byte)),
            _ => write!(encoded, "%{byte:02X}").unwrap(),
        }
        encoded
    })
}

fn request(method: &str, target: &str, headers: &str, body: &str) -> String {
    let length = body.len();
    format!(
        "{method} {target} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nContent-Length: {length}\r\n{headers}\r\n{body}"
    )
}

/// Asks, and answers the status and what is said.
async fn ask(server: &Server, request: &str) -> (u16, String) {
    let answer = told(server, request).await;
    let shown: String = request.chars().take(160).collect();
    if answer.is_empty() {
        // Cut off within a head that is too long: the reset overtook the answer.
        assert!(request.len() > 60_000, "{shown:?} has no answer");
        return (431, answer);
    }
    let (head, body) = answer.split_once("\r\n\r\n").expect("a whole head");
    let status = head.split(' ').nth(1).expect("a status").parse().unwrap();
    assert!(
        !head.to_lowercase().contains("set-cookie"),
        "{shown:?}: {head}"
    );
    (status, body.to_owned())
}

/// Fails the test unless this is the client's fault, and the client is told so.
async fn refused(server: &Server, request: &str) {
    let (status, body) = ask(server, request).await;
    let shown: String = request.chars().take(160).collect();
    assert!((400..500).contains(&status), "{shown:?}: {status} {body}");
    // What is wrong with the HTTP itself, hyper says with the status alone.
    let speaks = [400, 414, 431].contains(&status) || body.trim().len() > 10;
    assert!(speaks, "{shown:?}: {status} says nothing");
    assert!(body.len() < 4_096, "{shown:?} is repeated at length");
}

/// A server with a job that has ended, and what it is like.
async fn server(place: &mut Place) -> (Server, [serde_json::Value; 3]) {
    let server = place.with("probe", &[]).await;
    server.run("noop", json!(null)).await;
    let state = state(&server).await;
    (server, state)
}

async fn state(server: &Server) -> [serde_json::Value; 3] {
    [
        server.json("/queue").await,
        server.json("/functions").await,
        server.json("/jobs/1").await,
    ]
}

async fn names_that_are_none_are_refused(mut place: Place) {
    let (server, before) = server(&mut place).await;
    for name in bad_names() {
        let path = encoded(&name);
        let mut requests = Vec::new();
        for view in [
            "",
            "/progress",
            "/result",
            "/result.png",
            "/short_result",
            "/log",
            "/events",
        ] {
            requests.push(request("GET", &format!("/jobs/{path}{view}"), "", ""));
        }
        requests.push(request("DELETE", &format!("/jobs/{path}"), "", ""));
        requests.push(request("GET", &format!("/jobs/1/{path}"), "", ""));
        for method in ["GET", "PUT", "DELETE"] {
            requests.push(request(method, &format!("/functions/{path}"), "", "\0asm"));
        }
        // As it is, where it can be.
        if name.bytes().all(|byte| byte.is_ascii_graphic()) && !name.is_empty() {
            requests.push(request("GET", &format!("/jobs/{name}"), "", ""));
            requests.push(request("DELETE", &format!("/functions/{name}"), "", ""));
        }
        if !name.trim().is_empty() && name != "noop," {
            let target = format!("/jobs?functions={path}");
            requests.push(request(
                "POST",
                &target,
                "Content-Type: text/plain\r\n",
                "1",
            ));
            let target = format!("/jobs?functions=noop,{path}");
            requests.push(request(
                "POST",
                &target,
                "Content-Type: text/plain\r\n",
                "1",
            ));
        }
        let job = json!({"msg": 1, "functions": [name]}).to_string();
        requests.push(request(
            "POST",
            "/jobs",
            "Content-Type: application/json\r\n",
            &job,
        ));
        let job = json!({"msg": 1, "functions": ["noop"]}).to_string();
        let headers = format!("Skep-Namespace: {name}\r\nContent-Type: application/json\r\n");
        requests.push(request("POST", "/jobs", &headers, &job));
        requests.push(request(
            "GET",
            "/jobs/1",
            &format!("Skep-Namespace: {name}\r\n"),
            "",
        ));
        for request in requests {
            refused(&server, &request).await;
        }
        // MLQ's way answers whether there was one.
        let target = format!("/consumer?name={path}");
        let (status, body) = ask(&server, &request("DELETE", &target, "", "")).await;
        assert!(
            status < 500 && (status >= 400 || body == "False"),
            "{name:?}: {status} {body}"
        );
        // A line of a batch is refused in its own line.
        let line = json!({"msg": 1, "functions": [name]}).to_string();
        let headers = "Content-Type: application/x-ndjson\r\n";
        let (status, body) = ask(&server, &request("POST", "/jobs/batch", headers, &line)).await;
        assert!(
            status == 200 && body.contains("line 1: "),
            "{name:?}: {status} {body}"
        );
    }
    for key in ["", "a\0b", "a\nb", "\u{1b}[31m", &"k".repeat(64 << 10)] {
        let job = json!({"msg": 1, "functions": ["noop"], "idempotency_key": key}).to_string();
        refused(
            &server,
            &request("POST", "/jobs", "Content-Type: application/json\r\n", &job),
        )
        .await;
        let target = format!("/jobs?functions=noop&idempotency_key={}", encoded(key));
        refused(
            &server,
            &request("POST", &target, "Content-Type: text/plain\r\n", "1"),
        )
        .await;
    }
    for url in [
        "",
        "x",
        "//x",
        "javascript:alert(1)",
        "file:///etc/passwd",
        "gopher://x/",
        "http://",
        "http://\0/",
        "http://a b/",
        "http://user:password@127.0.0.1/",
        "http://[::1",
        "http://x:99999/",
        &format!("http://127.0.0.1/{}", "x".repeat(64 << 10)),
    ] {
        let job = json!({"msg": 1, "functions": ["noop"], "callback": url}).to_string();
        refused(
            &server,
            &request("POST", "/jobs", "Content-Type: application/json\r\n", &job),
        )
        .await;
    }
    assert_eq!(state(&server).await, before);
    server.still_serves().await;
}

async fn numbers_that_are_none_are_refused(mut place: Place) {
    let (server, before) = server(&mut place).await;
    let options = [
        "delay_ms",
        "priority",
        "max_attempts",
        "timeout_ms",
        "retention_s",
    ];
    for number in [
        "",
        "-1",
        "-0.0",
        "1.5",
        "1e3",
        "0x10",
        "NaN",
        "null",
        "abc",
        "1 ",
        "\0",
        "\u{661}",
        "99999999999999999999999",
        &"9".repeat(1_000),
    ] {
        let value = encoded(number);
        for path in ["/jobs/1", "/jobs/1/result", "/jobs/1/short_result"] {
            refused(
                &server,
                &request("GET", &format!("{path}?wait_ms={value}"), "", ""),
            )
            .await;
        }
        for option in options {
            let target = format!("/jobs?functions=noop&{option}={value}");
            refused(
                &server,
                &request("POST", &target, "Content-Type: text/plain\r\n", "1"),
            )
            .await;
        }
        for limit in ["timeout_ms", "fuel", "memory_bytes", "posts"] {
            for (method, path) in [("PUT", "/functions/noop"), ("POST", "/consumer")] {
                let target = format!("{path}?{limit}={value}");
                refused(&server, &request(method, &target, "", "")).await;
            }
        }
        refused(
            &server,
            &request("DELETE", &format!("/jobs/1?tree={value}"), "", ""),
        )
        .await;
    }
    for value in [
        "-1",
        "1.5",
        "1e400",
        "99999999999999999999999",
        "\"1\"",
        "true",
        "[]",
        "{}",
        "+1",
        "01",
        "NaN",
    ] {
        for option in options {
            let job = format!(r#"{{"msg": 1, "functions": ["noop"], "{option}": {value}}}"#);
            let headers = "Content-Type: application/json\r\n";
            refused(&server, &request("POST", "/jobs", headers, &job)).await;
        }
    }
    for target in [
        "/jobs/1?wait=1",
        "/jobs/1/result?wait_ms=1&wait_ms=2",
        "/jobs/1/result?=",
        "/jobs/1?wait_ms",
    ] {
        refused(&server, &request("GET", target, "", "")).await;
    }
    assert_eq!(state(&server).await, before);
    server.still_serves().await;
}

/// What a client may say as it likes, and what is then taken for nothing.
async fn what_is_only_a_wish_does_no_harm(mut place: Place) {
    let (server, before) = server(&mut place).await;
    for wish in bad_names() {
        let path = encoded(&wish);
        let mut requests = vec![request("GET", &format!("/jobs/1/result.{path}"), "", "")];
        for header in [
            "Last-Event-ID",
            "Accept",
            "User-Agent",
            "Cookie",
            "X-Forwarded-Host",
        ] {
            let headers = format!("{header}: {wish}\r\n");
            requests.push(request("GET", "/jobs/1/events", &headers, ""));
            requests.push(request("GET", "/jobs/1", &headers, ""));
        }
        for request in requests {
            let (status, body) = ask(&server, &request).await;
            assert!(status < 500, "{wish:?}: {status} {body}");
        }
    }
    assert_eq!(state(&server).await, before);
    server.still_serves().await;
}
