//! `GET /metrics`: what it says is what was done, in a form that Prometheus reads.

use reqwest::Method;
use serde_json::json;
use skep::metrics::{MAX_NAMESPACES_SHOWN, OTHER};
use skep_testkit::RedisServer;
use tempfile::TempDir;

use crate::exposition::Exposition;
use crate::place::{Place, on_both_stores};
use crate::process::Process;
use crate::receiver::Receiver;
use crate::server::{PATIENCE, Server, eventually, guest_bytes, run, send, skep};

on_both_stores! {
    the_numbers_are_those_of_what_was_done,
    the_age_of_the_oldest_job_grows_and_is_gone_with_it,
    namespaces_have_labels_up_to_a_bound,
    a_reader_of_all_namespaces_may_look,
}

const OPEN_METRICS: &str = "application/openmetrics-text; version=1.0.0";

pub(crate) async fn scrape(server: &Server) -> Exposition {
    let request = server.request(Method::GET, "/metrics");
    let answer = send(request.header("accept", OPEN_METRICS))
        .await
        .expect(200);
    assert!(answer.content_type.starts_with(OPEN_METRICS));
    Exposition::open_metrics(&answer.text())
}

/// Scrapes until this holds: the page may show the store as it was a second ago, and what
/// a job used comes a moment after its result.
pub(crate) async fn scraped(server: &Server, done: impl Fn(&Exposition) -> bool) -> Exposition {
    eventually(PATIENCE, || scrape(server), done).await
}

async fn the_numbers_are_those_of_what_was_done(mut place: Place) {
    let server = place.with("probe", &[]).await;
    let receiver = Receiver::start().await;
    for _ in 0..3 {
        server.run("noop", json!(null)).await;
    }
    let body = json!({"msg": null, "functions": ["trap"], "callback": receiver.url("/")});
    let id = server.post_text(body.to_string()).await.expect(200).text();
    server.ended(&id).await;
    let body = json!({"msg": {"succeed_at": 9}, "functions": ["retry"], "max_attempts": 3});
    let id = server.post_text(body.to_string()).await.expect(200).text();
    let retried = server.ended(&id).await;
    server.get("/no/such/route").await.expect(404);
    let attempts = retried["attempts"].as_array().unwrap().len() as f64;
    let page = scraped(&server, |page| {
        let ended = page.sum("skep_jobs_ended_total", &[]);
        ended >= 5.0 && page.sum("skep_callbacks_total", &[("outcome", "delivered")]) == 1.0
    })
    .await;
    let of = |function, outcome, cause| {
        let labels = [
            ("namespace", "default"),
            ("function", function),
            ("outcome", outcome),
            ("cause", cause),
        ];
        page.sum("skep_attempts_total", &labels)
    };
    assert_eq!(of("noop", "completed", ""), 3.0);
    assert_eq!(of("trap", "failed", "trap"), 1.0);
    assert_eq!(of("retry", "retried", "retry"), attempts - 1.0);
    assert_eq!(of("retry", "failed", "retry"), 1.0);
    for histogram in [
        "skep_job_run_seconds",
        "skep_job_fuel",
        "skep_job_memory_bytes",
    ] {
        let count = format!("{histogram}_count");
        assert_eq!(
            page.sum(&count, &[("function", "noop")]),
            3.0,
            "{histogram}"
        );
        let sum = format!("{histogram}_sum");
        assert!(page.sum(&sum, &[("function", "noop")]) > 0.0, "{histogram}");
    }
    // Once a job, however often it is tried.
    let status = server.json("/queue").await;
    let posted = status["posted"].as_f64().unwrap();
    assert_eq!(page.sum("skep_job_wait_seconds_count", &[]), posted);
    assert_eq!(page.sum("skep_jobs_posted_total", &[]), posted);
    assert_eq!(page.sum("skep_jobs", &[("state", "failed")]), 2.0);
    for outcome in ["completed", "failed", "cancelled"] {
        let ended = page.sum("skep_jobs_ended_total", &[("outcome", outcome)]);
        assert_eq!(status[outcome], ended as u64, "{outcome}");
    }
    let runs = page.sum("skep_sandbox_instantiation_seconds_count", &[]);
    assert!(runs >= posted, "{runs}");
    for name in ["skep_store_up", "skep_hosts", "skep_namespaces"] {
        assert_eq!(page.sum(name, &[]), 1.0, "{name}");
    }
    assert_eq!(
        page.sum("skep_compile_seconds_count", &[("outcome", "compiled")]),
        1.0
    );
    assert!(page.sum("skep_store_call_seconds_count", &[("call", "cycle")]) > 3.0);
    assert_eq!(page.sum("skep_store_errors_total", &[]), 0.0);
    assert!(page.sum("process_resident_memory_bytes", &[]) > 1e6);
    assert!(page.sum("process_cpu_seconds_total", &[]) > 0.0);
    // By routes, never by paths.
    let requests = |route, code| {
        let labels = [("route", route), ("code", code)];
        page.sum("skep_http_requests_total", &labels)
    };
    assert_eq!(requests("/jobs", "200"), 5.0);
    assert_eq!(requests(OTHER, "404"), 1.0);
    assert!(requests("/jobs/{id}", "200") >= 5.0);
    assert_eq!(page.units["skep_job_run_seconds"], "seconds");
    assert_eq!(page.types["skep_attempts"], "counter");
    // The older format says the same, under the names that a query has.
    let answer = server.get("/metrics").await.expect(200);
    assert_eq!(
        answer.content_type,
        "text/plain; version=0.0.4; charset=utf-8"
    );
    let older = Exposition::text(&answer.text());
    assert_eq!(older.types["skep_attempts_total"], "counter");
    let names = |page: &Exposition| {
        let mut names: Vec<_> = page.samples.iter().map(|s| s.name.clone()).collect();
        names.sort();
        names.dedup();
        names
    };
    assert_eq!(names(&older), names(&page));
    assert_eq!(
        older.sum("skep_attempts_total", &[]),
        page.sum("skep_attempts_total", &[])
    );
}

