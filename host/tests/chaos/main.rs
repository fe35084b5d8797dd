//! Several hosts, as real processes, on one real Redis, while everything breaks: hosts
//! are killed, and frozen for longer than their lease and thawed; Redis is killed and
//! started again; connections are cut, refused and stalled, and answers get lost. A
//! poster posts on, as the documentation asks: with idempotency keys, until it is
//! answered. In the end, what Redis holds must be what was posted, ended once each and
//! as it should, and nothing else.
//!
//! - [`hosts`]: the processes, each with a way to Redis of its own that can fail;
//! - [`cases`]: the jobs, and how each must end;
//! - [`poster`]: the client;
//! - [`weather`]: what breaks, and when;
//! - [`audit`]: the invariants.
//!
//! The seed is printed; `SKEP_SEED=…` repeats its faults, as far as processes let it.
//! `SKEP_SOAK_S=…` says how many seconds things break for (`make soak`). Needs the
//! guests at `target/guests` (`make guests`).

#![allow(
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::unwrap_used,
    reason = "a test fails by panicking"
)]

mod audit;
mod cases;
mod hosts;
mod poster;
mod weather;

use std::sync::Arc;
use std::time::{Duration, Instant};

use skep::store::Store;
use skep::store::redis::RedisStore;
use skep_testkit::{Fsync, RedisServer};

use hosts::{Host, LEASE};
use poster::Poster;
use weather::Weather;

/// How long things break for in `cargo test`.
const SHORT: Duration = Duration::from_secs(15);

/// The most jobs of a second: two cores run hosts, poster, proxies and Redis.
const JOBS_PER_S: u64 = 80;

/// A number from the environment.
fn number(name: &str) -> Option<u64> {
    let text = std::env::var(name).ok()?;
    Some(
        text.parse()
            .unwrap_or_else(|_| panic!("{name} is a number")),
    )
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whatever_breaks_each_job_ends_once_and_as_it_should() {
    let seed = number("SKEP_SEED").unwrap_or_else(|| fastrand::u64(..1_000_000));
    let length = number("SKEP_SOAK_S").map_or(SHORT, Duration::from_secs);
    println!("SKEP_SEED={seed} SKEP_SOAK_S={}", length.as_secs());
    let mut dice = fastrand::Rng::with_seed(seed);
    let begun = Instant::now();

    let server = Arc::new(RedisServer::options().aof(Fsync::Always).start());
    let directory = tempfile::tempdir().unwrap();
    let hosts = hosts::start(&server, directory.path()).await;
    let poster = Poster::start(
        hosts.iter().filter_map(Host::url).collect(),
        dice.u64(..),
        JOBS_PER_S * length.as_secs(),
    );
    let mut weather = Weather::new(server.clone(), hosts, dice.u64(..));
    weather.blow(length).await;
    let posted = poster.stop().await;

    let options = RedisStore::options().lease(LEASE);
    let store = options.open(&server.url().parse().unwrap()).await.unwrap();
    let store: Arc<dyn Store> = Arc::new(store);
    let keep_logs = KeepLogs(Some(directory));
    audit::all_ended(&store, &posted).await;
    weather.stop_hosts().await;
    audit::hosts_forgotten(&server, &store).await;
    let runs = audit::jobs(&store, &posted).await;
    let keys = audit::keys(&server, &posted);
    weather.assert_nobody_panicked();
    println!(
        "chaos: {} jobs in {:.0} s; {}; {} attempts lost with their host, {} jobs run again, {} times since a person said so; {keys} keys explained",
        posted.len(),
        begun.elapsed().as_secs_f64(),
        weather.figures(),
        runs.lost_attempts,
        runs.run_again,
        runs.requeued,
    );
    drop(keep_logs);
}

/// Leaves the hosts' directories, with their logs, to whoever looks into a failure.
struct KeepLogs(Option<tempfile::TempDir>);

impl Drop for KeepLogs {
    fn drop(&mut self) {
        if let Some(directory) = self.0.take().filter(|_| std::thread::panicking()) {
            println!("the hosts' logs are in {}", directory.keep().display());
        }
    }
}
