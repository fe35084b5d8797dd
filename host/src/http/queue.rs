//! The queue of a namespace as a whole: how it stands, and what a person may do
//! to it.

use std::fmt::Write as _;
use std::num::NonZeroU32;

use axum::Json;
use axum::body::Body;
use axum::extract::State;
use axum::http::HeaderMap;
use axum::response::{IntoResponse, Response};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::App;
use super::body;
use super::extract::{Format, Tenant};
use super::problem::Problem;
use crate::store::QueueStatus;
use crate::time::now_ms;

/// The longest body of a limit, in bytes: it says one number.
const MAX_LIMIT_BYTES: usize = 256;

/// `GET /queue`.
pub(super) async fn status(
    State(app): State<App>,
    Tenant(namespace): Tenant,
    format: Format,
) -> Result<Response, Problem> {
    let status = app.store.status(&namespace).await?;
    Ok(match format {
        Format::Text => text(&status, now_ms()).into_response(),
        Format::Json => Json(status).into_response(),
    })
}

/// The lines of `ptq status`, and those that only skep has.
pub(crate) fn text(status: &QueueStatus, now_ms: u64) -> String {
    let share = |part: u64| match part * 100 / status.posted.max(1) {
        // Totals that were rezeroed in between are no whole.
        percent @ 0..=100 if status.posted > 0 => format!(" ({percent}%)"),
        _ => String::new(),
    };
    let lines = [
        ("Posted", status.posted, String::new()),
        ("Queued", status.queued, String::new()),
        ("Scheduled", status.scheduled, String::new()),
        ("Running", status.running, String::new()),
        ("Moving", status.moving, String::new()),
        ("Completed", status.completed, share(status.completed)),
        ("Failed", status.failed, share(status.failed)),
        ("Cancelled", status.cancelled, share(status.cancelled)),
    ];
    let mut text = String::new();
    for (name, number, share) in lines {
        // Writing to a String cannot fail.
        let _ = writeln!(text, "{name}: {number}{share}");
    }
    if let Some(since) = status.oldest_queued_at_ms {
        let seconds = now_ms.saturating_sub(since) as f64 / 1000.0;
        let _ = writeln!(text, "Oldest waits: {seconds:.1} s");
    }
    if let Some(limit) = status.concurrency {
        let _ = writeln!(text, "Concurrency: {limit}");
    }
    let _ = writeln!(text, "Paused: {}", if status.paused { "yes" } else { "no" });
    text
}

/// Whether jobs are taken.
#[derive(Serialize, ToSchema)]
pub(super) struct Paused {
    /// Whether no job is taken.
    paused: bool,
}

/// `POST /queue/pause`: jobs are accepted and wait.
pub(super) async fn pause(
    State(app): State<App>,
    Tenant(namespace): Tenant,
    format: Format,
) -> Result<Response, Problem> {
    app.store.pause(&namespace, true).await?;
    Ok(match format {
        Format::Text => "paused".into_response(),
        Format::Json => Json(Paused { paused: true }).into_response(),
    })
}

/// `POST /queue/resume`.
pub(super) async fn resume(
    State(app): State<App>,
    Tenant(namespace): Tenant,
    format: Format,
) -> Result<Response, Problem> {
    app.store.pause(&namespace, false).await?;
    Ok(match format {
        Format::Text => "resumed".into_response(),
        Format::Json => Json(Paused { paused: false }).into_response(),
    })
}

/// How many jobs may run at once.
#[derive(Serialize, ToSchema)]
#[schema(as = Concurrency)]
pub(super) struct Capped {
    /// How many; `null` for no bound.
    #[schema(value_type = Option<u32>, minimum = 1)]
    concurrency: Option<NonZeroU32>,
}

/// How many jobs may run at once.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = NewConcurrency)]
pub(super) struct Limit {
    /// How many; `null` for no bound.
    // Without this, one that is missing would be none.
    #[schema(value_type = Option<u32>, minimum = 1, maximum = 4_294_967_295_u32, required = true)]
    #[serde(deserialize_with = "Option::deserialize")]
    limit: Option<NonZeroU32>,
}

/// `PUT /queue/concurrency`: how many jobs may run at once, or `null` for no bound.
pub(super) async fn limit(
    State(app): State<App>,
    Tenant(namespace): Tenant,
    format: Format,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, Problem> {
    let body = body::read(&app.requests, &headers, body, MAX_LIMIT_BYTES, "a limit").await?;
    let Limit { limit } = body::object(
        &body.bytes,
        "{\"limit\": N} with N from 1, or {\"limit\": null} for no bound; to let nothing run, pause the queue",
    )?;
    app.store.set_concurrency(&namespace, limit).await?;
    Ok(match (format, limit) {
        (Format::Text, Some(limit)) => limit.to_string().into_response(),
        (Format::Text, None) => "none".into_response(),
        (Format::Json, _) => Json(Capped { concurrency: limit }).into_response(),
    })
}

/// Jobs that were taken from their hosts.
#[derive(Serialize, ToSchema)]
pub(super) struct Released {
    /// How many.
    released: usize,
}

/// `POST /queue/release`: takes the running jobs from their hosts.
pub(super) async fn release(
    State(app): State<App>,
    Tenant(namespace): Tenant,
    format: Format,
) -> Result<Response, Problem> {
    let released = app.store.release(&namespace).await?;
    Ok(match format {
        Format::Text => released.to_string().into_response(),
        Format::Json => Json(Released { released }).into_response(),
    })
}

/// That the totals begin again.
#[derive(Serialize, ToSchema)]
pub(super) struct Rezeroed {
    /// Whether they do.
    rezeroed: bool,
}

/// `POST /queue/rezero`: the totals begin again.
pub(super) async fn rezero(
    State(app): State<App>,
    Tenant(namespace): Tenant,
    format: Format,
) -> Result<Response, Problem> {
    app.store.rezero(&namespace).await?;
    Ok(match format {
        Format::Text => "rezeroed".into_response(),
        Format::Json => Json(Rezeroed { rezeroed: true }).into_response(),
    })
}

/// Jobs that were deleted.
#[derive(Serialize, ToSchema)]
pub(super) struct Purged {
    /// How many.
    purged: usize,
}

/// `POST /queue/purge`: deletes what waits.
pub(super) async fn purge(
    State(app): State<App>,
    Tenant(namespace): Tenant,
    format: Format,
) -> Result<Response, Problem> {
    let purged = app.store.purge(&namespace).await?;
    Ok(match format {
        Format::Text => purged.to_string().into_response(),
        Format::Json => Json(Purged { purged }).into_response(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_status_reads_like_that_of_ptq() {
        let status = QueueStatus {
            queued: 5,
            completed: 4,
            failed: 1,
            posted: 10,
            oldest_queued_at_ms: Some(1_000),
            ..QueueStatus::default()
        };
        let text = text(&status, 4_250);
        assert!(text.starts_with("Posted: 10\nQueued: 5\n"), "{text}");
        assert!(
            text.contains("Completed: 4 (40%)\nFailed: 1 (10%)\n"),
            "{text}"
        );
        assert!(
            text.ends_with("Oldest waits: 3.2 s\nPaused: no\n"),
            "{text}"
        );
    }

    #[test]
    fn a_part_that_is_more_than_the_whole_has_no_share() {
        let status = QueueStatus {
            completed: 3,
            posted: 1,
            ..QueueStatus::default()
        };
        assert!(text(&status, 0).contains("Completed: 3\n"));
        assert!(text(&QueueStatus::default(), 0).contains("Completed: 0\n"));
    }
}