async fn the_age_of_the_oldest_job_grows_and_is_gone_with_it(mut place: Place) {
    let server = place.with("probe", &[]).await;
    send(server.request(Method::POST, "/queue/pause"))
        .await
        .expect(200);
    for _ in 0..2 {
        server.post("noop", json!(null)).await;
    }
    let age =
        |page: &Exposition| page.sum("skep_queue_oldest_seconds", &[("namespace", "default")]);
    let queued = |page: &Exposition| page.sum("skep_jobs", &[("state", "queued")]);
    let first = age(&scraped(&server, |page| queued(page) == 2.0 && age(page) > 0.0).await);
    scraped(&server, |page| age(page) > first).await;
    let page = scrape(&server).await;
    assert_eq!(page.sum("skep_queue_paused", &[]), 1.0);
    assert!(age(&page) < PATIENCE.as_secs_f64(), "in seconds");
    send(server.request(Method::POST, "/queue/resume"))
        .await
        .expect(200);
    scraped(&server, |page| age(page) == 0.0 && queued(page) == 0.0).await;
}

/// Whoever posts on a loopback address may name as many namespaces as he likes.
async fn namespaces_have_labels_up_to_a_bound(mut place: Place) {
    let server = place.server(&["--no-worker"]).await;
    let many = MAX_NAMESPACES_SHOWN + 20;
    for n in 0..many {
        let request = server.request(Method::POST, "/jobs");
        let request = request.header("skep-namespace", format!("space{n}"));
        send(request.json(&json!({"msg": n}))).await.expect(200);
    }
    let page = scraped(&server, |page| {
        page.sum("skep_jobs_posted_total", &[]) == many as f64
    })
    .await;
    assert_eq!(page.sum("skep_namespaces", &[]), many as f64);
    let shown: Vec<_> = page.of("skep_queue_oldest_seconds").collect();
    assert_eq!(shown.len(), MAX_NAMESPACES_SHOWN + 1);
    let other = page.sum("skep_jobs", &[("namespace", OTHER), ("state", "queued")]);
    assert_eq!(other, 20.0);
}

/// Whoever may read in all namespaces may read what is of all.
async fn a_reader_of_all_namespaces_may_look(mut place: Place) {
    let token = ["token", "create", "--scopes", "read", "--all-namespaces"];
    let made = run(skep().args(token).args(["--store", &place.store()])).await;
    assert_eq!(made.0, Some(0), "{made:?}");
    let server = place.server(&["--require-token"]).await;
    let look = || server.request(Method::GET, "/metrics");
    send(look()).await.expect(401);
    let answer = send(look().bearer_auth(&made.1)).await.expect(200);
    assert_eq!(
        Exposition::text(&answer.text()).sum("skep_store_up", &[]),
        1.0
    );
}

