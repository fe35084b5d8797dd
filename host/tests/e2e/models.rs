//! Models over HTTP and on the command line: added, shown, taken back, removed and refused.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use bytes::Bytes;
use reqwest::Method;
use serde_json::{Value, json};
use skep_testkit::RedisServer;

use crate::authorisation::{make, shown};
use crate::lists::{measure, memory};
use crate::moving::queue;
use crate::place::{Place, on_both_stores};
use crate::raw::told;
use crate::server::{Answer, PATIENCE, Server, guest_bytes, run, send, skep, store_of};

on_both_stores! {
    a_model_is_added_taken_back_and_removed,
    versions_survive_a_kill,
}

/// A model of `tests/models`.
pub(crate) fn model(name: &str) -> PathBuf {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    root.join("tests/models").join(format!("{name}.onnx"))
}

/// Its bytes.
pub(crate) fn model_bytes(name: &str) -> Vec<u8> {
    std::fs::read(model(name)).unwrap()
}

fn put(
    server: &Server,
    name: &str,
    query: &str,
    bytes: impl Into<reqwest::Body>,
) -> reqwest::RequestBuilder {
    let request = server.request(Method::PUT, &format!("/models/{name}{query}"));
    let request = request.header("accept", "application/json");
    request
        .header("content-type", "application/octet-stream")
        .body(bytes)
}

/// Adds a model of `tests/models`.
pub(crate) async fn add(server: &Server, name: &str, query: &str, of: &str) -> Answer {
    send(put(server, name, query, model_bytes(of))).await
}

async fn rollback(server: &Server, name: &str, body: Value) -> Answer {
    let request = server.request(Method::POST, &format!("/models/{name}/rollback"));
    let request = request.header("accept", "application/json");
    send(request.json(&body)).await
}

/// The versions of a model, with the most rows that each may have in a batch.
async fn versions(server: &Server, name: &str) -> Vec<(u64, Value)> {
    let list = server.json(&format!("/models/{name}/versions")).await;
    let versions = list["versions"].as_array().unwrap().iter();
    versions
        .map(|one| {
            (
                one["version"].as_u64().unwrap(),
                one["config"]["max_batch"].clone(),
            )
        })
        .collect()
}

fn kind(answer: &Answer) -> String {
    let kind = answer.json()["type"].as_str().unwrap().to_owned();
    kind.strip_prefix("urn:skep:problem:").unwrap().to_owned()
}

async fn a_model_is_added_taken_back_and_removed(mut place: Place) {
    let server = place.server(&[]).await;
    assert_eq!(server.json("/models").await["models"], json!([]));
    let first = add(&server, "sum", "", "add").await.expect(201).json();
    assert_eq!(
        (&first["name"], &first["version"]),
        (&json!("sum"), &json!(1))
    );
    assert_eq!(first["bytes"], model_bytes("add").len());
    assert_eq!(
        first["digest"],
        skep::job::Digest::of(&model_bytes("add")).to_string()
    );
    let inputs = &first["findings"]["signature"]["inputs"];
    assert_eq!(
        inputs[0],
        json!({"name": "a", "dtype": "f32", "shape": [null, 3]})
    );
    assert_eq!(first["findings"]["batch"]["inputs"], json!([0, 0]));
    // The same again is the same.
    let again = add(&server, "sum", "", "add").await.expect(200).json();
    assert_eq!(again, first);
    let second = add(&server, "sum", "?max_batch=4&device=cpu", "add").await;
    let second = second.expect(200).json();
    assert_eq!(second["version"], 2);
    assert_eq!(second["config"]["device"], "cpu");
    assert_eq!(server.json("/models").await["models"], json!([second]));
    let one = server.json("/models/sum").await;
    assert_eq!(
        (&one["versions_kept"], &one["digest"]),
        (&json!(2), &second["digest"])
    );

    let back = rollback(&server, "sum", json!({})).await.expect(200).json();
    assert_eq!(
        (&back["version"], &back["config"]),
        (&json!(3), &first["config"])
    );
    let text = server.request(Method::POST, "/models/sum/rollback");
    let text = send(text.json(&json!({"version": 2}))).await.expect(200);
    assert_eq!(text.text(), "sum version 4 (as version 2)");
    let (of, none) = (json!(4), Value::Null);
    let all = [(4, of.clone()), (3, none.clone()), (2, of), (1, none)];
    assert_eq!(versions(&server, "sum").await, all);
    for (name, body, status, named) in [
        ("sum", json!({"version": 4}), 409, "already-newest"),
        ("sum", json!({"version": 5}), 404, "no-such-version"),
        ("sum", json!({"version": 0}), 404, "no-such-version"),
        ("sum", json!({"version": "1"}), 400, "bad-request"),
        ("some", json!({}), 404, "no-such-model"),
    ] {
        let answer = rollback(&server, name, body).await.expect(status);
        assert_eq!(kind(&answer), named);
    }

    let other = server
        .request(Method::GET, "/models")
        .header("skep-namespace", "other");
    let other = send(other.header("accept", "application/json")).await;
    assert_eq!(other.expect(200).json()["models"], json!([]));
    let near = server.get("/models/sun").await.expect(404);
    near.naming(&["did you mean sum?"]);
    let remove = || server.request(Method::DELETE, "/models/sum");
    send(remove()).await.expect(204);
    send(remove())
        .await
        .expect(404)
        .naming(&["skep models add"]);
    server.get("/models/sum").await.expect(404);
    server.get("/models/sum/versions").await.expect(404);
    let anew = add(&server, "sum", "", "add").await.expect(201).json();
    assert_eq!(anew["version"], 5, "no version is given twice");
}

