//! What jobs gave back. The bytes are a stranger's: [`inert`] sees to it that a browser
//! runs nothing that may be in them.

use std::time::Duration;

use axum::body::Body;
use axum::extract::State;
use axum::response::Response;
use bytes::Bytes;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::App;
use super::code::Code;
use super::extract::{Format, Id, Params, Tenant, View};
use super::inert;
use super::jobs::find;
use super::problem::Problem;
use super::representation::Wanted;
use crate::job::{JSON, JobId, JobRecord, Namespace, Output, Payload, State as JobState};
use crate::store::Outcome;

/// The longest long poll: shorter than what proxies between usually allow.
pub(super) const MAX_WAIT_MS: u64 = 60_000;

/// What a short result is in JSON.
#[derive(Serialize, ToSchema)]
pub(super) struct ShortResult {
    /// The line that the handler gave; `null` if it gave none.
    short_result: Option<String>,
}

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
    wanted: Wanted,
) -> Result<Response, Problem> {
    wait_for_end(&app, &namespace, id, wait).await?;
    let JobRecord { short_result, .. } = completed(&app, &namespace, id).await?;
    match format {
        Format::Text => {
            let text = Bytes::from(short_result.unwrap_or_default());
            wanted.of(inert::text(Body::empty()), text).await
        }
        Format::Json => {
            let told = serde_json::to_vec(&ShortResult { short_result });
            let told = told.map_err(|error| Problem::internal(&error))?;
            let head = inert::answer(Body::empty(), JSON, "short-result.json");
            wanted.of(head, told.into()).await
        }
    }
}

/// `GET /jobs/{id}/result`.
pub(super) async fn result(
    State(app): State<App>,
    Tenant(namespace): Tenant,
    Id(id): Id,
    Params(wait): Params<Wait>,
    wanted: Wanted,
) -> Result<Response, Problem> {
    let Payload { content_type, data } = output(&app, &namespace, id, wait).await?;
    let head = inert::answer(Body::empty(), &content_type, &format!("result-{id}"));
    wanted.of(head, data).await
}

/// `GET /jobs/{id}/result.ext`: with the content type that the extension means.
pub(super) async fn result_as(
    State(app): State<App>,
    Tenant(namespace): Tenant,
    Id(id): Id,
    view: View,
    Params(wait): Params<Wait>,
    wanted: Wanted,
) -> Result<Response, Problem> {
    let extension = extension(&view.view)?;
    let Payload { content_type, data } = output(&app, &namespace, id, wait).await?;
    let head = match inert::of_extension(extension) {
        Some(meant) => inert::answer(Body::empty(), &meant, &format!("result-{id}.{extension}")),
        None => inert::answer(Body::empty(), &content_type, &format!("result-{id}")),
    };
    wanted.of(head, data).await
}

/// What a job gave back, counted among the results on their way out.
async fn output(
    app: &App,
    namespace: &Namespace,
    id: JobId,
    wait: Wait,
) -> Result<Payload, Problem> {
    wait_for_end(app, namespace, id, wait).await?;
    // The output first: only where there is none does the record matter.
    match app.store.outcome(namespace, id).await? {
        Outcome::Completed(Output { result, .. }) => Ok(Payload {
            content_type: result.content_type,
            data: app.results.hold(result.data)?,
        }),
        Outcome::Expired => Err(expired(id)),
        _ => {
            completed(app, namespace, id).await?;
            // It has completed between the two looks.
            Err(unfinished(id, JobState::Running))
        }
    }
}

/// The extension of `result.ext`.
fn extension(view: &str) -> Result<&str, Problem> {
    let extension = view.strip_prefix("result.");
    extension.filter(|ext| !ext.is_empty()).ok_or_else(|| {
        Problem::new(
            Code::NoSuchRoute,
            "a job has progress, events, log, short_result, result and result.EXT",
        )
    })
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
            Code::JobCancelled,
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
    Problem::new(Code::JobFailed, format!("job {}: {text}", record.id)).with("cause", cause)
}

fn unfinished(id: JobId, state: JobState) -> Problem {
    Problem::new(
        Code::JobUnfinished,
        format!(
            "job {id} has not finished; ask again later, or wait for it with ?wait_ms={MAX_WAIT_MS}"
        ),
    )
    .with("state", state)
}

fn expired(id: JobId) -> Problem {
    Problem::new(
        Code::ResultExpired,
        format!("the result of job {id} was kept as long as its retention_s asked, and is gone"),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_result_may_have_an_extension() {
        assert!(matches!(extension("result.png"), Ok("png")));
        for bad in ["", "result", "results", "result.", "resultpng", "message"] {
            assert!(extension(bad).is_err(), "{bad}");
        }
    }
}
