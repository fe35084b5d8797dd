//! Limits as a policy: narrowed by deployments and by jobs, widened by whoever may,
//! totals over a job and over a tree, and told beside what was used.

use std::process::Output;

use reqwest::Method;
use serde_json::{Value, json};

use crate::place::{Place, on_both_stores};
use crate::server::{Server, guest, send, skep};

on_both_stores!(
    a_binary_fork_bomb_ends_at_the_size_of_its_tree,
    a_retried_parent_of_a_full_tree_gets_the_children_that_it_has,
    data_is_a_total_over_all_attempts,
    limits_of_a_job_reach_its_record,
);

/// Posts a job with limits of its own and follows it to its end.
async fn run(server: &Server, functions: &[&str], message: &Value, limits: &Value) -> Value {
    let body = json!({
        "msg": message,
        "functions": functions,
        "limits": limits,
        "max_attempts": 1,
    });
    let id = server.post_text(body.to_string()).await.expect(200).text();
    server.ended(&id).await
}

/// A limit, a guest that goes beyond it, and the kind of cause that it ends with; the
/// cause names the limit. Without a kind, it completes.
struct Case {
    limit: &'static str,
    value: u64,
    function: &'static str,
    message: Value,
    kind: Option<&'static str>,
}

fn cases() -> Vec<Case> {
    let case = |limit, value, function, message, kind| Case {
        limit,
        value,
        function,
        message,
        kind,
    };
    let steps = |limit, value, steps| case(limit, value, "compose", steps, Some("failed"));
    let post = json!({"post": {"compose": []}});
    let failed =
        |limit, value, function, message, kind| case(limit, value, function, message, Some(kind));
    vec![
        failed("fuel", 1_000_000, "spin", json!(null), "fuel-exhausted"),
        failed("timeout_ms", 150, "spin", json!(null), "timed-out"),
        failed(
            "memory_bytes",
            3_000_000,
            "grow",
            json!(null),
            "memory-limit",
        ),
        failed(
            "result_bytes",
            5,
            "echo",
            json!("12345678"),
            "output-too-large",
        ),
        failed(
            "short_result_bytes",
            3,
            "short_long",
            json!(1),
            "output-too-large",
        ),
        case("log_bytes", 5_000, "flood", json!(null), None),
        steps("posts", 1, json!([post, post])),
        steps("stored_bytes", 100, json!([{"store": {"bytes": 200}}])),
        steps(
            "fetched_bytes",
            100,
            json!([{"store": {"key": "k", "bytes": 200}}, {"fetch": "k"}]),
        ),
        steps(
            "host_calls",
            2,
            json!([{"progress": [1, ""]}, {"progress": [2, ""]}, {"progress": [3, ""]}]),
        ),
        steps(
            "parked_ms",
            200,
            json!([{"post": {"compose": [], "delay_ms": 3_600_000}}, {"wait": "{0}"}]),
        ),
        steps("tree_depth", 0, json!([post])),
        steps("tree_jobs", 2, json!([post, post])),
    ]
}

#[track_caller]
fn check(case: &Case, record: &Value, by: &str) {
    let name = case.limit;
    match case.kind {
        None => assert_eq!(record["state"], "completed", "{by} {name}: {record}"),
        Some(kind) => {
            assert_eq!(record["cause"]["kind"], kind, "{by} {name}: {record}");
            let cause = record["cause"]["message"].as_str().unwrap();
            assert!(cause.contains(&format!("`{name}`")), "{by} {name}: {cause}");
        }
    }
    let attempt = &record["attempts"][0];
    assert_eq!(attempt["limits"][name], case.value, "{by}: {record}");
    let usage = &attempt["usage"];
    let used = match name {
        "timeout_ms" => usage["run_us"].as_u64().unwrap() / 1000,
        "memory_bytes" => usage["peak_memory_bytes"].as_u64().unwrap(),
        "parked_ms" | "tree_depth" | "tree_jobs" => return,
        name => usage[name].as_u64().unwrap(),
    };
    // The clock is looked at now and then.
    let most = if name == "timeout_ms" {
        2_000
    } else {
        case.value
    };
    assert!(used <= most, "{by} {name}: {used} of {most}");
}

