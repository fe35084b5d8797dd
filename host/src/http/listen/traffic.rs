//! What goes on over one connection, and whether it is worth its place.
//!
//! A connection is ended when no request is under way for [`FIRST`] after its beginning,
//! or for [`IDLE`] after a request, which also bounds how long a client may take to send
//! the head of one; and when a client takes less than [`LEAST`] of an answer within
//! [`WINDOW`]. How long a body may take to come is
//! for those who read it (`http::pace`).
//!
//! This holds for HTTP/1 and HTTP/2 alike, and is counted where answers are handed over,
//! not at the socket: in HTTP/2 a client can refuse to take an answer while its socket
//! is as lively as can be.

use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};
use std::time::Duration;

use axum::body::{Body, HttpBody};
use bytes::Bytes;
use hyper::body::{Frame, SizeHint};
use tokio::time::Instant;

use crate::http::pace::{LEAST, WINDOW};

/// How long a connection may take to its first request: as long as hyper gives the head
/// of one by default.
pub(super) const FIRST: Duration = Duration::from_secs(30);

/// How long it may have no request under way after that. Longer than the proxies keep
/// theirs that stand in front of servers (60 s, mostly): the one who is asked must not be
/// the one who hangs up, or a request may be lost in between.
const IDLE: Duration = Duration::from_secs(75);

/// Answers are handed over in pieces of this size. A whole one would count as sent as
/// soon as it is handed over, however long the client takes to read it.
const PIECE: usize = 64 << 10;

/// What goes on over one connection.
pub(super) struct Traffic(Mutex<State>);

struct State {
    /// Requests under way, until their answers are handed over.
    open: usize,
    /// Whether there was a request before.
    used: bool,
    /// Answers of which the client has not taken the last piece yet.
    owing: usize,
    /// How much was taken since `since`.
    taken: usize,
    /// When the last request ended; while answers are owing, when the window began.
    since: Instant,
}

/// Whether a connection is worth its place.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    /// It is, until then at least.
    Good(Instant),
    /// Nothing has been asked for some time.
    Idle,
    /// The client does not take what it asked for.
    Stalled,
}

impl Traffic {
    pub(super) fn new() -> Arc<Self> {
        Arc::new(Self(Mutex::new(State {
            open: 0,
            used: false,
            owing: 0,
            taken: 0,
            since: Instant::now(),
        })))
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A request begins.
    pub(super) fn begin(self: &Arc<Self>) -> UnderWay {
        self.lock().open += 1;
        UnderWay {
            traffic: self.clone(),
            owes: false,
            last: 0,
        }
    }

    pub(super) fn judge(&self, now: Instant) -> Verdict {
        let mut state = self.lock();
        let (bound, bad) = match (state.open, state.owing) {
            (0, _) if state.used => (IDLE, Verdict::Idle),
            (0, _) => (FIRST, Verdict::Idle),
            (_, 0) => return Verdict::Good(now + WINDOW),
            _ if state.taken >= LEAST => {
                state.since = now;
                state.taken = 0;
                (WINDOW, Verdict::Stalled)
            }
            _ => (WINDOW, Verdict::Stalled),
        };
        if now.duration_since(state.since) < bound {
            return Verdict::Good(state.since + bound);
        }
        bad
    }
}

/// A request under way.
pub(super) struct UnderWay {
    traffic: Arc<Traffic>,
    /// Whether it is among those that are owing.
    owes: bool,
    /// The size of the piece that was handed over last.
    last: usize,
}

impl UnderWay {
    /// A piece was handed over, and is not the last.
    fn owe(&mut self, bytes: usize) {
        self.last = bytes;
        if !std::mem::replace(&mut self.owes, true) {
            let mut state = self.traffic.lock();
            if state.owing == 0 {
                state.since = Instant::now();
                state.taken = 0;
            }
            state.owing += 1;
        }
    }

    /// The next piece is asked for, so that the one before was taken.
    fn took(&mut self) {
        if self.owes {
            self.traffic.lock().taken += std::mem::take(&mut self.last);
        }
    }

