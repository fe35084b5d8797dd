//! What is no proper HTTP, too much of it, or too many at once, over bare sockets: each
//! is refused or hung up on, nothing is stored, and the server goes on.

use std::time::{Duration, Instant};

use futures_util::future::join_all;
use serde_json::json;
use tempfile::TempDir;

use crate::process::Process;
use crate::raw::{Raw, moment, status, told};
use crate::server::{PATIENCE, Server};

/// A post of this body.
fn post(headers: &str, body: &str) -> String {
    format!(
        "POST /jobs?functions=noop HTTP/1.1\r\nHost: localhost\r\nContent-Type: text/plain\r\n{headers}\r\n{body}"
    )
}

async fn nothing_is_stored(server: &Server) {
    assert_eq!(server.json("/queue").await["posted"], 0);
    server.still_serves().await;
}

#[tokio::test]
async fn heads_that_are_too_much_are_refused() {
    let server = Server::start().await;
    let get = |path: &str, headers: &str| {
        format!("GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n{headers}\r\n")
    };
    let many = |count| {
        (0..count)
            .map(|n| format!("x-{n}: 1\r\n"))
            .collect::<String>()
    };
    let long = |bytes| format!("x: {}\r\n", "y".repeat(bytes));
    for (request, expected) in [
        (get("/healthz", &many(90)), 200),
        (get("/healthz", &many(200)), 431),
        (get("/healthz", &long(16 << 10)), 200),
        (get("/healthz", &long(1 << 20)), 431),
        (get(&format!("/{}", "x".repeat(8 << 10)), ""), 404),
        (get(&format!("/{}", "x".repeat(1 << 20)), ""), 431),
    ] {
        let answer = told(&server, &request).await;
        let what: String = request.chars().take(120).collect();
        // The rest of what is too long may reset the connection, and the answer with it.
        assert!(
            answer.is_empty() && expected == 431 || status(&answer) == expected,
            "{what}: {answer}"
        );
    }
    nothing_is_stored(&server).await;
}

#[tokio::test]
async fn what_is_no_http_is_refused() {
    let server = Server::start().await;
    for request in [
        "\0\0\0\0\r\n\r\n",
        "GET\r\n\r\n",
        "GET / HTTP/9.9\r\n\r\n",
        "get / http/1.1\r\n\r\n",
        "\u{16}\u{3}\u{1}\u{2}\0\u{1}\0 a TLS handshake, for one \r\n\r\n",
        "GET /healthz HTTP/1.1\r\nHost : localhost\r\n\r\n",
        "GET /healthz HTTP/1.1\r\nHost: localhost\r\n folded: yes\r\n\r\n",
        "GET /healthz HTTP/1.1\r\nHost: localhost\r\nx: \0\r\n\r\n",
        "GET /health\u{7f}z HTTP/1.1\r\nHost: localhost\r\n\r\n",
        "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\nand then something else entirely\r\n",
    ] {
        let answer = told(&server, request).await;
        let is_refused = answer.is_empty() || answer.starts_with("HTTP/1.1 400 ");
        // A client of HTTP/2 is told so in frames.
        assert!(
            is_refused || !answer.starts_with("HTTP/1.1"),
            "{request:?}: {answer}"
        );
    }
    for (request, expected) in [
        ("GET /healthz HTTP/1.1\r\nConnection: close\r\n\r\n", 400),
        (
            "GET /healthz HTTP/1.1\r\nHost: localhost\r\nHost: localhost\r\nConnection: close\r\n\r\n",
            400,
        ),
        (
            "GET /healthz HTTP/1.1\r\nHost: a@localhost\r\nConnection: close\r\n\r\n",
            400,
        ),
        ("GET /healthz HTTP/1.0\r\n\r\n", 200),
    ] {
        let answer = told(&server, request).await;
        let given = answer.split(' ').nth(1).unwrap_or_default();
        assert_eq!(given, expected.to_string(), "{request:?}: {answer}");
    }
    nothing_is_stored(&server).await;
}

#[tokio::test]
async fn bodies_of_a_length_that_is_none_are_refused() {
    let server = Server::with("probe").await;
    for (headers, body) in [
        ("Content-Length: -1\r\n", "null"),
        ("Content-Length: +4\r\n", "null"),
        ("Content-Length: 4x\r\n", "null"),
        ("Content-Length: 99999999999999999999999\r\n", "null"),
        ("Content-Length: 4\r\nContent-Length: 5\r\n", "null"),
        ("Transfer-Encoding: chunked\r\n", "zz\r\nnull\r\n0\r\n\r\n"),
        ("Transfer-Encoding: chunked\r\n", "-4\r\nnull\r\n0\r\n\r\n"),
        (
            "Transfer-Encoding: chunked\r\n",
            "fffffffffffffffff\r\nnull\r\n0\r\n\r\n",
        ),
        (
            "Transfer-Encoding: chunked\r\n",
            "4\r\nnullnull\r\n0\r\n\r\n",
        ),
        (
            "Transfer-Encoding: chunked, identity\r\n",
            "4\r\nnull\r\n0\r\n\r\n",
        ),
        ("Transfer-Encoding: xchunked\r\n", "4\r\nnull\r\n0\r\n\r\n"),
        ("Transfer-Encoding : chunked\r\n", "4\r\nnull\r\n0\r\n\r\n"),
    ] {
        let answer = told(&server, post(headers, body)).await;
        assert_eq!(status(&answer), 400, "{headers:?} {body:?}: {answer}");
    }
    let old = post("Transfer-Encoding: chunked\r\n", "4\r\nnull\r\n0\r\n\r\n");
    let answer = told(&server, old.replace("HTTP/1.1", "HTTP/1.0")).await;
    assert!(answer.contains(" 400 "), "{answer}");
    nothing_is_stored(&server).await;
}

