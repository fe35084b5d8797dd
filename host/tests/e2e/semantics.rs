//! HTTP as RFC 9110 has it: conditional and partial answers, negotiation, methods, and
//! keys of idempotency, over real sockets.

use reqwest::Method;
use reqwest::header::HeaderMap;
use serde_json::json;

use crate::place::{Place, on_both_stores};
use crate::raw::{Raw, status, told};
use crate::server::{Answer, Server, send};

on_both_stores! {
    a_result_is_sent_again_only_if_it_is_another,
    a_part_of_a_result_is_sent_by_itself,
    a_key_in_the_header_is_the_option_of_that_name,
    a_key_of_another_job_is_refused_and_nothing_stored,
}

fn header<'a>(headers: &'a HeaderMap, name: &str) -> &'a str {
    headers
        .get(name)
        .map_or("", |value| value.to_str().unwrap())
}

async fn ask(server: &Server, method: Method, path: &str, headers: &[(&str, &str)]) -> Answer {
    let mut request = server.request(method, path);
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    send(request).await
}

async fn get(server: &Server, path: &str, headers: &[(&str, &str)]) -> Answer {
    ask(server, Method::GET, path, headers).await
}

/// The path of a result that has these bytes.
async fn result(server: &Server, content_type: &str, bytes: &[u8]) -> String {
    let id = server
        .post_bytes("echo", content_type, bytes.to_vec())
        .await;
    server.ended(&id).await;
    format!("/jobs/{id}/result")
}

async fn probe(place: &mut Place) -> Server {
    place.with("probe", &[]).await
}

async fn a_result_is_sent_again_only_if_it_is_another(mut place: Place) {
    let server = probe(&mut place).await;
    let path = result(&server, "text/html", b"<p>one").await;
    let whole = get(&server, &path, &[]).await.expect(200);
    let tag = header(&whole.headers, "etag").to_owned();
    assert!(tag.starts_with('"') && tag.len() > 20, "{tag}");
    assert_eq!(header(&whole.headers, "cache-control"), "private, no-cache");
    let same = get(&server, &path, &[("if-none-match", &tag)])
        .await
        .expect(304);
    assert!(same.body.is_empty());
    // What a browser puts in place of what it has must be as strict.
    for name in ["etag", "cache-control", "vary", "content-security-policy"] {
        assert_eq!(
            header(&same.headers, name),
            header(&whole.headers, name),
            "{name}"
        );
    }
    assert!(!same.headers.contains_key("content-type"));
    get(&server, &path, &[("if-none-match", "\"other\"")])
        .await
        .expect(200);
    get(&server, &path, &[("if-match", "\"other\"")])
        .await
        .expect(412);
    // Another type is another representation, and other bytes are, too.
    let as_text = get(&server, &format!("{path}.txt"), &[]).await;
    assert_ne!(header(&as_text.headers, "etag"), tag);
    let other = result(&server, "text/html", b"<p>two").await;
    get(&server, &other, &[("if-none-match", &tag)])
        .await
        .expect(200);
    let again = result(&server, "text/html", b"<p>one").await;
    get(&server, &again, &[("if-none-match", &tag)])
        .await
        .expect(304);
    let short = path.replace("/result", "/short_result");
    let text = get(&server, &short, &[]).await.expect(200);
    let json = get(&server, &short, &[("accept", "application/json")])
        .await
        .expect(200);
    let (text, json) = (header(&text.headers, "etag"), header(&json.headers, "etag"));
    assert!(!text.is_empty() && text != json, "{text} {json}");
    get(&server, &short, &[("if-none-match", text)])
        .await
        .expect(304);
}

