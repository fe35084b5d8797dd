//! The versions of a function over HTTP, and going back to one.

use reqwest::Method;
use serde_json::{Value, json};

use crate::authorisation::{make, shown};
use crate::place::{Place, on_both_stores};
use crate::server::{Answer, Server, guest_bytes, send};

on_both_stores! {
    a_function_is_taken_back_to_an_earlier_version,
    a_bad_rollback_changes_nothing,
    versions_come_in_pages,
    a_rollback_grants_no_more_than_a_deployment,
}

async fn rollback(server: &Server, body: Value) -> Answer {
    let request = server.request(Method::POST, "/functions/multiply/rollback");
    let request = request.header("accept", "application/json");
    send(match body {
        Value::Null => request,
        body => request.json(&body),
    })
    .await
}

async fn versions(server: &Server) -> Vec<(u64, u64, Value)> {
    let list = server.json("/functions/multiply/versions").await;
    assert_eq!(list["next"], Value::Null);
    let versions = list["versions"].as_array().unwrap().iter();
    let brief = |one: &Value| {
        assert_eq!(one["name"], "multiply");
        let timeout = one["limits"]["timeout_ms"].as_u64().unwrap();
        (
            one["version"].as_u64().unwrap(),
            timeout,
            one["concurrency"].clone(),
        )
    };
    versions.map(brief).collect()
}

async fn a_function_is_taken_back_to_an_earlier_version(mut place: Place) {
    let server = place.server(&[]).await;
    let of = |version, timeout| (version, timeout, Value::Null);
    for query in [
        "?timeout_ms=1000",
        "?timeout_ms=2000&concurrency=5",
        "?timeout_ms=3000",
    ] {
        server.put("multiply", "multiply", query).await.expect(200);
    }
    let all = [of(3, 3_000), (2, 2_000, json!(5)), of(1, 1_000)];
    assert_eq!(versions(&server).await, all);
    let back = rollback(&server, Value::Null).await.expect(200).json();
    assert_eq!(
        (&back["version"], &back["concurrency"]),
        (&json!(4), &json!(5))
    );
    let shown = server.json("/functions/multiply").await;
    assert_eq!(
        (&shown["version"], &shown["limits"]),
        (&json!(4), &back["limits"])
    );
    let text = server.request(Method::POST, "/functions/multiply/rollback");
    let text = send(text.json(&json!({"version": 1}))).await.expect(200);
    assert_eq!(text.text(), "multiply version 5 (as version 1)");
    let mut more = vec![of(5, 1_000), (4, 2_000, json!(5))];
    more.extend(all);
    assert_eq!(versions(&server).await, more);
    assert_eq!(
        server
            .result("multiply", json!({"arg1": 6, "arg2": 7}))
            .await
            .text(),
        "42"
    );
    // Removed, it has its versions still, and can be taken back to any.
    let remove = server.request(Method::DELETE, "/functions/multiply");
    send(remove).await.expect(204);
    assert_eq!(versions(&server).await, more);
    rollback(&server, json!({"version": 5})).await.expect(200);
    assert_eq!(server.json("/functions/multiply").await["version"], 6);
}

async fn a_bad_rollback_changes_nothing(mut place: Place) {
    let server = place.server(&[]).await;
    let never = server.get("/functions/multiply/versions").await;
    never.expect(404).naming(&["multiply"]);
    let never = rollback(&server, Value::Null).await.expect(404);
    assert_eq!(never.json()["type"], "urn:skep:problem:no-such-function");
    server.put("multiply", "multiply", "").await.expect(200);
    let first = rollback(&server, Value::Null).await.expect(404);
    first.naming(&["version 1 alone"]);
    server.put("multiply", "multiply", "").await.expect(200);
    for (body, status, kind, words) in [
        (
            json!({"version": 2}),
            409,
            "already-newest",
            "version 2 already",
        ),
        (
            json!({"version": 3}),
            404,
            "no-such-version",
            "versions 1 to 2",
        ),
        (
            json!({"version": 0}),
            404,
            "no-such-version",
            "versions 1 to 2",
        ),
        (
            json!({"version": u32::MAX}),
            404,
            "no-such-version",
            "versions 1 to 2",
        ),
        (json!({"version": -1}), 400, "bad-request", "invalid value"),
        (json!({"version": "1"}), 400, "bad-request", "invalid type"),
        (json!({"versions": 1}), 400, "bad-request", "unknown field"),
        (json!(1), 400, "bad-request", "no JSON object"),
        (json!([1]), 400, "bad-request", "no JSON object"),
    ] {
        let answer = rollback(&server, body)
            .await
            .expect(status)
            .naming(&[words]);
        assert_eq!(answer.json()["type"], format!("urn:skep:problem:{kind}"));
    }
    let large = rollback(&server, json!({"version": 1, "x": "x".repeat(300)})).await;
    large.expect(413);
    for bad in ["?cursor=x", "?limit=1"] {
        let path = format!("/functions/multiply/versions{bad}");
        server.get(&path).await.expect(400);
    }
    assert_eq!(server.json("/functions/multiply").await["version"], 2);
    let other = server.request(Method::GET, "/functions/multiply/versions");
    send(other.header("skep-namespace", "other"))
        .await
        .expect(404);
}

async fn versions_come_in_pages(mut place: Place) {
    let server = place.server(&[]).await;
    for _ in 0..2 {
        server.put("multiply", "multiply", "").await.expect(200);
    }
    for version in 1..=101 {
        let back = rollback(&server, json!({"version": version})).await;
        assert_eq!(back.expect(200).json()["version"], version + 2);
    }
    let (mut path, mut found) = ("/functions/multiply/versions".to_owned(), Vec::new());
    loop {
        let page = server.json(&path).await;
        let versions = page["versions"].as_array().unwrap().iter();
        found.extend(versions.map(|one| one["version"].as_u64().unwrap()));
        let Some(next) = page["next"].as_str() else {
            break;
        };
        path = format!("/functions/multiply/versions?cursor={next}");
    }
    assert!(found.iter().copied().eq((1..=103).rev()), "{found:?}");
}

async fn a_rollback_grants_no_more_than_a_deployment(mut place: Place) {
    let store = place.store();
    let admin = make(&store, &["--scopes", "admin"]).await;
    let deployer = make(&store, &["--scopes", "deploy,read"]).await;
    let server = place.server(&["--require-token"]).await;
    let put = |query: &str| {
        let path = format!("/functions/multiply{query}");
        let put = server.request(Method::PUT, &path);
        put.header("content-type", "application/wasm")
            .body(guest_bytes("multiply"))
    };
    shown(put("?timeout_ms=86400000"), &admin).await.expect(200);
    shown(put(""), &deployer).await.expect(200);
    let back = || server.request(Method::POST, "/functions/multiply/rollback");
    let refused = shown(back(), &deployer).await.expect(403);
    refused.naming(&["timeout_ms", "admin"]);
    let function = server.request(Method::GET, "/functions/multiply");
    let function = shown(function, &deployer).await.expect(200);
    assert_eq!(function.json()["version"], 2);
    shown(back(), &admin).await.expect(200);
}
