//! Who is let in: each route with each kind of token, on both stores.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use reqwest::{Method, RequestBuilder};
use serde_json::{Value, json};
use skep::access::Secret;
use skep::http::route_table;
use skep::store::TOKENS_FRESH;
use skep_testkit::{Fsync, RedisServer};

use crate::place::{Place, on_both_stores};
use crate::process::Process;
use crate::routes::{Takes, ask, rows};
use crate::server::{Answer, PATIENCE, Server, send, skep, store_of};

on_both_stores! {
    every_route_lets_in_its_scope_and_nobody_else,
    a_token_of_another_namespace_finds_nothing,
    an_expired_token_counts_no_more,
    on_loopback_a_token_counts_if_one_is_shown,
    an_admin_of_a_namespace_has_no_power_over_others,
    neither_a_secret_nor_its_bytes_are_stored,
}

/// Makes a token, as whoever runs a server does before it is started.
pub(crate) async fn make(store: &str, args: &[&str]) -> String {
    let output = skep()
        .args(["token", "create", "--store", store])
        .args(args)
        .output();
    let output = tokio::time::timeout(PATIENCE, output)
        .await
        .unwrap()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.success(), "{said}");
    let secret = String::from_utf8(output.stdout).unwrap().trim().to_owned();
    assert!(!said.contains(&secret), "on stdout only: {said}");
    secret
}

/// The answer to a request that shows this token.
pub(crate) async fn shown(request: RequestBuilder, token: &str) -> Answer {
    send(request.bearer_auth(token)).await
}

/// What a client must do, as the answer says it.
fn challenge(answer: &Answer) -> &str {
    let header = answer.headers.get("www-authenticate");
    header.map_or("", |value| value.to_str().unwrap())
}

#[test]
fn the_table_has_every_route() {
    let routes = route_table();
    let known: BTreeSet<_> = routes
        .iter()
        .map(|route| {
            let scope = route.needs.map_or("", |scope| scope.as_str());
            (route.method.as_str(), route.path, scope)
        })
        .collect();
    let tested: BTreeSet<_> = rows().iter().map(|row| (row.0, row.1, row.2)).collect();
    assert_eq!(known, tested);
    // What only looks is not noted, and what changes anything but the queue of jobs is.
    for route in routes {
        let posts = ["/jobs", "/jobs/batch"].contains(&route.path);
        let noted = route.method.as_str() != "GET" && !posts;
        assert_eq!(route.audited.is_some(), noted, "{route:?}");
    }
}

