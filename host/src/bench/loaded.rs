//! Latency at half load: one client posts a job over HTTP and waits for its result, again
//! and again, while others post half as many jobs a second as the host can be brought to run.

use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use anyhow::Context as _;
use bytes::Bytes;
use futures_util::future::try_join_all;
use tokio::task::JoinSet;
use tokio::time::{Instant, MissedTickBehavior, interval_at, sleep};

use super::meter::percentile_us;
use super::resident::Server;
use super::{BenchOptions, Figure, block_on};

/// How many jobs a post has.
const BATCH: u32 = 50;

/// How many clients post, and wait for what they have posted, to find what the host can do:
/// enough for it never to be out of jobs.
const HASTY: u32 = 16;

/// How many clients post half of that: enough for none to be late because of its last post.
const STEADY: u32 = 4;

const WARM_UP: Duration = Duration::from_secs(2);
const MEASURED: Duration = Duration::from_secs(8);

/// Between a result and the next post, so that who measures is no load.
const PAUSE: Duration = Duration::from_millis(2);

pub(super) fn measure(options: &BenchOptions) -> anyhow::Result<Vec<Figure>> {
    let full = block_on(full_load(options))?;
    let mut times = block_on(round_trips(options, full / 2.0))?;
    times.sort_unstable();
    let time = |name, percent| Figure::new(name, percentile_us(&times, percent), "µs");
    Ok(vec![
        Figure::new("posted by fifties over HTTP, and run", full, "jobs/s"),
        time("post to result at half of that, p50", 50),
        time("post to result at half of that, p99", 99),
    ])
}

/// How many jobs a second are run, if there are always more.
async fn full_load(options: &BenchOptions) -> anyhow::Result<f64> {
    let server = Server::start(options).await?;
    server.deploy(options).await?;
    let ended = AtomicU32::new(0);
    let clients = (0..HASTY).map(|_| Client::new(&server, options).hurry(&server, &ended));
    let watch = async {
        sleep(WARM_UP).await;
        let (begun, before) = (Instant::now(), ended.load(Ordering::Relaxed));
        sleep(MEASURED).await;
        let ended = ended.load(Ordering::Relaxed) - before;
        anyhow::Ok(f64::from(ended) / begun.elapsed().as_secs_f64())
    };
    tokio::select! {
        Err(failed) = try_join_all(clients) => Err(failed),
        full = watch => full,
    }
}

/// What a client's round trips take, beside so many jobs a second.
async fn round_trips(options: &BenchOptions, load_per_s: f64) -> anyhow::Result<Vec<Duration>> {
    let server = Server::start(options).await?;
    server.deploy(options).await?;
    let every = Duration::from_secs_f64(f64::from(STEADY * BATCH) / load_per_s);
    let mut clients = JoinSet::new();
    for number in 0..STEADY {
        let (client, late) = (Client::new(&server, options), every / STEADY * number);
        clients.spawn(client.keep_pace(late, every));
    }
    let mut times = Vec::new();
    let begun = Instant::now();
    while begun.elapsed() < WARM_UP + MEASURED {
        let posted = Instant::now();
        server.round_trip(options).await?;
        if posted - begun >= WARM_UP {
            times.push(posted.elapsed());
        }
        if let Some(ended) = clients.try_join_next() {
            ended??;
        }
        sleep(PAUSE).await;
    }
    Ok(times)
}

/// A connection that posts batches.
struct Client(reqwest::RequestBuilder);

impl Client {
    fn new(server: &Server, options: &BenchOptions) -> Self {
        let (message, function) = (&options.message, &options.function);
        let line = format!("{{\"msg\": {message}, \"functions\": [\"{function}\"]}}\n");
        let request = (reqwest::Client::new().post(format!("{}/jobs/batch", server.url())))
            .header("content-type", "application/x-ndjson")
            .header("accept", "text/plain")
            .body(Bytes::from(line.repeat(BATCH as usize)));
        Self(request)
    }

    /// Posts and waits for what it has posted, until that fails.
    async fn hurry(self, server: &Server, ended: &AtomicU32) -> anyhow::Result<()> {
        loop {
            let last = self.post().await?;
            server.result(&last).await?;
            ended.fetch_add(BATCH, Ordering::Relaxed);
        }
    }

    /// Posts `every` so often, the first time a little `late`, until that fails.
    async fn keep_pace(self, late: Duration, every: Duration) -> anyhow::Result<()> {
        let mut ticks = interval_at(Instant::now() + late, every);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Burst);
        loop {
            ticks.tick().await;
            self.post().await?;
        }
    }

    /// Posts a batch, and answers the last one's id.
    async fn post(&self) -> anyhow::Result<String> {
        let request = self.0.try_clone().context("a body that can be sent once")?;
        let ids = request.send().await?.error_for_status()?.text().await?;
        let last = ids.lines().last().context("no job was accepted")?;
        Ok(last.to_owned())
    }
}
