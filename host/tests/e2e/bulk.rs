//! Many jobs in one request, over HTTP and by `skep post --file`.

use std::fmt::Write as _;
use std::io::Write as _;
use std::process::Stdio;
use std::time::Duration;

use reqwest::Method;
use serde_json::{Value, json};
use skep_testkit::RedisServer;
use tokio::io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader};

use crate::server::{Answer, PATIENCE, Server, guest_bytes, send, skep};

fn product(n: usize) -> String {
    format!(r#"{{"arg1": {n}, "arg2": 2}}"#)
}

/// Lines of jobs for `multiply`.
fn jobs(count: usize) -> String {
    let mut lines = String::new();
    for n in 0..count {
        let msg = product(n);
        writeln!(lines, r#"{{"msg": {msg}, "functions": ["multiply"]}}"#).unwrap();
    }
    lines
}

async fn batch(server: &Server, accept: &str, body: impl Into<reqwest::Body>) -> Answer {
    let request = server
        .request(Method::POST, "/jobs/batch")
        .header("accept", accept)
        .header("content-type", "application/x-ndjson");
    send(request.body(body)).await
}

struct Output {
    code: Option<i32>,
    out: String,
    err: String,
}

/// Runs `skep post` with something on its stdin.
async fn post(server: &Server, arguments: &[&str], stdin: &str) -> Output {
    let mut child = skep()
        .args(["--url", &server.url, "post"])
        .args(arguments)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut input = child.stdin.take().unwrap();
    let text = stdin.to_owned();
    // A program that reads nothing closes it.
    tokio::spawn(async move { drop(input.write_all(text.as_bytes()).await) });
    let output = tokio::time::timeout(PATIENCE, child.wait_with_output());
    let output = output.await.unwrap().unwrap();
    Output {
        code: output.status.code(),
        out: String::from_utf8(output.stdout).unwrap(),
        err: String::from_utf8(output.stderr).unwrap(),
    }
}

#[tokio::test]
async fn each_line_has_its_answer_and_a_bad_one_keeps_no_other_out() {
    let server = Server::with("multiply").await;
    let body = format!(
        "{}not json\n\n{}\n{}\n{}",
        jobs(2),
        r#"{"msg": {"arg1": 1}, "functions": ["multiply"]}"#,
        r#"{"msg": 1, "functions": ["multply"]}"#,
        jobs(1).trim_end(),
    );
    let text = batch(&server, "*/*", body.clone()).await.expect(200);
    assert!(text.content_type.starts_with("text/plain"));
    let text = text.text();
    let lines: Vec<_> = text.lines().collect();
    assert_eq!((lines[0], lines[1], lines[5]), ("1", "2", "3"), "{text}");
    assert!(
        lines[2].starts_with("line 3: the body is not a job"),
        "{text}"
    );
    assert!(
        lines[3].starts_with("line 5: ") && lines[3].contains("arg2"),
        "{text}"
    );
    assert!(lines[4].starts_with("line 6: ") && lines[4].contains("did you mean multiply"));
    assert_eq!(lines.len(), 6);

    let answer = batch(&server, "application/json", body).await.expect(200);
    assert_eq!(answer.content_type, "application/x-ndjson");
    let text = answer.text();
    let lines: Vec<Value> = text
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    assert_eq!(lines[5], json!({"id": "6"}));
    assert_eq!(
        (&lines[4]["line"], &lines[4]["stops"]),
        (&json!(6), &json!(false))
    );
    assert_eq!(lines[4]["problem"]["near"], json!(["multiply"]));
    assert_eq!(server.ended("6").await["state"], "completed");
}

#[tokio::test]
async fn what_can_be_no_batch_is_refused_with_a_status() {
    let server = Server::with("multiply").await;
    let request = server.request(Method::POST, "/jobs/batch");
    let answer = send(request.body(jobs(1)).header("content-type", "text/csv")).await;
    answer.expect(415).naming(&["application/x-ndjson"]);
    assert_eq!(batch(&server, "*/*", "\n\n").await.expect(200).text(), "");
    let redis = RedisServer::start();
    redis.kill();
    let away = Server::on(&redis.url(), &[]).await;
    let answer = batch(&away, "*/*", jobs(50_000)).await;
    answer.expect(503).naming(&["nothing was accepted"]);
}

#[tokio::test]
async fn a_client_that_reads_nothing_until_it_has_sent_everything_is_served() {
    let server = Server::with("multiply").await;
    let count = 30_000;
    let text = batch(&server, "*/*", jobs(count)).await.expect(200).text();
    let ids: Vec<_> = text
        .lines()
        .map(|id| id.parse::<usize>().unwrap())
        .collect();
    assert_eq!(ids, (1..=count).collect::<Vec<_>>());
    assert_eq!(server.json("/queue").await["posted"], count);
}

#[tokio::test]
async fn a_slow_client_is_answered_as_it_goes() {
    let server = Server::with("multiply").await;
    let mut child = skep()
        .args([
            "--url",
            &server.url,
            "post",
            "--file",
            "-",
            "-f",
            "multiply",
        ])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut input = child.stdin.take().unwrap();
    let mut ids = BufReader::new(child.stdout.take().unwrap()).lines();
    for id in 1..=3 {
        input.write_all(product(id).as_bytes()).await.unwrap();
        input.write_all(b"\n").await.unwrap();
        let answered = tokio::time::timeout(PATIENCE, ids.next_line()).await;
        assert_eq!(answered.unwrap().unwrap(), Some(id.to_string()));
    }
    drop(input);
    assert!(child.wait().await.unwrap().success());
}

#[tokio::test]
async fn a_server_that_stops_says_from_where_on_nothing_was_queued() {
    let server = Server::with("multiply").await;
    let (send, chunks) = tokio::sync::mpsc::channel::<String>(1);
    let body = futures_util::stream::unfold(chunks, async |mut chunks| {
        let chunk = chunks.recv().await?;
        Some((Ok::<_, std::io::Error>(chunk), chunks))
    });
    let request = server.request(Method::POST, "/jobs/batch");
    let request = request
        .header("content-type", "application/x-ndjson")
        .body(reqwest::Body::wrap_stream(body));
    send.send(jobs(2)).await.unwrap();
    let mut response = request.send().await.unwrap();
    assert_eq!(response.chunk().await.unwrap().unwrap(), "1\n2\n");
    let stopped = tokio::spawn(server.terminate());
    let last = tokio::time::timeout(PATIENCE, response.chunk()).await;
    let last = String::from_utf8(last.unwrap().unwrap().unwrap().to_vec()).unwrap();
    assert!(
        last.starts_with("line 3: ") && last.contains("neither this line"),
        "{last}"
    );
    drop(send);
    assert_eq!(stopped.await.unwrap().0, Some(0));
}

#[tokio::test]
async fn a_file_is_posted_and_its_ids_come_in_order() {
    let server = Server::with("multiply").await;
    let mut file = tempfile::NamedTempFile::new().unwrap();
    for n in 0..5_000 {
        writeln!(file, "{}", product(n)).unwrap();
    }
    let path = file.path().to_str().unwrap();
    let arguments = [
        "--file",
        path,
        "--function",
        "multiply",
        "--priority",
        "0",
        "--idempotency-key",
        "run",
    ];
    let posted = post(&server, &arguments, "").await;
    assert_eq!(posted.code, Some(0), "{}", posted.err);
    assert!(posted.err.contains("posted 5000 jobs"), "{}", posted.err);
    let ids: Vec<usize> = posted.out.lines().map(|id| id.parse().unwrap()).collect();
    assert_eq!(ids, (1..=5_000).collect::<Vec<_>>());
    let record = server.ended("5000").await;
    assert_eq!(
        (&record["priority"], &record["state"]),
        (&json!(0), &json!("completed"))
    );
    assert_eq!(record["idempotency_key"], "run:5000");
    let again = post(&server, &arguments, "").await;
    assert_eq!(again.out, posted.out, "a repeated run adds nothing");
    assert_eq!(server.json("/queue").await["posted"], 5_000);
}

#[tokio::test]
async fn bad_lines_are_named_and_the_exit_code_tells() {
    let server = Server::with("multiply").await;
    let lines = format!("{}\nnope\n\n{{\"arg1\": 1}}\n{}\n", product(1), product(2));
    let posted = post(&server, &["--file", "-", "-f", "multiply"], &lines).await;
    assert_eq!((posted.code, posted.out.as_str()), (Some(1), "1\n2\n"));
    for word in [
        "line 2: not JSON",
        "line 4: ",
        "arg2",
        "2 lines were refused",
        "other 2 are queued",
    ] {
        assert!(posted.err.contains(word), "{word}: {}", posted.err);
    }
    let posted = post(
        &server,
        &["--file", "-", "-f", "multiply", "--json"],
        &lines,
    )
    .await;
    assert!(posted.out.starts_with("{\"id\":\"3\"}\n"), "{}", posted.out);
    let posted = post(&server, &["--file", "/nowhere", "-f", "multiply"], "").await;
    assert_eq!(posted.code, Some(2));
    assert!(
        posted.err.contains("cannot read /nowhere"),
        "{}",
        posted.err
    );
}

#[tokio::test]
async fn a_redis_that_fills_up_on_the_way_ends_a_file_with_what_was_queued() {
    let redis = RedisServer::options().maxmemory(8 << 20).start();
    let server = Server::on(&redis.url(), &["--no-worker"]).await;
    server.upload(guest_bytes("multiply")).await.expect(200);
    let mut lines = String::new();
    for n in 0..100_000 {
        lines.push_str(&product(n));
        lines.push('\n');
    }
    let posted = post(&server, &["--file", "-", "-f", "multiply"], &lines).await;
    assert_eq!(posted.code, Some(1));
    for word in ["maxmemory", "the server takes no more"] {
        assert!(posted.err.contains(word), "{word}: {}", posted.err);
    }
    tokio::time::sleep(Duration::from_millis(200)).await;
    let posted_there = server.json("/queue").await["posted"].as_u64().unwrap();
    assert_eq!(posted.out.lines().count() as u64, posted_there);
    assert!(posted_there > 0 && posted_there < 100_000);
    // A batch may find no room and the next one some: each line of the first is named, as is
    // the one that is next.
    let named = posted
        .err
        .lines()
        .filter(|line| line.starts_with("line "))
        .count() as u64;
    let next = format!("--from-line {}", posted_there + named);
    assert!(
        posted.err.trim_end().ends_with(&next),
        "{next}: {}",
        posted.err
    );
}