#[tokio::test]
async fn a_second_request_cannot_be_smuggled_in() {
    let server = Server::with("probe").await;
    let smuggled = "POST /queue/purge HTTP/1.1\r\nHost: localhost\r\nContent-Length: 0\r\n\r\n";
    let both = "Content-Length: 4\r\nTransfer-Encoding: chunked\r\n";
    let other = "Transfer-Encoding: chunked\r\nContent-Length: 4\r\n";
    for headers in [both, other] {
        let request = post(headers, &format!("0\r\n\r\n{smuggled}"));
        let answers = told(&server, request).await;
        assert_eq!(answers.matches("HTTP/1.1 ").count(), 1, "{answers}");
        assert!(
            answers.to_lowercase().contains("connection: close"),
            "{answers}"
        );
        assert!(!answers.contains("purged"), "{answers}");
    }
    // What is not chunked may be followed by another request on the same connection.
    let mut raw = Raw::to(&server).await;
    for _ in 0..2 {
        raw.send(post("Content-Length: 4\r\n", "null")).await;
        assert_eq!(status(&raw.answer().await), 200);
    }
    server.still_serves().await;
}

#[tokio::test]
async fn half_a_request_is_no_request() {
    let server = Server::with("probe").await;
    for half in [
        "",
        "GE",
        "GET /healthz HTTP/1.1\r\nHost: localho",
        &post("Content-Length: 100\r\n", "null"),
        &post("Transfer-Encoding: chunked\r\n", "4\r\nnull\r\n"),
        "POST /jobs/batch HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/x-ndjson\r\nContent-Length: 1000\r\n\r\n{\"msg\": 1, \"functio",
    ] {
        let begun = Instant::now();
        let mut raw = Raw::to(&server).await;
        raw.send(half).await;
        raw.shut().await;
        let answer = raw.rest().await;
        assert!(
            !answer.contains(" 200 ") || answer.contains("line 1: "),
            "{half:?}: {answer}"
        );
        assert!(begun.elapsed() < Duration::from_secs(5), "{half:?}");
    }
    nothing_is_stored(&server).await;
}

#[tokio::test]
async fn a_full_server_says_so_and_has_places_again() {
    let directory = TempDir::new().unwrap();
    let server = Server::start_with(directory, &["--max-connections", "4"]).await;
    let mut held = join_all((0..4).map(|_| Raw::to(&server))).await;
    for raw in &mut held {
        raw.send("GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n")
            .await;
        assert_eq!(status(&raw.answer().await), 200);
    }
    for _ in 0..3 {
        let answer = told(&server, "GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n").await;
        assert_eq!(status(&answer), 503, "{answer}");
        for word in ["retry-after: 1", "--max-connections", "nosniff"] {
            assert!(answer.contains(word), "{answer}");
        }
    }
    // Who is in goes on, and who leaves makes room.
    held[0]
        .send("GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n")
        .await;
    assert_eq!(status(&held[0].answer().await), 200);
    held.pop();
    moment().await;
    server.still_serves().await;
}

#[tokio::test]
async fn a_server_that_has_no_more_files_goes_on_when_it_has() {
    let directory = TempDir::new().unwrap();
    let store = format!("embedded:{}", directory.path().join("store").display());
    let mut command = tokio::process::Command::new("sh");
    command
        .args(["-c", "ulimit -n 64; exec \"$0\" \"$@\""])
        .arg(env!("CARGO_BIN_EXE_skep"))
        .args(["serve", "--listen", "127.0.0.1:0", "--store", &store])
        .args(["--workers", "1"])
        .env("NO_COLOR", "1")
        .kill_on_drop(true);
    let server = Server::of(Process::of(command), directory).await;
    server.process.until_said("at most 32 connections").await;
    // Files of its own, which the number of connections knows nothing of.
    let held = join_all((0..64).map(|_| Raw::to(&server))).await;
    server
        .process
        .until_said("cannot take connections in")
        .await;
    drop(held);
    let begun = Instant::now();
    while server
        .request(reqwest::Method::GET, "/healthz")
        .send()
        .await
        .is_err()
    {
        assert!(begun.elapsed() < PATIENCE);
        moment().await;
    }
    server.still_serves().await;
}

#[tokio::test]
async fn bodies_have_only_so_much_memory_together() {
    let server = Server::with("probe").await;
    // All but the end of messages of nearly the largest size: more than 256 MiB.
    let size = 15 << 20;
    let part = vec![b'x'; size];
    let head = post(&format!("Content-Length: {}\r\n", size + 4), "");
    let uploads = (0..24).map(async |_| {
        let mut raw = Raw::to(&server).await;
        raw.send(&head).await;
        raw.send(&part).await;
        raw
    });
    let mut uploads = join_all(uploads).await;
    moment().await;
    let mut refused = 0;
    for raw in &mut uploads {
        raw.send("null").await;
        let answer = raw.answer().await;
        match status(&answer) {
            200 => {}
            503 => {
                assert!(
                    answer.contains("retry-after") && answer.contains("memory"),
                    "{answer}"
                );
                refused += 1;
            }
            _ => panic!("{answer}"),
        }
    }
    assert!((1..24).contains(&refused), "{refused} of 24 were refused");
    // And it is given back.
    let message = json!("x".repeat(size));
    server.post("noop", message).await;
}
