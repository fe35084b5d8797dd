//! Jobs that make jobs and wait for them, from inside real guests.

use std::time::{Duration, Instant};

use reqwest::Method;
use serde_json::{Value, json};

use crate::place::{Place, on_both_stores};
use crate::server::{Server, send};

on_both_stores!(
    a_job_gets_what_its_jobs_came_to,
    one_worker_finishes_a_chain_fifty_deep,
    one_worker_finishes_a_fan_out_of_ten_thousand,
    one_worker_with_one_place_finishes_a_tree,
    a_job_that_failed_is_an_error_that_the_guest_can_read,
    what_can_never_end_is_answered_at_once,
    siblings_that_wait_for_each_other_are_told,
    a_job_of_another_namespace_is_unknown,
    a_wait_may_have_a_timeout,
    the_time_parked_is_not_the_time_run,
    the_time_parked_has_a_limit_of_its_own,
    options_reach_the_jobs_that_a_job_posts,
    a_fork_bomb_is_stopped_by_its_depth,
    a_fork_bomb_is_stopped_by_its_budget,
);

/// Posts steps for `compose`.
pub(crate) async fn post(server: &Server, steps: Value) -> String {
    server.post("compose", steps).await
}

/// The result of steps.
async fn result(server: &Server, steps: Value) -> Value {
    server.result("compose", steps).await.json()
}

/// A job's children, from its record.
pub(crate) fn children(record: &Value) -> Vec<String> {
    let children = record["children"].as_array().unwrap().iter();
    children.map(|id| id.as_str().unwrap().to_owned()).collect()
}

#[track_caller]
fn names(value: &Value, words: &[&str]) {
    let text = value.to_string();
    for word in words {
        assert!(text.contains(word), "{word:?} is not in: {text}");
    }
}

async fn a_job_gets_what_its_jobs_came_to(mut place: Place) {
    let server = place.with("probe", &[]).await;
    let echo = |message: Value| json!({"post": {"function": "echo", "message": message}});
    let steps = json!([
        echo(json!("a")),
        echo(json!({"b": [1, 2]})),
        {"wait": "{1}"},
        {"wait-all": {}},
        {"wait-all": {"jobs": ["{1}", "{0}", "{1}"]}},
    ]);
    let values = result(&server, steps).await;
    let (a, b) = (json!("a"), json!({"b": [1, 2]}));
    assert_eq!(values[2], b);
    assert_eq!(values[3], json!([a, b]));
    assert_eq!(values[4], json!([b, a, b]));
    let parent = server.json("/jobs/1").await;
    assert_eq!(children(&parent), ["2", "3"]);
    assert_eq!(
        (&parent["child_count"], &parent["attempt"]),
        (&json!(2), &json!(1))
    );
    let child = server.json("/jobs/2").await;
    assert_eq!(
        (&child["parent"], &child["depth"]),
        (&json!("1"), &json!(1))
    );
}

async fn one_worker_finishes_a_chain_fifty_deep(mut place: Place) {
    let server = place.with("probe", &["--workers", "1"]).await;
    let chain = json!([{"tree": {"depth": 50, "width": 1}}]);
    assert_eq!(result(&server, chain).await, json!([51]));
    let last = server.json("/jobs/51").await;
    assert_eq!(
        (&last["depth"], &last["state"]),
        (&json!(50), &json!("completed"))
    );
}

async fn one_worker_finishes_a_fan_out_of_ten_thousand(mut place: Place) {
    let server = place.with("probe", &["--workers", "1"]).await;
    let steps = json!([
        {"post": {"function": "echo", "message": 7, "many": 10_000}},
        {"wait-all": {}},
    ]);
    let values = result(&server, steps).await;
    assert_eq!(values[1], json!(vec![7; 10_000]));
    let parent = server.json("/jobs/1").await;
    assert_eq!(parent["child_count"], 10_000);
    assert_eq!(children(&parent).len(), 100);
}

async fn one_worker_with_one_place_finishes_a_tree(mut place: Place) {
    let server = place
        .with("probe", &["--workers", "1", "--max-parked", "1"])
        .await;
    let tree = json!([{"tree": {"depth": 3, "width": 2}}]);
    assert_eq!(result(&server, tree).await, json!([15]));
    let queue = server.json("/queue").await;
    assert_eq!(
        (&queue["posted"], &queue["completed"]),
        (&json!(15), &json!(15))
    );
    for id in 1..=15 {
        let job = server.json(&format!("/jobs/{id}")).await;
        assert_eq!(job["attempt"], 1, "handing back costs no attempt: {job}");
    }
}

