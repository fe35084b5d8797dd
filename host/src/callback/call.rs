//! One try of a callback: look the name up, judge the addresses, connect to one that
//! passed, ask, and read no more of the answer than its status needs. A redirect is
//! another such round.
//!
//! Nothing of the environment takes part: no proxy, no cookies, no credentials. What a
//! receiver can cost is bounded by [`Timeouts`] and [`MAX_ANSWER_BYTES`].

use std::future::poll_fn;
use std::net::SocketAddr;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use futures_util::FutureExt as _;
use hyper::body::Body as _;
use hyper::client::conn::http1;
use hyper::header::{self, HeaderMap, HeaderName, HeaderValue};
use hyper::{Request, StatusCode};
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite};
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_rustls::TlsConnector;
use tokio_rustls::rustls::pki_types::ServerName;
use url::Host;

use super::policy::{CallbackPolicy, Refused};
use super::signature::{self, Secret};
use super::slots::Slot;
use super::target::Target;
use super::trust::Trust;
use crate::job::TraceContext;
use crate::store::Callback;
use crate::time::now_ms;

/// The most that is read of an answer, in bytes, head and body together: a status line,
/// generous headers, and a word of thanks.
const MAX_ANSWER_BYTES: u64 = 64 << 10;

/// The longest head of an answer, in bytes.
const MAX_HEAD_BYTES: usize = 16 << 10;

/// How long the body of an answer is waited for. It is thrown away, and a receiver that
/// is cut off while it writes would log an error.
const BODY: Duration = Duration::from_secs(1);

/// How many addresses of a name are tried: one of each family, and one more.
const MAX_ADDRESSES: usize = 3;

/// How many redirects are followed: to https, to www, to a slash at the end.
const MAX_REDIRECTS: usize = 3;

/// The span of the try, by W3C Trace Context.
const TRACEPARENT: HeaderName = HeaderName::from_static("traceparent");

/// How long a try may take.
#[derive(Clone, Copy, Debug)]
pub(super) struct Timeouts {
    /// In all.
    pub(super) whole: Duration,
    /// Each lookup with its connection.
    pub(super) connect: Duration,
}

/// Looks names up.
#[async_trait]
pub(super) trait Resolve: Send + Sync {
    /// The addresses of a name. `slot` is kept as long as the lookup goes on.
    async fn resolve(&self, name: &str, port: u16, slot: Slot) -> Vec<SocketAddr>;
}

/// Looks names up as the system does.
pub(super) struct System;

#[async_trait]
impl Resolve for System {
    async fn resolve(&self, name: &str, port: u16, slot: Slot) -> Vec<SocketAddr> {
        let name = name.to_owned();
        let lookup = tokio::task::spawn_blocking(move || {
            let found = std::net::ToSocketAddrs::to_socket_addrs(&(name.as_str(), port));
            drop(slot);
            found.map(Iterator::collect).unwrap_or_default()
        });
        lookup.await.unwrap_or_default()
    }
}

/// Makes tries.
pub(super) struct Caller {
    pub(super) policy: Arc<CallbackPolicy>,
    pub(super) secrets: Vec<Secret>,
    pub(super) resolver: Arc<dyn Resolve>,
    pub(super) timeouts: Timeouts,
    pub(super) trust: Trust,
}

/// How a try ended.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Tried {
    /// The receiver has it.
    Arrived(StatusCode),
    /// The receiver answered that it does not take it.
    Answered(StatusCode),
    /// There was no answer to go by; the text is for the poster.
    Failed(Failure),
}

impl Tried {
    /// The status of the answer, if there was one.
    pub(super) fn status(&self) -> Option<u16> {
        match self {
            Self::Arrived(status) | Self::Answered(status) => Some(status.as_u16()),
            Self::Failed(_) => None,
        }
    }

    /// Whether another try may do better.
    pub(super) fn may_pass(&self) -> bool {
        match self {
            Self::Arrived(_) => false,
            Self::Answered(status) => {
                let busy = [StatusCode::REQUEST_TIMEOUT, StatusCode::TOO_MANY_REQUESTS];
                status.is_server_error() || busy.contains(status)
            }
            Self::Failed(Failure::Redirect(_) | Failure::Url(_)) => false,
            Self::Failed(Failure::After(inner)) => {
                !matches!(**inner, Failure::Redirect(_) | Failure::Url(_))
            }
            Self::Failed(_) => true,
        }
    }
}

