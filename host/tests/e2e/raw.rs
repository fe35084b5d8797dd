//! A client that is no HTTP client: it sends what it is told, as slowly as it likes, and
//! reads what it wants to.

use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpSocket, TcpStream};
use tokio::time::{sleep, timeout};

use crate::server::{PATIENCE, Server};

/// A connection.
pub(crate) struct Raw {
    pub(crate) stream: TcpStream,
}

impl Raw {
    pub(crate) async fn to(server: &Server) -> Self {
        let stream = TcpStream::connect(server.address()).await.unwrap();
        stream.set_nodelay(true).unwrap();
        Self { stream }
    }

    /// One whose kernel takes next to nothing on its behalf.
    pub(crate) async fn small(server: &Server) -> Self {
        let socket = TcpSocket::new_v4().unwrap();
        socket.set_recv_buffer_size(4096).unwrap();
        let address = server.address().parse().unwrap();
        let stream = socket.connect(address).await.unwrap();
        Self { stream }
    }

    /// Sends this; a server that has hung up is no failure.
    pub(crate) async fn send(&mut self, bytes: impl AsRef<[u8]>) -> bool {
        self.stream.write_all(bytes.as_ref()).await.is_ok()
    }

    /// Sends a byte now and then, until the server hangs up or answers.
    pub(crate) async fn drip(&mut self, bytes: &[u8], pause: Duration) {
        for byte in bytes.iter().cycle() {
            if !self.send([*byte]).await {
                return;
            }
            if self.ended(pause).await {
                return;
            }
        }
    }

    /// Whether the server answers or hangs up within some time.
    async fn ended(&self, within: Duration) -> bool {
        timeout(within, self.stream.readable()).await.is_ok()
    }

    /// What comes until the server hangs up.
    pub(crate) async fn rest(&mut self) -> String {
        let mut all = Vec::new();
        let read = async {
            // A reset is an end, too.
            while self.stream.read_buf(&mut all).await.unwrap_or(0) > 0 {}
        };
        timeout(2 * PATIENCE, read)
            .await
            .expect("the server does not hang up");
        String::from_utf8_lossy(&all).into_owned()
    }

    /// The next answer, whose length must be told in its head.
    pub(crate) async fn answer(&mut self) -> String {
        let mut all = Vec::new();
        let read = async {
            loop {
                let text = String::from_utf8_lossy(&all).into_owned();
                if let Some((head, body)) = text.split_once("\r\n\r\n") {
                    let length = head.lines().find_map(|line| {
                        let (name, value) = line.split_once(": ")?;
                        let is_it = name.eq_ignore_ascii_case("content-length");
                        is_it.then(|| value.parse::<usize>().unwrap())
                    });
                    if body.len() >= length.unwrap_or(0) {
                        return text;
                    }
                }
                let read = self.stream.read_buf(&mut all).await.unwrap_or(0);
                assert!(read > 0, "the server hung up after: {text}");
            }
        };
        timeout(PATIENCE, read)
            .await
            .expect("the server does not answer")
    }

    /// No more is sent.
    pub(crate) async fn shut(&mut self) {
        self.stream.shutdown().await.unwrap();
    }
}

/// What the server answers to these bytes, until it hangs up.
pub(crate) async fn told(server: &Server, bytes: impl AsRef<[u8]>) -> String {
    let mut raw = Raw::to(server).await;
    raw.send(bytes).await;
    raw.rest().await
}

/// The status of an answer.
pub(crate) fn status(answer: &str) -> u16 {
    let status = answer.strip_prefix("HTTP/1.1 ").and_then(|a| a.get(..3));
    status
        .and_then(|status| status.parse().ok())
        .unwrap_or_else(|| panic!("no answer: {answer:?}"))
}

/// Waits a little.
pub(crate) async fn moment() {
    sleep(Duration::from_millis(200)).await;
}