async fn versions_survive_a_kill(mut place: Place) {
    let server = place.server(&[]).await;
    add(&server, "m", "", "add").await.expect(201);
    add(&server, "m", "?max_batch=2", "mlp").await.expect(200);
    place.kill(server).await;
    let server = place.server(&[]).await;
    assert_eq!(
        versions(&server, "m").await,
        [(2, json!(2)), (1, Value::Null)]
    );
    let back = rollback(&server, "m", json!({})).await.expect(200).json();
    assert_eq!(back["bytes"], model_bytes("add").len());
}

#[tokio::test]
async fn what_is_no_model_to_be_run_here_is_refused_with_its_reason() {
    let server = Server::start().await;
    let cut = |name: &str| {
        let mut bytes = model_bytes(name);
        bytes.truncate(bytes.len() / 2);
        bytes
    };
    for (bytes, words) in [
        (Vec::new(), "empty"),
        (guest_bytes("multiply"), "skep deploy"),
        (b"<!doctype html><p>404".to_vec(), "page of errors"),
        (b"\0".repeat(9_999), "ONNX"),
        (cut("mlp"), ""),
        (model_bytes("external"), "external"),
        (model_bytes("custom"), "com.example"),
        (model_bytes("local"), "function"),
        (model_bytes("loop"), "allow_loops"),
    ] {
        let answer = send(put(&server, "m", "", bytes)).await.expect(422);
        assert_eq!(kind(&answer), "model-refused");
        assert!(answer.json()["detail"].as_str().unwrap().len() > 20);
        answer.naming(&[words]);
    }
    let image = server.request(Method::PUT, "/models/m");
    let image = image.header("content-type", "image/png").body("x");
    send(image)
        .await
        .expect(415)
        .naming(&["application/octet-stream"]);
    let name = server.request(Method::PUT, "/models/-").body("x");
    send(name).await.expect(404).naming(&["model name"]);
    assert_eq!(server.json("/models").await["models"], json!([]));
    server.still_serves().await;
    add(&server, "m", "", "add").await.expect(201);
}

#[tokio::test]
async fn a_model_is_not_run_as_it_cannot_be() {
    let server = Server::start().await;
    for (of, query, status, named, words) in [
        ("add", "?max_bach=3", 400, "bad-request", "max_batch"),
        ("add", "?engine=tract", 400, "bad-request", "onnxruntime"),
        ("add", "?pad=a", 400, "bad-request", "NAME:AXIS"),
        ("add", "?max_batch=0", 422, "bad-config", "from 1"),
        (
            "add",
            "?max_delay_us=1000001",
            422,
            "bad-config",
            "a second",
        ),
        ("add", "?pad=a:0", 422, "bad-config", "a row per call"),
        ("add", "?pad=z:1", 422, "model-refused", "`z`"),
        ("add", "?batch_axis=a:2", 422, "model-refused", "no axis 2"),
        (
            "types",
            "?pad=nobody:1&batching=off",
            422,
            "model-refused",
            "`nobody`",
        ),
    ] {
        let answer = add(&server, "m", query, of).await.expect(status);
        assert_eq!(kind(&answer), named, "{query}: {}", answer.text());
        answer.naming(&[words]);
    }
    assert_eq!(server.json("/models").await["models"], json!([]));
    // Rows that are not independent share no batch, unless whoever knows the model says so.
    let off = add(&server, "mean", "", "mean").await.expect(201).json();
    assert_eq!(off["findings"]["batch"], Value::Null, "{off}");
    let on = add(&server, "mean", "?batching=on", "mean").await;
    assert_eq!(
        on.expect(200).json()["findings"]["batch"]["inputs"],
        json!([0])
    );
}

