//! Clients that are slow on purpose: they are given up on, each as it deserves, and hold
//! nobody else up meanwhile. One test, since each of them takes half a minute.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use serde_json::json;
use tokio::time::sleep;

use crate::raw::{Raw, status};
use crate::server::Server;

/// A byte so often.
const PAUSE: Duration = Duration::from_millis(500);

/// When each is gone at the latest: half a minute, or a little more than two of them
/// where the first was not looked at from its beginning.
const GONE: Duration = Duration::from_secs(75);

fn upload(target: &str, content_type: &str, length: usize) -> String {
    format!(
        "POST {target} HTTP/1.1\r\nHost: localhost\r\nContent-Type: {content_type}\r\nContent-Length: {length}\r\n\r\n"
    )
}

#[tokio::test]
async fn slow_clients_are_given_up_on_and_hold_nobody_up() {
    let server = Server::with("probe").await;
    let large = server
        .post_bytes("echo", "text/plain", vec![b'x'; 16 << 20])
        .await;
    assert_eq!(server.ended(&large).await["state"], "completed");

    let silent = async {
        assert_eq!(Raw::to(&server).await.rest().await, "");
    };
    let head = async {
        let mut raw = Raw::to(&server).await;
        raw.send("GET /healthz HTTP/1.1\r\n").await;
        raw.drip(b"x: y\r\n", PAUSE).await;
        assert_eq!(raw.rest().await, "");
    };
    let preface = async {
        let mut raw = Raw::to(&server).await;
        raw.send("PRI * HTT").await;
        assert_eq!(raw.rest().await, "");
    };
    let frames = async {
        let mut raw = Raw::to(&server).await;
        raw.send("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n").await;
        // An empty SETTINGS, and then nothing.
        raw.send([0, 0, 0, 4, 0, 0, 0, 0, 0]).await;
        raw.rest().await;
    };
    let body = async {
        let mut raw = Raw::to(&server).await;
        raw.send(upload("/jobs?functions=noop", "text/plain", 1 << 20))
            .await;
        raw.drip(b"x", PAUSE).await;
        let answer = raw.rest().await;
        assert_eq!(status(&answer), 408, "{answer}");
        assert!(answer.contains("too little of the body"), "{answer}");
    };
    let component = async {
        let mut raw = Raw::to(&server).await;
        raw.send(upload("/consumer", "application/wasm", 60 << 20))
            .await;
        raw.drip(b"\0asm", PAUSE).await;
        assert_eq!(status(&raw.rest().await), 408);
    };
    let line = async {
        let mut raw = Raw::to(&server).await;
        raw.send(upload("/jobs/batch", "application/x-ndjson", 10 << 20))
            .await;
        raw.send("x".repeat(100 << 10)).await;
        raw.drip(b"x", PAUSE).await;
        assert_eq!(status(&raw.rest().await), 408);
    };
    let reader = async {
        let mut raw = Raw::small(&server).await;
        raw.send(format!(
            "GET /jobs/{large}/result HTTP/1.1\r\nHost: localhost\r\n\r\n"
        ))
        .await;
        sleep(GONE).await;
        // Who sends to a connection that is closed at the other end hears of it.
        let begun = Instant::now();
        while raw.send("x").await {
            assert!(
                begun.elapsed() < GONE,
                "one who reads nothing is still served"
            );
            sleep(PAUSE).await;
        }
    };
    // A slow one who does enough is not given up on.
    let honest = async {
        let mut raw = Raw::to(&server).await;
        let (parts, part) = (16, "x".repeat(64 << 10));
        raw.send(upload(
            "/jobs?functions=noop",
            "text/plain",
            parts * part.len(),
        ))
        .await;
        for _ in 0..parts {
            sleep(Duration::from_secs(3)).await;
            assert!(raw.send(&part).await);
        }
        assert_eq!(status(&raw.answer().await), 200);
    };
    // A program that writes a line now and then, and one byte of it after the other.
    let writer = async {
        let mut raw = Raw::to(&server).await;
        let text = json!({"msg": 1, "functions": ["noop"]}).to_string() + "\n";
        raw.send(upload("/jobs/batch", "application/x-ndjson", text.len()))
            .await;
        for byte in text.bytes() {
            sleep(Duration::from_secs(1)).await;
            assert!(raw.send([byte]).await);
        }
        // The answer to a batch begins once its first lines are stored.
        assert_eq!(status(&raw.answer().await), 200);
    };

    let over = AtomicBool::new(false);
    let others = async {
        let mut slowest = Duration::ZERO;
        while !over.load(Ordering::Relaxed) {
            let begun = Instant::now();
            server.still_serves().await;
            slowest = slowest.max(begun.elapsed());
            sleep(Duration::from_millis(20)).await;
        }
        assert!(slowest < Duration::from_secs(5), "{slowest:?}");
    };
    let begun = Instant::now();
    let slow = async {
        tokio::join!(
            silent, head, preface, frames, body, component, line, reader, honest, writer
        );
        over.store(true, Ordering::Relaxed);
    };
    tokio::join!(slow, others);
    assert!(
        begun.elapsed() < GONE + Duration::from_secs(15),
        "{:?}",
        begun.elapsed()
    );
}
