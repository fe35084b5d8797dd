//! Following a job by its events, as a browser does, and by the command line.

use std::process::Stdio;
use std::time::Duration;

use reqwest::{Method, Response};
use serde_json::{Value, json};
use skep_testkit::{Proxy, RedisServer};
use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::TcpStream;
use tokio::time::{sleep, timeout};

use crate::place::{Place, on_both_stores};
use crate::server::{PATIENCE, Server, guest_bytes, send, skep};

on_both_stores!(
    a_job_is_told_from_its_beginning_to_its_end,
    a_job_that_has_ended_is_told_whole,
    each_attempt_is_told_before_the_next,
    who_comes_back_is_told_the_rest,
    a_job_that_waits_for_another_is_told_as_parked,
    who_reads_late_misses_nothing,
    a_server_that_stops_ends_its_streams,
    the_command_line_follows_a_job,
    the_command_line_shows_a_log,
    the_command_line_survives_a_lost_connection,
    the_command_line_cancels_jobs,
    a_record_can_be_waited_for,
);

/// An event, as it came.
#[derive(Debug)]
struct Event {
    name: String,
    id: String,
    data: Value,
}

impl Event {
    /// In a few words.
    fn brief(&self) -> String {
        let text = |member: &str| match &self.data[member] {
            Value::String(text) => text.clone(),
            other => other.to_string(),
        };
        match self.name.as_str() {
            "log" => text("text"),
            "progress" => format!("{}% {}", text("percent"), text("note")),
            name => format!("{name} {} {}", text("state"), text("attempt")),
        }
    }
}

/// A stream of events.
struct Events {
    response: Response,
    text: String,
    /// The first `retry:` of the stream.
    retry: Option<String>,
}

impl Events {
    /// Opens the stream of a job, after the event with this id.
    async fn of(server: &Server, id: &str, seen: Option<&str>) -> Self {
        let mut request = server.request(Method::GET, &format!("/jobs/{id}/events"));
        if let Some(seen) = seen {
            request = request.header("last-event-id", seen);
        }
        let response = request.send().await.unwrap();
        assert_eq!(response.status(), 200);
        Self {
            response,
            text: String::new(),
            retry: None,
        }
    }

    /// The next event; `None` when the stream has ended.
    async fn next(&mut self) -> Option<Event> {
        loop {
            let Some((event, rest)) = self.text.split_once("\n\n") else {
                let chunk = timeout(PATIENCE, self.response.chunk()).await;
                let chunk = chunk.expect("something happens").unwrap()?;
                self.text.push_str(std::str::from_utf8(&chunk).unwrap());
                continue;
            };
            let field = |name: &str| {
                let line = event.lines().find_map(|line| line.strip_prefix(name));
                line.map(|value| value.trim_start_matches([':', ' ']).to_owned())
            };
            let found = field("event").map(|name| Event {
                name,
                id: field("id").unwrap(),
                data: serde_json::from_str(&field("data").unwrap()).unwrap(),
            });
            self.retry = self.retry.take().or(field("retry"));
            self.text = rest.to_owned();
            if found.is_some() {
                return found;
            }
        }
    }

    /// All events up to this one, in brief.
    async fn until(&mut self, last: &str) -> Vec<String> {
        let mut all = Vec::new();
        loop {
            let event = self.next().await.unwrap_or_else(|| panic!("{all:?}"));
            all.push(event.brief());
            if all.last().unwrap() == last {
                return all;
            }
        }
    }

    /// All events up to the end of the stream.
    async fn rest(&mut self) -> Vec<Event> {
        let mut all = Vec::new();
        while let Some(event) = self.next().await {
            all.push(event);
        }
        all
    }
}

fn brief(events: &[Event]) -> Vec<String> {
    events.iter().map(Event::brief).collect()
}

/// Lets a job go on that waits until there is data under this key.
async fn release(server: &Server, key: &str) {
    server
        .result("store", json!({"key": key, "data": ""}))
        .await;
}

/// Logs, tells how far it is, waits to be released, and logs again.
fn two_parts() -> Value {
    json!([
        {"log": "one"},
        {"progress": [50, "half"]},
        {"fetch-until-there": "go"},
        {"log": "two"},
        {"return": 42},
    ])
}

