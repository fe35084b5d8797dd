//! One trace from the post through each attempt and each child to the callback, whichever
//! host does what.

use std::time::{Duration, Instant};

use reqwest::Method;
use serde_json::{Value, json};
use skep_testkit::RedisServer;
use tempfile::TempDir;

use crate::collector::{Collector, Span};
use crate::place::{Place, on_both_stores};
use crate::receiver::Receiver;
use crate::server::{Answer, PATIENCE, Server, guest_bytes, run, send, skep};

on_both_stores! {
    what_a_client_traces_is_shown_though_nothing_is_recorded,
}

const TRACE: &str = "0af7651916cd43dd8448eb211c80319c";
const CLIENT: &str = "b7ad6b7169203331";

/// Sends spans at once, and not five seconds later.
const SOON: (&str, &str) = ("OTEL_BSP_SCHEDULE_DELAY", "50");

async fn post(server: &Server, flags: &str, job: &Value) -> Answer {
    let request = server.request(Method::POST, "/jobs");
    let request = request.header("traceparent", format!("00-{TRACE}-{CLIENT}-{flags}"));
    send(request.json(job)).await.expect(200)
}

fn named<'a>(spans: &'a [Span], name: &str) -> Vec<&'a Span> {
    let mut named: Vec<_> = spans.iter().filter(|span| span.name == name).collect();
    named.sort_by_key(|span| span.begun_ns);
    named
}

#[tokio::test]
async fn one_trace_has_the_post_the_attempts_the_child_and_the_callback() {
    let (redis, collector, receiver) = (
        RedisServer::start(),
        Collector::start().await,
        Receiver::start().await,
    );
    let url = collector.url.as_str();
    let environment = [SOON, ("OTEL_EXPORTER_OTLP_ENDPOINT", url)];
    // It posts, and calls back; the other one runs jobs, and sends to where a flag says.
    let door = Server::with_env(&redis.url(), &["--no-worker"], &environment).await;
    let _worker = Server::with_env(&redis.url(), &["--otlp", url], &[SOON]).await;
    door.upload(guest_bytes("probe")).await.expect(200);
    let steps = json!([
        {"attempt": [[{"retry": {"after_ms": 10}}], []]},
        {"post": {"function": "noop", "message": null}},
        {"wait-all": {}},
    ]);
    let job = json!({"msg": steps, "functions": ["compose"], "callback": receiver.url("/done")});
    let id = post(&door, "01", &job).await.text();
    let record = door.ended(&id).await;
    assert_eq!(
        (&record["state"], &record["attempt"]),
        (&json!("completed"), &json!(2))
    );
    assert_eq!(record["trace_id"], TRACE);
    let child = record["children"][0].as_str().unwrap();
    assert_eq!(door.ended(child).await["trace_id"], TRACE);
    let spans = collector
        .until(|spans| {
            let names = ["POST /jobs", "process noop", "callback"];
            names.iter().all(|name| !named(spans, name).is_empty())
                && named(spans, "process compose").len() == 2
                && named(spans, "wait").len() == 2
        })
        .await;
    assert!(spans.iter().all(|span| span.trace == TRACE), "{spans:#?}");
    assert!(spans.iter().all(|span| span.begun_ns <= span.ended_ns));
    let post = named(&spans, "POST /jobs")[0];
    assert_eq!(
        (post.parent.as_str(), post.kind),
        (CLIENT, 2),
        "a server's, of the client"
    );
    assert_eq!(post.attribute("http.response.status_code"), "200");
    let attempts = named(&spans, "process compose");
    for (attempt, number) in attempts.iter().zip(["1", "2"]) {
        assert_eq!(
            (&attempt.parent, attempt.kind),
            (&post.id, 5),
            "a consumer's"
        );
        assert_eq!(attempt.attribute("skep.attempt"), number);
        assert_eq!(attempt.attribute("skep.job.id"), id);
        assert_eq!(attempt.attribute("skep.namespace"), "default");
        assert_ne!(attempt.host, post.host, "it ran on the other host");
        assert!(attempt.attribute("skep.fuel").parse::<u64>().unwrap() > 0);
    }
    let [first, second] = attempts[..] else {
        panic!("{attempts:#?}")
    };
    assert_eq!(first.attribute("skep.outcome"), "retried");
    assert_eq!(
        (first.attribute("error.type").as_str(), first.is_error),
        ("retry", true)
    );
    assert_eq!(second.attribute("skep.outcome"), "completed");
    assert!(!second.is_error);
    let noop = named(&spans, "process noop")[0];
    assert_eq!(noop.parent, second.id, "the attempt that posted it");
    assert_eq!(noop.attribute("skep.job.id"), child);
    let waits = named(&spans, "wait");
    assert_eq!((&waits[0].parent, &waits[1].parent), (&post.id, &second.id));
    // Both hosts send callbacks.
    let called = named(&spans, "callback");
    assert_eq!((called.len(), &called[0].parent), (1, &post.id));
    assert_eq!(called[0].attribute("skep.outcome"), "delivered");
    // The receiver goes on with that span.
    let calls = receiver.calls();
    let told = format!("00-{TRACE}-{}-01", called[0].id);
    assert_eq!((calls.len(), &calls[0].headers["traceparent"]), (1, &told));
}

