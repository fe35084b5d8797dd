//! Calls of models that are no good: each is told what is wrong, and the host goes on.

use serde_json::{Value, json};

use crate::inference_tensors::{
    bytes, call, engines, error, f32s, floats, i64s, infer, post_in, tensor, turns, waiting,
    with_models,
};
use crate::models::add;
use crate::server::{guest_bytes, send};

/// `add` takes two of these.
fn row(name: &str) -> Value {
    f32s(name, &[1, 3], &[1.0; 3])
}

#[tokio::test]
async fn what_does_not_fit_is_told_with_what_would() {
    let server = with_models(&[], &["add"]).await;
    let a = row("a");
    let b = |dtype: &str, shape: Value, zeros: usize| json!(["b", {"dtype": dtype, "shape": shape, "zeros": zeros}]);
    let takes = "add takes: a f32 [?, 3], b f32 [?, 3]";
    for (inputs, words) in [
        (vec![], vec!["\"a\" is missing", takes]),
        (
            vec![a.clone(), row("B")],
            vec!["no input \"B\"", "did you mean \"b\"", takes],
        ),
        (
            vec![a.clone(), row("b"), row("c")],
            vec!["no input \"c\"", takes],
        ),
        (
            vec![a.clone(), row("b"), row("b")],
            vec!["given twice", takes],
        ),
        (
            vec![a.clone(), b("f64", json!([1, 3]), 24)],
            vec!["f32, not f64"],
        ),
        (
            vec![a.clone(), b("f32", json!([3]), 12)],
            vec!["2 dimensions, not 1"],
        ),
        (
            vec![a.clone(), b("f32", json!([1, 4]), 16)],
            vec!["dimension 1", "3, not 4"],
        ),
        (
            vec![a.clone(), b("f32", json!([1, 3]), 11)],
            vec!["takes 12 bytes, and 11"],
        ),
        (vec![a.clone(), b("f32", json!([0, 3]), 0)], vec!["empty"]),
        (
            vec![a.clone(), b("f32", json!([1u64 << 62, 1u64 << 62]), 0)],
            vec!["overflows"],
        ),
        (
            vec![a.clone(), b("f32", json!([1, 1, 1, 1, 1, 1, 1, 1, 1]), 4)],
            vec!["8 are allowed"],
        ),
        (
            vec![a.clone(), b("bool", json!([1, 1]), 2)],
            vec!["takes 1 bytes"],
        ),
        (
            vec![a.clone(), tensor("b", "bool", &[1], &[2])],
            vec!["neither 0 nor 1"],
        ),
        (vec![a.clone(); 17], vec!["16 inputs"]),
        (
            vec![a.clone(), b("f32", json!([1, 3]), (16 << 20) + 4)],
            vec!["limit exceeded", "16777216 bytes"],
        ),
        (
            vec![b("f32", json!([1, 3]), 12 << 20); 3],
            vec!["limit exceeded", "33554432 bytes together"],
        ),
        (
            vec![f32s(&"x".repeat(2000), &[1, 3], &[1.0; 3])],
            vec!["2000 bytes"],
        ),
        // Rows that cannot be added to each other.
        (
            vec![f32s("a", &[2, 3], &[1.0; 6]), f32s("b", &[3, 3], &[1.0; 9])],
            vec!["engine: "],
        ),
    ] {
        let text = error(&server, "add", &inputs).await;
        for word in words {
            assert!(text.contains(word), "{word:?} is not in: {text}");
        }
        assert!(text.len() < 1000, "{text}");
    }
    let text = error(&server, "ad", &[]).await;
    assert!(text.contains("did you mean add?"), "{text}");
    let text = error(&server, &"m".repeat(100_000), &[]).await;
    assert!(text.starts_with("not found") && text.len() < 300, "{text}");
    let failed = server.run("infer-or-fail", call("add", &[])).await;
    assert_eq!(failed["cause"]["kind"], "failed", "{failed}");
    let sum = infer(&server, "add", &[row("a"), row("b")]).await;
    assert_eq!(floats(&sum, "sum"), [2.0; 3], "it goes on");
}

#[tokio::test]
async fn a_bad_row_is_an_error_of_its_own() {
    let server = with_models(&[], &["lookup"]).await;
    let text = error(&server, "lookup", &[i64s("index", &[1], &[77])]).await;
    assert!(text.starts_with("engine: "), "{text}");
    let row = infer(&server, "lookup", &[i64s("index", &[1], &[3])]).await;
    assert_eq!(floats(&row, "y"), [6.0, 7.0]);
}

#[tokio::test]
async fn outputs_have_a_bound() {
    let server = with_models(&[], &["outer"]).await;
    // 3,000 rows against each other are 36 MB.
    let x = json!(["x", {"dtype": "f32", "shape": [3000, 1], "zeros": 12_000}]);
    let text = error(&server, "outer", &[x]).await;
    assert!(text.starts_with("limit exceeded"), "{text}");
    let y = infer(&server, "outer", &[f32s("x", &[2, 1], &[1.0, 2.0])]).await;
    assert_eq!(floats(&y, "y"), [1.0, 2.0, 2.0, 4.0]);
}