async fn a_part_of_a_result_is_sent_by_itself(mut place: Place) {
    let server = probe(&mut place).await;
    let bytes: Vec<u8> = (0..300_000_u32).map(|n| (n % 251) as u8).collect();
    let path = result(&server, "image/png", &bytes).await;
    let whole = get(&server, &path, &[]).await.expect(200);
    assert_eq!(header(&whole.headers, "accept-ranges"), "bytes");
    let tag = header(&whole.headers, "etag");
    let mut read = Vec::new();
    while read.len() < bytes.len() {
        let range = format!("bytes={}-{}", read.len(), read.len() + 99_999);
        let part = get(&server, &path, &[("range", &range), ("if-range", tag)]).await;
        let part = part.expect(206);
        let told = format!(
            "bytes {}-{}/300000",
            read.len(),
            read.len() + part.body.len() - 1
        );
        assert_eq!(header(&part.headers, "content-range"), told);
        assert_eq!(header(&part.headers, "etag"), tag);
        assert_eq!(part.content_type, "image/png");
        let policy = header(&part.headers, "content-security-policy");
        assert!(policy.starts_with("sandbox; "), "{policy}");
        read.extend(part.body);
    }
    assert!(read == bytes);
    let last = get(&server, &path, &[("range", "bytes=-5")])
        .await
        .expect(206);
    assert_eq!(last.body, bytes[bytes.len() - 5..]);
    for (range, told) in [
        ("bytes=299990-", "bytes 299990-299999/300000"),
        ("bytes=299990-999999", "bytes 299990-299999/300000"),
        ("bytes=-999999", "bytes 0-299999/300000"),
        ("bytes=0-0", "bytes 0-0/300000"),
    ] {
        let part = get(&server, &path, &[("range", range)]).await.expect(206);
        assert_eq!(header(&part.headers, "content-range"), told, "{range}");
        let rest = told.strip_prefix("bytes ").unwrap();
        let (from, to) = rest.split_once('/').unwrap().0.split_once('-').unwrap();
        let (from, to): (usize, usize) = (from.parse().unwrap(), to.parse().unwrap());
        assert!(part.body == bytes[from..=to], "{range}");
    }
    // Another result than the one that the client has a part of, or several parts.
    for headers in [
        [("range", "bytes=0-4"), ("if-range", "\"other\"")],
        // A weak tag and a date are not good enough for a part.
        [("range", "bytes=0-4"), ("if-range", &format!("W/{tag}"))],
        [
            ("range", "bytes=0-4"),
            ("if-range", "Sun, 22 Nov 2026 00:00:00 GMT"),
        ],
        // Nor is it unsatisfiable: it is not looked at.
        [("range", "bytes=300000-"), ("if-range", "\"other\"")],
        [("range", "bytes=0-4,10-14"), ("accept", "*/*")],
        [("range", "lines=0-4"), ("accept", "*/*")],
    ] {
        assert_eq!(
            get(&server, &path, &headers).await.expect(200).body.len(),
            bytes.len()
        );
    }
    let none = [("range", "bytes=300001-300005"), ("if-range", tag)];
    get(&server, &path, &none).await.expect(416);
    let beyond = [("range", "bytes=300000-"), ("accept", "application/json")];
    let beyond = get(&server, &path, &beyond).await.expect(416);
    assert_eq!(header(&beyond.headers, "content-range"), "bytes */300000");
    assert_eq!(
        beyond.json()["type"],
        "urn:skep:problem:range-not-satisfiable"
    );
    let head = ask(&server, Method::HEAD, &path, &[("range", "bytes=0-4")])
        .await
        .expect(200);
    assert_eq!(header(&head.headers, "content-length"), "300000");
}