async fn every_route_lets_in_its_scope_and_nobody_else(mut place: Place) {
    let store = place.store();
    let mut tokens = Vec::new();
    for scope in ["post", "read", "deploy", "admin"] {
        tokens.push((scope, make(&store, &["--scopes", scope]).await));
    }
    let everywhere = make(&store, &["--scopes", "admin", "--all-namespaces"]).await;
    let other = make(&store, &["--scopes", "admin", "--namespace", "other"]).await;
    let unknown = Secret::generate().unwrap().reveal();
    let server = place.server(&["--require-token"]).await;
    let admin = &tokens[3].1;
    let upload = Takes::Component.put_into(server.request(Method::POST, "/consumer"));
    shown(upload, admin).await.expect(200);
    let job = Takes::Json(json!({"msg": {"arg1": 6, "arg2": 7}, "functions": ["multiply"]}));
    let post = job.put_into(server.request(Method::POST, "/jobs"));
    assert_eq!(shown(post, admin).await.expect(200).text(), "1");
    let result = server.request(Method::GET, "/jobs/1/result?wait_ms=60000");
    shown(result, admin).await.expect(200);

    for row in rows() {
        let (method, path, needs, ..) = row;
        let what = format!("{method} {path}");
        if needs.is_empty() {
            send(ask(&row, &server)).await.expect(200);
            shown(ask(&row, &server), &unknown).await.expect(200);
            continue;
        }
        let answer = send(ask(&row, &server)).await;
        assert_eq!(
            (answer.status.as_u16(), challenge(&answer)),
            (401, "Bearer"),
            "{what}"
        );
        answer.naming(&["skep token create"]);
        for wrong in [unknown.as_str(), "skep_", &other[..89]] {
            let answer = shown(ask(&row, &server), wrong).await;
            assert_eq!(answer.status, 401, "{what} with {wrong}");
            assert_eq!(challenge(&answer), "Bearer error=\"invalid_token\"");
        }
        let basic = ask(&row, &server).basic_auth("admin", Some(admin));
        assert_eq!(send(basic).await.status, 401, "{what}");
        for (scope, token) in &tokens {
            let answer = shown(ask(&row, &server), token).await;
            if scope == &needs || scope == &"admin" {
                if path == "/metrics" {
                    // They are those of all namespaces, and the token is of one.
                    answer.expect(403).naming(&["--all-namespaces"]);
                    continue;
                }
                let status = answer.status.as_u16();
                let inside = ![401, 403].contains(&status) && status < 500;
                assert!(inside, "{what} with {scope}: {status} {}", answer.text());
                continue;
            }
            let wanted = format!("Bearer error=\"insufficient_scope\", scope=\"{needs}\"");
            assert_eq!(answer.status, 403, "{what} with {scope}: {}", answer.text());
            assert_eq!(challenge(&answer), wanted, "{what}");
            answer.naming(&[&format!("needs the scope {needs}"), "skep token create"]);
        }
        // Whether a namespace exists is not told.
        let mut refused = Vec::new();
        for namespace in ["default", "nowhere"] {
            let request = ask(&row, &server).header("skep-namespace", namespace);
            refused.push(shown(request, &other).await.expect(403).text());
        }
        assert_eq!(refused[0], refused[1], "{what}");
        let request = ask(&row, &server).header("skep-namespace", "default");
        let status = shown(request, &everywhere).await.status.as_u16();
        assert!(
            ![401, 403].contains(&status) && status < 500,
            "{what}: {status}"
        );
    }
    let nowhere = send(server.request(Method::GET, "/nowhere")).await;
    nowhere.expect(404);
    server
        .process
        .until_said("a token that does not count")
        .await;
    assert!(!server.process.said().contains(&unknown));
}

async fn a_token_of_another_namespace_finds_nothing(mut place: Place) {
    let store = place.store();
    let own = make(&store, &["--scopes", "admin"]).await;
    let other = make(&store, &["--scopes", "admin", "--namespace", "other"]).await;
    let server = place.server(&["--require-token"]).await;
    let upload = Takes::Component.put_into(server.request(Method::POST, "/consumer"));
    shown(upload, &own).await.expect(200);
    let job = Takes::Json(json!({"msg": {"arg1": 6, "arg2": 7}, "functions": ["multiply"]}));
    let post = job.put_into(server.request(Method::POST, "/jobs"));
    shown(post, &own).await.expect(200);
    for view in [
        "",
        "/progress",
        "/log",
        "/events",
        "/result",
        "/short_result",
    ] {
        let (theirs, none) = (format!("/jobs/1{view}"), format!("/jobs/999{view}"));
        let answer = shown(server.request(Method::GET, &theirs), &other)
            .await
            .expect(404);
        let none = shown(server.request(Method::GET, &none), &other)
            .await
            .expect(404);
        assert_eq!(answer.text().replace("job 1 ", "job 999 "), none.text());
    }
    let cancel = server.request(Method::DELETE, "/jobs/1");
    shown(cancel, &other).await.expect(404);
    let functions = server.request(Method::GET, "/functions");
    let functions = shown(functions, &other).await.expect(200).json();
    assert_eq!(functions, json!({"functions": []}));
    let remove = server.request(Method::DELETE, "/functions/multiply");
    shown(remove, &other).await.expect(404);
    let result = server.request(Method::GET, "/jobs/1/result?wait_ms=60000");
    assert_eq!(shown(result, &own).await.expect(200).text(), "42");
}

