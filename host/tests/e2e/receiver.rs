//! Something on loopback that is called back, well or badly behaved.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};

use crate::server::eventually;

/// What a receiver does with a request.
#[derive(Clone, Debug)]
pub(crate) enum Reply {
    Status(u16),
    RedirectTo(String),
    /// Says nothing, ever.
    Hang,
    /// Answers 200, and then writes until nobody reads.
    Endless,
}

/// A request as it came.
#[derive(Clone, Debug)]
pub(crate) struct Called {
    /// Path and query.
    pub(crate) target: String,
    /// By their names in small letters.
    pub(crate) headers: HashMap<String, String>,
}

/// A running receiver.
pub(crate) struct Receiver {
    pub(crate) port: u16,
    calls: Arc<Mutex<Vec<Called>>>,
}

impl Receiver {
    /// A receiver that answers call after call like this, and the last way from then on.
    pub(crate) async fn replying(replies: Vec<Reply>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let calls = Arc::new(Mutex::new(Vec::new()));
        let noted = calls.clone();
        tokio::spawn(async move {
            while let Ok((io, _)) = listener.accept().await {
                tokio::spawn(serve(io, replies.clone(), noted.clone()));
            }
        });
        Self { port, calls }
    }

    pub(crate) async fn start() -> Self {
        Self::replying(vec![Reply::Status(200)]).await
    }

    pub(crate) fn url(&self, path: &str) -> String {
        format!("http://127.0.0.1:{}{path}", self.port)
    }

    pub(crate) fn calls(&self) -> Vec<Called> {
        self.calls.lock().unwrap().clone()
    }

    /// Waits until this holds for the calls so far, and answers them.
    pub(crate) async fn until(
        &self,
        patience: Duration,
        enough: impl Fn(&[Called]) -> bool,
    ) -> Vec<Called> {
        eventually(patience, async || self.calls(), |calls| enough(calls)).await
    }
}

async fn serve(mut io: TcpStream, replies: Vec<Reply>, calls: Arc<Mutex<Vec<Called>>>) {
    let mut request = Vec::new();
    while !request.ends_with(b"\r\n\r\n") {
        match io.read_u8().await {
            Ok(byte) => request.push(byte),
            Err(_) => return,
        }
    }
    let request = String::from_utf8(request).unwrap();
    let mut lines = request.lines();
    let line: Vec<_> = lines.next().unwrap().split(' ').collect();
    assert_eq!((line[0], line[2]), ("GET", "HTTP/1.1"), "{request}");
    let headers = lines.filter_map(|line| line.split_once(": "));
    let called = Called {
        target: line[1].to_owned(),
        headers: headers
            .map(|(name, value)| (name.to_ascii_lowercase(), value.to_owned()))
            .collect(),
    };
    let nth = {
        let mut calls = calls.lock().unwrap();
        calls.push(called);
        calls.len() - 1
    };
    let head = match replies.get(nth).or(replies.last()).unwrap() {
        Reply::Status(status) => format!("HTTP/1.1 {status} X\r\nContent-Length: 2\r\n\r\nok"),
        Reply::RedirectTo(url) => {
            format!("HTTP/1.1 307 X\r\nLocation: {url}\r\nContent-Length: 0\r\n\r\n")
        }
        Reply::Hang => return std::future::pending().await,
        Reply::Endless => {
            let head = b"HTTP/1.1 200 X\r\nContent-Length: 10737418240\r\n\r\n";
            let _ = io.write_all(head).await;
            let piece = vec![b'x'; 1 << 20];
            while io.write_all(&piece).await.is_ok() {}
            return;
        }
    };
    // Whether anybody reads it to its end is not our business.
    let _ = io.write_all(head.as_bytes()).await;
}
