//! Jobs: how many wait, what became of one, and stopping it.

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::App;
use super::code::Code;
use super::extract::{Format, Id, Params, Tenant};
use super::inert;
use super::problem::Problem;
use super::results::{Wait, wait_for_end};
use crate::job::{JobId, JobRecord, LogLine, Namespace, State as JobState};
use crate::store::{AttemptLog, Cancelled};
use crate::tree;

/// How many jobs wait.
#[derive(Serialize, ToSchema)]
pub(super) struct Count {
    /// How many.
    count: u64,
}

/// `GET /jobs/count`: how many wait.
pub(super) async fn count(
    State(app): State<App>,
    Tenant(namespace): Tenant,
    format: Format,
) -> Result<Response, Problem> {
    let count = app.store.status(&namespace).await?.waiting();
    Ok(match format {
        Format::Text => count.to_string().into_response(),
        Format::Json => Json(Count { count }).into_response(),
    })
}

/// `GET /jobs/{id}`: the full record.
pub(super) async fn record(
    State(app): State<App>,
    Tenant(namespace): Tenant,
    Id(id): Id,
    Params(wait): Params<Wait>,
) -> Result<Json<JobRecord>, Problem> {
    wait_for_end(&app, &namespace, id, wait).await?;
    find(&app, &namespace, id).await.map(Json)
}

/// Where a job is.
#[derive(Serialize, ToSchema)]
#[schema(as = JobProgress)]
pub(super) struct ProgressNow {
    /// Its state.
    state: JobState,
    /// How much of it is done, while it runs.
    #[schema(maximum = 100)]
    percent: u8,
    /// What it is doing, for people.
    note: Option<String>,
}

/// `GET /jobs/{id}/progress`: MLQ's words for where a job is.
pub(super) async fn progress(
    State(app): State<App>,
    Tenant(namespace): Tenant,
    Id(id): Id,
    format: Format,
) -> Result<Response, Problem> {
    let record = find(&app, &namespace, id).await?;
    Ok(match format {
        Format::Text => progress_text(&record).into_response(),
        Format::Json => {
            let progress = record.progress.unwrap_or_default();
            let now = ProgressNow {
                state: record.state,
                percent: progress.percent,
                note: progress.note,
            };
            Json(now).into_response()
        }
    })
}

fn progress_text(record: &JobRecord) -> String {
    let percent = record
        .progress
        .as_ref()
        .map_or(0, |progress| progress.percent);
    match record.state {
        JobState::Queued | JobState::Scheduled => "[queued; not started]".to_owned(),
        JobState::Running | JobState::Parked if percent == 0 => "[started]".to_owned(),
        JobState::Running | JobState::Parked => percent.to_string(),
        JobState::Completed => "[completed]".to_owned(),
        JobState::Failed => "[failed]".to_owned(),
        JobState::Cancelled => "[cancelled]".to_owned(),
    }
}

/// What an attempt has logged.
#[derive(Serialize, ToSchema)]
#[schema(as = JobLog)]
pub(super) struct Log {
    /// The attempt, from 1; 0 if there was none.
    attempt: u32,
    /// Its lines, oldest first.
    lines: Vec<LogLine>,
}

/// `GET /jobs/{id}/log`: what the attempt that runs has logged so far, or the last one
/// that ended.
pub(super) async fn log(
    State(app): State<App>,
    Tenant(namespace): Tenant,
    Id(id): Id,
    format: Format,
) -> Result<Response, Problem> {
    let record = find(&app, &namespace, id).await?;
    let AttemptLog { attempt, lines } = app.store.log(&namespace, id).await?;
    Ok(match format {
        Format::Text => inert::text(log_text(&record, &lines)),
        Format::Json => Json(Log { attempt, lines }).into_response(),
    })
}

fn log_text(record: &JobRecord, lines: &[LogLine]) -> String {
    let first = lines.first().map_or(0, |line| line.at_ms);
    let began = record.started_at_ms.unwrap_or(first).min(first);
    let lines = lines.iter().map(|line| line.told(began) + "\n");
    lines.collect()
}

/// What becomes of a job that is stopped.
#[derive(Serialize, ToSchema)]
pub(super) struct Cancelling {
    /// The job.
    id: JobId,
    /// `cancelled`, or `cancelling` while its host has yet to stop it.
    state: &'static str,
}

/// The query of `DELETE /jobs/{id}`.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Cancel {
    /// Whether the jobs that it posted are stopped too.
    #[serde(default = "yes")]
    tree: bool,
}

fn yes() -> bool {
    true
}

/// `DELETE /jobs/{id}`: stops a job, also one that runs, and the jobs that it posted.
pub(super) async fn cancel(
    State(app): State<App>,
    Tenant(namespace): Tenant,
    Id(id): Id,
    Params(Cancel { tree }): Params<Cancel>,
    format: Format,
) -> Result<Response, Problem> {
    let cancelled = match tree {
        true => tree::cancel(&*app.store, &namespace, id).await?,
        false => app.store.cancel(&namespace, id).await?,
    };
    let (status, state) = match cancelled {
        Cancelled::Unknown => return Err(Problem::unknown_job(id)),
        Cancelled::HadEnded => {
            return Err(Problem::new(
                Code::JobEnded,
                format!("job {id} has ended before; there is nothing to cancel"),
            ));
        }
        Cancelled::Done => (StatusCode::OK, "cancelled"),
        Cancelled::Requested => (StatusCode::ACCEPTED, "cancelling"),
    };
    Ok(match format {
        Format::Text => (status, state).into_response(),
        Format::Json => (status, Json(Cancelling { id, state })).into_response(),
    })
}

/// The record of a job that must exist.
pub(super) async fn find(
    app: &App,
    namespace: &Namespace,
    id: JobId,
) -> Result<JobRecord, Problem> {
    let record = app.store.job(namespace, id).await?;
    record.ok_or_else(|| Problem::unknown_job(id))
}
