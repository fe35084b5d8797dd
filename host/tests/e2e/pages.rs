//! What a stranger's web page, or a stranger's result, can make a browser do to this
//! server: nothing. There is no browser here (that is in `browser`); what one goes by is
//! in the headers.

use reqwest::header::HeaderMap;
use reqwest::{Method, StatusCode};
use serde_json::json;
use tempfile::TempDir;

use crate::raw::{Raw, status, told};
use crate::server::{Answer, Server, guest_bytes, send};

/// What every answer has.
fn is_protected(what: &str, headers: &HeaderMap) {
    for (name, value) in [
        ("x-content-type-options", "nosniff"),
        ("referrer-policy", "no-referrer"),
        ("cross-origin-resource-policy", "same-origin"),
        ("x-frame-options", "DENY"),
    ] {
        assert_eq!(headers[name], value, "{what}");
        assert_eq!(headers.get_all(name).iter().count(), 1, "{what}");
    }
    let policy = headers["content-security-policy"].to_str().unwrap();
    for word in ["default-src 'none'", "frame-ancestors 'none'"] {
        assert!(policy.contains(word), "{what}: {policy}");
    }
    assert!(!policy.contains("script"), "{what}: {policy}");
    assert!(headers.contains_key("cache-control"), "{what}");
    for name in [
        "set-cookie",
        "service-worker-allowed",
        "access-control-allow-origin",
    ] {
        assert!(!headers.contains_key(name), "{what}: {name}");
    }
}

#[tokio::test]
async fn every_answer_is_protected() {
    let server = Server::with("probe").await;
    server.run("noop", json!(null)).await;
    for (method, path, expected) in [
        (Method::GET, "/healthz", 200),
        (Method::GET, "/readyz", 200),
        (Method::GET, "/openapi.json", 200),
        (Method::GET, "/docs", 200),
        (Method::GET, "/nothing", 404),
        (Method::DELETE, "/jobs/count", 405),
        (Method::OPTIONS, "/jobs", 405),
        (Method::GET, "/jobs/1", 200),
        (Method::GET, "/jobs/x", 404),
        (Method::GET, "/jobs/1/result", 200),
        (Method::GET, "/jobs/1/short_result", 200),
        (Method::GET, "/jobs/1/log", 200),
        (Method::GET, "/jobs/1/events", 200),
        (Method::GET, "/functions", 200),
        (Method::GET, "/queue", 200),
        (Method::POST, "/queue/pause", 200),
        (Method::POST, "/jobs", 415),
    ] {
        for accept in ["*/*", "application/json"] {
            let request = server
                .request(method.clone(), path)
                .header("accept", accept);
            let answer = send(request).await;
            assert_eq!(answer.status, expected, "{path}: {}", answer.text());
            is_protected(path, &answer.headers);
        }
    }
}

/// The result of a job that gives these bytes back under this type.
async fn result(server: &Server, content_type: &str, bytes: &str, path: &str) -> Answer {
    let id = server
        .post_bytes("echo", content_type, bytes.as_bytes().to_vec())
        .await;
    server
        .get(&format!("/jobs/{id}/{path}?wait_ms=60000"))
        .await
        .expect(200)
}

