//! What jobs gave back. The bytes are a stranger's: [`inert`] sees to it that a browser
//! runs nothing that may be in them.

use std::time::Duration;

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use serde::Deserialize;
use serde_json::json;

use super::App;
use super::extract::{Format, Id, Params, Tenant, View};
use super::inert;
use super::jobs::find;
use super::problem::Problem;
use crate::job::{JobId, JobRecord, Namespace, Output, State as JobState};
use crate::store::Outcome;

/// The longest long poll: shorter than what proxies between usually allow.
const MAX_WAIT_MS: u64 = 60_000;

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
        Format::Text => inert::text(record.short_result.unwrap_or_default()),
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
    let data = app.results.hold(result.data)?;
    Ok(
        match extension.and_then(|ext| Some((ext, inert::of_extension(ext)?))) {
            Some((extension, content_type)) => {
                inert::answer(data, &content_type, &format!("result-{id}.{extension}"))
            }
            None => inert::answer(data, &result.content_type, &format!("result-{id}")),
        },
    )
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
}
