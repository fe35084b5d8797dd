//! Guests that ask too much of models. What others ask of theirs goes on.

use reqwest::Method;
use serde_json::{Value, json};

use crate::guest::{Guest, answer};
use crate::place::{Place, on_both_stores};
use crate::server::{guest_bytes, send};
use crate::zoo::{End, Zoo};

/// Adds a model of `tests/models` for the stranger.
async fn add(zoo: &Zoo, name: &str) {
    let file = format!("{}/../tests/models/{name}.onnx", env!("CARGO_MANIFEST_DIR"));
    let request = zoo.request(Method::PUT, &format!("/models/{name}"));
    let request = request.header("content-type", "application/octet-stream");
    let added = send(request.body(std::fs::read(file).unwrap())).await;
    assert_eq!(added.status, 201, "{}", added.text());
}

async fn deploy(zoo: &Zoo, function: &str, limits: &str) {
    let deployed = zoo.upload_as(function, guest_bytes("infer"), limits);
    deployed.await.expect(200);
}

/// A call with so many zeros for each of both inputs of `add`.
fn call(rows: usize, bytes: usize, times: u32) -> Value {
    let input = |name| json!([name, {"dtype": "f32", "shape": [rows, 3], "zeros": bytes}]);
    json!({"model": "add", "inputs": [input("a"), input("b")], "times": times})
}

async fn calls_without_end(mut place: Place) {
    let zoo = Zoo::open(&mut place).await;
    add(&zoo, "add").await;
    let times_out = || End::Fails("timed-out", &["timeout_ms"]);
    deploy(&zoo, "infer-for-ever", "?timeout_ms=2000").await;
    let small = call(1, 12, 1);
    zoo.runs_deployed("small calls", "infer-for-ever", small, times_out())
        .await;
    // 15 MiB each, which is as large as they may be, and then beyond that.
    let rows = (15 << 20) / 12;
    let large = call(rows, rows * 12, 1);
    zoo.runs_deployed("large calls", "infer-for-ever", large, times_out())
        .await;
    let beyond = call(1, 25 << 20, 1);
    zoo.runs_deployed("too large calls", "infer-for-ever", beyond, times_out())
        .await;
    deploy(&zoo, "infer", "?inferences=5000").await;
    let told = r#"{"error":"limit exceeded: an attempt may call models: at most 5000; 0 are left (the limit `inferences`)"}"#;
    let many = call(1, 12, 1_000_000);
    zoo.runs_deployed("many calls", "infer", many, End::Completes(told))
        .await;
    deploy(&zoo, "describe-until-told", "?host_calls=100000").await;
    let told = r#""limit exceeded: an attempt may make host calls: at most 100000; 0 are left (the limit `host_calls`)""#;
    let (function, model) = ("describe-until-told", json!("add"));
    zoo.runs_deployed("describes", function, model, End::Completes(told))
        .await;
    zoo.close(place).await;
}

async fn calls_whose_jobs_are_gone(mut place: Place) {
    let zoo = Zoo::open(&mut place).await;
    add(&zoo, "wide").await;
    deploy(&zoo, "infer-for-ever", "?timeout_ms=30").await;
    let rows = 64;
    let input =
        json!({"dtype": "f32", "shape": [rows, 3, 64, 64], "zeros": rows * 3 * 64 * 64 * 4});
    let message = json!({"model": "wide", "inputs": [["x", input]]});
    let run = async {
        let mut ids = Vec::new();
        for _ in 0..40 {
            ids.push(zoo.post("infer-for-ever", &message).await);
        }
        for id in ids {
            let record = zoo.ended(&id).await;
            assert_eq!(record["cause"]["kind"], "timed-out", "{record}");
        }
    };
    zoo.canary
        .beside(&zoo.server, "calls of the dead", run)
        .await;
    zoo.close(place).await;
}