    /// It is not the client who is waited for.
    fn settle(&mut self) {
        if std::mem::take(&mut self.owes) {
            self.traffic.lock().owing -= 1;
        }
    }
}

impl Drop for UnderWay {
    fn drop(&mut self) {
        self.settle();
        let mut state = self.traffic.lock();
        state.open -= 1;
        state.used = true;
        if state.open == 0 {
            state.since = Instant::now();
        }
    }
}

/// The body of an answer, in pieces, while its request is under way.
pub(super) struct Pieces {
    body: Body,
    /// What was not handed over yet.
    rest: Bytes,
    under_way: UnderWay,
}

impl Pieces {
    pub(super) fn of(body: Body, under_way: UnderWay) -> Self {
        Self {
            body,
            rest: Bytes::new(),
            under_way,
        }
    }
}

impl HttpBody for Pieces {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        self.under_way.took();
        if self.rest.is_empty() {
            match Pin::new(&mut self.body).poll_frame(context) {
                Poll::Ready(Some(Ok(frame))) => match frame.into_data() {
                    Ok(data) => self.rest = data,
                    Err(trailers) => return Poll::Ready(Some(Ok(trailers))),
                },
                other => {
                    self.under_way.settle();
                    return other;
                }
            }
        }
        let piece = self.rest.len().min(PIECE);
        let data = self.rest.split_to(piece);
        if self.is_end_stream() {
            self.under_way.settle();
        } else {
            self.under_way.owe(piece);
        }
        Poll::Ready(Some(Ok(Frame::data(data))))
    }

    fn is_end_stream(&self) -> bool {
        self.rest.is_empty() && self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        let rest = self.rest.len() as u64;
        let body = self.body.size_hint();
        let mut hint = SizeHint::new();
        hint.set_lower(rest + body.lower());
        if let Some(upper) = body.upper() {
            hint.set_upper(rest + upper);
        }
        hint
    }
}

#[cfg(test)]
mod tests {
    use futures_util::future::poll_fn;
    use futures_util::{FutureExt as _, StreamExt as _};

    use super::*;

    async fn piece(body: &mut Pieces) -> Option<usize> {
        let frame = poll_fn(|context| Pin::new(&mut *body).poll_frame(context)).await?;
        Some(frame.unwrap().into_data().unwrap().len())
    }

    #[test]
    fn a_connection_is_idle_after_its_last_request() {
        let traffic = Traffic::new();
        let begun = traffic.lock().since;
        assert_eq!(traffic.judge(begun), Verdict::Good(begun + FIRST));
        assert_eq!(traffic.judge(begun + FIRST), Verdict::Idle);
        let request = traffic.begin();
        let later = begun + 10 * IDLE;
        assert_eq!(traffic.judge(later), Verdict::Good(later + WINDOW));
        drop(request);
        let ended = traffic.lock().since;
        assert!(ended > begun);
        assert_eq!(traffic.judge(ended), Verdict::Good(ended + IDLE));
        assert_eq!(traffic.judge(ended + IDLE), Verdict::Idle);
    }

    #[tokio::test]
    async fn who_takes_too_little_of_an_answer_is_stalled() {
        let traffic = Traffic::new();
        let size = 10 * PIECE + 1;
        let mut body = Pieces::of(Body::from(vec![0; size]), traffic.begin());
        assert_eq!(body.size_hint().exact(), Some(size as u64));
        assert_eq!(piece(&mut body).await, Some(PIECE));
        let begun = traffic.lock().since;
        assert_eq!(traffic.judge(begun), Verdict::Good(begun + WINDOW));
        assert_eq!(traffic.judge(begun + WINDOW), Verdict::Stalled);
        // As much as must be taken within a window: the next one begins.
        for _ in 0..LEAST.div_ceil(PIECE) {
            assert_eq!(piece(&mut body).await, Some(PIECE));
        }
        let next = begun + WINDOW;
        assert_eq!(traffic.judge(next), Verdict::Good(next + WINDOW));
        assert_eq!(traffic.judge(next + WINDOW), Verdict::Stalled);
        let mut last = None;
        while let Some(size) = piece(&mut body).await {
            last = Some(size);
        }
        assert_eq!(last, Some(1));
        drop(body);
        assert_eq!(traffic.lock().owing, 0);
    }

    #[tokio::test]
    async fn a_stream_that_has_nothing_to_say_does_not_stall() {
        let traffic = Traffic::new();
        let events = futures_util::stream::iter(["one"]).chain(futures_util::stream::pending());
        let events = events.map(Ok::<_, std::convert::Infallible>);
        let mut body = Pieces::of(Body::from_stream(events), traffic.begin());
        assert_eq!(piece(&mut body).await, Some(3));
        let begun = traffic.lock().since;
        assert_eq!(traffic.judge(begun + WINDOW), Verdict::Stalled);
        // It is asked for more, and waits: that is no fault of the client.
        assert!(piece(&mut body).now_or_never().is_none());
        let later = begun + 5 * WINDOW;
        assert_eq!(traffic.judge(later), Verdict::Good(later + WINDOW));
    }
}
