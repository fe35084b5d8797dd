//! What jobs gave back. The bytes are a stranger's: a browser shows them, and
//! runs nothing that may be in them.

use std::time::Duration;

use axum::Json;
use axum::body::Body;
use axum::extract::State;
use axum::http::header::{CONTENT_SECURITY_POLICY, CONTENT_TYPE, X_CONTENT_TYPE_OPTIONS};
use axum::http::{HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};
use serde::Deserialize;
use serde_json::json;

use super::App;
use super::extract::{Format, Id, Params, Tenant, View};
use super::jobs::find;
use super::problem::Problem;
use crate::job::{JobId, JobRecord, Namespace, Output, State as JobState};
use crate::store::Outcome;

/// The longest long poll: shorter than what proxies between usually allow.
const MAX_WAIT_MS: u64 = 60_000;

/// No scripts, no forms, no origin; but a picture or a film is shown, which for
/// a browser is a page with the address itself as its source.
const POLICY: &str =
    "sandbox; default-src 'none'; img-src 'self'; media-src 'self'; style-src 'unsafe-inline'";

/// What is served when the handler's content type is none.
const BYTES: HeaderValue = HeaderValue::from_static("application/octet-stream");

/// The query of the routes that can wait.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Wait {
    /// How long to wait for the job's end, in ms.
    wait_ms: Option<u64>,
}

/// `GET /jobs/{id}/short_result`.
pub(super) async fn short_result(
    State(app): State<App>,
    Tenant(namespace): Tenant,
    Id(id): Id,
    Params(wait): Params<Wait>,
    format: Format,
) -> Result<Response, Problem> {
    wait_for_end(&app, &namespace, id, wait).await?;
    let record = completed(&app, &namespace, id).await?;
    Ok(match format {
        Format::Text => guarded(record.short_result.unwrap_or_default()),
        Format::Json => Json(json!({"short_result": record.short_result})).into_response(),
    })
}

/// `GET /jobs/{id}/result` and `/jobs/{id}/result.ext`.
pub(super) async fn result(
    State(app): State<App>,
    Tenant(namespace): Tenant,
    Id(id): Id,
    view: View,
    Params(wait): Params<Wait>,
) -> Result<Response, Problem> {
    let extension = extension(&view.view)?;
    wait_for_end(&app, &namespace, id, wait).await?;
    // The output first: only where there is none does the record matter.
    let Output { result, .. } = match app.store.outcome(&namespace, id).await? {
        Outcome::Completed(output) => output,
        Outcome::Expired => return Err(expired(id)),
        _ => {
            completed(&app, &namespace, id).await?;
            // It has completed between the two looks.
            return Err(unfinished(id, JobState::Running));
        }
    };
    let content_type = extension
        .and_then(of_extension)
        .or_else(|| valid(&result.content_type))
        .unwrap_or(BYTES);
    let mut response = guarded(result.data);
    response.headers_mut().insert(CONTENT_TYPE, content_type);
    Ok(response)
}

/// An answer with a stranger's content.
pub(super) fn guarded(content: impl Into<Body>) -> Response {
    let headers = [
        (
            CONTENT_TYPE,
            HeaderValue::from_static("text/plain; charset=utf-8"),
        ),
        (CONTENT_SECURITY_POLICY, HeaderValue::from_static(POLICY)),
        (X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff")),
    ];
    (headers, content.into()).into_response()
}

/// The extension of `result` or `result.ext`.
fn extension(view: &str) -> Result<Option<&str>, Problem> {
    let unknown = || {
        Problem::new(
            StatusCode::NOT_FOUND,
            "no-such-route",
            "a job has progress, events, log, short_result, result and result.EXT",
        )
    };
    let rest = view.strip_prefix("result").ok_or_else(unknown)?;
    match rest.strip_prefix('.') {
        Some(extension) if !extension.is_empty() => Ok(Some(extension)),
        None if rest.is_empty() => Ok(None),
        _ => Err(unknown()),
    }
}

fn of_extension(extension: &str) -> Option<HeaderValue> {
    let media = mime_guess::from_ext(extension).first_raw()?;
    if media.starts_with("text/") {
        return HeaderValue::from_str(&format!("{media}; charset=utf-8")).ok();
    }
    Some(HeaderValue::from_static(media))
}

/// A handler's content type, if it is one.
fn valid(content_type: &str) -> Option<HeaderValue> {
    let value = HeaderValue::from_str(content_type).ok()?;
    content_type.contains('/').then_some(value)
}

/// Waits for the job's end, if the client asked for that.
pub(super) async fn wait_for_end(
    app: &App,
    namespace: &Namespace,
    id: JobId,
    wait: Wait,
) -> Result<(), Problem> {
    if let Some(wait_ms) = wait.wait_ms.filter(|wait_ms| *wait_ms > 0) {
        let patience = Duration::from_millis(wait_ms.min(MAX_WAIT_MS));
        tokio::select! {
            ended = app.store.ended(namespace, id) => ended?,
            () = tokio::time::sleep(patience) => {}
            () = app.closing.cancelled() => {}
        }
    }
    Ok(())
}

/// The record of a job that has completed; why there is no result, of another.
async fn completed(app: &App, namespace: &Namespace, id: JobId) -> Result<JobRecord, Problem> {
    let record = find(app, namespace, id).await?;
    match record.state {
        JobState::Completed => Ok(record),
        JobState::Failed => Err(failed(&record)),
        JobState::Cancelled => Err(Problem::new(
            StatusCode::UNPROCESSABLE_ENTITY,
            "job-cancelled",
            format!("job {id} was cancelled and has no result"),
        )),
        JobState::Queued | JobState::Scheduled | JobState::Running | JobState::Parked => {
            Err(unfinished(id, record.state))
        }
    }
}

fn failed(record: &JobRecord) -> Problem {
    let cause = record.cause.as_ref();
    let text = cause.map_or_else(
        || "failed, and no cause is known".to_owned(),
        ToString::to_string,
    );
    Problem::new(
        StatusCode::UNPROCESSABLE_ENTITY,
        "job-failed",
        format!("job {}: {text}", record.id),
    )
    .with("cause", cause)
}

fn unfinished(id: JobId, state: JobState) -> Problem {
    Problem::new(
        StatusCode::CONFLICT,
        "job-unfinished",
        format!(
            "job {id} has not finished; ask again later, or wait for it with ?wait_ms={MAX_WAIT_MS}"
        ),
    )
    .with("state", state)
}

fn expired(id: JobId) -> Problem {
    Problem::new(
        StatusCode::GONE,
        "result-expired",
        format!("the result of job {id} was kept as long as its retention_s asked, and is gone"),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_result_may_have_an_extension() {
        assert!(matches!(extension("result"), Ok(None)));
        assert!(matches!(extension("result.png"), Ok(Some("png"))));
        for bad in ["", "results", "result.", "resultpng", "message"] {
            assert!(extension(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn content_types_are_headers_or_nothing() {
        assert_eq!(of_extension("png").unwrap(), "image/png");
        assert_eq!(of_extension("txt").unwrap(), "text/plain; charset=utf-8");
        assert!(of_extension("no such thing").is_none());
        assert_eq!(valid("image/png").unwrap(), "image/png");
        for bad in ["", "png", "a/b\r\nSet-Cookie: x", "a/b\0"] {
            assert!(valid(bad).is_none(), "{bad:?}");
        }
    }
}
