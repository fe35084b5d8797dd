//! Callbacks, to receivers that behave well, badly, or are none of a poster's business.

use std::collections::HashSet;
use std::time::{Duration, Instant};

use reqwest::Method;
use ring::hmac;
use serde_json::{Value, json};
use skep_testkit::RedisServer;

use crate::place::{Place, on_both_stores};
use crate::process::Process;
use crate::receiver::{Receiver, Reply};
use crate::server::{PATIENCE, Server, guest_bytes, send, skep};

on_both_stores!(
    each_end_is_called_back_with_its_outcome,
    a_receiver_in_trouble_is_called_again,
    a_callback_outlives_the_host_that_ended_its_job,
    a_job_that_dies_with_its_host_calls_back,
    killing_the_host_again_and_again_loses_no_callback,
);

/// Tries again at once.
const SOON: [&str; 2] = ["--callback-pause", "30ms"];

async fn server(more: &[&str]) -> Server {
    Place::directory()
        .with("probe", &[&SOON, more].concat())
        .await
}

async fn post(server: &Server, function: &str, msg: Value, callback: &str) -> String {
    let body = json!({"msg": msg, "functions": [function], "callback": callback});
    server.post_text(body.to_string()).await.expect(200).text()
}

/// Waits until nothing more will be tried, and answers the record.
async fn over(server: &Server, id: &str) -> Value {
    let over = |record: &Value| {
        let callback = &record["callback"];
        let tried = !callback["deliveries"].as_array().unwrap().is_empty();
        tried && callback["due_at_ms"].is_null()
    };
    server.until(id, over).await
}

fn statuses(record: &Value) -> Vec<Option<u64>> {
    let deliveries = record["callback"]["deliveries"].as_array().unwrap();
    deliveries
        .iter()
        .map(|delivery| delivery["status"].as_u64())
        .collect()
}

/// The error of each try.
fn errors(record: &Value) -> Vec<String> {
    let deliveries = record["callback"]["deliveries"].as_array().unwrap();
    deliveries
        .iter()
        .map(|delivery| delivery["error"].as_str().unwrap_or_default().to_owned())
        .collect()
}

async fn each_end_is_called_back_with_its_outcome(mut place: Place) {
    let server = place.with("probe", &SOON).await;
    let receiver = Receiver::start().await;
    let url = receiver.url("/done?order=7&x#fragment");
    let expect = async |id: &str, nth: usize, outcome: &str| {
        let calls = receiver.until(PATIENCE, |calls| calls.len() > nth).await;
        let expected = format!("/done?order=7&x&{outcome}").replace("{id}", id);
        assert_eq!(calls[nth].target, expected);
        assert!(calls[nth].headers["user-agent"].starts_with("skep/"));
        over(&server, id).await
    };
    let id = post(&server, "short_long", json!(1), &url).await;
    let record = expect(&id, 0, "success=1&job_id={id}&short_result=short").await;
    assert_eq!(record["state"], "completed");
    assert_eq!(record["callback"]["url"], receiver.url("/done?order=7&x"));
    assert_eq!(statuses(&record), [Some(200)]);

    let id = post(&server, "failed", json!(1), &url).await;
    let record = expect(&id, 1, "success=0&job_id={id}&short_result=").await;
    assert_eq!(record["state"], "failed");

    // Cancelled before it has begun, and while it runs.
    let body = json!({"msg": 1, "functions": ["noop"], "callback": url, "delay_ms": 600_000});
    let waiting = server.post_text(body.to_string()).await.expect(200).text();
    let running = post(&server, "spin", json!(1), &url).await;
    let runs = |record: &Value| record["state"] == "running";
    server.until(&running, runs).await;
    for (nth, id) in [&waiting, &running].into_iter().enumerate() {
        let cancel = server.request(Method::DELETE, &format!("/jobs/{id}"));
        assert!(send(cancel).await.status.is_success());
        let record = expect(id, nth + 2, "success=0&job_id={id}&short_result=").await;
        assert_eq!(record["state"], "cancelled");
    }

    // Without one, nobody is called.
    server.run("noop", json!(1)).await;
    assert_eq!(receiver.calls().len(), 4);
}