async fn a_key_in_the_header_is_the_option_of_that_name(mut place: Place) {
    let server = probe(&mut place).await;
    let post = async |body: serde_json::Value, keys: &[&str]| {
        let mut request = server.request(Method::POST, "/jobs").json(&body);
        for key in keys {
            request = request.header("idempotency-key", *key);
        }
        send(request).await
    };
    let body = json!({"msg": null, "functions": ["noop"]});
    let first = post(body.clone(), &["order-7"]).await.expect(200).text();
    for same in ["order-7", "\"order-7\""] {
        assert_eq!(post(body.clone(), &[same]).await.expect(200).text(), first);
    }
    let both = json!({"msg": null, "functions": ["noop"], "idempotency_key": "order-7"});
    assert_eq!(
        post(both.clone(), &["order-7"]).await.expect(200).text(),
        first
    );
    assert_eq!(post(both.clone(), &[]).await.expect(200).text(), first);
    post(both, &["order-8"])
        .await
        .expect(400)
        .naming(&["differ"]);
    let other = post(body.clone(), &["order-8"]).await.expect(200).text();
    assert_ne!(other, first);
    let bytes = server.request(Method::POST, "/jobs?functions=noop");
    let bytes = bytes
        .header("content-type", "application/octet-stream")
        .header("idempotency-key", "order-9");
    let again = bytes.try_clone().unwrap();
    let of_bytes = send(bytes.body("x")).await.expect(200).text();
    assert_eq!(send(again.body("x")).await.expect(200).text(), of_bytes);
    let record = server.json(&format!("/jobs/{first}")).await;
    assert_eq!(record["idempotency_key"], "order-7");
    post(body.clone(), &["a", "b"])
        .await
        .expect(400)
        .naming(&["several"]);
    post(body.clone(), &["\"open"])
        .await
        .expect(400)
        .naming(&["Idempotency-Key"]);
    post(body, &[&"k".repeat(257)])
        .await
        .expect(422)
        .naming(&["256"]);
    let lines = server
        .request(Method::POST, "/jobs/batch")
        .header("idempotency-key", "k");
    let lines = lines
        .header("content-type", "application/x-ndjson")
        .body("{\"msg\": 1}\n");
    send(lines).await.expect(400).naming(&["each line"]);
    assert_eq!(server.json("/queue").await["posted"], 3);
}

/// draft-ietf-httpapi-idempotency-key-header, 2.7: another payload is 422.
async fn a_key_of_another_job_is_refused_and_nothing_stored(mut place: Place) {
    let server = probe(&mut place).await;
    let post = async |body: serde_json::Value| {
        let request = server.request(Method::POST, "/jobs").json(&body);
        let request = request.header("idempotency-key", "order-7");
        send(request.header("accept", "application/json")).await
    };
    let body = json!({"msg": {"n": 1}, "functions": ["noop"]});
    assert_eq!(post(body.clone()).await.expect(200).json()["id"], "1");
    for ended in [false, true] {
        for other in [
            json!({"msg": {"n": 2}, "functions": ["noop"]}),
            json!({"msg": {"n": 1}, "functions": ["echo"]}),
            json!({"msg": {"n": 1}, "functions": ["noop", "echo"]}),
            json!({"msg": {"n": 1}}),
        ] {
            let refused = post(other).await.expect(422);
            let problem = refused.json();
            assert_eq!(problem["type"], "urn:skep:problem:idempotency-key-reused");
            assert_eq!(problem["first"], "1");
            refused.naming(&["order-7", "job 1", "a key of its own"]);
        }
        let later = json!({"msg": {"n": 1}, "functions": ["noop"], "priority": 0, "timeout_ms": 5});
        assert_eq!(post(later).await.expect(200).json()["id"], "1");
        if !ended {
            server.ended("1").await;
        }
    }
    // A line by itself, and the others are queued.
    let line = |msg: u32, key: &str| {
        format!("{{\"msg\": {msg}, \"functions\": [\"noop\"], \"idempotency_key\": \"{key}\"}}\n")
    };
    let lines = line(1, "a") + &line(2, "order-7") + &line(2, "a") + &line(3, "b") + &line(1, "a");
    let batch = server.request(Method::POST, "/jobs/batch");
    let batch = batch.header("content-type", "application/x-ndjson");
    let told = send(batch.body(lines)).await.expect(200).text();
    let told: Vec<_> = told.lines().collect();
    assert_eq!((told[0], told[3], told[4]), ("2", "3", "2"));
    assert!(
        told[1].starts_with("line 2: ") && told[1].contains("job 1"),
        "{told:?}"
    );
    assert!(
        told[2].starts_with("line 3: ") && told[2].contains("\"a\""),
        "{told:?}"
    );
    assert_eq!(server.json("/queue").await["posted"], 3);
}

