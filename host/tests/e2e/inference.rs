//! Models that guests call: each answers what it should, on every engine that there is.

use serde_json::{Value, json};

use crate::inference_tensors::{
    bytes, close, engines, f32s, floats, i32s, i64s, infer, noise, tensor, with_models,
};
use crate::models::{add, model};
use crate::place::{Place, on_both_stores};
use crate::server::{PATIENCE, Server, eventually, guest, guest_bytes, run, skep};

on_both_stores! {
    a_model_is_there_again_after_a_kill,
}

#[tokio::test]
async fn models_answer_what_they_should() {
    for engine in engines() {
        let server = with_models(&[], &[]).await;
        let query = format!("?engine={engine}");
        for name in [
            "add", "mean", "time", "divide", "lookup", "branch", "tokens", "state",
        ] {
            add(&server, name, &query, name).await.expect(201);
        }
        let ones = [1.0, 2.0, 3.0, 4.0, 5.0, 6.0];
        let (a, b) = (f32s("a", &[2, 3], &ones), f32s("b", &[2, 3], &[0.5; 6]));
        // In whatever order they come.
        let sum = infer(&server, "add", &[b, a]).await;
        assert_eq!(sum["outputs"]["sum"]["shape"], json!([2, 3]));
        assert_eq!(floats(&sum, "sum"), ones.map(|x| x + 0.5));
        let x = |shape: &[usize], values: &[f32]| [f32s("x", shape, values)];
        let mean = infer(&server, "mean", &x(&[2, 3], &ones)).await;
        close(&floats(&mean, "y"), &[-1.5, -1.5, -1.5, 1.5, 1.5, 1.5]);
        let sums = infer(&server, "time", &x(&[2, 3], &ones)).await;
        close(&floats(&sums, "y"), &[1.0, 2.0, 3.0, 5.0, 7.0, 9.0]);
        let (a, b) = (i32s("a", &[3], &[7, -8, 9]), i32s("b", &[3], &[2, 2, 3]));
        let quotient = infer(&server, "divide", &[a, b]).await;
        let quotients = [3_i32, -4, 3].map(i32::to_le_bytes).concat();
        assert_eq!(bytes(&quotient, "quotient"), quotients);
        let rows = infer(&server, "lookup", &[i64s("index", &[2], &[9, 0])]).await;
        assert_eq!(floats(&rows, "y"), [18.0, 19.0, 0.0, 1.0]);
        for (rate, sign) in [(16_000, -1.0), (100, 1.0)] {
            let inputs = [
                f32s("x", &[1, 3], &[1.0, 2.0, 3.0]),
                i64s("rate", &[], &[rate]),
            ];
            let y = infer(&server, "branch", &inputs).await;
            assert_eq!(floats(&y, "y"), [1.0, 2.0, 3.0].map(|x| x * sign));
        }
        // What is masked is not seen.
        let tokens = |last: i64| {
            [
                i64s("ids", &[1, 3], &[5, 6, last]),
                i64s("mask", &[1, 3], &[1, 1, 0]),
            ]
        };
        let (one, other) = (tokens(7), tokens(99));
        let one = floats(&infer(&server, "tokens", &one).await, "y");
        close(&floats(&infer(&server, "tokens", &other).await, "y"), &one);
        assert_eq!(one.len(), 4);
        let inputs = [
            f32s("input", &[1, 4], &[0.0; 4]),
            f32s("state", &[2, 1, 3], &[0.0; 6]),
            i64s("sr", &[], &[16_000]),
        ];
        let state = infer(&server, "state", &inputs).await;
        close(&floats(&state, "out"), &[0.5]);
        assert_eq!(state["outputs"]["stateN"]["shape"], json!([2, 1, 3]));
    }
}

#[tokio::test]
async fn bytes_of_every_type_come_back_as_they_were() {
    let nan = [f32::NAN, f32::INFINITY].map(f32::to_le_bytes).concat();
    let halves = [[0x00, 0x7e], [0x00, 0xfc]].concat();
    let cases: [(&str, Vec<Value>); 2] = [
        (
            "types",
            vec![
                tensor("u8", "u8", &[1, 2], &[0, 255]),
                tensor("i8", "i8", &[1, 2], &[128, 127]),
                i32s("i32", &[1, 2], &[i32::MIN, 7]),
                i64s("i64", &[1, 2], &[1, -1]),
                tensor("bool", "bool", &[1, 2], &[1, 0]),
                tensor("f32", "f32", &[1, 2], &nan),
            ],
        ),
        (
            "halves",
            vec![
                tensor("f16", "f16", &[1, 2], &halves),
                tensor("bf16", "bf16", &[1, 2], &[0x80, 0x7f, 0x80, 0x3f]),
            ],
        ),
    ];
    for engine in engines() {
        let server = with_models(&[], &[]).await;
        for (name, inputs) in &cases {
            let query = format!("?engine={engine}");
            add(&server, name, &query, name).await.expect(201);
            let answer = infer(&server, name, inputs).await;
            for input in inputs {
                let output = format!("{}_out", input[0].as_str().unwrap());
                let got = &answer["outputs"][&output];
                assert_eq!(got, &input[1], "{engine} {output}");
            }
        }
    }
}