async fn a_receiver_in_trouble_is_called_again(mut place: Place) {
    let server = place.with("probe", &SOON).await;
    let troubled = vec![
        Reply::Status(500),
        Reply::Status(429),
        Reply::Status(503),
        Reply::Status(204),
    ];
    let receiver = Receiver::replying(troubled).await;
    let id = post(&server, "noop", json!(1), &receiver.url("/")).await;
    let record = over(&server, &id).await;
    assert_eq!(
        statuses(&record),
        [Some(500), Some(429), Some(503), Some(204)]
    );
    let calls = receiver.calls();
    let ids: HashSet<_> = calls
        .iter()
        .map(|call| &call.headers["webhook-id"])
        .collect();
    assert_eq!(ids.len(), 1, "{ids:?}");

    let never = Receiver::replying(vec![Reply::Status(500)]).await;
    let id = post(&server, "noop", json!(1), &never.url("/")).await;
    assert_eq!(statuses(&over(&server, &id).await), [Some(500); 4]);

    let gone = Receiver::replying(vec![Reply::Status(410)]).await;
    let id = post(&server, "noop", json!(1), &gone.url("/")).await;
    assert_eq!(statuses(&over(&server, &id).await), [Some(410)]);

    let nobody = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}/", nobody.local_addr().unwrap());
    drop(nobody);
    let id = post(&server, "noop", json!(1), &url).await;
    assert_eq!(errors(&over(&server, &id).await), ["could not connect"; 4]);
    assert_eq!((never.calls().len(), gone.calls().len()), (4, 1));
}

#[tokio::test]
async fn who_hangs_or_never_stops_holds_up_nobody() {
    let server = server(&["--callback-timeout", "4s"]).await;
    let hanging = Receiver::replying(vec![Reply::Hang]).await;
    let endless = Receiver::replying(vec![Reply::Endless]).await;
    let mut stuck = Vec::new();
    for _ in 0..100 {
        stuck.push(post(&server, "noop", json!(1), &hanging.url("/")).await);
    }
    let drowned = post(&server, "noop", json!(1), &endless.url("/")).await;
    let well = Receiver::start().await;
    let begun = Instant::now();
    for _ in 0..20 {
        post(&server, "noop", json!(1), &well.url("/")).await;
    }
    well.until(PATIENCE, |calls| calls.len() == 20).await;
    // Behind a hundred that take four seconds each, eight at once.
    assert!(begun.elapsed() < Duration::from_secs(20));
    assert_eq!(statuses(&over(&server, &drowned).await), [Some(200)]);
    let tried = |record: &Value| !statuses(record).is_empty();
    let record = server.until(&stuck[0], tried).await;
    assert_eq!(errors(&record)[0], "no answer in time");
    assert!(hanging.calls().len() >= 8);
    server.still_serves().await;
}

#[tokio::test]
async fn what_a_poster_may_not_reach_is_not_called() {
    let open = server(&["--callback-allow", "none"]).await;
    let receiver = Receiver::start().await;
    let port = receiver.port;
    for (url, word) in [
        ("file:///etc/passwd".to_owned(), "https://"),
        ("/done".to_owned(), "absolute"),
        ("http://169.254.169.254/latest".to_owned(), "link-local"),
        (format!("http://127.0.0.1:{port}/"), "loopback"),
        (format!("http://[::ffff:127.0.0.1]:{port}/"), "loopback"),
        (format!("http://2130706433:{port}/"), "loopback"),
        ("http://10.0.0.1/".to_owned(), "private"),
        ("http://user:secret@example.com/".to_owned(), "password"),
    ] {
        let body = json!({"msg": 1, "functions": ["noop"], "callback": url});
        let answer = open.post_text(body.to_string()).await.expect(422);
        answer.naming(&["callback", word]);
    }
    assert_eq!(open.json("/queue").await["posted"], 0);
    let batch = open
        .request(Method::POST, "/jobs/batch")
        .header("content-type", "application/x-ndjson")
        .body("{\"msg\": 1, \"functions\": [\"noop\"], \"callback\": \"http://10.0.0.1/\"}\n");
    send(batch).await.expect(200).naming(&["line 1", "private"]);

    // A name that stands for loopback is found out when it is called.
    let url = format!("http://localhost:{port}/");
    let id = post(&open, "noop", json!(1), &url).await;
    let refused = errors(&over(&open, &id).await);
    assert!(refused[0].contains("refused: the address is loopback"));
    assert_eq!(receiver.calls().len(), 0);

    // A host on loopback calls loopback, and nothing else that is private.
    let local = server(&[]).await;
    post(&local, "noop", json!(1), &url).await;
    receiver.until(PATIENCE, |calls| calls.len() == 1).await;
    for to in [
        "http://169.254.169.254/latest",
        "http://[fd00:ec2::254]/",
        "//10.0.0.1/",
    ] {
        let sly = Receiver::replying(vec![Reply::RedirectTo(to.to_owned())]).await;
        let id = post(&local, "noop", json!(1), &sly.url("/")).await;
        let refused = errors(&over(&local, &id).await);
        assert!(
            refused[0].starts_with("after a redirect: refused"),
            "{refused:?}"
        );
    }
    let body = json!({"msg": 1, "functions": ["noop"], "callback": "http://10.0.0.1/"});
    local.post_text(body.to_string()).await.expect(422);

    // What the operator names is called.
    let named = format!("localhost:{port}");
    let allowing = server(&["--callback-allow", &named]).await;
    post(&allowing, "noop", json!(1), &url).await;
    receiver.until(PATIENCE, |calls| calls.len() == 2).await;
}

