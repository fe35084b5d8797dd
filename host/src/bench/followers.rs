//! What those who follow jobs cost a server: thousands of open streams of events, each
//! of a job of its own that waits.

use anyhow::ensure;
use futures_util::stream::{self, StreamExt as _, TryStreamExt as _};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use super::meter::resident_mib;
use super::resident::Server;
use super::{BenchOptions, Figure, block_on};

/// How many follow.
const FOLLOWERS: usize = 5_000;

/// How many connections are opened at once.
const AT_ONCE: usize = 32;

pub(super) fn measure(options: &BenchOptions) -> anyhow::Result<Vec<Figure>> {
    block_on(async {
        let server = Server::start(options).await?;
        let pid = server.pid()?;
        // Jobs without names wait in a namespace without functions.
        let post = |_| server.post("default", &options.message, &[]);
        let ids: Vec<String> = (stream::iter(0..FOLLOWERS).map(post))
            .buffer_unordered(AT_ONCE)
            .try_collect()
            .await?;
        let before = resident_mib(pid)?;
        let open = |id| follow(server.address(), id);
        let streams: Vec<TcpStream> = (stream::iter(ids).map(open))
            .buffer_unordered(AT_ONCE)
            .try_collect()
            .await?;
        let after = resident_mib(pid)?;
        drop(streams);
        Ok(vec![
            Figure::new("resident, 5,000 followers", after, "MiB"),
            Figure::new(
                "memory of a follower",
                (after - before) * 1024.0 / FOLLOWERS as f64,
                "KiB",
            ),
        ])
    })
}

/// Opens a stream and reads its first event.
async fn follow(address: &str, id: String) -> anyhow::Result<TcpStream> {
    let mut stream = TcpStream::connect(address).await?;
    let request = format!("GET /jobs/{id}/events HTTP/1.1\r\nhost: {address}\r\n\r\n");
    stream.write_all(request.as_bytes()).await?;
    let mut answer = Vec::new();
    while !answer.ends_with(b"\n\n\r\n") {
        let read = stream.read_buf(&mut answer).await?;
        ensure!(
            read > 0,
            "a stream ended: {}",
            String::from_utf8_lossy(&answer)
        );
    }
    let ok = answer.starts_with(b"HTTP/1.1 200 ");
    ensure!(
        ok,
        "a stream was refused: {}",
        String::from_utf8_lossy(&answer)
    );
    Ok(stream)
}
