//! Tensors as the guest `infer` reads and writes them, and how the tests of inference ask it.

use reqwest::Method;
use serde_json::{Value, json};

use crate::models::add;
use crate::server::{PATIENCE, Server, eventually, guest_bytes, send};

/// An input or output: its name, type, shape and bytes.
pub(crate) fn tensor(name: &str, dtype: &str, shape: &[usize], bytes: &[u8]) -> Value {
    json!([name, {"dtype": dtype, "shape": shape, "hex": hex::encode(bytes)}])
}

pub(crate) fn f32s(name: &str, shape: &[usize], values: &[f32]) -> Value {
    tensor(
        name,
        "f32",
        shape,
        &values
            .iter()
            .flat_map(|x| x.to_le_bytes())
            .collect::<Vec<_>>(),
    )
}

pub(crate) fn i64s(name: &str, shape: &[usize], values: &[i64]) -> Value {
    tensor(
        name,
        "i64",
        shape,
        &values
            .iter()
            .flat_map(|x| x.to_le_bytes())
            .collect::<Vec<_>>(),
    )
}

pub(crate) fn i32s(name: &str, shape: &[usize], values: &[i32]) -> Value {
    tensor(
        name,
        "i32",
        shape,
        &values
            .iter()
            .flat_map(|x| x.to_le_bytes())
            .collect::<Vec<_>>(),
    )
}

/// The bytes of an output.
#[track_caller]
pub(crate) fn bytes(answer: &Value, name: &str) -> Vec<u8> {
    let text = answer["outputs"][name]["hex"].as_str();
    hex::decode(text.unwrap_or_else(|| panic!("no output {name}: {answer}"))).unwrap()
}

/// An output of `f32`.
#[track_caller]
pub(crate) fn floats(answer: &Value, name: &str) -> Vec<f32> {
    let bytes = bytes(answer, name);
    let (numbers, rest) = bytes.as_chunks();
    assert_eq!(rest, [0_u8; 0]);
    numbers.iter().map(|x| f32::from_le_bytes(*x)).collect()
}

/// Whether these are the same but for the rounding that batches may change.
#[track_caller]
pub(crate) fn close(got: &[f32], wanted: &[f32]) {
    assert_eq!(got.len(), wanted.len());
    for (got, wanted) in got.iter().zip(wanted) {
        assert!((got - wanted).abs() <= 1e-5, "{got} is not {wanted}");
    }
}

/// Some numbers between -1 and 1 that differ with their seed.
pub(crate) fn noise(seed: u64, count: usize) -> Vec<f32> {
    let mut random = fastrand::Rng::with_seed(seed);
    (0..count).map(|_| random.f32() * 2.0 - 1.0).collect()
}

/// A message for the guest.
pub(crate) fn call(model: &str, inputs: &[Value]) -> Value {
    json!({"model": model, "inputs": inputs})
}

/// What a job that calls a model answers: outputs, or an error.
pub(crate) async fn infer(server: &Server, model: &str, inputs: &[Value]) -> Value {
    server.result("infer", call(model, inputs)).await.json()
}

/// The text of the error that a call met.
pub(crate) async fn error(server: &Server, model: &str, inputs: &[Value]) -> String {
    let answer = infer(server, model, inputs).await;
    let text = answer["error"].as_str();
    text.unwrap_or_else(|| panic!("{answer}")).to_owned()
}

/// A server with the guest, and these models of `tests/models`.
pub(crate) async fn with_models(more: &[&str], models: &[&str]) -> Server {
    let server = Server::start_with(tempfile::TempDir::new().unwrap(), more).await;
    server.upload(guest_bytes("infer")).await.expect(200);
    for model in models {
        let query = if *model == "loop" {
            "?allow_loops=true"
        } else {
            ""
        };
        add(&server, model, query, model).await.expect(201);
    }
    server
}

/// The engines that there are: with the library that `make test` brings, both.
pub(crate) fn engines() -> Vec<&'static str> {
    let more = std::env::var_os("ORT_DYLIB_PATH").map(|_| "onnxruntime");
    ["rten"].into_iter().chain(more).collect()
}

/// Runs the model `loop` so many times over: the device is busy meanwhile.
pub(crate) fn turns(times: i64) -> Value {
    call(
        "loop",
        &[i64s("times", &[], &[times]), f32s("x", &[1], &[0.0])],
    )
}

/// More turns than any test waits for; rten counts in 32 bits.
pub(crate) const FOR_EVER: i64 = i32::MAX as i64;

/// Has the device do nothing but turn, from when this returns.
pub(crate) async fn occupy(server: &Server) -> String {
    let id = server.post("infer", turns(FOR_EVER)).await;
    waiting(server, 1).await;
    let is_loaded = |shown: &Value| shown["loaded"].is_object();
    eventually(PATIENCE, || server.json("/models/loop"), is_loaded).await;
    id
}

/// Waits until so many jobs wait for a model, without a worker.
pub(crate) async fn waiting(server: &Server, jobs: usize) {
    crate::metrics::scraped(server, |page| {
        page.sum("skep_jobs_waiting_for_models", &[]) == jobs as f64
    })
    .await;
}

/// What a call of the server in a namespace answers.
pub(crate) async fn post_in(server: &Server, space: &str, message: &Value) -> String {
    let request = server
        .request(Method::POST, "/jobs")
        .header("skep-namespace", space)
        .json(&json!({"msg": message, "functions": ["infer"]}));
    send(request).await.expect(200).text()
}