#[tokio::test]
async fn the_format_is_the_one_that_is_wanted_most() {
    let server = Server::with("probe").await;
    for (accept, content_type) in [
        ("*/*", "text/plain; charset=utf-8"),
        ("image/png", "text/plain; charset=utf-8"),
        (
            "text/html,application/xhtml+xml,*/*;q=0.8",
            "text/plain; charset=utf-8",
        ),
        (
            "application/json;q=0.1, text/*;q=0.2",
            "text/plain; charset=utf-8",
        ),
        ("application/json", "application/json"),
        ("application/*", "application/json"),
        ("application/json, text/plain, */*", "application/json"),
        ("text/plain;q=0, */*", "application/json"),
    ] {
        let count = get(&server, "/jobs/count", &[("accept", accept)])
            .await
            .expect(200);
        assert_eq!(count.content_type, content_type, "{accept}");
        assert_eq!(header(&count.headers, "vary"), "accept");
        let none = get(&server, "/jobs/9", &[("accept", accept)])
            .await
            .expect(404);
        let expected = content_type.replace("application/json", "application/problem+json");
        assert_eq!(none.content_type, expected, "{accept}");
        assert_eq!(header(&none.headers, "vary"), "accept");
    }
    // A record is JSON whatever is wanted.
    server.run("noop", json!(null)).await;
    let record = get(&server, "/jobs/1", &[("accept", "image/png")])
        .await
        .expect(200);
    assert_eq!(record.content_type, "application/json");
}

#[tokio::test]
async fn head_is_get_without_the_body() {
    let server = Server::with("probe").await;
    let path = result(&server, "image/png", b"\x89PNG....").await;
    for path in [
        "/healthz",
        "/readyz",
        "/docs",
        "/openapi.json",
        "/jobs/count",
        "/jobs/1",
        "/jobs/1/progress",
        "/jobs/1/log",
        "/jobs/1/short_result",
        &path,
        "/jobs/1/result.png",
        "/functions",
        "/queue",
        "/functions/noop",
        "/tokens",
        "/jobs/9",
        "/nowhere",
    ] {
        for accept in ["*/*", "application/json"] {
            let got = get(&server, path, &[("accept", accept)]).await;
            let head = ask(&server, Method::HEAD, path, &[("accept", accept)]).await;
            assert_eq!(head.status, got.status, "{path}");
            assert!(head.body.is_empty(), "{path}");
            for name in [
                "content-type",
                "content-length",
                "etag",
                "vary",
                "cache-control",
            ] {
                assert_eq!(
                    header(&head.headers, name),
                    header(&got.headers, name),
                    "{path} {name}"
                );
            }
            assert_eq!(
                header(&head.headers, "content-length"),
                got.body.len().to_string()
            );
        }
    }
}