/// `skep:jobs/inference`, as far as these guests use it.
const INFERENCE: &str = r#"
    (import "skep:jobs/inference@0.1.0" (instance $inference
        (type $dtype' (enum "f32" "f16" "bf16" "f64" "u8" "i8" "i32" "i64" "bool"))
        (export "data-type" (type $dtype (eq $dtype')))
        (type $tensor' (record (field "dtype" $dtype) (field "shape" (list u64)) (field "data" (list u8))))
        (export "tensor" (type $tensor (eq $tensor')))
        (type $named' (record (field "name" string) (field "value" $tensor)))
        (export "named-tensor" (type $named (eq $named')))
        (type $error' (variant (case "not-found" string) (case "denied" string)
            (case "invalid-input" string) (case "too-large" string) (case "busy" string)
            (case "timed-out" string) (case "engine" string)))
        (export "infer-error" (type $infer-error (eq $error')))
        (export "infer" (func (param "model" string) (param "inputs" (list $named))
            (result (result (list $named) (error $infer-error)))))))
    (core func $infer (canon lower (func $inference "infer")
        (memory $libc "memory") (realloc (func $libc "realloc"))))
"#;

/// A guest that calls `infer` with an input that is written by `input`, or if that is nothing
/// with as many empty ones as `count` says; it fails with the error's text.
fn that_infers(input: &str, count: u32) -> Guest {
    let at = if input.is_empty() { 1 << 20 } else { 4096 };
    Guest {
        component: INFERENCE.to_owned(),
        handed: r#"(export "infer" (func $infer))"#.to_owned(),
        imports: r#"(import "host" "infer" (func $infer (param i32 i32 i32 i32 i32)))"#.to_owned(),
        handle: format!(
            r"(drop (memory.grow (i32.const 1000)))
            {input}
            (call $infer (i32.const 1040) (i32.const 8) (i32.const {at}) (i32.const {count}) (i32.const 256))
            (if (i32.load8_u (i32.const 256)) (then (return
                (call $fail (i32.const 1) (i32.load (i32.const 264)) (i32.load (i32.const 268))))))
            {}",
            answer("no error")
        ),
        ..Guest::default()
    }
}

/// The fields of the input at 4096: the address and length of its name, its shape and data.
fn input(name: [u32; 2], shape: [u32; 2], data: [u32; 2]) -> String {
    let fields = [(0, name), (12, shape), (20, data)];
    let store = |(offset, [at, length]): &(u32, [u32; 2])| {
        let (first, second) = (4096 + offset, 4100 + offset);
        format!(
            "(i32.store (i32.const {first}) (i32.const {at})) (i32.store (i32.const {second}) (i32.const {length}))"
        )
    };
    fields.iter().map(store).collect()
}

async fn lists_that_are_huge_or_lie(mut place: Place) {
    let zoo = Zoo::open(&mut place).await;
    let none = [1 << 20, 0];
    let (mib, free) = (1 << 20, 1 << 20);
    for (what, input, count, end) in [
        (
            "a shape of 7 million dimensions",
            input(none, [free, 7 * mib], none),
            1,
            End::Fails("failed", &["8 are allowed"]),
        ),
        (
            "a name of 50 MB",
            input([free, 50 * mib], none, none),
            1,
            End::Fails("failed", &["no model has an input"]),
        ),
        (
            "data of 50 MB",
            input(none, none, [free, 50 * mib]),
            1,
            End::Fails("failed", &["33554432 bytes"]),
        ),
        (
            "a hundred thousand inputs",
            String::new(),
            100_000,
            End::Fails("failed", &["16 inputs"]),
        ),
        (
            "a million inputs",
            String::new(),
            mib,
            End::Fails("trap", &["too much data"]),
        ),
        (
            "a shape beyond the memory",
            input(none, [free, 1 << 29], none),
            1,
            End::Fails("trap", &[]),
        ),
        (
            "data that lies elsewhere",
            input(none, none, [u32::MAX - 8, 100]),
            1,
            End::Fails("trap", &[]),
        ),
        (
            "more inputs than memory",
            String::new(),
            u32::MAX,
            End::Fails("trap", &[]),
        ),
    ] {
        zoo.runs(what, &that_infers(&input, count), "", end).await;
    }
    zoo.close(place).await;
}

on_both_stores! {
    calls_without_end,
    calls_whose_jobs_are_gone,
    lists_that_are_huge_or_lie,
}
