//! How fast the store is, on the machine at hand:
//! `cargo test --release --test conformance speed -- --ignored --nocapture`.

use std::sync::Arc;
use std::time::{Duration, Instant};

use skep::store::LEASE;

use crate::support::{World, completed, done, job, ns};

/// The processor time of this process so far.
fn cpu() -> Duration {
    let stat = std::fs::read_to_string("/proc/self/stat").unwrap();
    let fields: Vec<_> = stat
        .rsplit(')')
        .next()
        .unwrap()
        .split_whitespace()
        .collect();
    let ticks = |n: usize| fields[n].parse::<u64>().unwrap();
    Duration::from_millis((ticks(11) + ticks(12)) * 10)
}

/// The memory of this process, in MiB.
fn memory() -> f64 {
    let statm = std::fs::read_to_string("/proc/self/statm").unwrap();
    let pages: f64 = statm.split(' ').nth(1).unwrap().parse().unwrap();
    pages / 256.0
}

struct Clock(Duration, Instant);

impl Clock {
    fn start() -> Self {
        Self(cpu(), Instant::now())
    }

    fn stop(self, what: &str, jobs: usize) {
        let (cpu, wall) = (
            (cpu() - self.0).as_secs_f64(),
            self.1.elapsed().as_secs_f64(),
        );
        let n = jobs as f64;
        println!(
            "{what:40} {:6.2} µs CPU/job {:9.0} jobs/s  {:6.1} MiB",
            cpu * 1e6 / n,
            n / wall,
            memory()
        );
    }
}

async fn drain(world: &World, hosts: usize, batch: usize) -> usize {
    let drains = (0..hosts).map(|_| {
        let store = world.store().clone();
        tokio::spawn(async move {
            let lease = store.register().await.unwrap();
            let (mut ended, mut taken) = (Vec::new(), 0);
            loop {
                let cycle = store.cycle(lease, Arc::new(ended), batch).await.unwrap();
                taken += cycle.claimed.len();
                ended = cycle
                    .claimed
                    .iter()
                    .map(|claim| done(claim, completed("42")))
                    .collect();
                if ended.is_empty() {
                    return taken;
                }
            }
        })
    });
    futures_util::future::join_all(drains)
        .await
        .into_iter()
        .map(Result::unwrap)
        .sum()
}

const JOBS: usize = 100_000;

fn message() -> String {
    format!("\"{}\"", "x".repeat(180))
}

async fn fill(world: &World, jobs: usize) {
    for _ in 0..jobs / 1000 {
        world.submit(vec![job(&message()); 1000]).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "it measures"]
async fn draining() {
    let world = World::embedded(LEASE);
    for (hosts, batch) in [
        (1, 64),
        (1, 256),
        (2, 64),
        (2, 256),
        (4, 64),
        (64, 1),
        (1, 1),
    ] {
        let jobs = if (hosts, batch) == (1, 1) {
            5_000
        } else {
            JOBS
        };
        fill(&world, jobs).await;
        let clock = Clock::start();
        let drained = drain(&world, hosts, batch).await;
        clock.stop(&format!("drain: {hosts} hosts, {batch} a cycle"), drained);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "it measures"]
async fn posting() {
    let world = World::embedded(LEASE);
    for batch in [1, 16, 256] {
        let jobs = if batch == 1 { 5_000 } else { JOBS };
        let clock = Clock::start();
        for _ in 0..jobs / batch {
            world.submit(vec![job(&message()); batch]).await;
        }
        clock.stop(&format!("post: 1 poster, {batch} at a time"), jobs);
    }
    let clock = Clock::start();
    let posts = (0..256).map(|_| {
        let (store, message) = (world.store().clone(), message());
        tokio::spawn(async move {
            for _ in 0..100 {
                store.submit(&ns(), vec![job(&message)]).await.unwrap();
            }
        })
    });
    futures_util::future::join_all(posts).await;
    clock.stop("post: 256 posters, 1 at a time", 25_600);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "it measures"]
async fn opening() {
    let mut world = World::embedded(LEASE);
    println!("new: {:.1} MiB", memory());
    fill(&world, JOBS).await;
    drain(&world, 2, 256).await;
    world.crash();
    let before = memory();
    println!("{JOBS} ended: {before:.1} MiB");
    fill(&world, JOBS).await;
    println!("and {JOBS} wait: {:.1} MiB", memory());
    let clock = Instant::now();
    world.crash();
    println!("opened again: {:?}, {:.1} MiB", clock.elapsed(), memory());
}
