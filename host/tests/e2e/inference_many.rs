//! Many jobs that call models at the same time: they share batches, and nobody is in another's
//! way.

use futures_util::future::join_all;
use reqwest::Method;
use serde_json::{Value, json};

use crate::inference_tensors::{
    call, close, engines, f32s, floats, infer, noise, post_in, turns, waiting, with_models,
};
use crate::metrics::{scrape, scraped};
use crate::models::add;
use crate::server::{Server, guest_bytes, send};

fn picture(model: &str, seed: u64) -> Value {
    call(model, &[f32s("x", &[1, 784], &noise(seed, 784))])
}

async fn result(server: &Server, id: &str) -> Value {
    server.ended(id).await;
    server
        .get(&format!("/jobs/{id}/result"))
        .await
        .expect(200)
        .json()
}

#[tokio::test]
async fn jobs_share_batches_and_get_what_they_would_alone() {
    for engine in engines() {
        let server = with_models(&["--workers", "2"], &["loop"]).await;
        let query = format!("?engine={engine}");
        add(&server, "mlp", &query, "mlp").await.expect(201);
        let alone = format!("{query}&batching=off");
        add(&server, "alone", &alone, "mlp").await.expect(201);
        let mut wanted = Vec::new();
        for seed in 0..64 {
            let x = f32s("x", &[1, 784], &noise(seed, 784));
            wanted.push(floats(&infer(&server, "alone", &[x]).await, "y"));
        }
        infer(&server, "mlp", &[f32s("x", &[1, 784], &noise(0, 784))]).await;
        // While the device is busy, they gather.
        server.post("infer", turns(500_000)).await;
        waiting(&server, 1).await;
        let ids = join_all((0..64).map(|seed| server.post("infer", picture("mlp", seed)))).await;
        for (id, wanted) in ids.iter().zip(&wanted) {
            close(&floats(&result(&server, id).await, "y"), wanted);
        }
        let rows = |page: &crate::exposition::Exposition| {
            let of = |part: &str| {
                page.sum(
                    &format!("skep_inference_batch_rows_{part}"),
                    &[("model", "mlp")],
                )
            };
            (of("sum"), of("count"))
        };
        let page = scraped(&server, |page| rows(page).0 >= 65.0).await;
        let (rows, batches) = rows(&page);
        assert_eq!(rows, 65.0);
        assert!(batches <= 32.0, "{engine}: {batches} batches");
    }
}

#[tokio::test]
async fn a_thousand_jobs_call_at_once() {
    let server = with_models(&[], &["mlp"]).await;
    let line = json!({"msg": picture("mlp", 1), "functions": ["infer"]}).to_string();
    let request = server
        .request(Method::POST, "/jobs/batch")
        .header("content-type", "application/x-ndjson");
    send(request.body(format!("{line}\n").repeat(1000)))
        .await
        .expect(200);
    let first = floats(&result(&server, "1").await, "y");
    for id in 2..=1000 {
        let answer = result(&server, &id.to_string()).await;
        close(&floats(&answer, "y"), &first);
    }
    let page = scrape(&server).await;
    let labels = [("model", "mlp"), ("outcome", "completed")];
    assert_eq!(page.sum("skep_inference_calls_total", &labels), 1000.0);
    assert_eq!(page.sum("skep_jobs_waiting_for_models", &[]), 0.0);
}

#[tokio::test]
async fn a_namespace_that_floods_the_device_lets_others_pass() {
    let server = with_models(&["--workers", "4"], &["loop"]).await;
    for space in ["flood", "canary"] {
        let upload = server
            .request(Method::POST, "/consumer")
            .header("skep-namespace", space)
            .header("content-type", "application/wasm");
        send(upload.body(guest_bytes("infer"))).await.expect(200);
        let put = server
            .request(Method::PUT, "/models/loop?allow_loops=true")
            .header("skep-namespace", space)
            .header("content-type", "application/octet-stream");
        send(put.body(crate::models::model_bytes("loop")))
            .await
            .expect(201);
    }
    const FLOOD: usize = 200;
    for _ in 0..FLOOD {
        post_in(&server, "flood", &turns(20_000)).await;
    }
    let flooded = async || {
        let page = scrape(&server).await;
        let labels = [("namespace", "flood"), ("outcome", "completed")];
        page.sum("skep_inference_calls_total", &labels)
    };
    scraped(&server, |page| {
        page.sum("skep_inference_calls_total", &[("namespace", "flood")]) >= 4.0
    })
    .await;
    let before = flooded().await;
    let id = post_in(&server, "canary", &turns(10)).await;
    let path = format!("/jobs/{id}/result?wait_ms=60000");
    let request = server.request(Method::GET, &path);
    send(request.header("skep-namespace", "canary"))
        .await
        .expect(200);
    let between = flooded().await - before;
    // Those that run, and those that end while the job itself is posted, taken and answered.
    assert!(between < 40.0, "{between} of {FLOOD} were before it");
}