#[tokio::test]
async fn what_a_guest_learns_of_models_is_what_was_added() {
    let server = with_models(&[], &["mlp", "add"]).await;
    let models = server.result("models", json!(null)).await.json();
    assert_eq!(models, json!(["add", "mlp"]));
    let info = server.result("describe", json!("mlp")).await.json();
    assert_eq!(info["device"], "cpu");
    let shape = json!([{"name": "x", "dtype": "f32", "shape": [null, 784]}]);
    assert_eq!(info["inputs"], shape);
    let shown = server.json("/models/mlp").await;
    assert_eq!(info["digest"], shown["digest"]);
    assert_eq!(shown["loaded"], Value::Null);
    infer(&server, "mlp", &[f32s("x", &[1, 784], &noise(1, 784))]).await;
    let shown = server.json("/models/mlp").await;
    assert_eq!(shown["loaded"]["device"], "cpu", "{shown}");
    assert!(
        shown["loaded"]["max_batch"].as_u64().unwrap() >= 1,
        "{shown}"
    );
}

#[tokio::test]
async fn what_models_cost_is_on_the_record() {
    let server = with_models(&[], &["mlp"]).await;
    let message = json!({
        "model": "mlp", "times": 5, "inputs": [f32s("x", &[1, 784], &noise(1, 784))],
    });
    let record = server.run("infer", message).await;
    let usage = &record["attempts"][0]["usage"];
    assert_eq!(usage["inferences"], 5, "{usage}");
    let us = |name: &str| usage[name].as_u64().unwrap();
    assert!(us("inference_us") > 0, "{usage}");
    let waited = us("inference_wait_us");
    assert!(waited > 0 && waited <= us("run_us"), "{usage}");
}

async fn a_model_is_there_again_after_a_kill(mut place: Place) {
    let server = place.with("infer", &[]).await;
    add(&server, "add", "?preload=true", "add")
        .await
        .expect(201);
    let loaded = async |server: &Server| {
        let is_loaded = |shown: &Value| shown["loaded"].is_object();
        eventually(PATIENCE, || server.json("/models/add"), is_loaded).await;
    };
    loaded(&server).await;
    server.run("nothing", json!(null)).await;
    place.kill(server).await;
    let server = place.server(&[]).await;
    // Before anybody calls it.
    loaded(&server).await;
    let one = [f32s("a", &[1, 3], &[1.0; 3]), f32s("b", &[1, 3], &[1.0; 3])];
    let sum = infer(&server, "add", &one).await;
    assert_eq!(floats(&sum, "sum"), [2.0; 3]);
}

#[tokio::test]
async fn a_run_without_a_server_brings_its_models() {
    let mut command = skep();
    let message = crate::inference_tensors::call(
        "sums",
        &[f32s("a", &[1, 3], &[1.0; 3]), f32s("b", &[1, 3], &[3.0; 3])],
    );
    let named = format!("sums={}", model("add").display());
    command
        .arg("run")
        .arg(guest("infer"))
        .args(["--function", "infer", "--msg", &message.to_string()])
        .args(["--model", &named]);
    let (code, out, err) = run(command).await;
    assert_eq!(code, Some(0), "{err}");
    let answer: Value = serde_json::from_str(&out).unwrap();
    assert_eq!(floats(&answer, "sum"), [4.0; 3]);
    let mut command = skep();
    command.arg("run").arg(guest("infer"));
    command.args(["--function", "nothing", "--msg", "null", "--model", "sums"]);
    let (code, _, err) = run(command).await;
    assert_eq!(code, Some(2), "{err}");
    assert!(err.contains("NAME=FILE"), "{err}");
}

#[tokio::test]
async fn models_that_do_not_fit_together_take_turns() {
    let server = with_models(&[], &["mlp"]).await;
    let shown = server.json("/models/mlp").await;
    let memory = shown["findings"]["memory_bytes"].as_u64().unwrap();
    drop(server);
    // Room for one, and a half.
    let size = (memory * 3 / 2).to_string();
    let server = with_models(&["--model-memory", &size], &["mlp"]).await;
    add(&server, "other", "", "mlp").await.expect(201);
    let x = noise(1, 784);
    let mut answers = Vec::new();
    for name in ["mlp", "other", "mlp", "other"] {
        let answer = infer(&server, name, &[f32s("x", &[1, 784], &x)]).await;
        answers.push(floats(&answer, "y"));
        let page = crate::metrics::scrape(&server).await;
        assert_eq!(page.sum("skep_models_loaded", &[]), 1.0);
    }
    answers.iter().for_each(|answer| close(answer, &answers[0]));
    let server = with_models(&["--model-memory", "1KiB"], &["mlp"]).await;
    let text = crate::inference_tensors::error(&server, "mlp", &[f32s("x", &[1, 784], &x)]).await;
    assert!(text.contains("--model-memory"), "{text}");
}

#[tokio::test]
async fn a_model_of_one_host_is_called_on_another() {
    let redis = skep_testkit::RedisServer::start();
    let front = Server::on(&redis.url(), &["--no-worker"]).await;
    let back = Server::on(&redis.url(), &[]).await;
    front.upload(guest_bytes("infer")).await.expect(200);
    add(&front, "add", "", "add").await.expect(201);
    let one = [f32s("a", &[1, 3], &[1.0; 3]), f32s("b", &[1, 3], &[2.0; 3])];
    // What another host has added may take up to a second to show.
    let answer = eventually(
        PATIENCE,
        || infer(&front, "add", &one),
        |answer: &Value| answer["outputs"].is_object(),
    )
    .await;
    assert_eq!(floats(&answer, "sum"), [3.0; 3]);
    assert!(back.json("/models/add").await["loaded"].is_object());
    assert_eq!(front.json("/models/add").await["loaded"], Value::Null);
}
