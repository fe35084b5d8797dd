//! The dead letter over HTTP: what jobs died of, having them run again, and deleting them.

use reqwest::{Method, RequestBuilder};
use serde_json::{Value, json};

use crate::place::{Place, on_both_stores};
use crate::server::{Answer, Server, send};

on_both_stores! {
    a_failed_job_is_retried,
    what_cannot_be_retried_says_why,
    the_causes_of_a_dead_letter_are_counted,
    a_dead_letter_is_requeued_by_what_its_jobs_are,
    jobs_of_a_dead_letter_are_deleted,
    tens_of_thousands_take_a_few_requests,
    a_bad_choice_is_refused_and_changes_nothing,
    the_dead_letter_of_a_namespace_is_its_own,
}

fn as_json(request: RequestBuilder) -> RequestBuilder {
    request.header("accept", "application/json")
}

async fn post(server: &Server, path: &str, body: Option<Value>) -> Answer {
    let request = as_json(server.request(Method::POST, path));
    send(match body {
        Some(body) => request.json(&body),
        None => request,
    })
    .await
}

async fn delete(server: &Server, query: &str) -> Answer {
    let path = format!("/dead{query}");
    send(as_json(server.request(Method::DELETE, &path))).await
}

async fn dead(server: &Server) -> Vec<String> {
    let list = server.json("/dead").await;
    let jobs = list["jobs"].as_array().unwrap().iter();
    jobs.map(|job| job["id"].as_str().unwrap().to_owned())
        .collect()
}

async fn a_failed_job_is_retried(mut place: Place) {
    let server = place.with("probe", &[]).await;
    server.run("failed", json!(null)).await;
    let pause = server.request(Method::POST, "/queue/pause");
    send(pause).await.expect(200);
    let retry = || server.request(Method::POST, "/jobs/1/retry");
    assert_eq!(send(retry()).await.expect(200).text(), "queued");
    let record = server.json("/jobs/1").await;
    assert_eq!(record["state"], "queued");
    assert_eq!(
        (&record["attempt"], &record["max_attempts"]),
        (&json!(1), &json!(6))
    );
    assert_eq!(record["attempts"][0]["cause"]["kind"], "failed");
    // Who had heard the end is told that the job goes on.
    let events = server.request(Method::GET, "/jobs/1/events");
    let events = events.header("last-event-id", "1-0-0-end").send().await;
    assert_eq!(events.unwrap().status(), 200);
    send(server.request(Method::POST, "/queue/resume"))
        .await
        .expect(200);
    let record = server.ended("1").await;
    assert_eq!(
        (&record["attempt"], &record["state"]),
        (&json!(2), &json!("failed"))
    );
    assert_eq!(record["attempts"].as_array().unwrap().len(), 2);
    let queue = server.json("/queue").await;
    assert_eq!((&queue["posted"], &queue["failed"]), (&json!(1), &json!(1)));
    let answer = send(as_json(retry())).await.expect(200);
    assert_eq!(answer.json(), json!({"id": "1", "state": "queued"}));
    assert_eq!(server.ended("1").await["attempt"], 3);
}

async fn what_cannot_be_retried_says_why(mut place: Place) {
    let server = place.with("probe", &[]).await;
    server.run("noop", json!(null)).await;
    let pause = server.request(Method::POST, "/queue/pause");
    send(pause).await.expect(200);
    for _ in 0..2 {
        server.post("noop", json!(null)).await;
    }
    send(server.request(Method::DELETE, "/jobs/3"))
        .await
        .expect(200);
    for (id, status, kind, words) in [
        ("1", 409, "job-completed", "has completed"),
        ("2", 409, "job-not-ended", "waits or runs"),
        ("4", 404, "unknown-job", "no job 4"),
        ("x", 404, "no-such-name", "x"),
    ] {
        let answer = post(&server, &format!("/jobs/{id}/retry"), None).await;
        let answer = answer.expect(status).naming(&[words]);
        assert_eq!(answer.json()["type"], format!("urn:skep:problem:{kind}"));
    }
    post(&server, "/jobs/3/retry", None).await.expect(200);
    assert_eq!(server.json("/jobs/3").await["state"], "queued");
}

/// Jobs 1 to 5: two traps, two failures, of which one is of another function as well, and
/// one that is no good.
async fn some_dead(server: &Server) {
    server.run("trap", json!("first")).await;
    server.run("trap", json!("second")).await;
    server.run("failed", json!("third")).await;
    let both = r#"{"msg": "fourth", "functions": ["noop", "failed", "echo"]}"#;
    let id = server.post_text(both).await.expect(200).text();
    server.ended(&id).await;
    server.run("invalid", json!("fifth")).await;
    assert_eq!(dead(server).await, ["5", "4", "3", "2", "1"]);
}