#[tokio::test]
async fn each_limit_holds_as_its_deployment_narrows_it() {
    let server = Server::start().await;
    for case in cases() {
        let query = format!("?{}={}", case.limit, case.value);
        server.put(case.function, "probe", &query).await.expect(200);
        let body = json!({"msg": case.message, "functions": [case.function], "max_attempts": 1});
        let id = server.post_text(body.to_string()).await.expect(200).text();
        check(&case, &server.ended(&id).await, "deployment");
    }
    server.still_serves().await;
}

#[tokio::test]
async fn each_limit_holds_as_its_job_narrows_it() {
    let server = Server::with("probe").await;
    for case in cases() {
        let limits = json!({case.limit: case.value});
        let record = run(&server, &[case.function], &case.message, &limits).await;
        check(&case, &record, "job");
        assert_eq!(record["limits"], limits, "{record}");
    }
    server.still_serves().await;
}

#[tokio::test]
async fn a_message_over_its_limit_is_refused_or_else_never_handled() {
    let server = Server::start().await;
    let query = "?message_bytes=3";
    server.put("echo", "probe", query).await.expect(200);
    let named = r#"{"msg": null, "functions": ["echo"]}"#;
    let refused = server.post_text(named).await.expect(413);
    refused.naming(&["4 bytes", "function echo takes 3", "message_bytes"]);
    let short = r#"{"msg": 123, "functions": ["echo"]}"#;
    let short = server.post_text(short).await.expect(200).text();
    assert_eq!(server.ended(&short).await["state"], "completed");
    // Which functions a job runs that names none is not known before.
    let id = server
        .post_text(r#"{"msg": null}"#)
        .await
        .expect(200)
        .text();
    let record = server.ended(&id).await;
    assert_eq!(record["cause"]["kind"], "invalid", "{record}");
    let cause = record["cause"]["message"].as_str().unwrap();
    assert!(cause.contains("message_bytes"), "{cause}");
}

#[tokio::test]
async fn a_job_cannot_widen_what_its_function_grants() {
    let server = Server::start().await;
    server.put("compose", "probe", "?posts=1").await.expect(200);
    let post = json!({"post": {"compose": []}});
    let steps = json!([post, post]);
    let record = run(&server, &["compose"], &steps, &json!({"posts": 50})).await;
    assert_eq!(record["state"], "failed", "{record}");
    assert_eq!(record["limits"]["posts"], 50, "what it asked for");
    assert_eq!(record["attempts"][0]["limits"]["posts"], 1);
    assert_eq!(record["child_count"], 1);
}

#[tokio::test]
async fn a_deployment_may_be_wider_up_to_the_ceiling() {
    let server = Server::start().await;
    let query = "?memory_bytes=300000000&fuel=1000000000000";
    server.put("grow", "probe", query).await.expect(200);
    let record = server.run("grow", json!(null)).await;
    assert_eq!(record["cause"]["kind"], "memory-limit", "{record}");
    let peak = &record["attempts"][0]["usage"]["peak_memory_bytes"];
    let peak = peak.as_u64().unwrap();
    assert!((268_435_457..=300_000_000).contains(&peak), "{peak}");
    let refused = server.put("grow", "probe", "?memory_bytes=0").await;
    refused.expect(422).naming(&["memory_bytes", "at least 1"]);
    let refused = server.put("grow", "probe", "?tree_depth=65").await;
    refused.expect(422).naming(&["tree_depth=65", "beyond 64"]);
    assert_eq!(server.json("/functions/grow").await["version"], 1);
}

#[tokio::test]
async fn budgets_are_totals_over_the_functions_of_an_attempt() {
    let server = Server::with("probe").await;
    let twice = ["compose", "compose"];
    let post = json!([{"post": {"compose": []}}]);
    for (limit, value, steps) in [
        ("posts", 1, post.clone()),
        ("stored_bytes", 300, json!([{"store": {"bytes": 200}}])),
        (
            "fetched_bytes",
            300,
            json!([{"store": {"key": "k", "bytes": 200}}, {"fetch": "k"}]),
        ),
        ("host_calls", 1, json!([{"progress": [1, ""]}])),
        (
            "parked_ms",
            400,
            json!([
                {"post": {"compose": [], "delay_ms": 3_600_000}},
                {"try": [{"wait": {"job": "{0}", "timeout_ms": 250}}]},
                {"post": {"compose": [], "delay_ms": 300}},
                {"wait": "{1}"},
            ]),
        ),
    ] {
        let limits = json!({limit: value});
        let record = run(&server, &twice, &steps, &limits).await;
        let attempt = &record["attempts"][0];
        assert_eq!(record["state"], "failed", "{limit}: {record}");
        assert!(
            record["cause"].to_string().contains(&format!("`{limit}`")),
            "{record}"
        );
        let used = attempt["usage"][limit].as_u64().unwrap();
        // It is parked a moment longer than it may be.
        let most = if limit == "parked_ms" {
            2 * value
        } else {
            value
        };
        assert!((1..=most).contains(&used), "{limit}: {used}");
        assert_eq!(attempt["limits"][limit], value);
    }
    // What each function is granted adds up; what both share does not.
    let record = run(
        &server,
        &twice,
        &post,
        &json!({"posts": 2, "fuel": 1_000_000_000}),
    )
    .await;
    assert_eq!(record["state"], "completed", "{record}");
    let attempt = &record["attempts"][0];
    assert_eq!(attempt["usage"]["posts"], 2);
    assert_eq!(attempt["limits"]["posts"], 2);
    assert_eq!(attempt["limits"]["fuel"], 2_000_000_000_u64);
    assert_eq!(record["child_count"], 2);
}

#[tokio::test]
async fn the_log_is_a_total_over_the_functions_of_an_attempt() {
    let server = Server::with("probe").await;
    let record = run(
        &server,
        &["flood", "flood"],
        &json!(null),
        &json!({"log_bytes": 8_000}),
    )
    .await;
    assert_eq!(record["state"], "completed", "{record}");
    let id = record["id"].as_str().unwrap();
    let log = server.get(&format!("/jobs/{id}/log")).await.expect(200);
    let dropped = log.text().matches("were dropped").count();
    assert_eq!(dropped, 2, "each says how much of it is missing");
    assert!(log.text().matches("no play").count() > 100);
    let used = record["attempts"][0]["usage"]["log_bytes"]
        .as_u64()
        .unwrap();
    assert!((4_000..=8_000).contains(&used), "{used}");
}

async fn limits_of_a_job_reach_its_record(mut place: Place) {
    let server = place.with("probe", &[]).await;
    let steps = json!([
        {"store": {"key": "k", "data": "12345"}},
        {"fetch": "k"},
        {"log": "a line"},
        {"post": {"compose": []}},
        {"wait": "{0}"},
    ]);
    let limits = json!({"fuel": 5_000_000_000_u64, "posts": 4, "tree_depth": 1});
    let record = run(&server, &["compose"], &steps, &limits).await;
    assert_eq!(record["state"], "completed", "{record}");
    assert_eq!(record["limits"], limits);
    let attempt = &record["attempts"][0];
    for (name, value) in limits.as_object().unwrap() {
        assert_eq!(&attempt["limits"][name], value, "{name}");
    }
    assert_eq!(attempt["limits"]["timeout_ms"], 300_000);
    let usage = &attempt["usage"];
    assert_eq!(usage["posts"], 1);
    assert_eq!(
        usage["fetched_bytes"].as_u64().unwrap(),
        5 + 2,
        "data, and `[]`"
    );
    assert_eq!(usage["new_data_bytes"], 6);
    assert_eq!(usage["stored_bytes"], 6 + 2);
    assert_eq!(usage["log_bytes"], 6 + 32);
    // A wait counts as a call, and so does each job of it.
    assert_eq!(usage["host_calls"], 5);
    let result = record["result_bytes"].as_u64().unwrap();
    assert_eq!(usage["result_bytes"], result);
    // The bounds on its tree went down to its child, and no others.
    let child = server.json("/jobs/2").await;
    assert_eq!(child["limits"], json!({"tree_depth": 1}), "{child}");
    // A job without any of it says nothing of it.
    let plain = server.run("noop", json!(null)).await;
    assert_eq!(plain["limits"], Value::Null, "{plain}");
    assert_eq!(plain["attempts"][0]["usage"]["host_calls"], 0);
    assert_eq!(plain["attempts"][0]["limits"]["posts"], 100_000);
}

/// Each job posts two more like itself.
fn binary_bomb() -> Value {
    let again = json!({"post": {"itself": true}});
    json!([again, again])
}

async fn a_binary_fork_bomb_ends_at_the_size_of_its_tree(mut place: Place) {
    let server = place.with("probe", &["--workers", "2"]).await;
    let root = run(
        &server,
        &["compose"],
        &binary_bomb(),
        &json!({"tree_jobs": 60}),
    )
    .await;
    assert_eq!(root["state"], "completed", "{root}");
    let mut refused = 0;
    for id in 2..=60 {
        let record = server.ended(&id.to_string()).await;
        if record["state"] == "failed" {
            let cause = record["cause"]["message"].as_str().unwrap();
            for words in [
                "the tree of job 1 has 60 jobs",
                "60 are allowed",
                "`tree_jobs`",
            ] {
                assert!(cause.contains(words), "{cause}");
            }
            refused += 1;
        }
    }
    // Of 60 jobs that want two each, some thirty came too late.
    assert!(refused >= 29, "{refused}");
    server.get("/jobs/61").await.expect(404);
    assert_eq!(server.json("/queue").await["posted"], 60);
    // The rest of the namespace goes on, and so does another tree.
    let other = server
        .post("compose", json!([{"post": {"compose": []}}]))
        .await;
    assert_eq!(server.ended(&other).await["state"], "completed");
}

async fn a_retried_parent_of_a_full_tree_gets_the_children_that_it_has(mut place: Place) {
    let server = place.with("probe", &[]).await;
    let steps = json!([
        {"post": {"compose": [{"return": 7}], "many": 3}},
        {"attempt": [[{"retry": {"after_ms": 1}}], [{"retry": {"after_ms": 1}}], []]},
        {"wait-all": {}},
    ]);
    let body = json!({"msg": steps, "functions": ["compose"], "limits": {"tree_jobs": 4}});
    let id = server.post_text(body.to_string()).await.expect(200).text();
    let record = server.ended(&id).await;
    assert_eq!(
        (&record["state"], &record["attempt"]),
        (&json!("completed"), &json!(3))
    );
    assert_eq!(record["child_count"], 3);
    assert_eq!(server.json("/queue").await["posted"], 4);
}

async fn data_is_a_total_over_all_attempts(mut place: Place) {
    let server = place.with("probe", &[]).await;
    let again =
        json!({"attempt": [[{"retry": {"after_ms": 1}}], [{"retry": {"after_ms": 1}}], []]});
    let job = |store: Value| {
        let steps = json!([{"store": store}, again]);
        json!({"msg": steps, "functions": ["compose"], "limits": {"stored_bytes": 250}})
    };
    // The same data under the same key, given or generated, is stored once.
    for store in [json!({"bytes": 150}), json!({"bytes": 150, "key": "k"})] {
        let body = job(store).to_string();
        let id = server.post_text(body).await.expect(200).text();
        let record = server.ended(&id).await;
        assert_eq!(
            (&record["state"], &record["attempt"]),
            (&json!("completed"), &json!(3))
        );
        let new = |n: usize| {
            record["attempts"][n]["usage"]["new_data_bytes"]
                .as_u64()
                .unwrap()
        };
        assert!(new(0) > 150, "{record}");
        assert_eq!((new(1), new(2)), (0, 0), "{record}");
    }
    // A key for each attempt is not.
    let body = job(json!({"bytes": 150, "key": "k-{attempt}"})).to_string();
    let id = server.post_text(body).await.expect(200).text();
    let record = server.ended(&id).await;
    assert_eq!(
        (&record["state"], &record["attempt"]),
        (&json!("failed"), &json!(2))
    );
    let cause = record["cause"]["message"].as_str().unwrap();
    for words in ["in all its attempts", "at most 250", "`stored_bytes`"] {
        assert!(cause.contains(words), "{cause}");
    }
}

#[tokio::test]
async fn limits_that_make_no_sense_are_refused_and_nothing_is_queued() {
    let server = Server::with("probe").await;
    for (limits, status, words) in [
        (json!({"memory": 1}), 400, "did you mean memory_bytes?"),
        (json!({"fuel": -1}), 400, "invalid value"),
        (json!({"fuel": "1e9"}), 400, "invalid type"),
        (json!([1]), 400, "an object of limits"),
        (json!({"fuel": 0}), 422, "fuel must be at least 1"),
        (json!({"timeout_ms": 5}), 422, "timeout_ms is given twice"),
    ] {
        let body = json!({"msg": 1, "functions": ["echo"], "timeout_ms": 5, "limits": limits});
        let answer = server.post_text(body.to_string()).await;
        answer.expect(status).naming(&[words]);
    }
    let query = [("functions", "echo"), ("limits", "memry=1MiB")];
    let request = server.request(Method::POST, "/jobs").query(&query);
    let answer = send(request.header("content-type", "text/plain").body("x")).await;
    answer.expect(400).naming(&["did you mean memory_bytes?"]);
    assert_eq!(server.json("/queue").await["posted"], 0);
}

async fn client(server: &Server, arguments: &[&str]) -> Output {
    let mut command = skep();
    command.args(["--url", &server.url]).args(arguments);
    command.output().await.unwrap()
}

fn said(output: &Output) -> (String, String) {
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).trim_end().to_owned();
    (text(&output.stdout), text(&output.stderr))
}