async fn an_expired_token_counts_no_more(mut place: Place) {
    let store = place.store();
    let _other = make(&store, &["--scopes", "read"]).await;
    let token = make(&store, &["--scopes", "read", "--expires-in", "1s"]).await;
    let made = Instant::now();
    let server = place.server(&["--require-token"]).await;
    tokio::time::sleep(Duration::from_millis(1_100).saturating_sub(made.elapsed())).await;
    let answer = shown(server.request(Method::GET, "/queue"), &token).await;
    assert_eq!(challenge(&answer), "Bearer error=\"invalid_token\"");
    answer.expect(401).naming(&["has expired"]);
}

async fn on_loopback_a_token_counts_if_one_is_shown(mut place: Place) {
    let reader = make(&place.store(), &["--scopes", "read", "--namespace", "acme"]).await;
    let server = place.server(&[]).await;
    let queue = || server.request(Method::GET, "/queue");
    send(queue()).await.expect(200);
    send(queue().header("skep-namespace", "any"))
        .await
        .expect(200);
    send(queue().header("skep-namespace", "a/b"))
        .await
        .expect(400);
    send(server.request(Method::POST, "/queue/pause"))
        .await
        .expect(200);
    shown(queue(), &reader).await.expect(200);
    let unknown = Secret::generate().unwrap().reveal();
    shown(queue(), &unknown).await.expect(401);
    shown(queue().header("skep-namespace", "any"), &reader)
        .await
        .expect(403);
    let pause = server.request(Method::POST, "/queue/pause");
    shown(pause, &reader).await.expect(403);
}

async fn an_admin_of_a_namespace_has_no_power_over_others(mut place: Place) {
    let store = place.store();
    let acme = make(&store, &["--scopes", "admin", "--namespace", "acme"]).await;
    let everywhere = make(&store, &["--scopes", "admin", "--all-namespaces"]).await;
    let server = place.server(&["--require-token"]).await;
    let create = |wanted: Value| {
        let request = server.request(Method::POST, "/tokens").json(&wanted);
        request.header("accept", "application/json")
    };
    let made = shown(create(json!({"scopes": ["admin"], "label": "x"})), &acme).await;
    let made = made.expect(200);
    assert_eq!(made.headers["cache-control"], "no-store");
    let made = made.json();
    assert_eq!(
        (&made["namespace"], &made["label"]),
        (&json!("acme"), &json!("x"))
    );
    let wanted = json!({"scopes": ["read"], "all_namespaces": true});
    shown(create(wanted.clone()), &acme).await.expect(403);
    let all = shown(create(wanted), &everywhere).await.expect(200).json();
    assert_eq!(all["namespace"], "*");
    let elsewhere = create(json!({"scopes": ["read"]})).header("skep-namespace", "b");
    shown(elsewhere, &acme).await.expect(403);
    for bad in [
        json!({}),
        json!({"scopes": []}),
        json!({"scopes": ["root"]}),
        json!({"scopes": ["read"], "label": "a\nb"}),
        json!({"scopes": ["read"], "label": "x".repeat(65)}),
        json!({"scopes": ["read"], "expires_in_s": 0}),
        json!({"scopes": ["read"], "expires_in_s": -1}),
        json!({"scopes": ["read"], "namespace": "b"}),
    ] {
        shown(create(bad), &everywhere).await.expect(422);
    }
    let large = create(json!({"scopes": ["read"], "label": "x".repeat(5_000)}));
    shown(large, &everywhere).await.expect(413);
    let form = server.request(Method::POST, "/tokens").body("scopes=admin");
    shown(form, &everywhere).await.expect(415);

    let list = || server.request(Method::GET, "/tokens");
    let seen = async |request: RequestBuilder, token: &str| {
        let answer = shown(request, token).await.expect(200);
        assert!(!answer.text().contains("skep_") && !answer.text().contains("hash"));
        answer.json()["tokens"].as_array().unwrap().len()
    };
    assert_eq!(seen(list(), &acme).await, 2);
    assert_eq!(seen(list(), &everywhere).await, 4);
    let narrowed = list().header("skep-namespace", "acme");
    assert_eq!(seen(narrowed, &everywhere).await, 2);
    let revoke = |id: &Value| {
        let path = format!("/tokens/{}", id.as_str().unwrap());
        server.request(Method::DELETE, &path)
    };
    shown(revoke(&all["id"]), &acme).await.expect(404);
    shown(revoke(&made["id"]), &acme).await.expect(204);
    shown(revoke(&made["id"]), &acme).await.expect(404);
    shown(list(), made["token"].as_str().unwrap())
        .await
        .expect(401);
    shown(revoke(&all["id"]), &everywhere).await.expect(204);
    shown(revoke(&json!("..%2fjobs")), &everywhere)
        .await
        .expect(404);
}

