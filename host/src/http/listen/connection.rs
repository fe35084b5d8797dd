//! One connection: what it may cost, and its end.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::pin::pin;
use std::time::Duration;

use axum::Router;
use axum::extract::ConnectInfo;
use hyper::body::Incoming;
use hyper::service::{Service as _, service_fn};
use hyper::{Request, Response};
use hyper_util::rt::{TokioExecutor, TokioIo};
use hyper_util::server::conn::auto::Builder;
use hyper_util::service::TowerToHyperService;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::time::{Instant, sleep_until, timeout};
use tokio_util::sync::CancellationToken;

use super::tls::Tls;
use super::traffic::{FIRST, Pieces, Traffic, Verdict};

/// How long a TLS handshake may take: four round trips to the other side of the world,
/// many times over.
const HANDSHAKE: Duration = Duration::from_secs(10);

/// How long an idle client may take to go once it is asked to.
const LAST_WORD: Duration = Duration::from_secs(5);

/// How much is kept of what was read and what is to be written, and so the longest head
/// of a request too: nginx allows 32 KiB. Times [`MAX_CONNECTIONS`](super::MAX_CONNECTIONS),
/// this is what clients can make a host hold who send no more than heads.
const BUFFER_BYTES: usize = 64 << 10;

/// How many requests one connection of HTTP/2 may have under way: what its RFC asks
/// servers to allow at least.
const STREAMS: u32 = 100;

/// How much of bodies one connection of HTTP/2 may send ahead: 5 MB/s at 50 ms.
const WINDOW_BYTES: u32 = 256 << 10;

/// Serves a connection to its end.
pub(super) async fn serve(
    stream: TcpStream,
    peer: SocketAddr,
    tls: Option<Tls>,
    router: Router,
    closing: &CancellationToken,
) {
    let Some(tls) = tls else {
        return speak(stream, peer, router, closing).await;
    };
    let shaken = tokio::select! {
        () = closing.cancelled() => return,
        shaken = timeout(HANDSHAKE, tls.accept(stream)) => shaken,
    };
    match shaken {
        Ok(Ok(stream)) => speak(stream, peer, router, closing).await,
        Ok(Err(error)) => tracing::debug!(%error, "a TLS handshake failed"),
        Err(_) => tracing::debug!("a TLS handshake took longer than {HANDSHAKE:?}"),
    }
}

/// Speaks HTTP/1 or HTTP/2, as the client begins.
async fn speak<I>(io: I, peer: SocketAddr, router: Router, closing: &CancellationToken)
where
    I: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let traffic = Traffic::new();
    let answers = TowerToHyperService::new(router);
    let service = service_fn(|mut request: Request<Incoming>| {
        request.extensions_mut().insert(ConnectInfo(peer));
        let under_way = traffic.begin();
        let answer = answers.call(request);
        async move {
            let answer: Response<_> = answer.await?;
            Ok::<_, Infallible>(answer.map(|body| Pieces::of(body, under_way)))
        }
    });
    let builder = builder();
    let mut connection = pin!(builder.serve_connection(TokioIo::new(io), service));
    let mut closing = pin!(closing.cancelled());
    let mut asked_to_go = false;
    let mut look = pin!(sleep_until(Instant::now() + FIRST));
    loop {
        tokio::select! {
            ended = connection.as_mut() => {
                if let Err(error) = ended {
                    tracing::debug!(%error, "a connection ended with an error");
                }
                return;
            }
            () = closing.as_mut(), if !asked_to_go => {
                asked_to_go = true;
                connection.as_mut().graceful_shutdown();
            }
            () = look.as_mut() => {
                let now = Instant::now();
                let again = match traffic.judge(now) {
                    Verdict::Good(until) => until,
                    // HTTP/2 wants to be told; HTTP/1 closes.
                    Verdict::Idle if !asked_to_go => {
                        asked_to_go = true;
                        connection.as_mut().graceful_shutdown();
                        now + LAST_WORD
                    }
                    Verdict::Idle => return,
                    Verdict::Stalled => {
                        tracing::debug!("a client does not take its answer");
                        return;
                    }
                };
                look.as_mut().reset(again);
            }
        }
    }
}

fn builder() -> Builder<TokioExecutor> {
    let mut builder = Builder::new(TokioExecutor::new());
    builder.http1().max_buf_size(BUFFER_BYTES);
    builder
        .http2()
        .max_header_list_size(BUFFER_BYTES as u32)
        .max_concurrent_streams(STREAMS)
        .initial_stream_window_size(WINDOW_BYTES)
        .initial_connection_window_size(WINDOW_BYTES)
        .max_send_buf_size(BUFFER_BYTES);
    builder
}