#[tokio::test]
async fn two_hosts_show_one_store_and_each_what_it_did() {
    let redis = RedisServer::start();
    let door = Server::on(&redis.url(), &["--no-worker"]).await;
    let worker = Server::on(&redis.url(), &[]).await;
    door.upload(guest_bytes("probe")).await.expect(200);
    for _ in 0..4 {
        door.run("noop", json!(null)).await;
    }
    let completed =
        |page: &Exposition| page.sum("skep_attempts_total", &[("outcome", "completed")]);
    let all_ended = |page: &Exposition| page.sum("skep_jobs_ended_total", &[]) == 4.0;
    let (at_door, at_worker) = (
        scraped(&door, all_ended).await,
        scraped(&worker, all_ended).await,
    );
    assert_eq!((completed(&at_door), completed(&at_worker)), (0.0, 4.0));
    for page in [&at_door, &at_worker] {
        assert_eq!(page.sum("skep_hosts", &[]), 1.0, "one runs jobs");
        assert_eq!(page.sum("skep_jobs_posted_total", &[]), 4.0);
    }
    assert_eq!(at_door.sum("skep_slots", &[]), 0.0);
    assert!(at_worker.sum("skep_slots", &[]) >= 4.0);
}

/// A worker has no HTTP but this, and only if somebody wants that.
#[tokio::test]
async fn a_worker_shows_what_it_does_and_nothing_else() {
    let redis = RedisServer::start();
    let door = Server::on(&redis.url(), &["--no-worker"]).await;
    door.upload(guest_bytes("probe")).await.expect(200);
    let directory = TempDir::new().unwrap();
    let cache = directory.path().display().to_string();
    let url = redis.url();
    let args = ["worker", "--store", &url, "--cache", &cache];
    let process = Process::start(args.iter().chain(&["--metrics", "127.0.0.1:0"]));
    process.until_said("skep runs").await;
    let worker = Server::of(process, directory).await;
    for _ in 0..3 {
        door.run("noop", json!(null)).await;
    }
    let completed = |page: &Exposition| {
        let labels = [("function", "noop"), ("outcome", "completed")];
        page.sum("skep_attempts_total", &labels)
    };
    let page = scraped(&worker, |page| completed(page) == 3.0).await;
    assert!(page.sum("skep_sandbox_instantiation_seconds_count", &[]) >= 3.0);
    worker.get("/healthz").await.expect(200).naming(&["ok"]);
    worker.get("/readyz").await.expect(200);
    for route in skep::http::route_table() {
        if ["/metrics", "/healthz", "/readyz"].contains(&route.path) {
            continue;
        }
        let method = Method::from_bytes(route.method.as_str().as_bytes()).unwrap();
        let path = route.path.replace(['{', '}'], "");
        let answer = send(worker.request(method, &path)).await;
        answer.expect(404).naming(&["skep serve", "/metrics"]);
    }
    let foreign = worker.request(Method::GET, "/metrics");
    send(foreign.header("host", "evil.example"))
        .await
        .expect(421);
    redis.kill();
    eventually(
        PATIENCE,
        || worker.get("/readyz"),
        |answer| answer.status == 503,
    )
    .await;
    assert_eq!(worker.terminate().await.0, Some(0));
}

/// As a server does, a worker lets nobody look from elsewhere without a token.
#[tokio::test]
async fn a_worker_that_others_reach_asks_for_a_token() {
    let redis = RedisServer::start();
    let directory = TempDir::new().unwrap();
    let cache = directory.path().display().to_string();
    let url = redis.url();
    let args = ["worker", "--store", &url, "--cache", &cache];
    let args = [&args[..], &["--metrics", "0.0.0.0:0"]].concat();
    let refused = run(skep().args(&args)).await;
    assert_eq!(refused.0, Some(2), "{refused:?}");
    assert!(refused.2.contains("skep token create"), "{refused:?}");
    let create = ["token", "create", "--scopes", "read", "--all-namespaces"];
    let made = run(skep().args(create).args(["--store", &url])).await;
    assert_eq!(made.0, Some(0), "{made:?}");
    let process = Process::start(&args);
    let line = process.until_said("skep shows /metrics").await;
    assert!(process.said().contains("has no TLS"), "{}", process.said());
    let port = line.rsplit(':').next().unwrap().trim();
    let look = |path: &str| format!("http://127.0.0.1:{port}{path}");
    let client = reqwest::Client::new();
    send(client.get(look("/metrics"))).await.expect(401);
    send(client.get(look("/healthz"))).await.expect(200);
    let page = send(client.get(look("/metrics")).bearer_auth(&made.1)).await;
    let page = Exposition::text(&page.expect(200).text());
    assert_eq!(page.sum("skep_store_up", &[]), 1.0);
}

#[tokio::test]
async fn a_store_that_is_away_is_shown_as_down() {
    let redis = RedisServer::start();
    let server = Server::on(&redis.url(), &[]).await;
    scraped(&server, |page| page.sum("skep_store_up", &[]) == 1.0).await;
    redis.kill();
    let page = scraped(&server, |page| page.sum("skep_store_up", &[]) == 0.0).await;
    assert_eq!(page.of("skep_jobs").count(), 0);
    assert!(
        page.of("skep_slots").count() == 1,
        "what the host knows is there"
    );
}