async fn neither_a_secret_nor_its_bytes_are_stored(mut place: Place) {
    let before = make(&place.store(), &["--scopes", "admin"]).await;
    let server = place.server(&["--require-token"]).await;
    let create = server.request(Method::POST, "/tokens");
    let create = create.json(&json!({"scopes": ["read"], "label": "find me"}));
    let over_http = shown(create, &before).await.expect(200).text();
    let used = server.request(Method::GET, "/queue");
    shown(used, &over_http).await.expect(200);
    let mut kept = Vec::new();
    match &place {
        Place::Redis(redis) => {
            for key in redis.command::<Vec<String>>(&["KEYS", "*"]) {
                if redis.command::<String>(&["TYPE", &key]) == "hash" {
                    kept.extend(redis.command::<Vec<Vec<u8>>>(&["HGETALL", &key]).concat());
                } else {
                    kept.extend(redis.command::<Vec<u8>>(&["DUMP", &key]));
                }
            }
        }
        Place::Directory(_) => {
            let files = std::fs::read_dir(server.directory().join("store")).unwrap();
            for file in files {
                let path = file.unwrap().path();
                if path.is_file() {
                    kept.extend(std::fs::read(path).unwrap());
                }
            }
        }
    }
    let holds = |part: &[u8]| kept.windows(part.len()).any(|window| window == part);
    assert!(holds(b"find me"), "this is not where tokens are kept");
    for secret in [&before, &over_http] {
        let key = &secret[18..82];
        assert!(!holds(key.as_bytes()) && !holds(&hex::decode(key).unwrap()));
        assert!(!server.process.said().contains(key));
    }
}

#[tokio::test]
async fn a_revoked_token_counts_nowhere_after_a_second() {
    let redis = RedisServer::start();
    let admin = make(&redis.url(), &["--scopes", "admin"]).await;
    let flags = ["--require-token", "--no-worker"];
    let (one, two) = (
        Server::on(&redis.url(), &flags).await,
        Server::on(&redis.url(), &flags).await,
    );
    let queue = |server: &Server| server.request(Method::GET, "/queue");
    shown(queue(&two), &admin).await.expect(200);
    let create = one
        .request(Method::POST, "/tokens")
        .json(&json!({"scopes": ["read"]}));
    let token = shown(create, &admin).await.expect(200).text();
    // At once where it was not made.
    shown(queue(&two), &token).await.expect(200);
    let id: Secret = token.parse().unwrap();
    let revoke = one.request(Method::DELETE, &format!("/tokens/{}", id.id()));
    shown(revoke, &admin).await.expect(204);
    shown(queue(&one), &token).await.expect(401);
    tokio::time::sleep(TOKENS_FRESH).await;
    shown(queue(&two), &token).await.expect(401);
}

