//! Takes connections in: as many as this host bears, each for as long as it is of use.
//!
//! What one connection may cost is bounded in [`connection`], and when it is ended
//! in [`traffic`]. There is no bound by client address: behind a reverse proxy or a
//! company's NAT, thousands of people have the same one, and whoever attacks has many.

mod connection;
mod tls;
mod traffic;

use std::io::{Error, ErrorKind};
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use rustix::net::sockopt::set_tcp_user_timeout;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio::time::{Instant, sleep, timeout};
use tokio_util::sync::CancellationToken;

pub use tls::{Tls, TlsError};

/// How many connections a server has at once unless told otherwise: twice the streams
/// of events that it bears, so that these alone do not shut others out. An idle one
/// holds some 10 KiB.
pub const MAX_CONNECTIONS: u32 = 16_384;

/// How long open requests may take to finish once the server stops. Long polls
/// and streams of events end at once, so that only transfers are left.
const DRAIN: Duration = Duration::from_secs(10);

/// How long what was sent may stay unconfirmed: a client that has vanished without a
/// word would otherwise keep its connection for the kernel's quarter of an hour.
const UNCONFIRMED: Duration = Duration::from_secs(60);

/// The pause after an error such as "too many open files", which goes away when
/// somebody closes one; without it this would be a busy loop.
const OUT_OF_FILES: Duration = Duration::from_millis(100);

/// How often such an error is told.
const TELL_AGAIN: Duration = Duration::from_secs(10);

/// How many clients are told at once that there is no place for them; further ones are
/// hung up on.
const TURNED_AWAY: usize = 64;

/// How long one that is turned away may take to read that.
const LINGER: Duration = Duration::from_secs(1);

/// What those are told. At once, not by keeping them waiting in the kernel's queue: a
/// proxy that hears it asks another host.
const FULL: &[u8] = b"HTTP/1.1 503 Service Unavailable\r\n\
    content-type: text/plain; charset=utf-8\r\n\
    content-length: 83\r\n\
    connection: close\r\n\
    retry-after: 1\r\n\
    x-content-type-options: nosniff\r\n\
    \r\n\
    this host has as many connections as it bears (--max-connections); try again later\n";

/// Serves until `closing`, then finishes the open requests.
pub(super) async fn serve(
    listener: TcpListener,
    tls: Option<Tls>,
    most: u32,
    router: Router,
    closing: CancellationToken,
) {
    let places = Arc::new(Semaphore::new(most as usize));
    let turned_away = Arc::new(Semaphore::new(TURNED_AWAY));
    let cut = CancellationToken::new();
    let mut told = None;
    loop {
        let accepted = tokio::select! {
            biased;
            () = closing.cancelled() => break,
            accepted = listener.accept() => accepted,
        };
        let (stream, peer) = match accepted {
            Ok(accepted) => accepted,
            Err(error) if is_the_clients(&error) => continue,
            Err(error) => {
                if told.is_none_or(|told: Instant| told.elapsed() > TELL_AGAIN) {
                    tracing::warn!(%error, "cannot take connections in; trying again");
                    told = Some(Instant::now());
                }
                sleep(OUT_OF_FILES).await;
                continue;
            }
        };
        prepare(&stream);
        if let Ok(place) = places.clone().try_acquire_owned() {
            let (router, tls) = (router.clone(), tls.clone());
            let (closing, cut) = (closing.clone(), cut.clone());
            tokio::spawn(async move {
                tokio::select! {
                    () = cut.cancelled() => {}
                    () = connection::serve(stream, peer, tls, router, &closing) => {}
                }
                drop(place);
            });
        } else if let Ok(turn) = turned_away.clone().try_acquire_owned()
            && tls.is_none()
        {
            // Over TLS the answer would cost more than the place.
            tokio::spawn(async move {
                turn_away(stream).await;
                drop(turn);
            });
        }
    }
    drop(listener);
    // All places are free again once every connection has ended.
    let ended = places.acquire_many(most);
    if timeout(DRAIN, ended).await.is_err() {
        tracing::warn!("some requests did not finish within {DRAIN:?} and were cut off");
        cut.cancel();
    }
}

/// An error of one connection, not of taking them in.
fn is_the_clients(error: &Error) -> bool {
    matches!(
        error.kind(),
        ErrorKind::ConnectionAborted | ErrorKind::ConnectionReset | ErrorKind::ConnectionRefused
    )
}

fn prepare(stream: &TcpStream) {
    // Answers are small and complete; waiting for more to send with them, as
    // Nagle's algorithm does, would add up to 40 ms to each.
    if let Err(error) = stream.set_nodelay(true) {
        tracing::debug!(%error, "a connection keeps Nagle's algorithm");
    }
    let unconfirmed = UNCONFIRMED.as_millis().try_into().unwrap_or(u32::MAX);
    if let Err(error) = set_tcp_user_timeout(stream, unconfirmed) {
        tracing::debug!(%error, "a client that vanishes is noticed late");
    }
}

/// Says that there is no place. What the client sends is read for a moment: to close
/// with that unread would reset the connection, and the answer with it.
async fn turn_away(mut stream: TcpStream) {
    let told = async {
        stream.write_all(FULL).await?;
        stream.shutdown().await?;
        let mut dropped = [0; 1024];
        while stream.read(&mut dropped).await? > 0 {}
        Ok::<_, Error>(())
    };
    // It has had its chance.
    let _ = timeout(LINGER, told).await;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_answer_of_a_full_host_is_as_long_as_it_says() {
        let text = std::str::from_utf8(FULL).unwrap();
        let (head, body) = text.split_once("\r\n\r\n").unwrap();
        assert!(head.contains(&format!("content-length: {}\r\n", body.len())));
    }
}
