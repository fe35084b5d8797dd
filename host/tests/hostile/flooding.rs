//! Guests that do too much of what they may: log, report, post, store, wait. Each has a
//! budget, and a guest that is over it is told so.

use reqwest::Method;
use serde_json::{Value, json};

use crate::guest::{Guest, answer};
use crate::place::{Place, on_both_stores};
use crate::server::{guest_bytes, send};
use crate::zoo::{End, Zoo};

async fn logs_and_reports(mut place: Place) {
    let zoo = Zoo::open(&mut place).await;
    let record = zoo
        .probes(
            "a log flood",
            "flood",
            json!(null),
            "",
            End::Completes("null"),
        )
        .await;
    let id = record["id"].as_str().unwrap();
    let log = send(zoo.request(Method::GET, &format!("/jobs/{id}/log"))).await;
    assert!(log.body.len() < 200_000, "{}", log.body.len());
    log.naming(&["were dropped"]);
    let reports = Guest::that(format!(
        "(loop $more
            (call $update-progress (i32.const 50) (i32.const 1) (i32.const 1024) (i32.const 10) (i32.const 256))
            (br_if $more (i32.eqz (i32.load8_u (i32.const 256)))))
         {}",
        answer("told")
    ));
    let limit = "?host_calls=300000";
    zoo.runs("a progress flood", &reports, limit, End::Completes("told"))
        .await;
    zoo.close(place).await;
}

async fn posts(mut place: Place) {
    let zoo = Zoo::open(&mut place).await;
    zoo.upload_as("noop", guest_bytes("probe"), "")
        .await
        .expect(200);
    for many in [false, true] {
        let flood = json!({"function": "noop", "n": 3000, "many": many});
        zoo.probes(
            "a post flood",
            "spawn",
            flood,
            "?posts=2000",
            End::Fails("failed", &["post jobs", "2000"]),
        )
        .await;
    }
    zoo.close(place).await;
}

async fn stores(mut place: Place) {
    let zoo = Zoo::open(&mut place).await;
    let store = |bytes: u32| {
        Guest::that(format!(
            "(drop (memory.grow (i32.const 1000)))
             (loop $more
                (call $store-data (i32.const 0) (i32.const {bytes}) (i32.const 0) (i32.const 0) (i32.const 0)
                    (i32.const 0) (i64.const 0) (i32.const 256))
                (br_if $more (i32.eqz (i32.load8_u (i32.const 256)))))
             (call $fail (i32.const 1) (i32.load (i32.const 264)) (i32.load (i32.const 268)))"
        ))
    };
    for (what, bytes, limit) in [
        (
            "a store flood of 5 MB each",
            5_000_000,
            "?stored_bytes=30000000",
        ),
        ("a store flood of 10 bytes each", 10, "?stored_bytes=20000"),
    ] {
        let end = End::Fails("failed", &["store bytes"]);
        zoo.runs(what, &store(bytes), limit, end).await;
    }
    zoo.close(place).await;
}

/// The text of an error that a step of `compose` met.
fn error(record: &Value, result: &Value, step: usize) -> String {
    let error = result[step]["error"].as_str();
    error
        .unwrap_or_else(|| panic!("step {step}: {result} of {record}"))
        .to_owned()
}

async fn waits(mut place: Place) {
    let zoo = Zoo::open(&mut place).await;
    for name in ["compose", "noop"] {
        let uploaded = zoo.upload_as(name, guest_bytes("probe"), "?host_calls=30000");
        uploaded.await.expect(200);
    }
    let many: Vec<String> = (0..10_001).map(|n| format!("9{n:06}")).collect();
    let unknown: Vec<String> = (0..9_000).map(|n| format!("8{n:06}")).collect();
    let odd = [
        "",
        "-1",
        "+1",
        "1 OR 1=1",
        "../1",
        "canary:1",
        "18446744073709551616",
        "\u{0}",
    ];
    let try_ = |step: Value| json!({"try": [step]});
    let mut steps = vec![
        try_(json!({"wait": "{own}"})),
        try_(json!({"wait": "999999"})),
        try_(json!({"wait-each": {"jobs": many}})),
    ];
    steps.extend(odd.map(|id| try_(json!({"wait": id}))));
    let waits = json!({"wait-each": {"jobs": unknown}});
    steps.extend((0..4).map(|_| try_(waits.clone())));
    // The child waits for its parent, while that waits for it: whichever comes second is told.
    let child = json!({"post": {"compose": [try_(json!({"wait": "{parent}"}))]}});
    let message = json!([child, try_(json!({"wait": "{last}"}))]);
    let run = async {
        let id = zoo.post("compose", &json!(steps)).await;
        let tree = zoo.post("compose", &message).await;
        (zoo.ended(&id).await, zoo.ended(&tree).await)
    };
    let (record, tree) = zoo.canary.beside(&zoo.server, "waits", run).await;
    let result = |record: &Value| {
        let id = record["id"].as_str().unwrap().to_owned();
        let path = format!("/jobs/{id}/result");
        let request = zoo.request(Method::GET, &path);
        async move { send(request).await.expect(200).json() }
    };
    let told = result(&record).await;
    assert!(
        error(&record, &told, 0).contains("wait for itself"),
        "{told}"
    );
    assert!(error(&record, &told, 1).contains("no job"), "{told}");
    assert!(error(&record, &told, 2).contains("10000"), "{told}");
    for step in 3..3 + odd.len() {
        assert!(error(&record, &told, step).contains("no job"), "{told}");
    }
    let last = error(&record, &told, 3 + odd.len() + 3);
    assert!(last.contains("host calls"), "{last}");
    let told = result(&tree).await.to_string();
    assert!(told.contains("wait for itself"), "{told}");
    zoo.close(place).await;
}

on_both_stores! {
    logs_and_reports,
    posts,
    stores,
    waits,
}
