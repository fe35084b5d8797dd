//! `skep queue mv` from a directory to a Redis and back to another directory, killed at
//! any moment on both ways.

use std::process::Stdio;
use std::time::Duration;

use skep_testkit::RedisServer;
use tempfile::TempDir;

use crate::moving::{err, queue, runs_each_once, stopped_with_jobs, url};
use crate::server::skep;

const JOBS: usize = 3_000;

/// When a move is killed, in ms after its start.
const KILLS_MS: [u64; 6] = [6, 22, 12, 35, 16, 50];

/// Moves, killed again and again, and then to its end; answers how often it was cut
/// off.
async fn move_with_kills(source: &str, destination: &str) -> usize {
    let mut cut_off = 0;
    for after in KILLS_MS {
        let mut child = skep()
            .args(["queue", "mv", source, destination])
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let ended = tokio::time::timeout(Duration::from_millis(after), child.wait()).await;
        if ended.is_err() {
            child.kill().await.unwrap();
            cut_off += 1;
        }
    }
    let output = queue(&["mv", source, destination]).await;
    assert!(output.status.success(), "{}", err(&output));
    cut_off
}

#[tokio::test]
async fn jobs_move_to_a_redis_and_back() {
    let (from, to) = (stopped_with_jobs(JOBS).await, TempDir::new().unwrap());
    let redis = RedisServer::start();
    let there = move_with_kills(&url(from.path()), &redis.url()).await;
    let queued: String = redis.cli(&["ZCARD", "{skep}:n:default:q2"]);
    assert_eq!(queued.trim(), JOBS.to_string());
    let back = move_with_kills(&redis.url(), &url(to.path())).await;
    assert!(there + back > 0, "no move was cut off");
    runs_each_once(to, JOBS).await;
}
