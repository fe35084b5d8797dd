//! Namespaces that share slots, and functions that may not have them all.

use reqwest::Method;
use serde_json::{Value, json};

use crate::place::{Place, on_both_stores};
use crate::server::{Answer, Server, guest, guest_bytes, run, send, skep};

on_both_stores!(
    a_flood_of_slow_jobs_lets_a_canary_pass,
    slow_jobs_behind_quick_ones_let_a_canary_pass,
    a_function_that_may_run_once_never_runs_twice_at_once,
    a_capped_parent_and_its_children_end_on_one_slot,
    a_capped_namespace_runs_no_more_at_once,
);

/// A request of a namespace, with JSON as its body if that is not null.
async fn ask(server: &Server, space: &str, method: Method, path: &str, body: Value) -> Answer {
    let request = server
        .request(method, path)
        .header("skep-namespace", space)
        .header("accept", "application/json");
    send(match body {
        Value::Null => request,
        body => request.json(&body),
    })
    .await
}

async fn record(server: &Server, space: &str, id: u64) -> Value {
    let path = format!("/jobs/{id}?wait_ms=20000");
    let answer = ask(server, space, Method::GET, &path, Value::Null).await;
    answer.expect(200).json()
}

async fn deploy(server: &Server, space: &str) {
    let request = server
        .request(Method::POST, "/consumer")
        .header("skep-namespace", space)
        .header("content-type", "application/wasm");
    send(request.body(guest_bytes("probe"))).await.expect(200);
}

fn ms(record: &Value, field: &str) -> u64 {
    record[field].as_u64().unwrap_or_else(|| panic!("{record}"))
}

async fn a_flood_of_slow_jobs_lets_a_canary_pass(mut place: Place) {
    const SLOTS: u64 = 2;
    let server = place.server(&["--workers", "2"]).await;
    deploy(&server, "flood").await;
    deploy(&server, "canary").await;
    // Some 50 ms each, so that none is taken ahead.
    let line = json!({"msg": {"iterations": 100_000_000}, "functions": ["busy"]}).to_string();
    let lines = format!("{line}\n").repeat(5000);
    let request = server
        .request(Method::POST, "/jobs/batch")
        .header("skep-namespace", "flood")
        .header("content-type", "application/x-ndjson");
    send(request.body(lines)).await.expect(200);
    let warm = 3 * SLOTS;
    for id in 1..=warm {
        record(&server, "flood", id).await;
    }
    let mut first = warm;
    for n in 1..=4 {
        let body = json!({"msg": null, "functions": ["noop"]});
        ask(&server, "canary", Method::POST, "/jobs", body)
            .await
            .expect(200);
        let canary = record(&server, "canary", n).await;
        assert_eq!(canary["state"], "completed", "{canary}");
        let (posted, started) = (ms(&canary, "posted_at_ms"), ms(&canary, "started_at_ms"));
        // Jobs of the flood are begun in the order of their ids.
        let mut between = 0;
        loop {
            let path = format!("/jobs/{}", first + 1);
            let job = ask(&server, "flood", Method::GET, &path, Value::Null).await;
            let begun = job.expect(200).json()["started_at_ms"].as_u64();
            if begun.is_none_or(|begun| begun > started) {
                break;
            }
            between += u64::from(begun > Some(posted));
            first += 1;
        }
        // Those of a claim that was under way when it was posted, and no other.
        assert!(
            between <= SLOTS,
            "{between} jobs of the flood were before canary {n}"
        );
    }
    let status = ask(&server, "flood", Method::GET, "/queue", Value::Null).await;
    let status = status.expect(200).json();
    assert!(ms(&status, "queued") > 1000, "it was no flood: {status}");
}