#[tokio::test]
async fn a_result_cannot_act_as_our_origin() {
    let server = Server::with("probe").await;
    let script = "<script>fetch('/queue/purge', {method: 'POST'})</script>";
    for (given, path, shown_as) in [
        ("text/html", "result", "text/html"),
        (
            "text/html; charset=utf-8",
            "result",
            "text/html; charset=utf-8",
        ),
        ("text/plain", "result.html", "text/html; charset=utf-8"),
        ("text/plain", "result.htm", "text/html; charset=utf-8"),
        ("text/plain", "result.xhtml", "application/xhtml+xml"),
        ("text/plain", "result.svg", "image/svg+xml"),
        ("image/svg+xml", "result", "image/svg+xml"),
        ("text/plain", "result.xml", "text/xml; charset=utf-8"),
        ("text/plain", "result.js", "text/plain; charset=utf-8"),
        ("text/plain", "result.mjs", "text/plain; charset=utf-8"),
        ("text/plain", "result.css", "text/plain; charset=utf-8"),
        ("text/javascript", "result", "text/plain; charset=utf-8"),
        (
            "application/javascript",
            "result",
            "text/plain; charset=utf-8",
        ),
        ("text/css", "result", "text/plain; charset=utf-8"),
        ("text/plain", "result.pdf", "application/pdf"),
        ("text/plain", "result.swf", "application/x-shockwave-flash"),
        (
            "multipart/x-mixed-replace; boundary=x",
            "result",
            "application/octet-stream",
        ),
        ("message/rfc822", "result", "application/octet-stream"),
        ("text/plain", "result.mht", "application/octet-stream"),
        (
            "text/html, text/javascript",
            "result",
            "application/octet-stream",
        ),
        ("text/html;,", "result", "text/html"),
    ] {
        let answer = result(&server, given, script, path).await;
        let what = format!("{given} at {path}");
        assert_eq!(answer.content_type, shown_as, "{what}");
        assert_eq!(answer.text(), script);
        is_protected(&what, &answer.headers);
        let policy = answer.headers["content-security-policy"].to_str().unwrap();
        // The origin is taken away, and nothing in it may bring it back.
        assert!(policy.starts_with("sandbox; "), "{what}: {policy}");
        assert!(
            !policy.contains("'self'") && !policy.contains("http"),
            "{what}: {policy}"
        );
    }
    let saved = result(&server, "application/zip", "PK", "result").await;
    let saved = saved.headers["content-disposition"].to_str().unwrap();
    assert!(
        saved.starts_with("attachment; filename=\"result-"),
        "{saved}"
    );
    let picture = result(&server, "image/png", "\u{89}PNG", "result").await;
    assert!(!picture.headers.contains_key("content-disposition"));
}

#[tokio::test]
async fn text_of_a_guest_is_no_page_either() {
    let server = Server::with("probe").await;
    let id = server.post("echo", json!("<script>1</script>")).await;
    server.ended(&id).await;
    for path in ["short_result", "log"] {
        let answer = server.get(&format!("/jobs/{id}/{path}")).await.expect(200);
        assert_eq!(answer.content_type, "text/plain; charset=utf-8");
        let policy = answer.headers["content-security-policy"].to_str().unwrap();
        assert!(policy.starts_with("sandbox; "), "{path}: {policy}");
    }
}

#[tokio::test]
async fn a_result_is_no_service_worker() {
    let server = Server::with("probe").await;
    let id = server
        .post_bytes("echo", "text/javascript", b"onfetch = 1".to_vec())
        .await;
    server.ended(&id).await;
    // What a browser sends for `navigator.serviceWorker.register(..)`.
    let request = server
        .request(Method::GET, &format!("/jobs/{id}/result.js"))
        .header("service-worker", "script")
        .header("sec-fetch-dest", "serviceworker")
        .header("sec-fetch-site", "same-origin");
    send(request).await.expect(403).naming(&["service worker"]);
}

/// Everything that changes something.
const CHANGES: [(Method, &str); 14] = [
    (Method::POST, "/jobs"),
    (Method::POST, "/jobs?functions=noop"),
    (Method::POST, "/jobs/batch"),
    (Method::DELETE, "/jobs/1"),
    (Method::POST, "/consumer"),
    (Method::DELETE, "/consumer?name=noop"),
    (Method::PUT, "/functions/noop"),
    (Method::DELETE, "/functions/noop"),
    (Method::POST, "/queue/pause"),
    (Method::POST, "/queue/resume"),
    (Method::POST, "/queue/release"),
    (Method::POST, "/queue/rezero"),
    (Method::POST, "/queue/purge"),
    (Method::POST, "/no/such/route"),
];