async fn a_job_that_failed_is_an_error_that_the_guest_can_read(mut place: Place) {
    let server = place.with("probe", &[]).await;
    let child = json!({"post": {"compose": [{"fail": "no luck"}]}});
    let steps = json!([child, {"try": [{"wait": "{0}"}]}]);
    let values = result(&server, steps).await;
    names(&values[1]["error"], &["no luck"]);
    let uncaught = server.run("compose", json!([child, {"wait": "{0}"}])).await;
    assert_eq!(uncaught["state"], "failed");
    names(&uncaught["cause"], &["no luck"]);
    let each = json!([
        child,
        {"post": {"function": "echo", "message": 1}},
        {"wait-each": {"jobs": ["{0}", "{1}"]}},
    ]);
    let values = result(&server, each).await;
    names(&values[2][0]["error"], &["no luck"]);
    assert_eq!(values[2][1], 1);
}

async fn what_can_never_end_is_answered_at_once(mut place: Place) {
    // With one worker the child begins once its parent waits, and is the one that is told.
    let server = place.with("probe", &["--workers", "1"]).await;
    let begun = Instant::now();
    let steps = json!([
        {"try": [{"wait": "{own}"}]},
        {"try": [{"wait": "999999"}]},
        {"try": [{"wait": "no such id"}]},
        {"post": {"compose": [{"try": [{"wait": "{parent}"}]}]}},
        {"wait": "{0}"},
        {"wait": "{0}"},
        {"wait-each": {"jobs": ["999999", "{0}"]}},
    ]);
    let values = result(&server, steps).await;
    names(&values[0]["error"], &["job 1 cannot wait for itself"]);
    names(&values[1]["error"], &["there is no job", "999999"]);
    names(&values[2]["error"], &["there is no job", "no such id"]);
    names(
        &values[4][0]["error"],
        &["2 waits for 1, and that for 2", "would wait for itself"],
    );
    assert_eq!(values[5], values[4]);
    names(&values[6][0]["error"], &["there is no job"]);
    assert!(begun.elapsed() < Duration::from_secs(10));
}

async fn siblings_that_wait_for_each_other_are_told(mut place: Place) {
    let server = place.with("probe", &["--workers", "4"]).await;
    let sibling = |other: &str| {
        let wait = format!("{{data:{other}}}");
        json!({"post": {"compose": [
            {"fetch-until-there": other},
            {"try": [{"wait": wait}]},
        ]}})
    };
    let steps = json!([
        sibling("b"),
        sibling("a"),
        {"store": {"key": "a", "data": "{0}"}},
        {"store": {"key": "b", "data": "{1}"}},
        {"wait-all": {}},
    ]);
    let values = result(&server, steps).await;
    // The one that came second is told; the other gets what it came to.
    let error = |n: usize| values[4][n][1]["error"].as_str();
    assert!(error(0).is_some() != error(1).is_some(), "{values}");
    names(&values, &["would wait for itself"]);
}

async fn a_job_of_another_namespace_is_unknown(mut place: Place) {
    let server = place.with("probe", &[]).await;
    let request = server.request(Method::POST, "/jobs");
    let body = json!({"msg": 1, "delay_ms": 1});
    for _ in 0..3 {
        let request = request.try_clone().unwrap();
        let request = request.header("skep-namespace", "other");
        send(request.json(&body)).await.expect(200);
    }
    let values = result(&server, json!([{"try": [{"wait": "3"}]}])).await;
    names(&values[0]["error"], &["there is no job", "3"]);
}

async fn a_wait_may_have_a_timeout(mut place: Place) {
    let server = place.with("probe", &["--workers", "1"]).await;
    let steps = json!([
        {"post": {"function": "echo", "message": 1, "delay_ms": 3_600_000}},
        {"try": [{"wait": {"job": "{0}", "timeout_ms": 200}}]},
        {"try": [{"wait-each": {"timeout_ms": 0}}]},
        {"post": {"function": "echo", "message": 2}},
        {"wait": "{1}"},
    ]);
    let values = result(&server, steps).await;
    names(&values[1]["error"], &["within 200 ms", "they go on"]);
    names(&values[2]["error"], &["within 0 ms"]);
    assert_eq!(values[4], 2);
    assert_eq!(server.json("/jobs/2").await["state"], "scheduled");
}

