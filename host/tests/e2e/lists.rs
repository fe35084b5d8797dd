//! Lists of jobs over HTTP: pages, lines, filters, and what they cost the host.

use std::time::{Duration, Instant};

use futures_util::future::join_all;
use reqwest::{Method, Response};
use serde_json::{Value, json};
use skep_testkit::{Fsync, RedisServer};

use crate::place::{Place, on_both_stores};
use crate::server::{Answer, PATIENCE, Server, send};

on_both_stores! {
    jobs_are_listed_a_page_at_a_time,
    a_list_in_lines_has_all_jobs,
    filters_let_through_what_fits,
    a_bad_list_is_refused_and_says_why,
    a_long_list_costs_little_memory_and_holds_nobody_up,
}

/// How many jobs a long list has.
const MANY: usize = 200_000;

/// What a list may add to a host's memory, in bytes: the lines of [`MANY`] jobs are twice
/// as many.
const MOST_ADDED: u64 = 32 << 20;

const LINES: &str = "application/x-ndjson";

async fn pause(server: &Server) {
    let pause = server.request(Method::POST, "/queue/pause");
    send(pause).await.expect(200);
}

/// Posts jobs for `multiply`, in one request.
async fn post_many(server: &Server, jobs: usize) {
    let line = r#"{"msg": {"arg1": 6, "arg2": 7}, "functions": ["multiply"]}"#;
    let batch = server.request(Method::POST, "/jobs/batch");
    let batch = batch.header("content-type", LINES);
    let posted = send(batch.body(format!("{line}\n").repeat(jobs))).await;
    assert_eq!(posted.expect(200).text().lines().count(), jobs);
}

fn ids(list: &Value) -> Vec<&str> {
    let jobs = list["jobs"].as_array().unwrap();
    jobs.iter().map(|job| job["id"].as_str().unwrap()).collect()
}

/// A list in lines, on its way.
async fn lines(server: &Server, path: &str) -> Response {
    let request = server.request(Method::GET, path).header("accept", LINES);
    request.send().await.unwrap()
}

/// The rest of a list in lines.
async fn rest(response: Response) -> Vec<Value> {
    let text = response.text().await.unwrap();
    text.lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect()
}

async fn jobs_are_listed_a_page_at_a_time(mut place: Place) {
    let server = place.with("multiply", &[]).await;
    let empty = server.get("/jobs").await.expect(200);
    assert_eq!(empty.json(), json!({"jobs": [], "next": null}));
    assert_eq!(empty.content_type, "application/json");
    assert!(!empty.headers.contains_key("link"));
    let done = server.run("multiply", json!({"arg1": 6, "arg2": 7})).await;
    pause(&server).await;
    post_many(&server, 6).await;
    let (mut path, mut found) = ("/jobs?limit=3&function=multiply".to_owned(), Vec::new());
    loop {
        let answer = server.get(&path).await.expect(200);
        let list = answer.json();
        found.extend(ids(&list).into_iter().map(str::to_owned));
        let Some(next) = list["next"].as_str() else {
            assert!(!answer.headers.contains_key("link"));
            break;
        };
        let link = answer.headers["link"].to_str().unwrap();
        path = format!("/jobs?limit=3&function=multiply&cursor={next}");
        assert_eq!(link, format!("<{path}>; rel=\"next\""));
    }
    assert_eq!(found, ["7", "6", "5", "4", "3", "2", "1"]);
    // What a list tells is what the record tells.
    let list = server.json("/jobs?state=completed").await;
    let summary = list["jobs"][0].as_object().unwrap();
    for (name, value) in summary {
        assert_eq!(value, &done[name], "{name}");
    }
    let mut names: Vec<_> = summary.keys().map(String::as_str).collect();
    names.sort_unstable();
    assert_eq!(
        names.join(" "),
        "attempt cause due_at_ms ended_at_ms functions id idempotency_key max_attempts \
         message_bytes parent posted_at_ms priority progress result_bytes result_content_type \
         short_result started_at_ms state"
    );
}

async fn a_list_in_lines_has_all_jobs(mut place: Place) {
    let server = place.with("multiply", &[]).await;
    let none = lines(&server, "/jobs").await;
    assert_eq!(
        (none.status(), none.text().await.unwrap()),
        (200.try_into().unwrap(), String::new())
    );
    pause(&server).await;
    post_many(&server, 3_000).await;
    let response = lines(&server, "/jobs").await;
    assert_eq!(response.headers()["content-type"], LINES);
    let all = rest(response).await;
    let ids: Vec<u64> = (all.iter())
        .map(|job| job["id"].as_str().unwrap().parse().unwrap())
        .collect();
    assert!(ids.iter().copied().eq((1..=3_000).rev()));
    let page = server.json("/jobs?limit=1").await;
    assert_eq!(page["jobs"][0], all[0]);
    let some = rest(lines(&server, "/jobs?limit=1500&cursor=2001").await).await;
    assert_eq!(some, all[1_000..2_500]);
    let cancel = server.request(Method::DELETE, "/jobs/7");
    send(cancel).await.expect(200);
    let few = rest(lines(&server, "/jobs?state=cancelled").await).await;
    assert_eq!((few.len(), &few[0]["id"]), (1, &json!("7")));
}

