//! Every kind of Redis that a URL can name: behind TLS and a password, a Cluster, one
//! that Sentinels watch.

use serde_json::{Value, json};
use skep_testkit::{RedisCluster, RedisSentinel, RedisServer};

use crate::server::{Server, guest_bytes};

/// Deploys, posts, and reads the result on another host.
async fn works(url: &str, env: &[(&str, &str)]) -> Server {
    let server = Server::with_env(url, &[], env).await;
    server.upload(guest_bytes("multiply")).await.expect(200);
    let other = Server::with_env(url, &["--no-worker"], env).await;
    let id = other.post("multiply", factors()).await;
    let path = format!("/jobs/{id}/result?wait_ms=60000");
    assert_eq!(other.get(&path).await.expect(200).text(), "42");
    server
}

fn factors() -> Value {
    json!({"arg1": 6, "arg2": 7})
}

#[tokio::test]
async fn tls_with_a_password() {
    let redis = RedisServer::options().tls().password("s3cr3t").start();
    let directory = tempfile::tempdir().unwrap();
    let trusted = directory.path().join("ca.pem");
    std::fs::write(&trusted, redis.certificate()).unwrap();
    let trusted = trusted.display().to_string();
    works(&redis.tls_url(), &[("SSL_CERT_FILE", &trusted)]).await;
}

#[tokio::test]
async fn a_cluster() {
    let cluster = RedisCluster::start();
    works(&cluster.url(), &[]).await;
}

#[tokio::test]
async fn a_master_that_sentinels_watch_and_its_successor() {
    let sentinel = RedisSentinel::start();
    let server = works(&sentinel.url(), &[]).await;
    sentinel.catch_up();
    sentinel.fail_over();
    let begun = std::time::Instant::now();
    loop {
        let job = json!({"msg": factors(), "functions": ["multiply"]});
        let answer = server.post_text(job.to_string()).await;
        if answer.status == 200 {
            let record = server.ended(&answer.text()).await;
            assert_eq!(record["state"], "completed");
            return;
        }
        let text = answer.text();
        assert!(begun.elapsed() < crate::server::PATIENCE, "{text}");
        tokio::time::sleep(std::time::Duration::from_millis(50)).await;
    }
}