#[tokio::test]
async fn a_run_that_no_host_has_memory_for_is_refused_and_the_host_lives() {
    for engine in engines() {
        let server = with_models(&[], &[]).await;
        let query = format!("?engine={engine}");
        for (name, shape) in [
            // 4 TB to give, and 160 GB on the way to little.
            ("outer", json!([1_000_000, 1])),
            ("attention", json!([1, 200_000, 4])),
        ] {
            add(&server, name, &query, name).await.expect(201);
            let sizes = shape.as_array().unwrap().iter();
            let elements: u64 = sizes.map(|size| size.as_u64().unwrap()).product();
            let x = json!(["x", {"dtype": "f32", "shape": shape, "zeros": elements * 4}]);
            let text = error(&server, name, &[x]).await;
            assert!(
                text.starts_with("limit exceeded") && text.contains("fewer rows"),
                "{engine}: {text}"
            );
        }
        let y = infer(&server, "outer", &[f32s("x", &[2, 1], &[1.0, 2.0])]).await;
        assert_eq!(floats(&y, "y"), [1.0, 2.0, 2.0, 4.0], "{engine}");
        let refused = add(&server, "lurking", &query, "lurking").await.expect(422);
        refused.naming(&["memory"]);
    }
}

#[tokio::test]
async fn another_namespaces_models_are_not_there() {
    let server = with_models(&[], &["add"]).await;
    let upload = server
        .request(reqwest::Method::POST, "/consumer")
        .header("skep-namespace", "other")
        .header("content-type", "application/wasm");
    send(upload.body(guest_bytes("infer"))).await.expect(200);
    let id = post_in(&server, "other", &call("add", &[row("a"), row("b")])).await;
    let path = format!("/jobs/{id}/result?wait_ms=60000");
    let request = server.request(reqwest::Method::GET, &path);
    let answer = send(request.header("skep-namespace", "other"))
        .await
        .expect(200);
    answer.naming(&["not found", "it has none"]);
}

#[tokio::test]
async fn a_model_that_is_removed_or_replaced_ends_its_calls_well() {
    let server = with_models(&[], &["loop", "add"]).await;
    // A second or so, so that both are surely under way.
    let id = server.post("infer", turns(300_000)).await;
    waiting(&server, 1).await;
    let queued = server
        .post("infer", call("add", &[row("a"), row("b")]))
        .await;
    waiting(&server, 2).await;
    for name in ["loop", "add"] {
        let removed = server.request(reqwest::Method::DELETE, &format!("/models/{name}"));
        send(removed).await.expect(204);
    }
    add(&server, "add", "", "mlp").await.expect(201);
    for id in [id, queued] {
        assert_eq!(server.ended(&id).await["state"], "completed");
        let answer = server.get(&format!("/jobs/{id}/result")).await.json();
        let name = if answer["outputs"]["sum"].is_object() {
            "sum"
        } else {
            "y"
        };
        assert!(!bytes(&answer, name).is_empty(), "{answer}");
    }
    let text = error(&server, "loop", &[]).await;
    assert!(text.starts_with("not found"), "{text}");
    let text = error(&server, "add", &[row("a"), row("b")]).await;
    assert!(text.contains("add takes: x f32 [?, 784]"), "{text}");
}

#[tokio::test]
async fn calls_and_engine_time_have_limits() {
    let server = with_models(&[], &["loop", "add"]).await;
    let limited = async |query: &str, message: Value| {
        server.put("infer", "infer", query).await.expect(200);
        let record = server.run("infer", message).await;
        let id = record["id"].as_str().unwrap();
        let answer = server.get(&format!("/jobs/{id}/result")).await.json();
        let used = record["attempts"][0]["usage"]["inferences"]
            .as_u64()
            .unwrap();
        (
            answer["error"].as_str().unwrap_or_default().to_owned(),
            used,
        )
    };
    let mut message = call("add", &[row("a"), row("b")]);
    message["times"] = json!(4);
    let (text, used) = limited("?inferences=3", message.clone()).await;
    assert!(
        text.contains("`inferences`") && text.contains("at most 3"),
        "{text}"
    );
    assert_eq!(used, 3);
    let (text, _) = limited("?inference_ms=0", message.clone()).await;
    assert!(text.contains("`inference_ms`"), "{text}");
    let mut message = turns(20_000);
    message["times"] = json!(1000);
    let (text, used) = limited("?inference_ms=1", message).await;
    assert!(text.contains("`inference_ms`"), "{text}");
    assert!((1..1000).contains(&used), "{used}");
}

#[tokio::test]
async fn a_host_without_a_gpu_says_so() {
    let server = with_models(&[], &[]).await;
    let added = add(&server, "add", "?device=cuda", "add").await;
    let text = match added.status.is_success() {
        true => error(&server, "add", &[row("a"), row("b")]).await,
        false => added.text(),
    };
    let lower = text.to_lowercase();
    assert!(lower.contains("cuda") || lower.contains("gpu"), "{text}");
}
