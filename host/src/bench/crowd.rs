//! What a crowd of clients that want nothing, or want it slowly, does to one who wants
//! an answer: the latency of `/healthz` alone, and beside thousands of idle and hundreds
//! of slow connections.

use std::time::{Duration, Instant};

use anyhow::{Context as _, ensure};
use futures_util::stream::{self, StreamExt as _, TryStreamExt as _};
use rustix::process::{Resource, getrlimit};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpSocket, TcpStream};
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio::time::sleep;

use super::meter::{percentile_us, resident_mib};
use super::resident::Server;
use super::{BenchOptions, Figure, block_on};

/// How many do nothing, unless this process may not have so many files open.
const IDLE: usize = 10_000;

/// How many are slow, of each of the three ways to be.
const SLOW: [usize; 3] = [67, 67, 66];

/// What the slow ones pause between two bytes.
const PAUSE: Duration = Duration::from_millis(100);

/// Files that are not for the idle: those of the slow, and what a process has anyway.
const OTHER_FILES: u64 = 512;

/// How many connections are opened at once.
const AT_ONCE: usize = 32;

/// A server that takes no more requests for so long cannot send its answers.
const BLOCKED: Duration = Duration::from_secs(1);

const WARM_UP: usize = 500;
const REQUESTS: usize = 10_000;

/// How long to ask, at most: the slow ones are given up on after 30 s.
const ASK_FOR: Duration = Duration::from_secs(15);

pub(super) fn measure(options: &BenchOptions) -> anyhow::Result<Vec<Figure>> {
    block_on(async {
        let server = Server::start(options).await?;
        server.deploy(options).await?;
        let pid = server.pid()?;
        let address = server.address();
        let alone = latency(address).await?;
        let before = resident_mib(pid)?;
        let files = getrlimit(Resource::Nofile).current.unwrap_or(u64::MAX);
        let count = usize::try_from(files.saturating_sub(OTHER_FILES))?.min(IDLE);
        let open = |_| async {
            let mut client = Client::to(address).await?;
            client.healthz().await?;
            anyhow::Ok(client)
        };
        let idle: Vec<Client> = (stream::iter(0..count).map(open))
            .buffer_unordered(AT_ONCE)
            .try_collect()
            .await?;
        let held = resident_mib(pid)? - before;
        let mut slow = JoinSet::new();
        let [heads, bodies, readers] = SLOW;
        let (full, mut filled) = mpsc::channel(readers);
        for _ in 0..readers {
            slow.spawn(sip(address.to_owned(), full.clone()));
        }
        // Filling their buffers is work; being slow is none.
        for _ in 0..readers {
            filled.recv().await.context("a slow reader failed")?;
        }
        for _ in 0..heads {
            slow.spawn(drip(address.to_owned(), head(address)));
        }
        for _ in 0..bodies {
            slow.spawn(drip(address.to_owned(), body(address)));
        }
        let beside = latency(address).await?;
        if let Some(ended) = slow.try_join_next() {
            ended??;
            anyhow::bail!("a slow client was given up on before the end");
        }
        let still = idle.iter().filter(|client| client.is_open()).count();
        ensure!(still == count, "{} idle connections ended", count - still);
        Ok(vec![
            Figure::new("/healthz alone, p50", percentile_us(&alone, 50), "µs"),
            Figure::new("/healthz alone, p99", percentile_us(&alone, 99), "µs"),
            Figure::new("idle connections, beside 200 slow ones", still as f64, ""),
            Figure::new(
                "  /healthz beside them, p50",
                percentile_us(&beside, 50),
                "µs",
            ),
            Figure::new(
                "  /healthz beside them, p99",
                percentile_us(&beside, 99),
                "µs",
            ),
            Figure::new(
                "  memory of an idle connection",
                held * 1024.0 / count.max(1) as f64,
                "KiB",
            ),
        ])
    })
}

/// One client asks again and again; its times, sorted.
async fn latency(address: &str) -> anyhow::Result<Vec<Duration>> {
    let mut client = Client::to(address).await?;
    let mut times = Vec::with_capacity(REQUESTS);
    let until = Instant::now() + ASK_FOR;
    for request in 0..WARM_UP + REQUESTS {
        if Instant::now() > until {
            break;
        }
        let begun = Instant::now();
        client.healthz().await?;
        if request >= WARM_UP {
            times.push(begun.elapsed());
        }
    }
    times.sort_unstable();
    Ok(times)
}

/// A connection that is kept.
struct Client {
    stream: TcpStream,
    request: String,
}

impl Client {
    async fn to(address: &str) -> anyhow::Result<Self> {
        let stream = TcpStream::connect(address).await;
        let stream = stream.context("no more connections: is the server's limit reached?")?;
        stream.set_nodelay(true)?;
        Ok(Self {
            stream,
            request: format!("GET /healthz HTTP/1.1\r\nhost: {address}\r\n\r\n"),
        })
    }

    async fn healthz(&mut self) -> anyhow::Result<()> {
        self.stream.write_all(self.request.as_bytes()).await?;
        let mut answer = Vec::with_capacity(1024);
        while !answer.ends_with(b"\r\n\r\nok") {
            let read = self.stream.read_buf(&mut answer).await?;
            let text = || String::from_utf8_lossy(&answer).into_owned();
            ensure!(read > 0 && answer.len() < 4096, "/healthz: {}", text());
        }
        Ok(())
    }

    fn is_open(&self) -> bool {
        let nothing = self.stream.try_read(&mut [0]);
        nothing.is_err_and(|error| error.kind() == std::io::ErrorKind::WouldBlock)
    }
}

fn head(address: &str) -> Vec<u8> {
    let headers: String = (0..1_000).map(|n| format!("x-{n}: y\r\n")).collect();
    format!("GET /healthz HTTP/1.1\r\nhost: {address}\r\n{headers}").into_bytes()
}

fn body(address: &str) -> Vec<u8> {
    let mut request = format!(
        "POST /jobs HTTP/1.1\r\nhost: {address}\r\ncontent-type: application/json\r\ncontent-length: 1000000\r\n\r\n"
    )
    .into_bytes();
    request.resize(request.len() + 100_000, b' ');
    request
}

/// Sends a byte now and then, a long head or body.
async fn drip(address: String, bytes: Vec<u8>) -> anyhow::Result<()> {
    let mut stream = TcpStream::connect(&address).await?;
    for byte in bytes {
        stream.write_all(&[byte]).await?;
        sleep(PAUSE).await;
    }
    Ok(())
}

/// Asks for more than it reads, until the server cannot send any more, and then reads a
/// byte now and then.
async fn sip(address: String, full: mpsc::Sender<()>) -> anyhow::Result<()> {
    let socket = TcpSocket::new_v4()?;
    socket.set_recv_buffer_size(4096)?;
    let mut stream = socket.connect(address.parse()?).await?;
    let request = format!("GET /functions HTTP/1.1\r\nhost: {address}\r\n\r\n").repeat(100);
    loop {
        let sent = stream.write_all(request.as_bytes());
        match tokio::time::timeout(BLOCKED, sent).await {
            Ok(sent) => sent?,
            Err(_) => break,
        }
    }
    full.send(()).await?;
    while stream.read(&mut [0]).await? > 0 {
        sleep(PAUSE).await;
    }
    Ok(())
}