#[tokio::test]
async fn what_nobody_samples_is_not_sent_and_has_its_trace_still() {
    let (redis, collector) = (RedisServer::start(), Collector::start().await);
    let environment = [
        SOON,
        ("OTEL_EXPORTER_OTLP_ENDPOINT", collector.url.as_str()),
    ];
    let server = Server::with_env(&redis.url(), &[], &environment).await;
    server.upload(guest_bytes("probe")).await.expect(200);
    let job = json!({"msg": null, "functions": ["noop"]});
    let id = post(&server, "00", &job).await.text();
    assert_eq!(server.ended(&id).await["trace_id"], TRACE);
    // One without a client's trace begins one of its own, which is sampled.
    let own = server.post("noop", json!(null)).await;
    let own_trace = server.ended(&own).await["trace_id"].clone();
    let spans = collector
        .until(|spans| !named(spans, "process noop").is_empty())
        .await;
    assert_ne!(own_trace, TRACE);
    assert!(
        spans.iter().all(|span| span.trace == own_trace),
        "{spans:#?}"
    );
}

#[tokio::test]
async fn a_batch_is_one_trace() {
    let collector = Collector::start().await;
    let redis = RedisServer::start();
    let environment = [
        SOON,
        ("OTEL_EXPORTER_OTLP_ENDPOINT", collector.url.as_str()),
    ];
    let server = Server::with_env(&redis.url(), &[], &environment).await;
    server.upload(guest_bytes("probe")).await.expect(200);
    let lines = "{\"msg\": null, \"functions\": [\"noop\"]}\n".repeat(3);
    let request = server.request(Method::POST, "/jobs/batch");
    let request = request.header("content-type", "application/x-ndjson");
    send(request.body(lines)).await.expect(200);
    let spans = collector
        .until(|spans| named(spans, "process noop").len() == 3)
        .await;
    let post = named(&spans, "POST /jobs/batch")[0];
    assert!(
        named(&spans, "process noop")
            .iter()
            .all(|run| run.parent == post.id)
    );
}

/// The context goes where the job goes.
#[tokio::test]
async fn a_moved_job_keeps_its_trace() {
    let (collector, redis) = (Collector::start().await, RedisServer::start());
    let from = Server::start_with(TempDir::new().unwrap(), &["--no-worker"]).await;
    from.upload(guest_bytes("probe")).await.expect(200);
    let job = json!({"msg": null, "functions": ["noop"]});
    let id = post(&from, "01", &job).await.text();
    assert_eq!(from.json(&format!("/jobs/{id}")).await["trace_id"], TRACE);
    let store = from.store();
    let (_, directory) = from.terminate().await;
    let moved = run(skep().args(["queue", "mv", &store, &redis.url()])).await;
    assert_eq!(moved.0, Some(0), "{moved:?}");
    drop(directory);
    let environment = [
        SOON,
        ("OTEL_EXPORTER_OTLP_ENDPOINT", collector.url.as_str()),
    ];
    let to = Server::with_env(&redis.url(), &[], &environment).await;
    assert_eq!(to.ended("1").await["trace_id"], TRACE);
    let spans = collector
        .until(|spans| !named(spans, "process noop").is_empty())
        .await;
    let run = named(&spans, "process noop")[0];
    assert_eq!((run.trace.as_str(), run.parent.as_str()), (TRACE, CLIENT));
}