async fn slow_jobs_behind_quick_ones_let_a_canary_pass(mut place: Place) {
    const QUICK: u64 = 3_000;
    const SLOW: u64 = 300;
    let server = place.server(&["--workers", "2"]).await;
    deploy(&server, "flood").await;
    deploy(&server, "canary").await;
    let quick = json!({"msg": null, "functions": ["noop"]});
    let slow = json!({"msg": {"iterations": 100_000_000}, "functions": ["busy"]});
    let mut lines = format!("{quick}\n").repeat(QUICK as usize);
    lines.push_str(&format!("{slow}\n").repeat(SLOW as usize));
    let request = server
        .request(Method::POST, "/jobs/batch")
        .header("skep-namespace", "flood")
        .header("content-type", "application/x-ndjson");
    send(request.body(lines)).await.expect(200);
    // By now the host expects quick jobs, and has taken many ahead that are slow.
    record(&server, "flood", QUICK + 1).await;
    let body = json!({"msg": null, "functions": ["noop"]});
    ask(&server, "canary", Method::POST, "/jobs", body)
        .await
        .expect(200);
    let canary = record(&server, "canary", 1).await;
    assert_eq!(canary["state"], "completed", "{canary}");
    let status = ask(&server, "flood", Method::GET, "/queue", Value::Null).await;
    // Some quick ones may have gone back as well, and come after.
    let ended = ms(&status.expect(200).json(), "completed").saturating_sub(QUICK);
    // Two at a time, of some 50 ms each, for the 100 ms that a job waits for its turn.
    assert!(ended <= 20, "{ended} slow jobs were before the canary");
}

async fn a_function_that_may_run_once_never_runs_twice_at_once(mut place: Place) {
    let server = place.server(&["--workers", "4"]).await;
    server
        .put("busy", "probe", "?concurrency=1&timeout_ms=60000")
        .await
        .expect(200);
    server.put("noop", "probe", "").await.expect(200);
    // Another host of the same store, where there can be one.
    let _other = match &mut place {
        Place::Directory(_) => None,
        place => Some(place.server(&["--workers", "4"]).await),
    };
    let mut ids = Vec::new();
    for _ in 0..12 {
        ids.push(server.post("busy", json!({"iterations": 20_000_000})).await);
    }
    // Others pass meanwhile.
    server.run("noop", json!(null)).await;
    let mut runs = Vec::new();
    for id in &ids {
        let job = server.ended(id).await;
        assert_eq!(
            (&job["state"], &job["attempt"]),
            (&json!("completed"), &json!(1))
        );
        runs.push((ms(&job, "started_at_ms"), ms(&job, "ended_at_ms"), id));
    }
    for two in runs.windows(2) {
        assert!(
            two[0].1 <= two[1].0,
            "{runs:?}: in order, one after the other"
        );
    }
    let functions = server.json("/functions").await;
    let caps: Vec<_> = (functions["functions"].as_array().unwrap().iter())
        .map(|one| (one["name"].as_str().unwrap(), one["concurrency"].as_u64()))
        .collect();
    assert_eq!(caps, [("busy", Some(1)), ("noop", None)]);
}

async fn a_capped_parent_and_its_children_end_on_one_slot(mut place: Place) {
    let server = place.server(&["--workers", "1"]).await;
    server
        .put("compose", "probe", "?concurrency=1")
        .await
        .expect(200);
    let body = json!({"limit": 1});
    ask(&server, "default", Method::PUT, "/queue/concurrency", body)
        .await
        .expect(200);
    let tree = json!([{"tree": {"depth": 3, "width": 2}}]);
    let job = server.run("compose", tree).await;
    assert_eq!(job["state"], "completed", "{job}");
    let queue = server.json("/queue").await;
    assert_eq!(
        (&queue["completed"], &queue["queued"]),
        (&json!(15), &json!(0))
    );
}