async fn filters_let_through_what_fits(mut place: Place) {
    let server = place.with("probe", &[]).await;
    let body = |body: &str| {
        let post = server.request(Method::POST, "/jobs");
        let post = post.header("content-type", "application/json");
        send(post.body(body.to_owned()))
    };
    let first = server.run("noop", json!("a Needle")).await;
    server.run("trap", json!(1)).await;
    server.run("failed", json!(2)).await;
    body(r#"{"msg": 3, "functions": ["noop", "echo"], "delay_ms": 3600000, "idempotency_key": "NEEDLE-4"}"#)
        .await
        .expect(200);
    let after = first["posted_at_ms"].as_u64().unwrap() + 1;
    for (query, expected) in [
        ("", &["4", "3", "2", "1"][..]),
        ("state=completed", &["1"]),
        ("state=failed,scheduled", &["4", "3", "2"]),
        ("state=queued%2C%20running", &[]),
        ("function=noop", &["4", "1"]),
        ("function=echo", &["4"]),
        ("cause=trap", &["2"]),
        ("cause=failed&state=failed", &["3"]),
        ("text=needle", &["4", "1"]),
        ("text=no%20good", &["3"]),
        ("text=needle&state=completed", &["1"]),
        (
            "posted_after_ms=0&posted_before_ms=9999999999999",
            &["4", "3", "2", "1"],
        ),
        ("posted_after_ms=9999999999999", &[]),
        (&format!("posted_before_ms={after}"), &["1"]),
    ] {
        let list = server.json(&format!("/jobs?{query}")).await;
        assert_eq!(ids(&list), expected, "{query}");
        assert_eq!(list["next"], Value::Null, "{query}");
    }
    let dead = server.json("/dead").await;
    assert_eq!(ids(&dead), ["3", "2"]);
    assert_eq!(ids(&server.json("/dead?cause=trap").await), ["2"]);
    assert_eq!(
        rest(lines(&server, "/dead?function=failed").await)
            .await
            .len(),
        1
    );
    let other = server.request(Method::GET, "/jobs");
    let other = send(other.header("skep-namespace", "other")).await;
    assert_eq!(other.expect(200).json(), json!({"jobs": [], "next": null}));
}

async fn a_bad_list_is_refused_and_says_why(mut place: Place) {
    let server = place.server(&[]).await;
    for (query, words) in [
        ("state=done", &["unknown variant `done`", "completed"][..]),
        ("state=", &["unknown variant"]),
        ("state=queued,,failed", &["unknown variant"]),
        ("functions=f", &["unknown field `functions`", "`function`"]),
        ("function=", &["function"]),
        ("function=a/b", &["a/b"]),
        ("cause=boom", &["boom", "trap"]),
        ("text=", &["1 to 256 bytes"]),
        (&format!("text={}", "x".repeat(257)), &["not 257"]),
        ("limit=0", &["1 to 1000", "not 0", LINES]),
        ("limit=1001", &["1 to 1000", "not 1001"]),
        ("limit=-1", &["limit"]),
        ("limit=many", &["limit"]),
        ("cursor=x", &["cursor", "next"]),
        ("cursor=-1", &["cursor"]),
        ("posted_after_ms=yesterday", &["posted_after_ms"]),
        ("posted_before_ms=1.5", &["posted_before_ms"]),
        ("limit=1&limit=2", &["duplicate field"]),
    ] {
        for path in ["/jobs", "/dead"] {
            let answer = server.get(&format!("{path}?{query}")).await;
            if path == "/dead" && query.starts_with("state") {
                answer.expect(400).naming(&["leave it out"]);
            } else {
                answer.expect(400).naming(words);
            }
        }
    }
    let in_lines = lines(&server, "/jobs?limit=0").await;
    assert_eq!(in_lines.status(), 400);
    server.still_serves().await;
}

/// A number of `/proc/PID/status`, in bytes.
pub(crate) fn memory(server: &Server, name: &str) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{}/status", server.process.pid())).unwrap();
    let line = status
        .lines()
        .find_map(|line| line.strip_prefix(name))
        .unwrap();
    let kib = line.trim_start_matches(':').trim().trim_end_matches(" kB");
    kib.parse::<u64>().unwrap() << 10
}

/// Begins to measure the most that a server takes; answers what it takes now.
pub(crate) fn measure(server: &Server) -> u64 {
    let path = format!("/proc/{}/clear_refs", server.process.pid());
    std::fs::write(path, "5").unwrap();
    memory(server, "VmRSS")
}

