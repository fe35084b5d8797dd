//! `skep doctor`: finds nothing where all is well, and what is wrong where it is not.

use std::os::unix::fs::PermissionsExt as _;

use serde_json::Value;
use skep_testkit::RedisServer;
use tempfile::TempDir;

use crate::server::{Server, run, skep};

/// The checks of a doctor with these arguments, and the exit code.
async fn checks(url: &str, arguments: &[&str]) -> (Option<i32>, Vec<Value>) {
    let mut command = skep();
    command
        .args(["--url", url, "doctor", "--json"])
        .args(arguments);
    let (code, out, err) = run(command).await;
    let all: Value = serde_json::from_str(&out).unwrap_or_else(|_| panic!("{out}{err}"));
    assert_eq!(all["ok"], code == Some(0), "{out}");
    (code, all["checks"].as_array().unwrap().clone())
}

#[track_caller]
fn check<'c>(checks: &'c [Value], name: &str, status: &str) -> &'c Value {
    let found = checks
        .iter()
        .find(|check| check["name"] == name && check["status"] == status);
    found.unwrap_or_else(|| panic!("no {name} is {status}: {checks:#?}"))
}

#[tokio::test]
async fn all_is_well_beside_a_server_that_runs() {
    let server = Server::start().await;
    let (code, all) = checks(&server.url, &["--store", &server.store()]).await;
    assert_eq!(code, Some(0), "{all:#?}");
    for name in [
        "version",
        "server",
        "clock",
        "access",
        "disk",
        "cache",
        "guest",
        "inference",
    ] {
        check(&all, name, "ok");
    }
    let store = check(&all, "store", "ok")["said"].as_str().unwrap();
    assert!(store.contains("in use by a server"), "{store}");
    let inference = check(&all, "inference", "ok")["said"].as_str().unwrap();
    assert!(inference.contains("rten"), "{inference}");
    assert!(inference.contains("on cpu"), "{inference}");
    let mut people = skep();
    people.args(["--url", &server.url, "doctor", "--store", &server.store()]);
    let (_, shown, err) = run(people).await;
    assert!(shown.contains("ok    guest      compiled"), "{shown}");
    assert_eq!(err, "");
}

#[tokio::test]
async fn a_store_that_is_not_there_is_not_made() {
    let there = TempDir::new().unwrap();
    let store = format!("embedded:{}", there.path().join("typo").display());
    let nobody = "http://127.0.0.1:9";
    let (code, all) = checks(nobody, &["--store", &store]).await;
    // One that was named is missed.
    check(&all, "server", "fail");
    assert_eq!(code, Some(1));
    check(&all, "store", "ok");
    assert!(!there.path().join("typo").exists());
}

#[tokio::test]
async fn a_careless_redis_is_warned_of_and_one_that_is_away_fails() {
    let redis = RedisServer::start();
    let server = Server::on(&redis.url(), &[]).await;
    let (_, all) = checks(&server.url, &["--store", &redis.url()]).await;
    let store = check(&all, "store", "ok")["said"].as_str().unwrap();
    assert!(
        store.contains("Redis ") && store.contains(&redis.url()),
        "{store}"
    );
    let clocks = all.iter().filter(|check| check["name"] == "clock");
    assert_eq!(clocks.count(), 2);
    for setting in [["appendonly", "no"], ["maxmemory-policy", "allkeys-lru"]] {
        let _: String = redis.command(&["CONFIG", "SET", setting[0], setting[1]]);
    }
    let (code, all) = checks(&server.url, &["--store", &redis.url()]).await;
    assert_eq!(code, Some(0), "a warning is no failure");
    let warnings: Vec<_> = all
        .iter()
        .filter(|check| check["status"] == "warn")
        .collect();
    let mends: Vec<_> = warnings
        .iter()
        .map(|check| check["mend"].as_str().unwrap())
        .collect();
    assert!(mends.contains(&"set appendonly yes"), "{mends:?}");
    assert!(
        mends.contains(&"set maxmemory-policy noeviction"),
        "{mends:?}"
    );
    let (code, all) = checks(&server.url, &["--store", "redis://127.0.0.1:9/0"]).await;
    assert_eq!(code, Some(1));
    check(&all, "store", "fail");
}

#[tokio::test]
async fn a_cache_of_others_and_a_directory_without_rights_fail() {
    let server = Server::start().await;
    let there = TempDir::new().unwrap();
    let compiled = there.path().join("compiled");
    std::fs::create_dir(&compiled).unwrap();
    std::fs::set_permissions(&compiled, std::fs::Permissions::from_mode(0o755)).unwrap();
    let cache = there.path().display().to_string();
    let (code, all) = checks(
        &server.url,
        &["--store", &server.store(), "--cache", &cache],
    )
    .await;
    assert_eq!(code, Some(1));
    let said = check(&all, "cache", "fail")["said"].as_str().unwrap();
    assert!(said.contains("chmod 700"), "{said}");
    let (_, all) = checks(&server.url, &["--store", "embedded:/proc/skep"]).await;
    check(&all, "disk", "fail");
}

#[tokio::test]
async fn onnx_runtime_keeps_no_events_for_its_maker() {
    let Some(library) = std::env::var_os("ORT_DYLIB_PATH") else {
        // `make test` has one.
        return;
    };
    let home = TempDir::new().unwrap();
    for named in [true, false] {
        let mut command = skep();
        command
            .env("HOME", home.path())
            .env_remove("XDG_CACHE_HOME");
        command.env_remove("ORT_DISABLE_TELEMETRY");
        command.args(["doctor", "--json", "--url", "http://127.0.0.1:1"]);
        if named {
            command
                .env_remove("ORT_DYLIB_PATH")
                .arg("--onnxruntime")
                .arg(&library);
        }
        let (_, out, err) = run(command).await;
        let all: Value = serde_json::from_str(&out).unwrap_or_else(|_| panic!("{out}{err}"));
        assert!(
            all["checks"].as_array().unwrap().iter().any(|check| {
                let said = check["said"].as_str().unwrap();
                said.starts_with("onnxruntime") && said.ends_with("runs models on cpu")
            }),
            "it was opened: {all:#}"
        );
        let events = home.path().join(".cache/Microsoft");
        assert!(!events.exists(), "{}", events.display());
    }
}
