//! `GET /jobs/{id}/events`: a job's story as server-sent events, from what is so now to
//! its end, which a browser's `EventSource` reads as it is.
//!
//! Each event has an id. Who comes back with it in `Last-Event-ID`, to this host or
//! another of the same store, is told the rest; who has been told everything is answered
//! 204, which keeps an `EventSource` from coming back again.

use std::convert::Infallible;
use std::time::Duration;

use axum::extract::State;
use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode};
use axum::response::sse::{Event as SseEvent, KeepAlive, Sse};
use axum::response::{IntoResponse, Response};
use futures_util::stream::{self, Stream};
use serde::Serialize;
use tokio_util::sync::CancellationToken;

use super::App;
use super::code::Code;
use super::extract::{Id, Tenant};
use super::problem::Problem;
use crate::following::{Cursor, Event, FollowError, Follower, Standing, Told};

/// How long a client waits before it comes back after the connection was lost: a host
/// that is started again is there by then.
const RETRY: Duration = Duration::from_secs(1);

/// While nothing happens, a comment is sent this often: proxies close what is silent
/// for half a minute or more, and a client that is gone is noticed.
const KEEP_ALIVE: Duration = Duration::from_secs(15);

/// Keeps nginx, and those that learned from it, from collecting events before they pass
/// them on.
const UNBUFFERED: (HeaderName, HeaderValue) = (
    HeaderName::from_static("x-accel-buffering"),
    HeaderValue::from_static("no"),
);

/// A stream of events on its way to a client.
struct Events {
    follower: Follower,
    closing: CancellationToken,
    begun: bool,
}

/// The end of a job, with where its result is.
#[derive(Serialize)]
struct End<'a> {
    #[serde(flatten)]
    standing: &'a Standing,
    #[serde(skip_serializing_if = "Option::is_none")]
    result: Option<String>,
}

/// `GET /jobs/{id}/events`.
pub(super) async fn events(
    State(app): State<App>,
    Tenant(namespace): Tenant,
    Id(id): Id,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let seen = headers.get("last-event-id");
    let seen = seen.and_then(|id| id.to_str().ok()).unwrap_or_default();
    let seen: Cursor = seen.parse().unwrap_or_default();
    let follower = match app.following.follow(&namespace, id, seen).await {
        Ok(follower) => follower,
        Err(FollowError::Unknown(id)) => return Err(Problem::unknown_job(id)),
        Err(full @ FollowError::Full) => {
            return Err(Problem::new(
                Code::TooManyStreams,
                format!("{full}; follow through another host, or wait with /jobs/{id}?wait_ms="),
            ));
        }
        Err(FollowError::Store(error)) => return Err(error.into()),
    };
    if follower.has_seen_all() {
        return Ok(StatusCode::NO_CONTENT.into_response());
    }
    let events = Events {
        follower,
        closing: app.closing.clone(),
        begun: false,
    };
    let sse = Sse::new(events.into_stream()).keep_alive(KeepAlive::new().interval(KEEP_ALIVE));
    Ok(([UNBUFFERED], sse).into_response())
}

impl Events {
    fn into_stream(self) -> impl Stream<Item = Result<SseEvent, Infallible>> {
        stream::unfold(self, async |mut events| {
            let event = events.next().await?;
            Some((Ok(event), events))
        })
    }

    /// The next event; `None` after the last one, and when the server stops.
    async fn next(&mut self) -> Option<SseEvent> {
        let told = tokio::select! {
            biased;
            () = self.closing.cancelled() => None,
            told = self.follower.next() => told,
        }?;
        let event = match render(&told) {
            Ok(event) => event,
            Err(error) => {
                tracing::error!(%error, "an event has no JSON");
                return None;
            }
        };
        let first = !std::mem::replace(&mut self.begun, true);
        Some(if first { event.retry(RETRY) } else { event })
    }
}

fn render(Told { event, seen }: &Told) -> serde_json::Result<SseEvent> {
    let data = match event {
        Event::Result(standing) => serde_json::to_string(&End {
            standing,
            result: (standing.result_bytes).map(|_| format!("/jobs/{}/result", standing.id)),
        })?,
        event => event.data()?,
    };
    let name = event.name();
    Ok(SseEvent::default()
        .id(seen.to_string())
        .event(name)
        .data(data))
}