async fn a_job_is_told_from_its_beginning_to_its_end(mut place: Place) {
    let server = place.with("probe", &["--workers", "2"]).await;
    send(server.request(Method::POST, "/queue/pause"))
        .await
        .expect(200);
    let id = server.post("compose", two_parts()).await;
    let mut events = Events::of(&server, &id, None).await;
    let headers = events.response.headers();
    assert_eq!(headers["content-type"], "text/event-stream");
    assert_eq!(headers["cache-control"], "no-cache");
    assert_eq!(headers["x-accel-buffering"], "no");
    let first = events.next().await.unwrap();
    assert_eq!(first.brief(), "state queued 0");
    assert_eq!(first.data["id"], id);
    assert_eq!(events.retry.as_deref(), Some("1000"));
    send(server.request(Method::POST, "/queue/resume"))
        .await
        .expect(200);
    let mut told = vec![events.next().await.unwrap().brief()];
    // Both come with one report.
    told.push(events.next().await.unwrap().brief());
    told.push(events.next().await.unwrap().brief());
    assert_eq!(told[0], "state running 1");
    told.sort();
    assert_eq!(told, ["50% half", "one", "state running 1"]);
    release(&server, "go").await;
    let rest = events.rest().await;
    assert_eq!(brief(&rest), ["two", "result completed 1"]);
    let line = &rest[0].data;
    assert_eq!(
        (&line["attempt"], &line["number"], &line["level"]),
        (&json!(1), &json!(2), &json!("info"))
    );
    let end = &rest[1].data;
    assert_eq!(
        (&end["short_result"], &end["result"]),
        (&json!("42"), &json!(format!("/jobs/{id}/result")))
    );
    assert_eq!(end["result_content_type"], "application/json");
}

async fn a_job_that_has_ended_is_told_whole(mut place: Place) {
    let server = place.with("probe", &[]).await;
    let steps = json!([{"log": "a"}, {"log": "b"}, {"fail": "it is no good"}]);
    let record = server.run("compose", steps).await;
    let id = record["id"].as_str().unwrap();
    let told = Events::of(&server, id, None).await.rest().await;
    let expected = ["state failed 1", "a", "b", "result failed 1"];
    assert_eq!(brief(&told), expected);
    let end = told.last().unwrap();
    assert_eq!(end.data["cause"]["kind"], "failed");
    assert!(end.data["result"].is_null(), "it has none");
    // Who has seen it all need not come again.
    let path = format!("/jobs/{id}/events");
    let again = |seen: &str| {
        let request = server.request(Method::GET, &path);
        send(request.header("last-event-id", seen))
    };
    again(&end.id).await.expect(204);
    again("nonsense").await.expect(200).naming(&["event: log"]);
    let cancelled = server.post("spin", json!(null)).await;
    send(server.request(Method::DELETE, &format!("/jobs/{cancelled}"))).await;
    let told = Events::of(&server, &cancelled, None).await.rest().await;
    assert!(told.last().unwrap().brief().starts_with("result cancelled"));
    for unknown in ["999", "18446744073709551615"] {
        let request = server.request(Method::GET, &format!("/jobs/{unknown}/events"));
        let problem = send(request.header("accept", "text/event-stream, application/json")).await;
        assert_eq!(problem.content_type, "application/problem+json");
        assert_eq!(problem.expect(404).json()["status"], 404);
    }
    server.get("/jobs/x/events").await.expect(404);
    let request = server.request(Method::GET, &path);
    send(request.header("skep-namespace", "other"))
        .await
        .expect(404);
}

async fn each_attempt_is_told_before_the_next(mut place: Place) {
    let server = place.with("probe", &[]).await;
    let steps = json!([
        {"fetch-until-there": "watched"},
        {"attempt": [
            [{"log": "first"}, {"progress": [10, "try"]}, {"retry": {"after_ms": 300}}],
            [{"log": "second"}, {"fetch-until-there": "go"}],
        ]},
    ]);
    let id = server.post("compose", steps).await;
    let mut events = Events::of(&server, &id, None).await;
    release(&server, "watched").await;
    let mut told = events.until("second").await;
    told.retain(|event| !["state queued 0", "state running 1"].contains(&event.as_str()));
    let expected = ["first", "state scheduled 1", "state running 2", "second"];
    assert_eq!(told, expected);
    release(&server, "go").await;
    assert_eq!(brief(&events.rest().await), ["result completed 2"]);
}