/// Why there was no answer. The texts are shown to whoever posted the job, so that they
/// say nothing of what stands behind an address.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum Failure {
    #[error("{0}")]
    Url(String),
    #[error("the host name has no address")]
    NoAddress,
    /// Perhaps not by another host of the store, or once the name leads elsewhere.
    #[error("refused: {0}")]
    Refused(#[from] Refused),
    #[error("could not connect")]
    NoConnection,
    #[error("no connection in time")]
    NoConnectionInTime,
    #[error("the TLS handshake failed: {0}")]
    Tls(&'static str),
    #[error("no answer in time")]
    NoAnswerInTime,
    #[error("the answer broke off, or was not HTTP")]
    NoHttp,
    #[error("the redirect is not followed: {0}")]
    Redirect(String),
    #[error("after a redirect: {0}")]
    After(Box<Failure>),
}

/// The head of an answer.
struct Answer {
    status: StatusCode,
    headers: HeaderMap,
}

impl Caller {
    /// Makes one try, which belongs to a trace, perhaps.
    pub(super) async fn call(
        &self,
        callback: &Callback,
        trace: Option<TraceContext>,
        slot: &Slot,
    ) -> Tried {
        let target = match Target::parse(&callback.url) {
            Ok(target) => target.with_outcome(callback),
            Err(text) => return Tried::Failed(Failure::Url(text)),
        };
        // Only the poster's own URL is signed: a receiver could redirect to another one
        // and have this host vouch for what it wrote there. Nor is the trace another one's.
        let mut headers = self.signed(&target, callback);
        let traced = trace.and_then(|trace| HeaderValue::from_str(&trace.to_string()).ok());
        headers.extend(traced.map(|trace| (TRACEPARENT, trace)));
        let tried = timeout(self.timeouts.whole, self.follow(target, headers, slot)).await;
        match tried.unwrap_or(Err(Failure::NoAnswerInTime)) {
            Ok(status) if status.is_success() => Tried::Arrived(status),
            Ok(status) => Tried::Answered(status),
            Err(failure) => Tried::Failed(failure),
        }
    }

    async fn follow(
        &self,
        mut target: Target,
        mut headers: HeaderMap,
        slot: &Slot,
    ) -> Result<StatusCode, Failure> {
        for hop in 0..=MAX_REDIRECTS {
            let answer = self.get(&target, headers, slot).await;
            let answer = answer.map_err(|failure| match hop {
                0 => failure,
                _ => Failure::After(Box::new(failure)),
            })?;
            let Some(location) = redirect(&answer) else {
                return Ok(answer.status);
            };
            target = target.redirected(location).map_err(Failure::Redirect)?;
            headers = HeaderMap::new();
        }
        let text = format!("there are more than {MAX_REDIRECTS} of them");
        Err(Failure::Redirect(text))
    }

    /// The headers of Standard Webhooks.
    fn signed(&self, target: &Target, callback: &Callback) -> HeaderMap {
        let mut headers = HeaderMap::new();
        let mut put = |name, value: &str| {
            if let Ok(value) = HeaderValue::from_str(value) {
                headers.insert(HeaderName::from_static(name), value);
            }
        };
        let (id, timestamp_s) = (signature::message_id(callback), now_ms() / 1000);
        put("webhook-id", &id);
        put("webhook-timestamp", &timestamp_s.to_string());
        if !self.secrets.is_empty() {
            let signature = signature::sign(&self.secrets, &id, timestamp_s, target.as_str());
            put("webhook-signature", &signature);
        }
        headers
    }

    async fn get(
        &self,
        target: &Target,
        headers: HeaderMap,
        slot: &Slot,
    ) -> Result<Answer, Failure> {
        let request = request(target, headers).map_err(|_| Failure::NoHttp)?;
        let connection = timeout(self.timeouts.connect, self.connect(target, slot));
        let connection = connection.await;
        let connection = connection.unwrap_or(Err(Failure::NoConnectionInTime))?;
        match connection {
            Connection::Plain(tcp) => exchange(tcp, request).await,
            Connection::Tls(tls) => exchange(*tls, request).await,
        }
    }

    async fn connect(&self, target: &Target, slot: &Slot) -> Result<Connection, Failure> {
        let addresses = self.addresses(target, slot).await?;
        let tcp = self.dial(&addresses).await?;
        // A refusal to set it costs some ms and nothing else.
        drop(tcp.set_nodelay(true));
        if !target.is_https() {
            return Ok(Connection::Plain(tcp));
        }
        let name = match target.host() {
            Host::Domain(name) => ServerName::try_from(name.trim_end_matches('.').to_owned())
                .map_err(|_| Failure::Tls("the host name cannot be in a certificate"))?,
            Host::Ipv4(ip) => ServerName::IpAddress(std::net::IpAddr::from(ip).into()),
            Host::Ipv6(ip) => ServerName::IpAddress(std::net::IpAddr::from(ip).into()),
        };
        let config = self.trust.config().await;
        let config = config.map_err(|error| {
            tracing::warn!(%error, "callbacks over https cannot be sent");
            Failure::Tls("this host trusts no certificates")
        })?;
        let tls = TlsConnector::from(config).connect(name, tcp).await;
        let tls = tls.map_err(|error| {
            tracing::debug!(%error, "no TLS with the receiver of a callback");
            Failure::Tls("the certificate is not trusted, or there is no TLS")
        })?;
        Ok(Connection::Tls(Box::new(tls)))
    }

    /// The addresses to connect to: those of the host that may be called.
    async fn addresses(&self, target: &Target, slot: &Slot) -> Result<Vec<SocketAddr>, Failure> {
        let (host, port) = (target.host(), target.port());
        let found = match host {
            Host::Ipv4(ip) => vec![(ip, port).into()],
            Host::Ipv6(ip) => vec![(ip, port).into()],
            Host::Domain(name) => self.resolver.resolve(name, port, slot.clone()).await,
        };
        let mut refused = None;
        let mut passed = Vec::with_capacity(MAX_ADDRESSES);
        for address in found {
            match self.policy.judge(&host, address) {
                Ok(()) if passed.len() < MAX_ADDRESSES => passed.push(address),
                Ok(()) => {}
                Err(why) => refused = Some(why),
            }
        }
        match refused {
            Some(why) if passed.is_empty() => Err(why.into()),
            None if passed.is_empty() => Err(Failure::NoAddress),
            _ => Ok(passed),
        }
    }

    /// Connects to the first address that answers, each within its share of the time.
    async fn dial(&self, addresses: &[SocketAddr]) -> Result<TcpStream, Failure> {
        let share = self.timeouts.connect / (addresses.len().max(1) as u32);
        for address in addresses {
            match timeout(share, TcpStream::connect(address)).await {
                Ok(Ok(tcp)) => return Ok(tcp),
                Ok(Err(error)) => tracing::debug!(%address, %error, "a callback cannot connect"),
                Err(_) => tracing::debug!(%address, "a callback cannot connect in time"),
            }
        }
        Err(Failure::NoConnection)
    }
}

enum Connection {
    Plain(TcpStream),
    Tls(Box<tokio_rustls::client::TlsStream<TcpStream>>),
}

fn request(target: &Target, mut headers: HeaderMap) -> Result<Request<String>, hyper::http::Error> {
    let own = [
        (header::ACCEPT, "*/*"),
        (header::CONNECTION, "close"),
        (
            header::USER_AGENT,
            concat!("skep/", env!("CARGO_PKG_VERSION")),
        ),
    ];
    for (name, value) in own {
        headers.insert(name, HeaderValue::from_static(value));
    }
    let mut request = Request::get(target.path_and_query())
        .header(header::HOST, target.authority())
        .body(String::new())?;
    request.headers_mut().extend(headers);
    Ok(request)
}

/// Where an answer sends us, if it does.
fn redirect(answer: &Answer) -> Option<&str> {
    match answer.status.as_u16() {
        301 | 302 | 303 | 307 | 308 => answer.headers.get(header::LOCATION)?.to_str().ok(),
        _ => None,
    }
}

/// Asks over an open connection, which is closed after.
async fn exchange(
    io: impl AsyncRead + AsyncWrite + Unpin,
    request: Request<String>,
) -> Result<Answer, Failure> {
    let (from, to) = tokio::io::split(io);
    let io = tokio::io::join(from.take(MAX_ANSWER_BYTES), to);
    let broken = |error: hyper::Error| {
        tracing::debug!(%error, "the receiver of a callback did not answer in HTTP");
        Failure::NoHttp
    };
    let (mut sender, connection) = http1::Builder::new()
        .max_buf_size(MAX_HEAD_BYTES)
        .handshake(TokioIo::new(io))
        .await
        .map_err(broken)?;
    let mut connection = pin!(connection.fuse());
    let mut answer = pin!(sender.send_request(request));
    let answer = tokio::select! {
        biased;
        answer = &mut answer => answer,
        ended = &mut connection => {
            ended.map_err(broken)?;
            answer.await
        }
    };
    let (head, mut body) = answer.map_err(broken)?.into_parts();
    let read_to_its_end =
        async { while let Some(Ok(_)) = poll_fn(|cx| Pin::new(&mut body).poll_frame(cx)).await {} };
    // However that ends: the head is all that counts.
    let _ = timeout(BODY, async {
        tokio::select! {
            () = read_to_its_end => {}
            // Ends when all was read from it; what was read is still taken.
            _ = &mut connection => {}
        }
    })
    .await;
    Ok(Answer {
        status: head.status,
        headers: head.headers,
    })
}

#[cfg(test)]
mod tests;