async fn the_causes_of_a_dead_letter_are_counted(mut place: Place) {
    let server = place.with("probe", &[]).await;
    let none = server.json("/dead/causes").await;
    assert_eq!(none, json!({"causes": [], "complete": true}));
    some_dead(&server).await;
    let counted = server.json("/dead/causes").await;
    assert_eq!(counted["complete"], true);
    let causes = counted["causes"].as_array().unwrap();
    let brief: Vec<_> = (causes.iter())
        .map(|one| {
            let of = |name: &str| one[name].as_str().unwrap();
            let count = one["count"].as_u64().unwrap();
            (of("function"), of("cause"), count, of("newest_id"))
        })
        .collect();
    // The second function of job 4 is the one that failed.
    let expected = [
        ("failed", "failed", 2, "4"),
        ("trap", "trap", 2, "2"),
        ("invalid", "invalid", 1, "5"),
    ];
    assert_eq!(brief, expected);
    assert_eq!(causes[0]["example"], "the work is no good");
    let newest = server.json("/jobs/4").await;
    assert_eq!(causes[0]["newest_at_ms"], newest["ended_at_ms"]);
    let bad = server.get("/dead/causes?limit=1").await;
    bad.expect(400).naming(&["unknown field"]);
}

async fn a_dead_letter_is_requeued_by_what_its_jobs_are(mut place: Place) {
    let server = place.with("probe", &[]).await;
    some_dead(&server).await;
    let pause = server.request(Method::POST, "/queue/pause");
    send(pause).await.expect(200);
    let requeue = async |body: Value| {
        let answer = post(&server, "/dead/requeue", Some(body)).await.expect(200);
        let answer = answer.json();
        assert_eq!(answer["next"], Value::Null);
        answer["requeued"].as_u64().unwrap()
    };
    assert_eq!(requeue(json!({"cause": "timed-out"})).await, 0);
    assert_eq!(
        requeue(json!({"cause": "trap", "function": "failed"})).await,
        0
    );
    assert_eq!(requeue(json!({"cause": "trap", "text": "FIRST"})).await, 1);
    assert_eq!(dead(&server).await, ["5", "4", "3", "2"]);
    assert_eq!(requeue(json!({"function": "echo"})).await, 1);
    assert_eq!(requeue(json!({"ids": ["4", "3", "1", "99"]})).await, 1);
    assert_eq!(requeue(json!({"posted_before_ms": 1})).await, 0);
    assert_eq!(dead(&server).await, ["5", "2"]);
    let all = server.request(Method::POST, "/dead/requeue");
    assert_eq!(send(all).await.expect(200).text(), "2");
    assert_eq!(dead(&server).await, [""; 0]);
    let queue = server.json("/queue").await;
    assert_eq!((&queue["queued"], &queue["failed"]), (&json!(5), &json!(0)));
}

async fn jobs_of_a_dead_letter_are_deleted(mut place: Place) {
    let server = place.with("probe", &[]).await;
    some_dead(&server).await;
    let keyed = r#"{"msg": 6, "functions": ["trap"], "idempotency_key": "k"}"#;
    assert_eq!(server.post_text(keyed).await.expect(200).text(), "6");
    server.ended("6").await;
    server.run("noop", json!(null)).await;
    let one = delete(&server, "?ids=6,7,%201").await.expect(200);
    assert_eq!(one.json(), json!({"deleted": 2, "next": null}));
    for gone in ["/jobs/6", "/jobs/6/result", "/jobs/6/log", "/jobs/6/events"] {
        server.get(gone).await.expect(404);
    }
    server.get("/jobs/7").await.expect(200);
    // Its key is free.
    assert_eq!(server.post_text(keyed).await.expect(200).text(), "8");
    server.ended("8").await;
    let failed = delete(&server, "?cause=failed&function=failed").await;
    assert_eq!(failed.expect(200).json()["deleted"], 2);
    assert_eq!(dead(&server).await, ["8", "5", "2"]);
    let rest = send(server.request(Method::DELETE, "/dead")).await;
    assert_eq!(rest.expect(200).text(), "3");
    assert_eq!(dead(&server).await, [""; 0]);
}

