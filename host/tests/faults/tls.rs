//! A Redis that speaks TLS: used by those who trust its certificate, by the system's
//! or by `SSL_CERT_FILE`, and by nobody else.

use std::process::Command;

use skep::job::{NewJob, Payload};
use skep::store::redis::RedisStore;
use skep::store::{Result, Store};
use skep_testkit::RedisServer;

use crate::client::ns;

const URL: &str = "SKEP_TEST_TLS_URL";

async fn submit(url: &str) -> Result<usize> {
    let store = RedisStore::options().open(&url.parse().unwrap()).await?;
    let jobs = vec![NewJob::new(Payload::json("0"), vec![])];
    Ok(store.submit(&ns(), jobs).await?.len())
}

/// Not a test: a process that may trust more than this one.
#[tokio::test]
async fn child() {
    if let Ok(url) = std::env::var(URL) {
        assert_eq!(submit(&url).await.unwrap(), 1);
    }
}

#[tokio::test]
async fn a_certificate_counts_where_it_is_trusted() {
    let server = RedisServer::options().tls().start();
    let refused = submit(&server.tls_url()).await;
    let refused = refused.expect_err("nobody has signed the certificate");
    assert!(refused.to_string().contains("certificate"), "{refused}");

    let directory = tempfile::tempdir().unwrap();
    let trusted = directory.path().join("trusted.pem");
    std::fs::write(&trusted, server.certificate()).unwrap();
    let trusting = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "tls::child"])
        .env("SSL_CERT_FILE", &trusted)
        .env(URL, server.tls_url())
        .status();
    assert!(trusting.unwrap().success());
    assert_ne!(server.cli(&["DBSIZE"]), "0");
}