async fn who_comes_back_is_told_the_rest(mut place: Place) {
    let server = place.with("probe", &["--workers", "2"]).await;
    let id = server.post("compose", two_parts()).await;
    let mut events = Events::of(&server, &id, None).await;
    let seen = loop {
        let event = events.next().await.unwrap();
        if event.brief() == "one" {
            break event.id;
        }
    };
    drop(events);
    let mut events = Events::of(&server, &id, Some(&seen)).await;
    let told = events.until("50% half").await;
    assert_eq!(told, ["state running 1", "50% half"]);
    drop(events);
    release(&server, "go").await;
    server.ended(&id).await;
    let told = Events::of(&server, &id, Some(&seen)).await.rest().await;
    let expected = ["state completed 1", "two", "result completed 1"];
    assert_eq!(brief(&told), expected);
}

async fn a_job_that_waits_for_another_is_told_as_parked(mut place: Place) {
    let server = place.with("probe", &["--workers", "2"]).await;
    let child = json!({"post": {"compose": [{"fetch-until-there": "go"}]}});
    let id = server
        .post(
            "compose",
            json!([{"log": "posts"}, child, {"wait-all": {}}, {"log": "goes on"}]),
        )
        .await;
    let mut events = Events::of(&server, &id, None).await;
    let told = events.until("state parked 1").await;
    assert!(!told.contains(&"goes on".to_owned()), "{told:?}");
    // A parked job's lines are told as those of any other.
    if !told.contains(&"posts".to_owned()) {
        events.until("posts").await;
    }
    release(&server, "go").await;
    let told = brief(&events.rest().await);
    assert_eq!(told.last().unwrap(), "result completed 1");
    assert!(told.contains(&"goes on".to_owned()), "{told:?}");
}