#[tokio::test]
async fn only_an_admin_lets_a_model_loop() {
    let directory = tempfile::tempdir().unwrap();
    let store = store_of(&directory);
    let deployer = make(&store, &["--scopes", "deploy"]).await;
    let admin = make(&store, &["--scopes", "admin"]).await;
    let server = Server::start_with(directory, &["--require-token"]).await;
    let looping = |token| {
        let request = put(&server, "m", "?allow_loops=true", model_bytes("loop"));
        shown(request, token)
    };
    let refused = looping(&deployer).await.expect(403);
    assert_eq!(kind(&refused), "limits-too-wide");
    refused.naming(&["admin"]);
    looping(&admin).await.expect(201);
    let other = put(&server, "m", "", model_bytes("add"));
    shown(other, &deployer).await.expect(200);
    // Nor is it taken back to one by who may not add it.
    let back = |token| {
        let request = server.request(Method::POST, "/models/m/rollback");
        shown(request.header("accept", "application/json"), token)
    };
    assert_eq!(kind(&back(&deployer).await.expect(403)), "limits-too-wide");
    back(&admin).await.expect(200);
}

#[tokio::test]
async fn what_is_too_large_takes_no_more_memory_than_the_largest_model() {
    const CHUNK: usize = 1 << 20;
    let server = Server::start().await;
    let declared = server.request(Method::PUT, "/models/m");
    // A client that asks first sends nothing.
    let head = format!(
        "PUT /models/m HTTP/1.1\r\nHost: {}\r\nContent-Length: 600000000\r\nExpect: 100-continue\r\nConnection: close\r\n\r\n",
        server.address()
    );
    let answer = told(&server, head).await;
    assert!(answer.starts_with("HTTP/1.1 413 "), "{answer}");
    assert!(answer.contains("536870912"), "{answer}");
    let before = measure(&server);
    let zeroes = Bytes::from(vec![0; CHUNK]);
    let chunks = (0..600).map(move |_| Ok::<_, std::io::Error>(zeroes.clone()));
    let body = reqwest::Body::wrap_stream(futures_util::stream::iter(chunks));
    send(declared.body(body)).await.expect(413);
    let added = memory(&server, "VmHWM").saturating_sub(before);
    assert!(added < 700 << 20, "{added}");
    server.still_serves().await;
    add(&server, "m", "", "add").await.expect(201);
}

#[tokio::test]
async fn of_many_at_once_some_are_told_to_come_back() {
    let server = Server::start().await;
    let uploads = (0..16).map(|n| send(put(&server, &format!("m{n}"), "", model_bytes("mlp"))));
    let answers = futures_util::future::join_all(uploads).await;
    let (mut added, mut told) = (0, 0);
    for answer in answers {
        match answer.status.as_u16() {
            201 => added += 1,
            503 => {
                assert_eq!(kind(&answer), "busy");
                assert_eq!(answer.headers["retry-after"], "1");
                told += 1;
            }
            status => panic!("{status}: {}", answer.text()),
        }
    }
    assert!(added >= 4 && told > 0, "{added} {told}");
    let models = server.json("/models").await;
    assert_eq!(models["models"].as_array().unwrap().len(), added);
}

#[tokio::test]
async fn other_hosts_learn_of_a_model_within_a_second() {
    let redis = RedisServer::start();
    let one = Server::on(&redis.url(), &["--no-worker"]).await;
    let two = Server::on(&redis.url(), &["--no-worker"]).await;
    let version = async |of: &Server| {
        let models = of.json("/models").await;
        models["models"][0]["version"].clone()
    };
    assert_eq!(version(&two).await, Value::Null);
    let shows = async |wanted: Value| {
        let begun = Instant::now();
        while version(&two).await != wanted {
            assert!(begun.elapsed() < Duration::from_secs(1), "{wanted}");
        }
    };
    add(&one, "m", "", "add").await.expect(201);
    shows(json!(1)).await;
    add(&one, "m", "", "mlp").await.expect(200);
    shows(json!(2)).await;
    send(one.request(Method::DELETE, "/models/m"))
        .await
        .expect(204);
    shows(Value::Null).await;
}

#[tokio::test]
async fn models_travel_with_the_queue() {
    let (from, to) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let server = Server::start_with(from, &[]).await;
    add(&server, "m", "?max_batch=3", "add").await.expect(201);
    let (_, from) = server.terminate().await;
    let (source, destination) = (store_of(&from), store_of(&to));
    for said in ["added the model m in", "copied 0 jobs"] {
        let output = queue(&["cp", &source, &destination]).await;
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        assert!(output.status.success() && text.contains(said), "{text}");
    }
    let server = Server::start_with(to, &[]).await;
    let one = server.json("/models/m").await;
    assert_eq!(one["config"]["max_batch"], 3);
    assert_eq!(
        one["digest"],
        skep::job::Digest::of(&model_bytes("add")).to_string()
    );
}

