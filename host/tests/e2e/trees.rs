//! Trees of jobs whose host dies, stops or is told to cancel them.

use std::time::{Duration, Instant};

use reqwest::Method;
use serde_json::{Value, json};

use crate::composing::{children, post};
use crate::place::{Place, on_both_stores};
use crate::server::{Server, send};

on_both_stores!(
    a_tree_survives_the_death_of_its_host_at_every_stage,
    a_parent_that_is_run_again_gets_the_children_that_it_has,
    a_parent_that_takes_another_path_gets_new_children,
    data_without_a_key_is_stored_once,
    a_host_that_stops_hands_parked_jobs_back,
    whoever_cancels_a_job_cancels_its_tree,
    the_tree_can_be_spared,
    a_parked_job_that_is_cancelled_may_tidy_up,
    a_tree_that_was_cancelled_is_cancelled_again,
);

fn state(record: &Value) -> &str {
    record["state"].as_str().unwrap()
}

async fn delete(server: &Server, path: &str) -> u16 {
    send(server.request(Method::DELETE, path))
        .await
        .status
        .as_u16()
}

/// Waits until a job is in this state.
async fn until(server: &Server, id: &str, wanted: &str) -> Value {
    server.until(id, |record| state(record) == wanted).await
}

async fn a_tree_survives_the_death_of_its_host_at_every_stage(mut place: Place) {
    const ONE: &[&str] = &["--workers", "1"];
    let stage = |n: u64| {
        json!({"post": {
            "compose": [{"spin": 30_000_000}, {"return": n}],
            "max_attempts": 20,
        }})
    };
    let steps = json!([
        stage(1), {"wait": "{0}"},
        stage(2), {"wait": "{1}"},
        stage(3), {"wait": "{2}"},
    ]);
    let mut server = place.with("probe", ONE).await;
    // More attempts than kills.
    let body = json!({"msg": steps, "functions": ["compose"], "max_attempts": 20});
    let id = server.post_text(body.to_string()).await.expect(200).text();
    for stage in 1..=3 {
        // Once while the parent waits for this stage, once while the stage runs.
        for wanted in ["parked", "running"] {
            let posted = server
                .until(&id, |parent| {
                    state(parent) == "completed" || parent["child_count"] == stage
                })
                .await;
            if let Some(child) = children(&posted).get(stage - 1) {
                let looked_at = if wanted == "parked" { &id } else { child };
                let seen = |job: &Value| [wanted, "completed"].contains(&state(job));
                server.until(looked_at, seen).await;
            }
            place.kill(server).await;
            server = place.server(ONE).await;
        }
    }
    let parent = server.ended(&id).await;
    assert_eq!(state(&parent), "completed", "{parent}");
    let result = server.get(&format!("/jobs/{id}/result")).await.json();
    let stages = (&result[1], &result[3], &result[5]);
    assert_eq!(stages, (&json!(1), &json!(2), &json!(3)));
    assert_eq!(children(&parent).len(), 3, "none was posted twice");
    for child in children(&parent) {
        let child = server.json(&format!("/jobs/{child}")).await;
        assert_eq!(state(&child), "completed", "{child}");
    }
    let queue = server.json("/queue").await;
    assert_eq!(
        (&queue["posted"], &queue["completed"]),
        (&json!(4), &json!(4))
    );
}

async fn a_parent_that_is_run_again_gets_the_children_that_it_has(mut place: Place) {
    let server = place.with("probe", &[]).await;
    let steps = json!([
        {"post": {"function": "echo", "message": "{attempt}"}},
        {"post": {"function": "echo", "message": 1, "many": 3}},
        {"attempt": [[{"retry": {"after_ms": 1}}], [{"trap": null}], []]},
        {"wait-all": {}},
    ]);
    let retried = json!([
        {"post": {"function": "echo", "message": 0}},
        {"post": {"function": "echo", "message": 1, "many": 3}},
        {"attempt": [[{"retry": {"after_ms": 1}}], [{"retry": {"after_ms": 1}}], []]},
        {"wait-all": {}},
    ]);
    let id = post(&server, retried).await;
    let record = server.ended(&id).await;
    assert_eq!(
        (state(&record), &record["attempt"]),
        ("completed", &json!(3))
    );
    assert_eq!(children(&record), ["2", "3", "4", "5"]);
    let result = server.get(&format!("/jobs/{id}/result")).await.json();
    assert_eq!(result[3], json!([0, 1, 1, 1]));
    // One that dies of a trap leaves its children to run.
    let id = post(&server, steps).await;
    let record = server.ended(&id).await;
    assert_eq!(
        (state(&record), &record["child_count"]),
        ("failed", &json!(4))
    );
    for child in children(&record) {
        assert_eq!(state(&server.ended(&child).await), "completed");
    }
}

async fn a_parent_that_takes_another_path_gets_new_children(mut place: Place) {
    let server = place.with("probe", &[]).await;
    let echo = |message: &str| json!({"post": {"function": "echo", "message": message}});
    let steps = json!([
        echo("both"),
        {"attempt": [
            [echo("first"), {"retry": {"after_ms": 1}}],
            [echo("second"), echo("third")],
        ]},
        {"wait-all": {}},
    ]);
    let id = post(&server, steps).await;
    let record = server.ended(&id).await;
    assert_eq!(state(&record), "completed", "{record}");
    assert_eq!(children(&record), ["2", "3", "4", "5"]);
    let result = server.get(&format!("/jobs/{id}/result")).await.json();
    assert_eq!(result[2], json!(["both", "second", "third"]));
}