async fn what_a_client_traces_is_shown_though_nothing_is_recorded(mut place: Place) {
    let server = place.with("probe", &[]).await;
    let steps = json!([{"post": {"function": "noop", "message": null}}, {"wait-all": {}}]);
    let job = json!({"msg": steps, "functions": ["compose"]});
    let id = post(&server, "01", &job).await.text();
    let record = server.ended(&id).await;
    assert_eq!(record["trace_id"], TRACE);
    let child = record["children"][0].as_str().unwrap();
    assert_eq!(server.ended(child).await["trace_id"], TRACE);
    // A receiver is told of the trace as the client gave it.
    let receiver = Receiver::start().await;
    let job = json!({"msg": null, "functions": ["noop"], "callback": receiver.url("/")});
    post(&server, "01", &job).await;
    server.post_text(job.to_string()).await.expect(200);
    let calls = receiver.until(PATIENCE, |calls| calls.len() == 2).await;
    let mut told: Vec<_> = calls
        .iter()
        .map(|call| call.headers.get("traceparent").map(String::as_str))
        .collect();
    told.sort();
    let given = format!("00-{TRACE}-{CLIENT}-01");
    assert_eq!(told, [None, Some(given.as_str())]);
    // Without a client's trace, or with one that is none, there is none.
    let request = server
        .request(Method::POST, "/jobs")
        .header("traceparent", "00-0-0-01");
    let id = send(request.json(&json!({"msg": null, "functions": ["noop"]})))
        .await
        .expect(200)
        .text();
    assert_eq!(server.ended(&id).await.get("trace_id"), None);
}

/// Nobody waits for a collector, and the log has its secrets in no line.
#[tokio::test]
async fn a_collector_that_is_away_costs_a_line_of_the_log() {
    let nobody = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = nobody.local_addr().unwrap().port();
    drop(nobody);
    let url = format!("http://me:tr0ub4dor@127.0.0.1:{port}");
    let redis = RedisServer::start();
    let environment = [
        SOON,
        ("OTEL_EXPORTER_OTLP_ENDPOINT", url.as_str()),
        ("OTEL_EXPORTER_OTLP_HEADERS", "api-key=s3cr3tkey"),
        ("SKEP_LOG", "debug"),
    ];
    let server = Server::with_env(&redis.url(), &[], &environment).await;
    server.upload(guest_bytes("probe")).await.expect(200);
    for _ in 0..20 {
        assert_eq!(server.run("noop", json!(null)).await["state"], "completed");
    }
    server.process.until_said("spans are lost").await;
    let begun = Instant::now();
    server.run("noop", json!(null)).await;
    let said = server.process.said();
    let lines = said.lines().filter(|line| line.contains("spans are lost"));
    assert_eq!(lines.count(), 1, "{said}");
    for secret in ["tr0ub4dor", "s3cr3tkey"] {
        assert!(!said.contains(secret), "{said}");
    }
    let (code, _) = server.terminate().await;
    assert_eq!(code, Some(0));
    assert!(
        begun.elapsed() < Duration::from_secs(20),
        "it stops without it"
    );
}

#[tokio::test]
async fn an_address_that_is_none_is_refused_without_being_repeated() {
    let directory = TempDir::new().unwrap();
    let store = format!("embedded:{}", directory.path().join("store").display());
    let given = "http://me:tr0ub4dor@ bad";
    let refused = run(skep().args(["serve", "--store", &store, "--otlp", given])).await;
    assert_eq!(refused.0, Some(2), "{refused:?}");
    assert!(
        refused.2.contains("4318") && !refused.2.contains("tr0ub4dor"),
        "{refused:?}"
    );
}