async fn a_capped_namespace_runs_no_more_at_once(mut place: Place) {
    let server = place.with("probe", &["--workers", "4"]).await;
    let put = async |space: &str, limit: Value| {
        let body = json!({ "limit": limit });
        ask(&server, space, Method::PUT, "/queue/concurrency", body).await
    };
    put("default", json!(2)).await.expect(200);
    for _ in 0..5 {
        server.post("spin", json!(null)).await;
    }
    server.until("2", |job| job["state"] == "running").await;
    // Another namespace has the slots that are left.
    deploy(&server, "other").await;
    let body = json!({"msg": null, "functions": ["noop"]});
    ask(&server, "other", Method::POST, "/jobs", body)
        .await
        .expect(200);
    assert_eq!(record(&server, "other", 1).await["state"], "completed");
    let queue = server.json("/queue").await;
    let numbers = (&queue["running"], &queue["queued"], &queue["concurrency"]);
    assert_eq!(numbers, (&json!(2), &json!(3), &json!(2)));
    server.get("/queue").await.naming(&["Concurrency: 2\n"]);
    put("default", Value::Null).await.expect(200);
    server.until("4", |job| job["state"] == "running").await;
}

#[tokio::test]
async fn a_cap_that_is_none_is_refused() {
    let server = Server::start().await;
    for query in [
        "?concurrency=0",
        "?concurrency=-1",
        "?concurrency=",
        "?concurrency=4294967296",
    ] {
        let refused = server.put("noop", "probe", query).await;
        refused.expect(400).naming(&["concurrency", "from 1"]);
    }
    let unknown = server.put("noop", "probe", "?concurency=1").await;
    unknown.expect(400).naming(&["concurency"]);
    for body in [
        "{}",
        r#"{"limit":0}"#,
        r#"{"limit":"2"}"#,
        r#"{"limit":1,"x":1}"#,
        "",
        "3",
        "[3]",
    ] {
        let request = server.request(Method::PUT, "/queue/concurrency");
        let refused = send(request.body(body)).await;
        refused.expect(400).naming(&[r#"{"limit": N}"#]);
    }
    let request = server.request(Method::PUT, "/queue/concurrency");
    send(request.body(" ".repeat(1000))).await.expect(413);
    assert_eq!(server.json("/queue").await["concurrency"], Value::Null);
}

#[tokio::test]
async fn caps_are_set_and_shown_from_the_command_line() {
    let server = Server::start().await;
    let run =
        async |arguments: &[&str]| run(skep().args(["--url", &server.url]).args(arguments)).await;
    let file = guest("multiply").display().to_string();
    let deploy = ["deploy", &file, "--function", "divide"];
    run(&deploy).await;
    let (_, out, _) = run(&["functions"]).await;
    assert!(!out.contains("CONCURRENCY"), "{out}");
    let deploy = [
        "deploy",
        &file,
        "--function",
        "multiply",
        "--concurrency",
        "3",
    ];
    let (code, out, err) = run(&deploy).await;
    assert_eq!(
        (code, &*out),
        (Some(0), "deployed multiply version 1"),
        "{err}"
    );
    let (_, out, _) = run(&["functions"]).await;
    let cells = |line: &str| {
        line.split_whitespace()
            .take(3)
            .collect::<Vec<_>>()
            .join(" ")
    };
    let table: Vec<_> = out.lines().map(cells).collect();
    assert_eq!(
        table,
        ["NAME VERSION CONCURRENCY", "divide 1 -", "multiply 1 3"]
    );
    let (code, out, _) = run(&["queue", "limit", "--concurrency", "8"]).await;
    assert_eq!((code, &*out), (Some(0), "at most 8 jobs at once"));
    let (_, out, _) = run(&["queue", "status"]).await;
    assert!(out.contains("Concurrency: 8"), "{out}");
    let (_, out, _) = run(&["queue", "limit", "--concurrency", "none", "--json"]).await;
    assert_eq!(out, r#"{"concurrency":null}"#);
    for wrong in [&["--concurrency", "0"][..], &["--concurrency", "many"], &[]] {
        let (code, _, err) = run(&[&["queue", "limit"], wrong].concat()).await;
        assert!(code == Some(2) && err.contains("--concurrency"), "{err}");
    }
}