#[tokio::test]
async fn what_a_path_cannot_do_it_says() {
    let server = Server::with("probe").await;
    for (path, methods) in [
        ("/jobs", "GET,HEAD,POST"),
        ("/jobs/count", "GET,HEAD"),
        ("/jobs/1", "GET,HEAD,DELETE"),
        ("/queue/pause", "POST"),
        ("/functions/noop", "GET,HEAD,PUT,DELETE"),
        ("/openapi.json", "GET,HEAD"),
    ] {
        for method in [
            Method::PATCH,
            Method::OPTIONS,
            Method::from_bytes(b"BREW").unwrap(),
        ] {
            let refused = ask(&server, method, path, &[]).await.expect(405);
            let mut allowed: Vec<_> = header(&refused.headers, "allow")
                .split(',')
                .map(str::trim)
                .collect();
            let mut expected: Vec<_> = methods.split(',').collect();
            allowed.sort_unstable();
            expected.sort_unstable();
            assert_eq!(allowed, expected, "{path}");
        }
    }
    for path in ["/jobs/", "/jobs/1/", "/functions/", "/queue/"] {
        let nothing = get(&server, path, &[]).await;
        assert!(nothing.status == 404, "{path}: {}", nothing.text());
    }
    get(&server, "/queue/", &[])
        .await
        .expect(404)
        .naming(&["slash"]);
    // What is escaped without need is the same path; what is a slash within a name is not.
    let id = server.post("noop", json!(null)).await;
    assert_eq!(id, "1");
    get(&server, "/jobs/%31", &[]).await.expect(200);
    get(&server, "/functions/n%6Fop", &[]).await.expect(200);
    for path in [
        "/jobs/1%2Fresult",
        "/jobs/%ff",
        "/jobs/..%2F1",
        "/jobs/1%00",
    ] {
        let status = get(&server, path, &[]).await.status.as_u16();
        assert!([400, 404].contains(&status), "{path}: {status}");
    }
}

#[tokio::test]
async fn a_body_of_another_type_is_told_which_is_taken() {
    let server = Server::with("probe").await;
    for (method, path, given, name, taken) in [
        (
            Method::POST,
            "/jobs",
            "text/xml",
            "accept-post",
            "application/json",
        ),
        (
            Method::POST,
            "/jobs/batch",
            "text/csv",
            "accept-post",
            "application/x-ndjson",
        ),
        (
            Method::POST,
            "/tokens",
            "text/plain",
            "accept-post",
            "application/json",
        ),
        (
            Method::POST,
            "/consumer",
            "image/png",
            "accept",
            "application/wasm",
        ),
        (
            Method::PUT,
            "/functions/noop",
            "image/png",
            "accept",
            "application/wasm",
        ),
    ] {
        let request = server.request(method, path).header("content-type", given);
        let refused = send(request.body("x")).await.expect(415);
        assert!(header(&refused.headers, name).contains(taken), "{path}");
    }
}

#[tokio::test]
async fn an_upload_that_would_be_refused_is_not_asked_for() {
    let server = Server::with("probe").await;
    let post = |path: &str, length: usize| {
        format!(
            "POST {path} HTTP/1.1\r\nHost: localhost\r\nContent-Type: text/plain\r\nExpect: 100-continue\r\nContent-Length: {length}\r\n\r\n"
        )
    };
    let mut raw = Raw::to(&server).await;
    raw.send(post("/jobs?functions=noop", 1)).await;
    assert!(raw.answer().await.starts_with("HTTP/1.1 100 Continue\r\n"));
    raw.send("x").await;
    assert_eq!(status(&raw.answer().await), 200);
    for (path, length, expected) in [
        ("/jobs?functions=noop", 1 << 30, 413),
        ("/jobs", 1, 415),
        ("/nowhere", 1, 404),
        ("/jobs/count", 1, 405),
    ] {
        let mut raw = Raw::to(&server).await;
        raw.send(post(path, length)).await;
        assert_eq!(status(&raw.answer().await), expected, "{path}");
    }
    assert_eq!(server.json("/queue").await["posted"], 1);
}

#[tokio::test]
async fn addresses_and_heads_that_are_too_long_are_refused_as_such() {
    let server = Server::start().await;
    let get = |path: &str, more: &str| {
        format!("GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n{more}\r\n")
    };
    for (request, expected) in [
        (get(&format!("/{}", "x".repeat(8_000)), ""), 404),
        (
            get("/healthz", &format!("x: {}\r\n", "y".repeat(8_000))),
            200,
        ),
        (get("/healthz", &"x: y\r\n".repeat(150)), 431),
    ] {
        let answer = told(&server, &request).await;
        assert_eq!(status(&answer), expected, "{answer}");
    }
}
