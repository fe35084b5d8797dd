//! `skep queue mv` from a directory to a Redis and back to another directory, killed at
//! any moment on both ways.

use skep_testkit::RedisServer;
use tempfile::TempDir;

use crate::moving::{move_with_kills, runs_each_once, stopped_with_jobs, url};

const JOBS: usize = 3_000;

#[tokio::test]
async fn jobs_move_to_a_redis_and_back() {
    let (from, to) = (stopped_with_jobs(JOBS).await, TempDir::new().unwrap());
    let redis = RedisServer::start();
    let there = move_with_kills(&url(from.path()), &redis.url(), async || {}).await;
    let number = |command: &[&str]| -> usize { redis.cli(command).trim().parse().unwrap_or(0) };
    let members = number(&["ZCARD", "{skep}:n:default:q2"]);
    let more = number(&["HGET", "{skep}:n:default:meta", "more"]);
    assert_eq!(members + more, JOBS);
    let back = move_with_kills(&redis.url(), &url(to.path()), async || {}).await;
    assert!(there + back > 0, "no move was cut off");
    runs_each_once(to, JOBS).await;
}