#[tokio::test]
async fn the_command_line_takes_limits_and_shows_them() {
    let server = Server::start().await;
    let probe = guest("probe");
    let probe = probe.to_str().unwrap();
    let deploy = [
        "deploy",
        probe,
        "--function",
        "echo",
        "--limit",
        "timeout=5s,posts=2",
    ];
    let more = ["--limit", "memory=64MiB"];
    let output = client(&server, &[&deploy[..], &more].concat()).await;
    assert!(output.status.success(), "{output:?}");
    let (shown, _) = said(&client(&server, &["functions", "echo"]).await);
    let row = |name: &str| {
        let row = shown
            .lines()
            .find(|line| line.split(' ').next() == Some(name));
        let row = row.unwrap_or_else(|| panic!("{name} is not in: {shown}"));
        row.split_whitespace().collect::<Vec<_>>().join(" ")
    };
    assert_eq!(row("timeout_ms"), "timeout_ms 5 s 5 min");
    assert_eq!(row("memory_bytes"), "memory_bytes 64 MiB 256 MiB");
    assert_eq!(row("posts"), "posts 2 100,000");
    assert_eq!(row("fuel"), "fuel 1,000,000,000,000");
    assert_eq!(row("stack_bytes"), "stack_bytes 512 KiB");
    assert_eq!(row("memories"), "memories 4");
    let json: Value =
        serde_json::from_str(&said(&client(&server, &["--json", "functions", "echo"]).await).0)
            .unwrap();
    for name in json["default_limits"].as_object().unwrap().keys() {
        row(name);
    }
    let (_, error) = said(&client(&server, &["functions", "ehco"]).await);
    assert!(error.contains("did you mean echo?"), "{error}");

    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), "1\n2\n").unwrap();
    let file = file.path().to_str().unwrap();
    let post = [
        "post",
        "--function",
        "echo",
        "--limit",
        "fuel=1e9",
        "--limit",
        "log=1KiB",
    ];
    for from in [&["null"][..], &["--data", file], &["--file", file]] {
        let (ids, error) = said(&client(&server, &[&post[..], from].concat()).await);
        let id = ids.lines().last().unwrap_or_else(|| panic!("{error}"));
        let record = server.ended(id).await;
        assert_eq!(
            record["limits"],
            json!({"fuel": 1_000_000_000, "log_bytes": 1024})
        );
        assert_eq!(record["attempts"][0]["limits"]["memory_bytes"], 64 << 20);
    }
    let (shown, _) = said(&client(&server, &["get", "1"]).await);
    let shown: Vec<_> = shown
        .lines()
        .map(|line| line.split_whitespace().collect::<Vec<_>>().join(" "))
        .collect();
    let has = |begin: &str, end: &str| {
        shown
            .iter()
            .any(|line| line.starts_with(begin) && line.ends_with(end))
    };
    assert!(has("fuel ", "of 1,000,000,000 < 0.1%"), "{shown:#?}");
    assert!(has("memory ", "KiB of 64 MiB 0.2%"), "{shown:#?}");
    assert!(has("result 4 B of 64 MiB", "< 0.1%"), "{shown:#?}");

    for (limit, words) in [
        ("memry=1MiB", "did you mean memory_bytes?"),
        ("timeout=5", "500ms"),
        ("fuel", "NAME=VALUE"),
        ("posts=1,posts=2", "twice"),
    ] {
        for verb in [&["post", "1"][..], &["deploy", probe]] {
            let output = client(&server, &[verb, &["--limit", limit]].concat()).await;
            assert_eq!(output.status.code(), Some(2));
            assert!(said(&output).1.contains(words), "{limit}: {output:?}");
        }
    }
    let again = ["post", "1", "--limit", "fuel=1", "--limit", "fuel=2"];
    let output = client(&server, &again).await;
    assert_eq!(output.status.code(), Some(2));
    assert!(said(&output).1.contains("twice"), "{output:?}");
}