#[tokio::test]
async fn no_page_of_another_site_changes_anything() {
    let server = Server::with("probe").await;
    let before = server.json("/queue").await;
    let own = server.url.clone();
    let port = own.rsplit(':').next().unwrap();
    let sibling = format!("http://localhost:{port}");
    let foreign = [
        ("sec-fetch-site", "cross-site"),
        ("sec-fetch-site", "same-site"),
        ("sec-fetch-site", "whatever"),
        ("origin", "null"),
        ("origin", "https://evil.example"),
        ("origin", "http://127.0.0.1:1"),
        ("origin", &sibling),
        ("origin", "nonsense"),
    ];
    for (method, path) in CHANGES {
        for (name, value) in foreign {
            for form in [
                "text/plain",
                "application/x-www-form-urlencoded",
                "multipart/form-data; boundary=x",
            ] {
                let request = server.request(method.clone(), path);
                let request = request.header(name, value).header("content-type", form);
                let answer = send(request.body("null")).await;
                assert_eq!(answer.status, 403, "{method} {path} {name}: {value}");
                answer.naming(&["another site"]);
            }
        }
    }
    assert_eq!(server.json("/queue").await, before);
    // Our own page may, and so may programs, which send none of this.
    for headers in [
        &[("sec-fetch-site", "same-origin")][..],
        &[("sec-fetch-site", "none")],
        &[("origin", own.as_str())],
        &[],
    ] {
        let mut request = server.request(Method::POST, "/jobs?functions=noop");
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let request = request.header("content-type", "application/x-www-form-urlencoded");
        send(request.body("a=1")).await.expect(200);
    }
    // Reading is for the browser to keep from pages: it has no leave to show them this.
    let request = server.request(Method::GET, "/queue");
    let read = send(request.header("sec-fetch-site", "cross-site"))
        .await
        .expect(200);
    is_protected("a foreign read", &read.headers);
}

#[tokio::test]
async fn a_page_whose_name_leads_here_is_not_served() {
    let server = Server::with("probe").await;
    let get = |path: &str, host: &str| {
        format!("GET {path} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n")
    };
    let port = server.address().rsplit(':').next().unwrap().to_owned();
    for (host, expected) in [
        ("localhost", 200),
        ("LocalHost.", 200),
        (server.address(), 200),
        ("[::1]:5000", 200),
        ("a.localhost", 200),
        ("evil.example", 421),
        (&format!("evil.example:{port}"), 421),
        ("127.0.0.1.evil.example", 421),
        ("localhost.evil.example", 421),
        ("", 400),
        ("a b", 400),
    ] {
        for path in ["/healthz", "/queue", "/functions", "/nothing"] {
            let answer = told(&server, get(path, host)).await;
            let given = status(&answer);
            let is_right =
                given == expected || expected == 200 && path == "/nothing" && given == 404;
            assert!(is_right, "{host:?} {path}: {answer}");
            assert!(given != 421 || answer.contains("--host"), "{answer}");
        }
    }
    // As a proxy is asked: both names count.
    for (target, host) in [
        ("http://evil.example/queue", "localhost"),
        ("http://localhost/queue", "evil.example"),
    ] {
        let answer = told(&server, get(target, host)).await;
        assert_eq!(status(&answer), 421, "{target} {host}");
    }
    // Who does not ask by name reads nothing either way.
    let mut raw = Raw::to(&server).await;
    raw.send("POST /queue/pause HTTP/1.1\r\nHost: evil.example\r\nContent-Length: 0\r\n\r\n")
        .await;
    assert_eq!(status(&raw.answer().await), 421);
    assert_eq!(server.json("/queue").await["paused"], false);
}

#[tokio::test]
async fn a_name_that_is_its_own_can_be_given() {
    let server = Server::start_with(
        TempDir::new().unwrap(),
        &["--host", "skep.example.com,skep.internal"],
    )
    .await;
    for (host, expected) in [
        ("skep.example.com", StatusCode::OK),
        ("SKEP.internal:8443", StatusCode::OK),
        ("127.0.0.1", StatusCode::OK),
        ("example.com", StatusCode::MISDIRECTED_REQUEST),
    ] {
        let request = server.request(Method::GET, "/healthz").header("host", host);
        assert_eq!(send(request).await.status, expected, "{host}");
    }
    // Behind a proxy that speaks TLS, a page of that name is our own.
    let request = server
        .request(Method::POST, "/consumer")
        .header("host", "skep.example.com")
        .header("origin", "https://skep.example.com");
    send(request.body(guest_bytes("multiply")))
        .await
        .expect(200);
}
