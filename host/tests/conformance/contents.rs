//! Content under digests, seen from below: what is damaged is noticed, and what nothing
//! names goes. How it lies there is each store's own.

use std::path::Path;

use bytes::Bytes;
use skep::job::{Digest, Limits};
use skep::model::{Findings, ModelConfig, Signature};
use skep::store::embedded::EmbeddedStore;
use skep::store::redis::RedisStore;
use skep::store::{NewDeployment, NewModel, Store, StoreError};
use skep_testkit::RedisServer;

use crate::backend::open_again;
use crate::support::ns;

/// Three chunks.
fn large() -> (Digest, Bytes) {
    let bytes = Bytes::from(
        (0..5_u32 << 20)
            .flat_map(u32::to_le_bytes)
            .collect::<Vec<_>>(),
    );
    (Digest::of(&bytes), bytes)
}

fn model(digest: Digest) -> NewModel {
    NewModel {
        name: "m".parse().unwrap(),
        digest,
        bytes: 20 << 20,
        config: ModelConfig::default(),
        findings: Findings {
            signature: Signature::default(),
            batch: None,
            note: String::new(),
            memory_bytes: 0,
        },
    }
}

fn function(component: Digest) -> NewDeployment {
    NewDeployment {
        function: "f".parse().unwrap(),
        component,
        summary: String::new(),
        message_schema: None,
        limits: Limits::default(),
        concurrency: None,
    }
}

/// Puts it, and names it as a model.
async fn name(store: &dyn Store, (digest, bytes): &(Digest, Bytes)) {
    store.put_blob(*digest, bytes.clone()).await.unwrap();
    store.put_model(&ns(), model(*digest)).await.unwrap();
}

async fn is_damaged(store: &dyn Store, digest: Digest) {
    let error = store.blob(digest).await.unwrap_err();
    assert!(matches!(error, StoreError::Unreadable(_)), "{error}");
    assert!(error.to_string().contains("upload it again"), "{error}");
}

fn sql(directory: &Path, sql: &str) -> i64 {
    let db = rusqlite::Connection::open(directory.join("skep.db")).unwrap();
    match sql.starts_with("SELECT") {
        true => db.query_row(sql, [], |row| row.get(0)).unwrap(),
        false => db.execute(sql, []).unwrap() as i64,
    }
}

#[tokio::test]
async fn in_a_directory_damage_is_noticed_and_mended() {
    let directory = tempfile::tempdir().unwrap();
    let large = large();
    let store = open_again(EmbeddedStore::options(), directory.path()).unwrap();
    name(&store, &large).await;
    drop(store);
    for harm in [
        "UPDATE chunks SET content = zeroblob(length(content)) WHERE place = 2",
        "DELETE FROM chunks WHERE place = 1",
        "UPDATE blobs SET content = x'00'",
    ] {
        assert_eq!(sql(directory.path(), harm), 1);
        let store = open_again(EmbeddedStore::options(), directory.path()).unwrap();
        is_damaged(&store, large.0).await;
        store.put_blob(large.0, large.1.clone()).await.unwrap();
        assert!(store.blob(large.0).await.unwrap().unwrap() == large.1);
    }
}

