//! A TCP proxy on loopback that can be told to fail as networks do.
//!
//! It runs on a thread of its own, so that it also works while a test's own thread
//! is busy. What it is told holds for the connections that are open as well as for
//! new ones.

use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{mpsc, oneshot, watch};
use tokio::time::Instant;

/// How much is read at once.
const CHUNK: usize = 16 << 10;

/// Chunks on their way in one direction: what a slow network holds.
const ON_THE_WAY: usize = 256;

/// A running proxy. Stops, and drops its connections, when it is dropped.
#[derive(Debug)]
pub struct Proxy {
    port: u16,
    shared: Arc<Shared>,
    stop: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

#[derive(Debug, Default)]
struct Shared {
    rules: watch::Sender<Rules>,
    loss: Mutex<Loss>,
    losses: AtomicU64,
    opened: AtomicU64,
}

/// How connections fare.
#[derive(Clone, Debug, Default)]
struct Rules {
    refuse: bool,
    stall: bool,
    delay: Duration,
    /// How often all connections were cut.
    cuts: u64,
}

/// Which answer is to be lost next.
#[derive(Debug, Default)]
enum Loss {
    #[default]
    None,
    /// That which begins after so many bytes from the server.
    After(u64),
    /// That to the next request with these bytes in it.
    To(Vec<u8>),
}

/// A piece of a stream.
struct Chunk {
    read_at: Instant,
    bytes: Vec<u8>,
    /// Whether the answer to it is to be lost.
    doomed: bool,
}

impl Proxy {
    /// Starts a proxy in front of a port of loopback.
    pub fn to_port(port: u16) -> Self {
        Self::to((Ipv4Addr::LOCALHOST, port).into())
    }

    /// Starts a proxy in front of an address.
    pub fn to(target: SocketAddr) -> Self {
        let shared = Arc::new(Shared::default());
        let (stop, stopped) = oneshot::channel();
        let (ready, port) = std::sync::mpsc::channel();
        let serving = shared.clone();
        let thread = std::thread::Builder::new()
            .name("proxy".into())
            .spawn(move || {
                let runtime = tokio::runtime::Builder::new_current_thread()
                    .enable_all()
                    .build()
                    .expect("a runtime");
                runtime.block_on(async {
                    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await;
                    let listener = listener.expect("a port of loopback");
                    let address = listener.local_addr().expect("an address");
                    let _ = ready.send(address.port());
                    tokio::select! {
                        () = serve(listener, target, serving) => {}
                        _ = stopped => {}
                    }
                });
            })
            .expect("a thread");
        Self {
            port: port.recv().expect("the proxy listens"),
            shared,
            stop: Some(stop),
            thread: Some(thread),
        }
    }

    /// Where it listens, on loopback.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// The URL of a server, such as `redis://:password@127.0.0.1:6379/0`, with the
    /// way through this proxy in it.
    pub fn url_for(&self, url: &str) -> String {
        let (scheme, rest) = url.split_once("://").expect("a URL");
        let (authority, path) = match rest.split_once('/') {
            Some((authority, path)) => (authority, format!("/{path}")),
            None => (rest, String::new()),
        };
        let user =
            (authority.rsplit_once('@')).map_or(String::new(), |(user, _)| user.to_owned() + "@");
        format!("{scheme}://{user}127.0.0.1:{}{path}", self.port)
    }

    /// Drops every open connection.
    pub fn cut(&self) {
        self.shared.rules.send_modify(|rules| rules.cuts += 1);
    }

    /// Whether new connections are closed at once.
    pub fn refuse(&self, refuse: bool) {
        (self.shared.rules).send_modify(|rules| rules.refuse = refuse);
    }

    /// Whether nothing passes, in either direction, while connections stay open and
    /// new ones are accepted: a half-open network.
    pub fn stall(&self, stall: bool) {
        (self.shared.rules).send_modify(|rules| rules.stall = stall);
    }

    /// How much later everything arrives, in each direction.
    pub fn delay(&self, delay: Duration) {
        (self.shared.rules).send_modify(|rules| rules.delay = delay);
    }

    /// Lets `bytes` more bytes from the server pass, over all connections, and then
    /// cuts the connection that more is to come on: with 0, the next answer is lost,
    /// and what it answers was done. Works once.
    pub fn cut_after_bytes_from_server(&self, bytes: u64) {
        self.set_loss(Loss::After(bytes));
    }

    /// Passes the next request that contains `pattern` on, and cuts the connection
    /// when the server answers: the work was done, the answer was lost. Works once.
    /// The pattern must come in one piece, as that of a short request does.
    pub fn lose_answer_to(&self, pattern: &[u8]) {
        self.set_loss(Loss::To(pattern.to_vec()));
    }

