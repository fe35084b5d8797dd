//! kill -9 at twenty random moments while five thousand jobs run: none is lost, each
//! completes, and each has one outcome.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use futures_util::stream::{self, StreamExt as _};
use serde_json::json;

use crate::server::Server;

const JOBS: usize = 5_000;
const KILLS: usize = 20;

/// A small generator (xorshift64*), so that a failing run can be repeated by its
/// seed: `SKEP_TEST_SEED=… cargo test crash`.
struct Random(u64);

impl Random {
    fn seeded() -> Self {
        let clock = SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .unwrap()
            .as_nanos() as u64;
        let seed = std::env::var("SKEP_TEST_SEED").map_or(clock, |seed| seed.parse().unwrap());
        println!("SKEP_TEST_SEED={seed}");
        Self(seed | 1)
    }

    fn below(&mut self, bound: u64) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        (self.0.wrapping_mul(0x2545_F491_4F6C_DD1D) >> 32) % bound
    }
}

#[tokio::test]
async fn killing_the_server_twenty_times_loses_no_job() {
    let mut random = Random::seeded();
    let mut server = Server::with("probe").await;
    // Jobs of about a millisecond: the run outlasts the kills.
    let post = |n: usize| {
        let server = &server;
        async move {
            server
                .post("busy", json!({"iterations": 400_000, "n": n}))
                .await
        }
    };
    let mut ids: Vec<String> = stream::iter(0..JOBS / 2)
        .map(post)
        .buffer_unordered(64)
        .collect()
        .await;

    let per_round = JOBS / 2 / KILLS;
    for round in 0..KILLS {
        // Half of the jobs come in while the server is being killed: what was not
        // answered does not count, what was answered must be there.
        let pause = Duration::from_millis(20 + random.below(180));
        let mut posts = stream::iter(0..per_round)
            .map(|n| {
                let body = json!({"msg": {"iterations": 400_000, "n": n}, "functions": ["busy"]});
                let request = server.request(reqwest::Method::POST, "/jobs");
                request
                    .header("content-type", "application/json")
                    .body(body.to_string())
                    .send()
            })
            .buffer_unordered(8);
        let until = tokio::time::Instant::now() + pause;
        while let Ok(Some(answer)) = tokio::time::timeout_at(until, posts.next()).await {
            ids.push(
                answer
                    .unwrap()
                    .error_for_status()
                    .unwrap()
                    .text()
                    .await
                    .unwrap(),
            );
        }
        drop(posts);
        tokio::time::sleep_until(until).await;
        let directory = server.kill().await;
        server = Server::start_in(directory).await;
        println!(
            "round {round}: {} jobs wait",
            server.get("/jobs/count").await.text()
        );
    }
    ids.sort_unstable();
    let answered = ids.len();
    ids.dedup();
    assert_eq!(ids.len(), answered, "an id was answered twice");
    let mut reruns = 0;
    for id in &ids {
        let record = server.ended(id).await;
        assert_eq!(record["state"], "completed", "{record}");
        reruns += record["attempt"].as_u64().unwrap() - 1;
        server.get(&format!("/jobs/{id}/result")).await.expect(200);
    }
    assert_eq!(server.get("/jobs/count").await.text(), "0");
    println!("{answered} jobs, {KILLS} kills, {reruns} jobs were run again");
}