async fn tens_of_thousands_take_a_few_requests(mut place: Place) {
    const JOBS: usize = 11_000;
    let server = place.with("multiply", &[]).await;
    // None is so slow that it would still wait.
    let line = r#"{"msg": {"arg1": 1, "arg2": 0}, "functions": ["divide"]}"#;
    let batch = server.request(Method::POST, "/jobs/batch");
    let batch = batch.header("content-type", "application/x-ndjson");
    send(batch.body(format!("{line}\n").repeat(JOBS)))
        .await
        .expect(200);
    server.until_queue(|queue| queue["failed"] == JOBS).await;
    let counted = server.json("/dead/causes").await;
    assert_eq!(counted["complete"], false);
    assert_eq!(counted["causes"][0]["count"], 10_000);
    let pause = server.request(Method::POST, "/queue/pause");
    send(pause).await.expect(200);
    let first = post(&server, "/dead/requeue", None)
        .await
        .expect(200)
        .json();
    assert_eq!(
        (&first["requeued"], &first["next"]),
        (&json!(10_000), &json!("1001"))
    );
    let rest = post(&server, "/dead/requeue", Some(json!({"cursor": "1001"}))).await;
    assert_eq!(
        rest.expect(200).json(),
        json!({"requeued": 1_000, "next": null})
    );
    let resume = server.request(Method::POST, "/queue/resume");
    send(resume).await.expect(200);
    server.until_queue(|queue| queue["failed"] == JOBS).await;
    let first = delete(&server, "").await.expect(200).json();
    assert_eq!(
        (&first["deleted"], &first["next"]),
        (&json!(10_000), &json!("1001"))
    );
    let rest = delete(&server, "?cursor=1001").await.expect(200).json();
    assert_eq!(rest, json!({"deleted": 1_000, "next": null}));
    assert_eq!(
        server.json("/jobs").await,
        json!({"jobs": [], "next": null})
    );
}

async fn a_bad_choice_is_refused_and_changes_nothing(mut place: Place) {
    let server = place.with("probe", &[]).await;
    server.run("trap", json!(null)).await;
    for (body, words) in [
        ("[]", "no JSON object"),
        ("null", "no JSON object"),
        ("{", "EOF"),
        (r#"{"id": "1"}"#, "unknown field `id`"),
        (r#"{"ids": 1}"#, "a list of ids"),
        (r#"{"ids": [1]}"#, "a list of ids"),
        (r#"{"ids": ["x"]}"#, "a list of ids"),
        (r#"{"ids": "x"}"#, "ids"),
        (r#"{"cause": "boom"}"#, "unknown variant"),
        (r#"{"function": "a/b"}"#, "a/b"),
        (r#"{"text": ""}"#, "1 to 256 bytes"),
        (r#"{"posted_before_ms": -1}"#, "invalid value"),
        (r#"{"cursor": "x"}"#, "cursor"),
    ] {
        let request = as_json(server.request(Method::POST, "/dead/requeue"));
        let answer = send(request.body(body)).await;
        answer.expect(400).naming(&[words]);
    }
    let many = vec!["1"; 10_001];
    let many = post(&server, "/dead/requeue", Some(json!({"ids": many}))).await;
    many.expect(400).naming(&["at most 10000"]);
    let large = post(
        &server,
        "/dead/requeue",
        Some(json!({"text": "x".repeat(300_000)})),
    )
    .await;
    large.expect(413);
    for (query, words) in [
        ("?id=1", "unknown field `id`"),
        ("?ids=", "ids"),
        ("?ids=1,x", "ids"),
        ("?ids=1&ids=2", "duplicate field"),
        ("?cause=boom", "boom"),
        ("?text=", "1 to 256 bytes"),
        ("?state=failed", "unknown field `state`"),
        ("?cursor=x", "cursor"),
        ("?posted_before_ms=x", "posted_before_ms"),
    ] {
        delete(&server, query).await.expect(400).naming(&[words]);
    }
    assert_eq!(dead(&server).await, ["1"]);
    // There is no such route: it could be taken for one that spares the rest.
    let one = send(server.request(Method::DELETE, "/dead/1")).await;
    one.expect(404);
}

async fn the_dead_letter_of_a_namespace_is_its_own(mut place: Place) {
    let server = place.with("probe", &[]).await;
    server.run("trap", json!("mine")).await;
    let theirs = |method, path: &str| {
        let request = as_json(server.request(method, path));
        request.header("skep-namespace", "other")
    };
    for path in ["/dead", "/jobs", "/jobs?text=mine", "/dead?cause=trap"] {
        let list = send(theirs(Method::GET, path)).await.expect(200);
        assert_eq!(list.json(), json!({"jobs": [], "next": null}), "{path}");
    }
    let causes = send(theirs(Method::GET, "/dead/causes")).await;
    assert_eq!(causes.expect(200).json()["causes"], json!([]));
    let retry = theirs(Method::POST, "/jobs/1/retry");
    send(retry).await.expect(404);
    let requeue = theirs(Method::POST, "/dead/requeue");
    let requeue = send(requeue.json(&json!({"ids": ["1"]}))).await;
    assert_eq!(requeue.expect(200).json()["requeued"], 0);
    let delete = theirs(Method::DELETE, "/dead?ids=1");
    assert_eq!(send(delete).await.expect(200).json()["deleted"], 0);
    assert_eq!(dead(&server).await, ["1"]);
}
