//! Guests and clients that guess: the jobs, data and functions of another namespace are
//! not there for them, and nothing tells that they are anywhere.

use reqwest::Method;
use serde_json::{Value, json};

use crate::place::{Place, on_both_stores};
use crate::server::{Answer, Server, guest_bytes, send};
use crate::zoo::{End, Zoo};

/// A request of some namespace's.
async fn ask(server: &Server, namespace: &str, method: Method, path: &str) -> Answer {
    let request = server
        .request(method, path)
        .header("skep-namespace", namespace);
    send(request).await
}

async fn run_as(server: &Server, namespace: &str, function: &str, message: &Value) -> Answer {
    let body = json!({"msg": message, "functions": [function]}).to_string();
    let post = server
        .request(Method::POST, "/jobs")
        .header("skep-namespace", namespace)
        .header("content-type", "application/json")
        .body(body);
    let id = send(post).await.expect(200).text();
    let path = format!("/jobs/{id}/result?wait_ms=60000");
    ask(server, namespace, Method::GET, &path).await.expect(200)
}

async fn guesses_at_data(mut place: Place) {
    let zoo = Zoo::open(&mut place).await;
    let server = &zoo.server;
    for (namespace, function) in [("victim", "store"), ("stranger", "fetch")] {
        let upload = server
            .request(Method::PUT, &format!("/functions/{function}"))
            .header("skep-namespace", namespace)
            .body(guest_bytes("probe"));
        send(upload).await.expect(200);
    }
    let secret = json!({"key": "secret", "data": "42"});
    run_as(server, "victim", "store", &secret).await;
    let generated = run_as(server, "victim", "store", &json!({"data": "43"})).await;
    let generated: String = serde_json::from_slice(&generated.body).unwrap();
    for key in [
        "secret",
        &generated,
        "victim/secret",
        "victim:secret",
        "../victim/secret",
        "{victim}secret",
        "victim\u{0}secret",
        "{victim}:data:secret",
        "skep:{victim}:d:secret",
        "*",
        "s?cret",
        "%",
        "' OR '1'='1",
    ] {
        let found = run_as(server, "stranger", "fetch", &json!({"key": key})).await;
        assert_eq!(found.text(), "null", "{key:?}");
    }
    zoo.close(place).await;
}

async fn guesses_at_jobs(mut place: Place) {
    let zoo = Zoo::open(&mut place).await;
    let server = &zoo.server;
    zoo.probes("a job", "noop", json!(null), "", End::Completes("null"))
        .await;
    // Job 1 of `stranger` is there; to `guesser` it must be as to nobody.
    let views = [
        "",
        "/progress",
        "/short_result",
        "/result",
        "/result?wait_ms=200",
        "/log",
        "/events",
    ];
    for view in views {
        let mut answers = Vec::new();
        for id in [1, 999_999] {
            let path = format!("/jobs/{id}{view}");
            let answer = ask(server, "guesser", Method::GET, &path).await;
            assert_eq!(answer.status, 404, "{path}: {}", answer.text());
            answers.push(answer.text().replace(&id.to_string(), "ID"));
        }
        assert_eq!(answers[0], answers[1], "{view}");
    }
    for (method, path) in [
        (Method::DELETE, "/jobs/1"),
        (Method::GET, "/functions/noop"),
        (Method::DELETE, "/functions/noop"),
    ] {
        let answer = ask(server, "guesser", method.clone(), path).await;
        assert_eq!(answer.status, 404, "{method} {path}: {}", answer.text());
        assert!(!answer.text().contains("stranger"), "{}", answer.text());
    }
    let count = ask(server, "guesser", Method::GET, "/jobs/count").await;
    assert_eq!(count.text().trim(), "0");
    let post = server
        .request(Method::POST, "/jobs")
        .header("skep-namespace", "guesser")
        .header("content-type", "application/json")
        .body(r#"{"msg": null, "functions": ["noop"]}"#);
    send(post).await.expect(422).naming(&["noop"]);
    zoo.close(place).await;
}

on_both_stores! {
    guesses_at_data,
    guesses_at_jobs,
}