    /// How many answers were lost on demand.
    pub fn losses(&self) -> u64 {
        self.shared.losses.load(Ordering::SeqCst)
    }

    /// How many connections were accepted.
    pub fn opened(&self) -> u64 {
        self.shared.opened.load(Ordering::SeqCst)
    }

    fn set_loss(&self, loss: Loss) {
        *self.shared.loss() = loss;
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        drop(self.stop.take());
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

impl Shared {
    fn loss(&self) -> std::sync::MutexGuard<'_, Loss> {
        self.loss.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether this is the request whose answer is to be lost.
    fn dooms(&self, request: &[u8]) -> bool {
        let mut loss = self.loss();
        let Loss::To(pattern) = &*loss else {
            return false;
        };
        let wanted = request.windows(pattern.len().max(1)).any(|w| w == pattern);
        if wanted {
            *loss = Loss::None;
        }
        wanted
    }

    /// How much of an answer may pass; less than all of it if the connection is to
    /// be cut then.
    fn passes(&self, answer: &[u8], doomed: &AtomicBool) -> usize {
        let mut loss = self.loss();
        let lost = match &mut *loss {
            _ if doomed.load(Ordering::SeqCst) => 0,
            Loss::After(left) => match left.checked_sub(answer.len() as u64) {
                Some(still_left) => {
                    *left = still_left;
                    return answer.len();
                }
                None => {
                    let passes = usize::try_from(*left).unwrap_or(0);
                    *loss = Loss::None;
                    passes
                }
            },
            _ => return answer.len(),
        };
        self.losses.fetch_add(1, Ordering::SeqCst);
        lost
    }
}

async fn serve(listener: TcpListener, target: SocketAddr, shared: Arc<Shared>) {
    loop {
        let Ok((client, _)) = listener.accept().await else {
            // Out of file descriptors; they come back.
            tokio::time::sleep(Duration::from_millis(10)).await;
            continue;
        };
        if shared.rules.borrow().refuse {
            continue;
        }
        shared.opened.fetch_add(1, Ordering::SeqCst);
        let shared = shared.clone();
        tokio::spawn(async move {
            // A connection that breaks is what this is for.
            let _ = connect(client, target, &shared).await;
        });
    }
}

/// Serves one connection until either end closes it, or it is cut.
async fn connect(client: TcpStream, target: SocketAddr, shared: &Shared) -> io::Result<()> {
    let mut rules = shared.rules.subscribe();
    let cuts = rules.borrow_and_update().cuts;
    let server = TcpStream::connect(target).await?;
    client.set_nodelay(true)?;
    server.set_nodelay(true)?;
    let (from_client, to_client) = client.into_split();
    let (from_server, to_server) = server.into_split();
    let doomed = AtomicBool::new(false);
    let up = pass(from_client, to_server, shared, &doomed, true);
    let down = pass(from_server, to_client, shared, &doomed, false);
    tokio::select! {
        ended = up => ended,
        ended = down => ended,
        _ = rules.wait_for(|rules| rules.cuts != cuts) => Ok(()),
    }
}

/// Passes one direction of a connection on.
async fn pass(
    mut from: OwnedReadHalf,
    mut to: OwnedWriteHalf,
    shared: &Shared,
    doomed: &AtomicBool,
    up: bool,
) -> io::Result<()> {
    let (sender, mut chunks) = mpsc::channel::<Chunk>(ON_THE_WAY);
    let read = async move {
        loop {
            let mut bytes = vec![0; CHUNK];
            let count = from.read(&mut bytes).await?;
            bytes.truncate(count);
            let passes = if up {
                count
            } else {
                shared.passes(&bytes, doomed)
            };
            bytes.truncate(passes);
            let chunk = Chunk {
                read_at: Instant::now(),
                doomed: up && shared.dooms(&bytes),
                bytes,
            };
            if count == 0 || sender.send(chunk).await.is_err() || passes < count {
                return io::Result::Ok(());
            }
        }
    };
    let mut rules = shared.rules.subscribe();
    let write = async move {
        while let Some(chunk) = chunks.recv().await {
            let now = rules.wait_for(|rules| !rules.stall).await;
            let delay = now.map_or(Duration::ZERO, |rules| rules.delay);
            tokio::time::sleep_until(chunk.read_at + delay).await;
            to.write_all(&chunk.bytes).await?;
            if chunk.doomed {
                doomed.store(true, Ordering::SeqCst);
            }
        }
        io::Result::Ok(())
    };
    tokio::try_join!(read, write).map(drop)
}