#[tokio::test]
async fn who_guesses_is_slowed_down_and_asks_redis_little() {
    let redis = RedisServer::start();
    let reader = make(&redis.url(), &["--scopes", "read"]).await;
    let server = Server::on(&redis.url(), &["--require-token", "--no-worker"]).await;
    let queue = || server.request(Method::GET, "/queue");
    shown(queue(), &reader).await.expect(200);
    let scripts = || {
        let stats = redis.cli(&["INFO", "commandstats"]);
        let of = |line: &str| {
            line.strip_prefix("cmdstat_evalsha:calls=")
                .map(str::to_owned)
        };
        let calls = stats.lines().find_map(of).unwrap();
        calls.split(',').next().unwrap().parse::<u128>().unwrap()
    };
    let (before, begun) = (scripts(), Instant::now());
    let guesses = (0..200).map(|_| {
        let guess = Secret::generate().unwrap().reveal();
        let request = queue();
        async move { shown(request, &guess).await.expect(401) }
    });
    futures_util::future::join_all(guesses).await;
    // One after the other, each waits until Redis may be asked again.
    for _ in 0..8 {
        let guess = Secret::generate().unwrap().reveal();
        shown(queue(), &guess).await.expect(401);
    }
    let ms = begun.elapsed().as_millis();
    assert!(ms >= 8 * 50 - 50, "{ms} ms");
    // One call in 50 ms; the host itself makes some beside.
    let (calls, most) = (scripts() - before, ms / 50 + ms / 50 + 20);
    assert!(calls <= most, "{calls} calls in {ms} ms");
}

#[tokio::test]
async fn a_store_that_is_away_lets_nobody_in_and_tells_strangers_nothing() {
    let redis = RedisServer::options().aof(Fsync::Always).start();
    let reader = make(&redis.url(), &["--scopes", "read"]).await;
    let server = Server::on(&redis.url(), &["--require-token", "--no-worker"]).await;
    let queue = || server.request(Method::GET, "/queue");
    shown(queue(), &reader).await.expect(200);
    redis.kill();
    tokio::time::sleep(TOKENS_FRESH).await;
    for token in [reader.clone(), Secret::generate().unwrap().reveal()] {
        let answer = shown(queue(), &token).await.expect(503);
        assert!(!answer.text().contains("redis"), "{}", answer.text());
    }
    let answer = server.get("/readyz").await.expect(503);
    assert!(!answer.text().contains("redis"), "{}", answer.text());
    redis.restart();
    let begun = Instant::now();
    while shown(queue(), &reader).await.status != 200 {
        assert!(begun.elapsed() < PATIENCE);
    }
}

#[tokio::test]
async fn on_a_public_address_no_server_starts_without_a_token() {
    let directory = tempfile::tempdir().unwrap();
    let store = store_of(&directory);
    let serve = ["serve", "--listen", "0.0.0.0:0", "--store", &store];
    let mut process = Process::start(serve);
    let command = process.until_said("skep token create").await;
    assert_eq!(process.exit().await, Some(2));
    assert_eq!(
        command.trim(),
        format!("skep token create --scopes admin --store {store}")
    );
    // The line works as it stands.
    let words: Vec<_> = command.split_whitespace().skip(1).collect();
    let made = skep().args(words).output().await.unwrap();
    assert!(made.status.success());
    let token = String::from_utf8(made.stdout).unwrap();
    let process = Process::start(serve);
    process.until_said("has no TLS").await;
    let line = process.until_said("skep listens on").await;
    let port = line.rsplit(':').next().unwrap().trim();
    let url = format!("http://127.0.0.1:{port}/queue");
    let client = reqwest::Client::new();
    send(client.get(&url)).await.expect(401);
    shown(client.get(&url), token.trim()).await.expect(200);
    send(client.get(url.replace("queue", "healthz")))
        .await
        .expect(200);
}