async fn a_long_list_costs_little_memory_and_holds_nobody_up(mut place: Place) {
    let server = place.with("multiply", &[]).await;
    let elsewhere = |method, path: &str| {
        let request = server.request(method, path);
        request.header("skep-namespace", "elsewhere")
    };
    let upload = elsewhere(Method::POST, "/consumer").header("content-type", "application/wasm");
    send(upload.body(crate::server::guest_bytes("multiply")))
        .await
        .expect(200);
    pause(&server).await;
    post_many(&server, MANY).await;

    let before = measure(&server);
    let mut response = lines(&server, "/jobs").await;
    let (mut bytes, mut count) = (0, 0);
    while let Some(chunk) = response.chunk().await.unwrap() {
        bytes += chunk.len() as u64;
        count += chunk.iter().filter(|byte| **byte == b'\n').count();
    }
    assert_eq!(count, MANY);
    assert!(
        bytes > 2 * MOST_ADDED,
        "a list of {bytes} bytes shows nothing"
    );
    let added = memory(&server, "VmHWM").saturating_sub(before);
    assert!(added < MOST_ADDED, "a list added {added} bytes");

    // Who reads nothing makes the host read nothing; as many as may, at once.
    let before = measure(&server);
    let mut open = Vec::new();
    for _ in 0..8 {
        let mut response = lines(&server, "/jobs").await;
        response.chunk().await.unwrap().expect("the first lines");
        open.push(response);
    }
    for _ in 0..100 {
        // Somebody else's lists, in the time that a host would need to read ahead.
        let list = send(elsewhere(Method::GET, "/jobs?state=completed")).await;
        list.expect(200);
    }
    let added = memory(&server, "VmHWM").saturating_sub(before);
    assert!(
        added < MOST_ADDED,
        "lists that nobody reads added {added} bytes"
    );
    let refused = server.get("/jobs").await;
    refused.expect(503).naming(&["8 lists of this namespace"]);
    // They leave, and what they had begun is over.
    drop(open);
    let left = Instant::now();
    until_listed(&server).await;
    assert!(
        left.elapsed() < Duration::from_secs(10),
        "{:?}",
        left.elapsed()
    );

    // Searches through everything, as many as may: jobs are run meanwhile.
    let searches = (0..8).map(|n| {
        let server = &server;
        async move { rest(lines(server, &format!("/jobs?text=nowhere{n}")).await).await }
    });
    let jobs = async {
        let mut longest = Duration::ZERO;
        for _ in 0..20 {
            let begun = Instant::now();
            let job = json!({"msg": {"arg1": 6, "arg2": 7}, "functions": ["multiply"]});
            let id = send(elsewhere(Method::POST, "/jobs").json(&job)).await;
            let path = format!("/jobs/{}/result?wait_ms=60000", id.expect(200).text());
            let result = send(elsewhere(Method::GET, &path)).await.expect(200);
            assert_eq!(result.text(), "42");
            send(elsewhere(Method::GET, "/jobs")).await.expect(200);
            longest = longest.max(begun.elapsed());
        }
        longest
    };
    let longest = tokio::select! {
        biased;
        longest = jobs => longest,
        found = join_all(searches) => panic!("the searches are over: {found:?}"),
    };
    println!("a job and a list beside 8 searches: {longest:?} at most");
    // A turn is some 20 ms long, and there are 8 before it.
    assert!(longest < PATIENCE / 6, "{longest:?}");
}

/// Asks for a list until it is answered.
async fn until_listed(server: &Server) -> Answer {
    loop {
        let answer = server.get("/jobs?limit=1").await;
        if answer.status == 200 {
            return answer;
        }
        assert_eq!(answer.status, 503, "{}", answer.text());
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn a_list_that_is_cut_off_says_so_and_where_to_go_on() {
    const JOBS: usize = 60_000;
    let redis = RedisServer::options().aof(Fsync::Always).start();
    let server = Server::on(&redis.url(), &["--no-worker"]).await;
    let upload = crate::server::guest_bytes("multiply");
    server.upload(upload).await.expect(200);
    post_many(&server, JOBS).await;
    let mut response = lines(&server, "/jobs").await;
    let first = response.chunk().await.unwrap().unwrap();
    redis.kill();
    let mut text = String::from_utf8(first.to_vec()).unwrap();
    text.push_str(&response.text().await.unwrap());
    let lines_told: Vec<&str> = text.lines().collect();
    let (last, told) = lines_told.split_last().unwrap();
    let last: Value = serde_json::from_str(last).unwrap();
    assert_eq!(last["error"]["status"], 503, "{last}");
    assert_eq!(last["error"]["type"], "urn:skep:problem:store-unavailable");
    let cursor = last["cursor"].as_str().unwrap();
    redis.restart();
    until_listed(&server).await;
    let rest = rest(lines(&server, &format!("/jobs?cursor={cursor}")).await).await;
    let id = |job: &Value| job["id"].as_str().unwrap().parse::<usize>().unwrap();
    let told = told
        .iter()
        .map(|line| id(&serde_json::from_str(line).unwrap()));
    let all: Vec<usize> = told.chain(rest.iter().map(id)).collect();
    assert!(rest.len() < JOBS, "it was not cut off");
    assert!(
        all.iter().copied().eq((1..=JOBS).rev()),
        "{} jobs",
        all.len()
    );
}
