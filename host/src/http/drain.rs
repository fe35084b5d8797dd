//! Reads what a handler has left of a request's body before its answer goes out.
//!
//! A server that answers and closes while its client still sends resets the
//! connection, and the client meets that instead of the answer. Any route may
//! refuse before it reads, so this is around all of them.

use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};
use std::time::Duration;

use axum::body::{Body, BodyDataStream, HttpBody as _};
use axum::extract::Request;
use axum::http::StatusCode;
use axum::http::header::EXPECT;
use axum::middleware::Next;
use axum::response::Response;
use bytes::Bytes;
use futures_util::StreamExt as _;
use futures_util::stream::poll_fn;

/// Marks an answer whose handler goes on reading the body while it is sent, and reads
/// it to its end.
#[derive(Clone, Copy, Debug)]
pub(super) struct ReadsOn;

/// How much is read and dropped: twice the largest upload.
pub(super) const AT_MOST_BYTES: usize = 128 << 20;

/// How long that may take.
pub(super) const AT_MOST: Duration = Duration::from_secs(10);

/// A body that the handler reads first, and we read after it.
struct Upload {
    stream: BodyDataStream,
    begun: bool,
    ended: bool,
}

impl Upload {
    fn poll(&mut self, context: &mut Context<'_>) -> Poll<Option<Result<Bytes, axum::Error>>> {
        if self.ended {
            return Poll::Ready(None);
        }
        self.begun = true;
        let next = self.stream.poll_next_unpin(context);
        self.ended = matches!(next, Poll::Ready(None | Some(Err(_))));
        next
    }
}

/// Answers a request once its body is read to the end, within reason.
pub(super) async fn unread(request: Request, next: Next) -> Response {
    if request.body().is_end_stream() {
        return next.run(request).await;
    }
    let waits = request.headers().contains_key(EXPECT);
    let (parts, body) = request.into_parts();
    let upload = Arc::new(Mutex::new(Upload {
        stream: body.into_data_stream(),
        begun: false,
        ended: false,
    }));
    let lent = Body::from_stream(poll_fn({
        let upload = upload.clone();
        move |context| lock(&upload).poll(context)
    }));
    let response = next.run(Request::from_parts(parts, lent)).await;
    if response.extensions().get::<ReadsOn>().is_some() {
        return response;
    }
    // A client that waits for `100 Continue` is spared the upload, and one that
    // has stalled would keep us waiting.
    let begun = lock(&upload).begun;
    if (begun || !waits) && response.status() != StatusCode::REQUEST_TIMEOUT {
        drain(&upload).await;
    }
    response
}

async fn drain(upload: &Mutex<Upload>) {
    let mut rest = poll_fn(|context| lock(upload).poll(context));
    let read = async {
        let mut dropped = 0;
        while let Some(Ok(chunk)) = rest.next().await {
            dropped += chunk.len();
            if dropped > AT_MOST_BYTES {
                return;
            }
        }
    };
    // Cut off or read to its end: the client has had its chance.
    let _ = tokio::time::timeout(AT_MOST, read).await;
}

fn lock(upload: &Mutex<Upload>) -> std::sync::MutexGuard<'_, Upload> {
    upload.lock().unwrap_or_else(PoisonError::into_inner)
}
