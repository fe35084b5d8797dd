//! The canary: jobs of a namespace of its own, one after the other. How long each takes,
//! from the request to the result, tells what a guest does to its neighbours.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use reqwest::Method;

use crate::server::{Server, guest_bytes, send};

/// Jobs that tell what is usual.
const USUAL: usize = 20;

/// Between two jobs, so that the canary itself is no load.
const PAUSE: Duration = Duration::from_millis(10);

/// How much longer than usual a job may take beside a hostile guest, as a factor and
/// beyond it, on a machine that has ten other things to do. A guest that spins takes a
/// core's time slices, and each host call that brings 60 MB holds its thread for some
/// 100 ms there; one that blocks the host blocks it for minutes, unless it is stopped.
const FACTOR: u32 = 20;
const SLACK: Duration = Duration::from_secs(6);

/// As above, for the median: half of all jobs must hardly notice, on a CI machine that
/// has other work too.
const MEDIAN_FACTOR: u32 = 8;
const MEDIAN_SLACK: Duration = Duration::from_secs(1);

/// The canary's namespace.
const NAMESPACE: &str = "canary";

/// What is usual on a server.
#[derive(Clone, Debug)]
pub(crate) struct Canary {
    worst: Duration,
    median: Duration,
}

impl Canary {
    /// Brings the canary to a server, and measures what is usual there.
    pub(crate) async fn on(server: &Server) -> Self {
        let deployed = server
            .request(Method::PUT, "/functions/noop")
            .header("skep-namespace", NAMESPACE)
            .header("content-type", "application/wasm")
            .body(guest_bytes("probe"));
        send(deployed).await.expect(200);
        sing(server).await;
        let mut times = Vec::new();
        for _ in 0..USUAL {
            times.push(sing(server).await);
            tokio::time::sleep(PAUSE).await;
        }
        let (median, worst) = summary(&mut times);
        Self { worst, median }
    }

    /// Does something hostile while the canary sings, and fails if that is heard.
    pub(crate) async fn beside<T>(
        &self,
        server: &Server,
        what: &str,
        hostile: impl Future<Output = T>,
    ) -> T {
        let over = Arc::new(AtomicBool::new(false));
        let song = async {
            let mut times = Vec::new();
            while times.is_empty() || !over.load(Ordering::Relaxed) {
                times.push(sing(server).await);
                tokio::time::sleep(PAUSE).await;
            }
            times
        };
        let hostile = async {
            let done = hostile.await;
            over.store(true, Ordering::Relaxed);
            done
        };
        let (mut times, done) = tokio::join!(song, hostile);
        let songs = times.len();
        let (median, worst) = summary(&mut times);
        println!(
            "{what}: {songs} canary jobs, median {median:?}, worst {worst:?} (usual: {:?}, {:?})",
            self.median, self.worst
        );
        assert!(
            worst <= self.worst * FACTOR + SLACK,
            "{what}: a job of the canary took {worst:?}, usually at most {:?}",
            self.worst
        );
        assert!(
            median <= self.median * MEDIAN_FACTOR + MEDIAN_SLACK,
            "{what}: the canary's jobs took {median:?} in the median, usually {:?}",
            self.median
        );
        done
    }
}

/// One job, from the request to its result.
async fn sing(server: &Server) -> Duration {
    let begun = Instant::now();
    let post = server
        .request(Method::POST, "/jobs")
        .header("skep-namespace", NAMESPACE)
        .header("content-type", "application/json")
        .body(r#"{"msg": null, "functions": ["noop"]}"#);
    let id = send(post).await.expect(200).text();
    let path = format!("/jobs/{id}/result?wait_ms=60000");
    let result = server
        .request(Method::GET, &path)
        .header("skep-namespace", NAMESPACE);
    assert_eq!(send(result).await.expect(200).text(), "null");
    begun.elapsed()
}

/// The median and the longest.
fn summary(times: &mut [Duration]) -> (Duration, Duration) {
    times.sort_unstable();
    (times[times.len() / 2], times[times.len() - 1])
}