#[tokio::test]
async fn in_a_directory_what_nothing_names_goes_after_a_while() {
    let directory = tempfile::tempdir().unwrap();
    let (large, other, component) = (large(), Digest::of(b"other"), Digest::of(b"component"));
    let open = || open_again(EmbeddedStore::options(), directory.path()).unwrap();
    let kept = "SELECT count(*) FROM blobs WHERE expires IS NULL";
    let later = "UPDATE blobs SET expires = 1 WHERE expires IS NOT NULL";
    let store = open();
    name(&store, &large).await;
    store.put_blob(other, "other".into()).await.unwrap();
    store.put_blob(component, "component".into()).await.unwrap();
    store
        .deploy(&ns(), vec![function(component)])
        .await
        .unwrap();
    drop(store);
    assert_eq!(sql(directory.path(), kept), 2);
    assert_eq!(sql(directory.path(), later), 1);
    let store = open();
    while store.sweep().await.unwrap() > 0 {}
    assert_eq!(store.blob(other).await.unwrap(), None);
    assert!(store.blob(large.0).await.unwrap().unwrap() == large.1);
    assert!(store.blob(component).await.unwrap().is_some());
    let removed = store.remove_model(&ns(), &"m".parse().unwrap()).await;
    assert!(removed.unwrap());
    drop(store);
    assert_eq!(sql(directory.path(), later), 1);
    let store = open();
    // A sweep takes a part of it, and from then on it is not seen.
    assert!(store.sweep().await.unwrap() > 0);
    assert_eq!(store.blob(large.0).await.unwrap(), None);
    while store.sweep().await.unwrap() > 0 {}
    drop(store);
    assert_eq!(sql(directory.path(), "SELECT count(*) FROM chunks"), 0);
    assert_eq!(sql(directory.path(), kept), 1);
    assert_eq!(sql(directory.path(), "SELECT count(*) FROM blobs"), 1);
}

async fn on(redis: &RedisServer) -> RedisStore {
    let address = redis.url().parse().unwrap();
    RedisStore::options().open(&address).await.unwrap()
}

fn key(digest: Digest, place: usize) -> String {
    match place {
        0 => format!("{{skep}}:c:{digest}"),
        place => format!("{{skep}}:c:{digest}:{place}"),
    }
}

#[tokio::test]
async fn on_redis_damage_is_noticed_and_mended() {
    let redis = RedisServer::start();
    let store = on(&redis).await;
    let large = large();
    name(&store, &large).await;
    for place in [2, 1, 0] {
        redis.cli(&["SETRANGE", &key(large.0, place), "7", "x"]);
        is_damaged(&store, large.0).await;
        store.put_blob(large.0, large.1.clone()).await.unwrap();
        assert!(store.blob(large.0).await.unwrap().unwrap() == large.1);
    }
    redis.cli(&["DEL", &key(large.0, 1)]);
    is_damaged(&store, large.0).await;
    redis.cli(&["DEL", &key(large.0, 0)]);
    assert_eq!(store.blob(large.0).await.unwrap(), None);
}

#[tokio::test]
async fn on_redis_what_nothing_names_expires() {
    let redis = RedisServer::start();
    let store = on(&redis).await;
    let (large, component) = (large(), Digest::of(b"component"));
    let expires = |digest, place| redis.command::<i64>(&["PTTL", &key(digest, place)]);
    let soon = |ms: i64| (3_500_000..=3_600_000).contains(&ms);
    store.put_blob(large.0, large.1.clone()).await.unwrap();
    store.put_blob(component, "component".into()).await.unwrap();
    for place in 0..3 {
        assert!(soon(expires(large.0, place)), "{place}");
    }
    assert_eq!(expires(large.0, 3), -2, "there are three chunks");
    assert!(soon(expires(component, 0)));
    name(&store, &large).await;
    store
        .deploy(&ns(), vec![function(component)])
        .await
        .unwrap();
    assert_eq!(expires(component, 0), -1);
    for place in 0..3 {
        assert_eq!(expires(large.0, place), -1, "{place}");
    }
    // Also while it is written anew.
    store.put_blob(large.0, large.1.clone()).await.unwrap();
    assert_eq!(expires(large.0, 1), -1);
    let removed = store.remove_model(&ns(), &"m".parse().unwrap()).await;
    assert!(removed.unwrap());
    for place in 0..3 {
        assert!(soon(expires(large.0, place)), "{place}");
    }
    // A chunk that expired while the others were written is missed before it is seen.
    redis.cli(&["DEL", &key(large.0, 0)]);
    assert_eq!(store.blob(large.0).await.unwrap(), None);
    for left in ["refs", "n:default:mb", "n:default:mo", "n:default:mv"] {
        let there = redis.command::<i64>(&["EXISTS", &format!("{{skep}}:{left}")]);
        assert_eq!(there, 0, "{left}");
    }
    let bytes: i64 = redis.command(&["HGET", "{skep}:n:default:meta", "model_bytes"]);
    assert_eq!(bytes, 0);
}