async fn the_time_parked_is_not_the_time_run(mut place: Place) {
    let server = place.server(&["--workers", "1"]).await;
    let query = "?timeout_ms=600";
    server.put("compose", "probe", query).await.expect(200);
    let steps = json!([
        {"post": {"compose": [{"return": 1}], "delay_ms": 1500}},
        {"wait": "{0}"},
    ]);
    let record = server.run("compose", steps).await;
    assert_eq!(record["state"], "completed", "{record}");
    assert!(record["attempts"][0]["usage"]["run_us"].as_u64().unwrap() < 600_000);
    // It still runs out when it runs again.
    let steps = json!([
        {"post": {"compose": [{"return": 1}], "delay_ms": 300}},
        {"wait": "{0}"},
        {"spin-until-cancelled": null},
    ]);
    let body = json!({"msg": steps, "functions": ["compose"], "max_attempts": 1});
    let id = server.post_text(body.to_string()).await.expect(200).text();
    let record = server.ended(&id).await;
    assert_eq!(record["cause"]["kind"], "timed-out", "{record}");
}

async fn the_time_parked_has_a_limit_of_its_own(mut place: Place) {
    let server = place.server(&[]).await;
    let query = "?parked_ms=300";
    server.put("compose", "probe", query).await.expect(200);
    let steps = json!([
        {"post": {"compose": [], "delay_ms": 3_600_000}},
        {"try": [{"wait": "{0}"}]},
        {"try": [{"wait": "{0}"}]},
    ]);
    let values = result(&server, steps).await;
    names(&values[1]["error"], &["parked for 300 ms in all"]);
    names(&values[2]["error"], &["parked for 300 ms in all"]);
}

async fn options_reach_the_jobs_that_a_job_posts(mut place: Place) {
    let server = place.with("probe", &[]).await;
    let child = json!({"post": {
        "function": "echo",
        "message": 1,
        "delay_ms": 3_600_000,
        "priority": 0,
        "idempotency_key": "the one",
        "max_attempts": 2,
        "retention_s": 7,
    }});
    let values = result(&server, json!([child, child])).await;
    assert_eq!(values[0], values[1], "the key answers the same id");
    let record = server.json("/jobs/2").await;
    assert_eq!(record["state"], "scheduled");
    assert_eq!(record["priority"], 0);
    assert_eq!(record["idempotency_key"], "the one");
    assert_eq!(record["max_attempts"], 2);
    assert_eq!(server.json("/jobs/1").await["child_count"], 1);
    // The key of another job.
    let mut other = child.clone();
    other["post"]["message"] = json!(2);
    let values = result(&server, json!([{"try": [other]}])).await;
    names(
        &values[0]["error"],
        &["invalid argument", "the one", "job 2"],
    );
    assert_eq!(server.json("/queue").await["posted"], 3);
    let short = json!([{"post": {
        "compose": [{"spin-until-cancelled": null}],
        "timeout_ms": 100,
        "max_attempts": 1,
    }}, {"try": [{"wait": "{0}"}]}]);
    names(
        &result(&server, short).await[1]["error"],
        &["timed-out", "100 ms"],
    );
}

async fn a_fork_bomb_is_stopped_by_its_depth(mut place: Place) {
    let server = place.with("probe", &[]).await;
    server.post("bomb", json!(null)).await;
    let last = server.until("1", |_| true).await;
    assert_eq!(last["depth"], 0);
    for id in 2..=65 {
        let path = format!("/jobs/{}/result?wait_ms=20000", id - 1);
        server.get(&path).await.expect(200);
    }
    let last = server.ended("65").await;
    assert_eq!(
        (&last["depth"], &last["state"]),
        (&json!(64), &json!("failed"))
    );
    names(&last["cause"], &["65 ancestors", "64 are allowed"]);
    assert_eq!(server.json("/queue").await["posted"], 65);
}

async fn a_fork_bomb_is_stopped_by_its_budget(mut place: Place) {
    let server = place.server(&[]).await;
    server
        .put("compose", "probe", "?posts=10")
        .await
        .expect(200);
    let child = json!({"post": {"compose": [], "delay_ms": 3_600_000, "many": 6}});
    let record = server.run("compose", json!([child, child])).await;
    assert_eq!(record["state"], "failed");
    names(&record["cause"], &["post jobs: at most 10", "4 are left"]);
    assert_eq!(record["child_count"], 6);
}
