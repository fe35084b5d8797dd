//! Latency at low load: one client posts a job over HTTP and waits for its result,
//! again and again, against a server process.

use std::time::Instant;

use super::meter::percentile_us;
use super::resident::Server;
use super::{BenchOptions, Figure, block_on};

const WARM_UP: usize = 200;
const ROUND_TRIPS: usize = 2_000;

pub(super) fn measure(options: &BenchOptions) -> anyhow::Result<Vec<Figure>> {
    block_on(async {
        let server = Server::start(options).await?;
        server.deploy(options).await?;
        let mut times = Vec::with_capacity(ROUND_TRIPS);
        for trip in 0..WARM_UP + ROUND_TRIPS {
            let begun = Instant::now();
            server.round_trip(options).await?;
            if trip >= WARM_UP {
                times.push(begun.elapsed());
            }
        }
        times.sort_unstable();
        Ok(vec![
            Figure::new(
                "post to result over HTTP, p50",
                percentile_us(&times, 50),
                "µs",
            ),
            Figure::new(
                "post to result over HTTP, p99",
                percentile_us(&times, 99),
                "µs",
            ),
        ])
    })
}