async fn who_reads_late_misses_nothing(mut place: Place) {
    let server = place.with("probe", &[]).await;
    // The lines are told while the job runs, in many reports.
    let lines: Vec<Value> = (0..400)
        .flat_map(|n| {
            [
                json!({"log": format!("line {n} {}", "x".repeat(100))}),
                json!({"spin": 2_000_000}),
            ]
        })
        .collect();
    let id = server.post("compose", json!(lines)).await;
    let address = server.url.strip_prefix("http://").unwrap();
    let mut stream = TcpStream::connect(address).await.unwrap();
    let request =
        format!("GET /jobs/{id}/events HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut read = vec![0; 1];
    stream.read_exact(&mut read).await.unwrap();
    server.ended(&id).await;
    stream.read_to_end(&mut read).await.unwrap();
    let text = String::from_utf8_lossy(&read);
    let told: Vec<&str> = text
        .match_indices("\"line ")
        .map(|(at, _)| &text[at + 6..][..4])
        .collect();
    let numbers: Vec<usize> = told
        .iter()
        .map(|n| n.split(' ').next().unwrap().parse().unwrap())
        .collect();
    assert_eq!(numbers, (0..400).collect::<Vec<_>>());
    assert!(text.contains("event: result"), "it is told to the end");
    server.still_serves().await;
}

async fn a_server_that_stops_ends_its_streams(mut place: Place) {
    let server = place.with("probe", &["--no-worker"]).await;
    let id = server.post("noop", json!(null)).await;
    let mut events = Events::of(&server, &id, None).await;
    assert_eq!(events.next().await.unwrap().brief(), "state queued 0");
    let stopped = tokio::spawn(async move { place.terminate(server).await });
    assert!(events.next().await.is_none());
    assert_eq!(stopped.await.unwrap(), Some(0));
}

/// A client command that is read while it runs.
struct Client {
    child: tokio::process::Child,
    out: tokio::io::Lines<BufReader<tokio::process::ChildStdout>>,
    err: tokio::io::Lines<BufReader<tokio::process::ChildStderr>>,
}

impl Client {
    fn start(url: &str, args: &[&str]) -> Self {
        let mut command = skep();
        command.args(["--url", url]).args(args);
        let mut child = command
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        Self {
            out: BufReader::new(child.stdout.take().unwrap()).lines(),
            err: BufReader::new(child.stderr.take().unwrap()).lines(),
            child,
        }
    }

    /// The next line on stdout.
    async fn line(&mut self) -> Option<String> {
        let line = timeout(PATIENCE, self.out.next_line()).await;
        line.expect("it says something").unwrap()
    }

    /// The next line on stderr.
    async fn note(&mut self) -> Option<String> {
        let line = timeout(PATIENCE, self.err.next_line()).await;
        line.expect("it says something").unwrap()
    }

    async fn exit(&mut self) -> Option<i32> {
        let ended = timeout(PATIENCE, self.child.wait()).await;
        ended.unwrap().unwrap().code()
    }
}

async fn the_command_line_follows_a_job(mut place: Place) {
    let server = place.with("probe", &["--workers", "2"]).await;
    let id = server.post("compose", two_parts()).await;
    let mut client = Client::start(&server.url, &["wait", &id]);
    let half = format!("{id} running 50% half");
    while client.note().await.unwrap() != half {}
    release(&server, "go").await;
    assert_eq!(client.note().await.unwrap(), format!("{id} completed"));
    assert_eq!(client.line().await.unwrap(), format!("{id} completed 42"));
    assert_eq!(client.exit().await, Some(0));
    let failed = server.post("failed", json!(null)).await;
    let mut client = Client::start(&server.url, &["wait", &id, &failed, "--json"]);
    for expected in [&id, &failed] {
        let record: Value = serde_json::from_str(&client.line().await.unwrap()).unwrap();
        assert_eq!(record["id"], **expected);
    }
    assert_eq!(client.exit().await, Some(1));
    let mut client = Client::start(&server.url, &["wait", "999"]);
    let note = client.note().await.unwrap();
    assert!(note.contains("there is no job 999"), "{note}");
    assert_eq!(client.exit().await, Some(1));
}

async fn the_command_line_shows_a_log(mut place: Place) {
    let server = place.with("probe", &["--workers", "2"]).await;
    let id = server.post("compose", two_parts()).await;
    let mut client = Client::start(&server.url, &["logs", &id, "--follow"]);
    let line = client.line().await.unwrap();
    assert!(line.ends_with("INFO  one"), "{line}");
    // What is there so far, while it runs.
    let mut so_far = Client::start(&server.url, &["logs", &id, "--json"]);
    let line: Value = serde_json::from_str(&so_far.line().await.unwrap()).unwrap();
    assert_eq!(
        (&line["text"], &line["attempt"], &line["number"]),
        (&json!("one"), &json!(1), &json!(1))
    );
    assert_eq!((so_far.line().await, so_far.exit().await), (None, Some(0)));
    release(&server, "go").await;
    let line = client.line().await.unwrap();
    assert!(line.ends_with("INFO  two"), "{line}");
    assert_eq!((client.line().await, client.exit().await), (None, Some(0)));
    let steps = json!([{"log": "\u{1b}[2Jodd"}, {"fail": "no good"}]);
    let failed = server.post("compose", steps).await;
    let mut client = Client::start(&server.url, &["logs", &failed, "--follow"]);
    let line = client.line().await.unwrap();
    assert!(line.contains("\\u{1b}[2Jodd"), "{line}");
    assert_eq!((client.line().await, client.exit().await), (None, Some(1)));
    // A pipe that is closed ends it.
    let spin = server.post(
        "compose",
        json!([{"log": "x"}, {"spin-until-cancelled": null}]),
    );
    let spin = spin.await;
    let mut client = Client::start(&server.url, &["logs", &spin, "--follow"]);
    client.line().await.unwrap();
    send(server.request(Method::DELETE, &format!("/jobs/{spin}"))).await;
    assert_eq!((client.line().await, client.exit().await), (None, Some(1)));
    let mut client = Client::start(&server.url, &["logs", "999"]);
    let note = client.note().await.unwrap();
    assert!(note.contains("there is no job 999"), "{note}");
    assert_eq!(client.exit().await, Some(1));
}

async fn the_command_line_survives_a_lost_connection(mut place: Place) {
    let server = place.with("probe", &["--workers", "2"]).await;
    let port = server.url.rsplit(':').next().unwrap().parse().unwrap();
    let proxy = Proxy::to_port(port);
    let url = format!("http://127.0.0.1:{}", proxy.port());
    let id = server.post("compose", two_parts()).await;
    let mut client = Client::start(&url, &["logs", &id, "--follow"]);
    assert!(client.line().await.unwrap().ends_with("one"));
    proxy.refuse(true);
    proxy.cut();
    while !client.note().await.unwrap().contains("lost the server") {}
    release(&server, "go").await;
    server.ended(&id).await;
    proxy.refuse(false);
    // Nothing twice, and nothing missed.
    assert!(client.line().await.unwrap().ends_with("two"));
    assert_eq!((client.line().await, client.exit().await), (None, Some(0)));
}

async fn the_command_line_cancels_jobs(mut place: Place) {
    let server = place.with("probe", &["--no-worker"]).await;
    let (one, two) = (
        server.post("noop", json!(null)).await,
        server.post("noop", json!(null)).await,
    );
    let mut client = Client::start(&server.url, &["cancel", &one, "999", &two, "--tree=false"]);
    for id in [&one, &two] {
        assert_eq!(client.line().await.unwrap(), format!("{id} cancelled"));
    }
    let note = client.note().await.unwrap();
    assert!(note.contains("there is no job 999"), "{note}");
    assert_eq!(client.exit().await, Some(1));
    let mut client = Client::start(&server.url, &["wait", &one]);
    assert_eq!(client.note().await.unwrap(), format!("{one} cancelled"));
    assert_eq!(client.exit().await, Some(1));
}

async fn a_record_can_be_waited_for(mut place: Place) {
    let server = place.with("probe", &["--workers", "2"]).await;
    let id = server.post("compose", two_parts()).await;
    let soon = server.json(&format!("/jobs/{id}?wait_ms=1")).await;
    assert_ne!(soon["state"], "completed");
    let path = format!("/jobs/{id}?wait_ms=60000");
    let (record, ()) = tokio::join!(server.json(&path), release(&server, "go"));
    assert_eq!(record["state"], "completed");
}

#[tokio::test]
async fn a_job_is_followed_through_any_host_of_a_redis() {
    let redis = RedisServer::start();
    let worker = Server::on(&redis.url(), &["--workers", "2"]).await;
    let door = Server::on(&redis.url(), &["--no-worker"]).await;
    worker.upload(guest_bytes("probe")).await.expect(200);
    let id = door.post("compose", two_parts()).await;
    let mut events = Events::of(&door, &id, None).await;
    let seen = loop {
        let event = events.next().await.unwrap();
        if event.brief() == "one" {
            break event.id;
        }
    };
    drop(events);
    // It goes on through the other one, and the other way.
    let mut there = Events::of(&worker, &id, Some(&seen)).await;
    let mut here = Events::of(&door, &id, Some(&seen)).await;
    there.until("50% half").await;
    here.until("50% half").await;
    release(&door, "go").await;
    let expected = ["two", "result completed 1"];
    assert_eq!(brief(&there.rest().await), expected);
    assert_eq!(brief(&here.rest().await), expected);
}

#[tokio::test]
async fn a_stream_outlives_the_connection_to_redis() {
    let redis = RedisServer::start();
    let proxy = Proxy::to_port(redis.port());
    let door = Server::on(&proxy.url_for(&redis.url()), &["--no-worker"]).await;
    let worker = Server::on(&redis.url(), &["--workers", "2"]).await;
    worker.upload(guest_bytes("probe")).await.expect(200);
    let id = worker.post("compose", two_parts()).await;
    let mut events = Events::of(&door, &id, None).await;
    events.until("one").await;
    proxy.refuse(true);
    proxy.cut();
    release(&worker, "go").await;
    worker.ended(&id).await;
    sleep(Duration::from_millis(200)).await;
    proxy.refuse(false);
    let mut told = brief(&events.rest().await);
    told.retain(|event| event != "50% half");
    assert_eq!(told, ["two", "result completed 1"]);
}