#[tokio::test]
async fn a_signature_is_what_a_receivers_library_expects() {
    let secrets = "whsec_AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=";
    let directory = tempfile::tempdir().unwrap();
    let store = format!("embedded:{}", directory.path().join("store").display());
    let env = [("SKEP_CALLBACK_SECRET", secrets)];
    let server = Server::with_env(&store, &[], &env).await;
    server.upload(guest_bytes("probe")).await.expect(200);
    let receiver = Receiver::start().await;
    let url = receiver.url("/hook?a=\"b\"");
    let request = server.request(Method::POST, "/jobs");
    let body = json!({"msg": 1, "functions": ["short_long"], "callback": url});
    let request = request.header("skep-namespace", "a.tenant");
    let request = request.header("content-type", "application/json");
    let answer = send(request.body(body.to_string())).await;
    // Nothing is deployed in that namespace.
    answer.expect(422);
    let id = post(&server, "short_long", json!(1), &url).await;
    let call = receiver
        .until(PATIENCE, |calls| calls.len() == 1)
        .await
        .remove(0);
    let header = |name: &str| call.headers[name].clone();
    let record = server.ended(&id).await;
    let ended = record["ended_at_ms"].as_u64().unwrap();
    assert_eq!(header("webhook-id"), format!("default/{id}/{ended}"));
    let timestamp: u64 = header("webhook-timestamp").parse().unwrap();
    assert!(timestamp.abs_diff(ended / 1000) < 60);

    // As `verify(payload, headers)` does, with the URL as JSON for a payload.
    let whole = format!("http://{}{}", header("host"), call.target);
    let payload = serde_json::to_string(&whole).unwrap();
    let content = format!("{}.{timestamp}.{payload}", header("webhook-id"));
    let key = hmac::Key::new(hmac::HMAC_SHA256, &[0; 32]);
    let signature = header("webhook-signature");
    let signature = base64::Engine::decode(
        &base64::engine::general_purpose::STANDARD,
        signature.strip_prefix("v1,").unwrap(),
    );
    hmac::verify(&key, content.as_bytes(), &signature.unwrap()).expect("the signature fits");

    let help = skep().args(["serve", "--help"]).envs(env).output().await;
    let help = String::from_utf8(help.unwrap().stdout).unwrap();
    assert!(help.contains("SKEP_CALLBACK_SECRET") && !help.contains("AAAA"));
    let odd = skep()
        .args(["serve", "--listen", "127.0.0.1:0", "--store", &store])
        .env("SKEP_CALLBACK_SECRET", "hunter2")
        .output()
        .await
        .unwrap();
    let said = String::from_utf8(odd.stderr).unwrap();
    assert_eq!(odd.status.code(), Some(2));
    assert!(
        said.contains("whsec_") && !said.contains("hunter2"),
        "{said}"
    );
}

async fn a_callback_outlives_the_host_that_ended_its_job(mut place: Place) {
    let receiver = Receiver::replying(vec![Reply::Status(500), Reply::Status(200)]).await;
    let silent = place.with("probe", &["--no-callbacks"]).await;
    let id = post(&silent, "noop", json!(1), &receiver.url("/")).await;
    let record = silent.ended(&id).await;
    assert!(record["callback"]["due_at_ms"].is_u64(), "{record}");
    assert_eq!(receiver.calls().len(), 0);
    place.kill(silent).await;

    let server = place.server(&["--callback-pause", "3s"]).await;
    let tried = |record: &Value| statuses(record) == [Some(500)];
    let record = server.until(&id, tried).await;
    assert!(record["callback"]["due_at_ms"].is_u64(), "{record}");
    place.kill(server).await;

    let server = place.server(&[]).await;
    assert_eq!(statuses(&over(&server, &id).await), [Some(500), Some(200)]);
    let calls = receiver.calls();
    assert_eq!(calls.len(), 2);
    assert_eq!(
        calls[0].headers["webhook-id"],
        calls[1].headers["webhook-id"]
    );
}

async fn a_job_that_dies_with_its_host_calls_back(mut place: Place) {
    let receiver = Receiver::start().await;
    let server = place.with("probe", &SOON).await;
    let body = json!({
        "msg": 1, "functions": ["spin"], "max_attempts": 1, "callback": receiver.url("/"),
    });
    let id = server.post_text(body.to_string()).await.expect(200).text();
    let runs = |record: &Value| record["state"] == "running";
    server.until(&id, runs).await;
    place.kill(server).await;
    let server = place.server(&[]).await;
    let calls = receiver.until(2 * PATIENCE, |calls| calls.len() == 1).await;
    let expected = format!("/?success=0&job_id={id}&short_result=");
    assert_eq!(calls[0].target, expected);
    let record = over(&server, &id).await;
    assert_eq!(
        (&record["state"], &record["attempt"]),
        (&json!("failed"), &json!(1))
    );
}