async fn cli(server: &Server, arguments: &[&str]) -> (Option<i32>, String, String) {
    let mut command = skep();
    command
        .args(["--url", &server.url, "models"])
        .args(arguments);
    run(command).await
}

async fn done(server: &Server, arguments: &[&str]) -> String {
    let (code, out, err) = cli(server, arguments).await;
    assert_eq!(code, Some(0), "{arguments:?}: {out}{err}");
    out
}

#[tokio::test]
async fn the_command_line_does_it_all() {
    let server = Server::start().await;
    let file = |name: &str| model(name).display().to_string();
    let (_, _, none) = cli(&server, &["list"]).await;
    assert!(none.contains("skep models add NAME FILE"), "{none}");
    let added = done(&server, &["add", "sum", &file("add")]).await;
    assert!(added.starts_with("added sum version 1 (113 B)"), "{added}");
    assert!(
        added.contains("a f32 [N, 3]") && added.contains("batching  on"),
        "{added}"
    );
    let tokens = [
        "add",
        "tokens",
        &file("tokens"),
        "--pad",
        "ids:1:0",
        "--pad",
        "mask:1",
        "--max-batch",
        "16",
        "--max-delay",
        "500us",
        "--device",
        "cpu",
        "--engine",
        "rten",
        "--preload",
        "--json",
    ];
    let tokens: Value = serde_json::from_str(&done(&server, &tokens).await).unwrap();
    let config = json!({
        "engine": "rten", "device": "cpu", "batching": "auto", "max_batch": 16,
        "max_delay_us": 500, "batch_axes": {}, "preload": true, "allow_loops": false,
        "pad": {"ids": {"axis": 1, "value": 0.0}, "mask": {"axis": 1, "value": 0.0}},
    });
    assert_eq!(tokens["config"], config);
    let state = [
        "add",
        "state",
        &file("state"),
        "--batch-axis",
        "state:1",
        "--batching",
        "auto",
    ];
    assert!(
        done(&server, &state)
            .await
            .contains("added state version 1")
    );

    let table = done(&server, &["list"]).await;
    let rows: Vec<_> = table.lines().collect();
    assert!(rows[0].starts_with("NAME "), "{table}");
    assert!(
        rows[2].starts_with("sum ") && rows[3].starts_with("tokens "),
        "{table}"
    );
    let shown = done(&server, &["show", "tokens"]).await;
    for words in [
        "tokens version 1",
        "--engine rten --device cpu --batching auto --max-batch 16 --max-delay 500us",
        "--pad mask:1:0 --preload",
        "ids i64 [N, N]",
    ] {
        assert!(shown.contains(words), "{words}: {shown}");
    }
    done(&server, &["add", "sum", &file("mlp")]).await;
    let table = done(&server, &["show", "sum", "--versions"]).await;
    assert_eq!(table.lines().count(), 3, "{table}");
    let back = done(&server, &["rollback", "sum"]).await;
    assert_eq!(back, "sum version 3 (as the one before)");
    let (code, _, err) = cli(&server, &["rollback", "sum", "--to", "9"]).await;
    assert!(code == Some(1) && err.contains("versions 1 to 3"), "{err}");
    let (code, _, err) = cli(&server, &["show", "token"]).await;
    assert!(
        code == Some(1) && err.contains("did you mean tokens?"),
        "{err}"
    );
    let (code, _, err) = cli(&server, &["add", "m", &file("external")]).await;
    assert!(code == Some(1) && err.contains("external"), "{err}");
    let (code, _, err) = cli(&server, &["add", "m", "/nonexistent.onnx"]).await;
    assert!(
        code == Some(1) && err.contains("/nonexistent.onnx"),
        "{err}"
    );
    let (code, _, err) = cli(&server, &["add", "m", &file("add"), "--max-delay", "5"]).await;
    assert!(code == Some(2) && err.contains("unit"), "{err}");
    assert_eq!(
        done(&server, &["remove", "sum", "state"]).await,
        "removed sum\nremoved state"
    );
    let left = done(&server, &["list", "--json"]).await;
    assert!(
        left.lines().count() == 1 && left.contains("\"tokens\""),
        "{left}"
    );
    let large = tempfile::NamedTempFile::new().unwrap();
    large.as_file().set_len(600_000_000).unwrap();
    let begun = Instant::now();
    let (code, _, err) = cli(&server, &["add", "m", large.path().to_str().unwrap()]).await;
    assert!(code == Some(1) && err.contains("536870912"), "{err}");
    assert!(begun.elapsed() < PATIENCE);
}