async fn data_without_a_key_is_stored_once(mut place: Place) {
    let server = place.with("probe", &[]).await;
    let steps = json!([
        {"store": {"data": "a"}},
        {"store": {"data": "a"}},
        {"attempt": [[{"log": "first"}, {"retry": {"after_ms": 1}}], []]},
        {"store": {"data": "b"}},
    ]);
    let first = post(&server, steps.clone()).await;
    let record = server.ended(&first).await;
    assert_eq!(record["attempt"], 2);
    let keys = server.get(&format!("/jobs/{first}/result")).await.json();
    // What the first attempt stored under them was written over.
    assert_eq!(keys[0], "job-1-0-0-ca978112ca1bbdca");
    assert_eq!(keys[1], "job-1-0-1-ca978112ca1bbdca");
    assert_eq!(keys[3], "job-1-0-2-3e23e8160039594a");
    let second = post(&server, steps).await;
    server.ended(&second).await;
    let others = server.get(&format!("/jobs/{second}/result")).await.json();
    assert_ne!(keys[0], others[0], "each job has keys of its own");
}

async fn a_host_that_stops_hands_parked_jobs_back(mut place: Place) {
    let server = place.with("probe", &["--grace", "60s"]).await;
    let steps = json!([
        {"post": {"function": "echo", "message": 5, "delay_ms": 2_000}},
        {"wait": "{0}"},
    ]);
    let id = post(&server, steps).await;
    until(&server, &id, "parked").await;
    let begun = Instant::now();
    assert_eq!(place.terminate(server).await, Some(0));
    assert!(
        begun.elapsed() < Duration::from_secs(20),
        "it waited for it"
    );
    let server = place.server(&[]).await;
    let record = server.ended(&id).await;
    assert_eq!(
        (state(&record), &record["attempt"]),
        ("completed", &json!(1))
    );
    assert_eq!(record["child_count"], 1);
}

/// A parent that is parked, with a child that runs, one that is parked, and one that
/// waits for its time; and the parked one's child. Their ids in this order, the
/// parent's first.
async fn tree(server: &Server) -> Vec<String> {
    let late = json!({"post": {"function": "echo", "message": 1, "delay_ms": 3_600_000}});
    let steps = json!([
        {"post": {"compose": [{"spin-until-cancelled": null}]}},
        {"post": {"compose": [late, {"wait": "{0}"}]}},
        late,
        {"wait-all": {}},
    ]);
    let id = post(server, steps).await;
    let parent = server
        .until(&id, |parent| {
            state(parent) == "parked" && parent["child_count"] == 3
        })
        .await;
    let mut ids = vec![id];
    ids.extend(children(&parent));
    until(server, &ids[1], "running").await;
    let parked = until(server, &ids[2], "parked").await;
    ids.extend(children(&parked));
    ids
}

async fn whoever_cancels_a_job_cancels_its_tree(mut place: Place) {
    let server = place.with("probe", &["--workers", "4"]).await;
    let ids = tree(&server).await;
    assert_eq!(ids.len(), 5);
    assert_eq!(delete(&server, &format!("/jobs/{}", ids[0])).await, 202);
    for id in &ids {
        let record = server.ended(id).await;
        assert_eq!(state(&record), "cancelled", "{record}");
    }
    assert_eq!(server.json("/queue").await["cancelled"], 5);
}

async fn the_tree_can_be_spared(mut place: Place) {
    let server = place.with("probe", &["--workers", "4"]).await;
    let ids = tree(&server).await;
    let path = format!("/jobs/{}?tree=false", ids[0]);
    assert_eq!(delete(&server, &path).await, 202);
    assert_eq!(state(&server.ended(&ids[0]).await), "cancelled");
    for (id, wanted) in ids[1..]
        .iter()
        .zip(["running", "parked", "scheduled", "scheduled"])
    {
        let record = server.json(&format!("/jobs/{id}")).await;
        assert_eq!(state(&record), wanted, "{record}");
    }
}

async fn a_parked_job_that_is_cancelled_may_tidy_up(mut place: Place) {
    let server = place.with("probe", &[]).await;
    let steps = json!([
        {"post": {"function": "echo", "message": 1, "delay_ms": 3_600_000}},
        {"try": [{"wait": "{0}"}]},
        {"try": [{"post": {"function": "echo", "message": 2}}]},
        {"store": {"key": "tidy", "data": "done"}},
    ]);
    let id = post(&server, steps).await;
    until(&server, &id, "parked").await;
    let begun = Instant::now();
    assert_eq!(
        delete(&server, &format!("/jobs/{id}?tree=false")).await,
        202
    );
    let record = server.ended(&id).await;
    assert_eq!(state(&record), "cancelled");
    assert!(
        begun.elapsed() < Duration::from_secs(4),
        "it was told at once"
    );
    assert_eq!(record["child_count"], 1, "it posts no more");
    let tidied = server.result("fetch", json!({"key": "tidy"})).await;
    assert_eq!(tidied.text(), "done");
}

async fn a_tree_that_was_cancelled_is_cancelled_again(mut place: Place) {
    let server = place.with("probe", &["--workers", "4"]).await;
    let ids = tree(&server).await;
    // As if the first wish had been cut off after the parent.
    let path = format!("/jobs/{}", ids[0]);
    assert_eq!(delete(&server, &format!("{path}?tree=false")).await, 202);
    server.ended(&ids[0]).await;
    assert_eq!(delete(&server, &path).await, 409);
    for id in &ids {
        assert_eq!(state(&server.ended(id).await), "cancelled");
    }
    // The children of a job that ended by itself are left alone.
    let steps = json!([{"post": {"function": "echo", "message": 1, "delay_ms": 3_600_000}}]);
    let id = post(&server, steps).await;
    let child = children(&server.ended(&id).await).remove(0);
    assert_eq!(delete(&server, &format!("/jobs/{id}")).await, 409);
    assert_eq!(
        state(&server.json(&format!("/jobs/{child}")).await),
        "scheduled"
    );
}