async fn killing_the_host_again_and_again_loses_no_callback(mut place: Place) {
    const JOBS: usize = 300;
    let receiver = Receiver::start().await;
    let mut server = place.with("probe", &SOON).await;
    let mut ids = HashSet::new();
    for round in 0..5 {
        for n in 0..JOBS / 5 {
            let url = receiver.url(&format!("/{n}"));
            ids.insert(post(&server, "busy", json!({"iterations": 200_000}), &url).await);
        }
        tokio::time::sleep(Duration::from_millis(10 * round)).await;
        place.kill(server).await;
        server = place.server(&SOON).await;
    }
    // What a killed host had taken is given to the next one after a minute.
    let of = |target: &str| {
        let (_, rest) = target.split_once("job_id=").unwrap();
        rest.split('&').next().unwrap().to_owned()
    };
    let calls = receiver
        .until(3 * PATIENCE, |calls| {
            let called: HashSet<_> = calls.iter().map(|call| of(&call.target)).collect();
            ids.is_subset(&called)
        })
        .await;
    assert!(calls.iter().all(|call| call.target.contains("success=1")));
    println!("{JOBS} jobs, 5 kills, {} calls", calls.len());
    for id in &ids {
        over(&server, id).await;
    }
}

#[tokio::test]
async fn the_command_line_asks_for_callbacks_and_shows_them() {
    let server = server(&[]).await;
    let receiver = Receiver::replying(vec![Reply::Status(500), Reply::Status(200)]).await;
    let url = receiver.url("/done?order=7");
    let run = async |arguments: &[&str], stdin: Option<&str>| {
        let mut command = skep();
        command.args(["--url", &server.url]).args(arguments);
        let input = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(input.path(), stdin.unwrap_or_default()).unwrap();
        command.stdin(std::fs::File::open(input.path()).unwrap());
        let output = command.output().await.unwrap();
        let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
        (text(output.stdout), text(output.stderr))
    };
    let posted = run(&["post", "1", "-f", "noop", "--callback", &url], None).await;
    let id = posted.0.trim();
    over(&server, id).await;
    let (shown, _) = run(&["get", id], None).await;
    for line in [
        &format!("callback   {url}"),
        "try 1      answered 500",
        "try 2      answered 200",
    ] {
        assert!(shown.contains(line), "{shown}");
    }
    let bytes = [
        "post",
        "--data",
        "/etc/hostname",
        "-f",
        "noop",
        "--callback",
        &url,
    ];
    assert_eq!(run(&bytes, None).await.1, "");
    let lines = ["post", "--file", "-", "-f", "noop", "--callback", &url];
    let (ids, _) = run(&lines, Some("1\n2\n")).await;
    assert_eq!(ids.lines().count(), 2);
    receiver.until(PATIENCE, |calls| calls.len() == 5).await;
    let (_, refused) = run(&["post", "1", "--callback", "done"], None).await;
    assert!(refused.contains("https://"), "{refused}");
}

#[tokio::test]
async fn a_worker_leaves_callbacks_to_servers_unless_it_is_told_where_they_may_go() {
    let redis = RedisServer::start();
    let door = ["--no-worker", "--no-callbacks"];
    let server = Server::on(&redis.url(), &door).await;
    server.upload(guest_bytes("probe")).await.expect(200);
    let receiver = Receiver::start().await;
    let url = receiver.url("/").replace("127.0.0.1", "localhost");
    let cache = tempfile::tempdir().unwrap();
    let cache = cache.path().display().to_string();
    let redis_url = redis.url();
    let worker = async |more: &[&str]| {
        let args = ["worker", "--store", &redis_url, "--cache", &cache];
        let process = Process::start(args.iter().chain(more));
        process.until_said("skep runs").await;
        process
    };
    let mut silent = worker(&[]).await;
    let left = post(&server, "noop", json!(1), &url).await;
    server.ended(&left).await;
    silent.kill().await;

    // One that may call public addresses only refuses it, and says so.
    let mut strict = worker(&["--callback-allow", "none", "--callback-pause", "3s"]).await;
    let tried = |record: &Value| !statuses(record).is_empty();
    let record = server.until(&left, tried).await;
    assert!(errors(&record)[0].contains("loopback"), "{record}");
    strict.kill().await;
    assert_eq!(receiver.calls().len(), 0);

    // What one host may not call, another one may.
    let neighbour = Server::on(&redis.url(), &SOON).await;
    let record = over(&neighbour, &left).await;
    assert_eq!(statuses(&record).last(), Some(&Some(200)), "{record}");
}
