//! The dead letter as a whole: what its jobs died of, and letting many of them run again
//! or go. `GET /dead` is a list ([`lists`](super::lists)).

use std::cmp::Reverse;
use std::collections::BTreeMap;

use axum::Json;
use axum::body::Body;
use axum::extract::State;
use axum::http::HeaderMap;
use axum::response::{IntoResponse, Response};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::App;
use super::audit::Concerns;
use super::body;
use super::code::Code;
use super::extract::{Format, Id, Params, Tenant};
use super::lists::{cursor, search_text};
use super::problem::Problem;
use crate::job::{CauseKind, FunctionName, JobId, Namespace, State as JobState};
use crate::store::{self, JobFilter, MAX_ATTEMPTS_BEFORE_RETRY, Retriable, Retried, Store};

/// How many jobs one request lets run again, deletes, or looks at to count causes: what a
/// store does in about a second.
pub(super) const MAX_JOBS: usize = 10_000;

/// How often one request looks in the store: with a filter that few jobs fit, a second or
/// two. Then the client is told where to go on.
const LOOKS: usize = 64;

/// How many jobs are changed at once.
const BATCH: usize = 200;

/// The longest body of a choice, in bytes: [`MAX_JOBS`] ids of 20 digits and a filter.
const MAX_CHOICE_BYTES: usize = 256 << 10;

/// `GET /dead/causes`.
pub(super) async fn causes(
    State(app): State<App>,
    Tenant(namespace): Tenant,
    Params(Nothing {}): Params<Nothing>,
) -> Result<Response, Problem> {
    let filter = JobFilter::default().dead();
    let mut walk = app.walks.begin(&app.store, &namespace, filter, None)?;
    let mut causes: BTreeMap<(Option<FunctionName>, &str), Died> = BTreeMap::new();
    let mut counted = 0;
    for _ in 0..LOOKS {
        if walk.is_over || counted >= MAX_JOBS {
            break;
        }
        for job in walk.page(MAX_JOBS - counted).await?.jobs {
            counted += 1;
            let kind = job
                .cause
                .as_ref()
                .map_or("unknown", |cause| cause.kind.as_str());
            // The first that comes is the newest.
            let died = causes.entry((job.blamed, kind)).or_insert_with(|| Died {
                count: 0,
                newest_id: job.id,
                newest_at_ms: job.ended_at_ms,
                example: job.cause.map_or_else(String::new, |cause| cause.message),
            });
            died.count += 1;
        }
    }
    let mut causes: Vec<_> = causes.into_iter().collect();
    causes.sort_by_key(|(_, died)| Reverse(died.count));
    let causes: Vec<_> = (causes.into_iter())
        .map(|((function, cause), died)| CauseView {
            function,
            cause,
            died,
        })
        .collect();
    let complete = walk.is_over;
    Ok(Json(Causes { causes, complete }).into_response())
}

/// The query of a route that takes none.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Nothing {}

/// The jobs of one cause.
#[derive(Serialize, ToSchema)]
struct Died {
    /// How many.
    count: u64,
    /// The newest of them.
    newest_id: JobId,
    /// When that failed, in ms since the Unix epoch.
    newest_at_ms: Option<u64>,
    /// What it said of its cause.
    example: String,
}

/// What jobs of the dead letter died of.
#[derive(Serialize, ToSchema)]
#[schema(as = CauseCount)]
struct CauseView<'a> {
    /// The function that failed, if that is known, or else the first that the job named.
    function: Option<FunctionName>,
    /// The kind of the cause.
    cause: &'a str,
    #[serde(flatten)]
    died: Died,
}

/// What the jobs of the dead letter died of.
#[derive(Serialize, ToSchema)]
pub(super) struct Causes<'a> {
    /// The most frequent first.
    causes: Vec<CauseView<'a>>,
    /// Whether all of the dead letter was looked at.
    complete: bool,
}

/// Jobs that are to run again.
#[derive(Serialize, ToSchema)]
pub(super) struct Requeued {
    /// How many.
    requeued: usize,
    /// Where to go on, if more is left.
    next: Option<String>,
}

/// Jobs that were deleted.
#[derive(Serialize, ToSchema)]
pub(super) struct Deleted {
    /// How many.
    deleted: usize,
    /// Where to go on, if more is left.
    next: Option<String>,
}

/// A job that is to run again.
#[derive(Serialize, ToSchema)]
pub(super) struct Again {
    /// The job.
    id: JobId,
    /// Its state.
    state: JobState,
}

/// Which jobs of the dead letter: those that fit all of what is said.
#[derive(Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(super) struct Choice {
    ids: Option<Ids>,
    function: Option<FunctionName>,
    cause: Option<CauseKind>,
    posted_before_ms: Option<u64>,
    text: Option<String>,
    cursor: Option<String>,
}

/// Ids as a body has them, or as a query does, separated by commas.
#[derive(Deserialize)]
#[serde(untagged, expecting = "a list of ids, such as [\"1\", \"2\"]")]
enum Ids {
    List(Vec<JobId>),
    Text(String),
}

impl Ids {
    fn read(self) -> Result<Vec<JobId>, Problem> {
        let ids = match self {
            Self::List(ids) => ids,
            Self::Text(text) => {
                let ids = text.split(',').map(|id| id.trim().parse());
                ids.collect::<Result<_, _>>()
                    .map_err(|error| Problem::bad_request(format!("ids: {error}")))?
            }
        };
        if ids.len() > MAX_JOBS {
            return Err(Problem::bad_request(format!(
                "{} ids are more than one request may name; send at most {MAX_JOBS} at a time",
                ids.len()
            )));
        }
        Ok(ids)
    }
}

impl Choice {
    /// The filter, and where to go on.
    fn read(self) -> Result<(JobFilter, Option<JobId>), Problem> {
        let filter = JobFilter {
            function: self.function,
            cause: self.cause,
            posted_before_ms: self.posted_before_ms,
            text: self.text.as_deref().map(search_text).transpose()?,
            ids: self.ids.map(Ids::read).transpose()?,
            ..JobFilter::default()
        };
        let before = self.cursor.as_deref().map(cursor).transpose()?;
        Ok((filter.dead(), before))
    }
}

/// `POST /dead/requeue`: lets jobs of the dead letter run again.
pub(super) async fn requeue(
    State(app): State<App>,
    Tenant(namespace): Tenant,
    format: Format,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, Problem> {
    let read = body::read(&app.requests, &headers, body, MAX_CHOICE_BYTES, "a choice").await?;
    let choice = body::options(&read.bytes, "a choice such as {\"cause\": \"trap\"}")?;
    let (requeued, next) = each(&app, &namespace, choice, Deed::Requeue).await?;
    Ok(told(format, requeued, Requeued { requeued, next }))
}

/// `DELETE /dead`: deletes jobs of the dead letter.
pub(super) async fn delete(
    State(app): State<App>,
    Tenant(namespace): Tenant,
    Params(choice): Params<Choice>,
    format: Format,
) -> Result<Response, Problem> {
    let (deleted, next) = each(&app, &namespace, choice, Deed::Delete).await?;
    Ok(told(format, deleted, Deleted { deleted, next }))
}

/// What is done to jobs of the dead letter.
#[derive(Clone, Copy)]
enum Deed {
    Requeue,
    Delete,
}

impl Deed {
    /// Does it; answers to how many.
    async fn to(self, store: &dyn Store, of: &Namespace, ids: &[JobId]) -> store::Result<usize> {
        match self {
            Self::Requeue => {
                let retried = store.retry(of, ids, Retriable::Failed).await?;
                Ok(retried.iter().filter(|one| **one == Retried::Done).count())
            }
            Self::Delete => store.forget(of, ids).await,
        }
    }
}

/// Does something to the jobs of a choice, as many as one request may; answers how many
/// there were, and where to go on.
async fn each(
    app: &App,
    namespace: &Namespace,
    choice: Choice,
    deed: Deed,
) -> Result<(usize, Option<String>), Problem> {
    let (filter, before) = choice.read()?;
    let mut walk = app.walks.begin(&app.store, namespace, filter, before)?;
    let (mut changed, mut seen) = (0, 0);
    for _ in 0..LOOKS {
        let left = MAX_JOBS - seen;
        if walk.is_over || left == 0 {
            break;
        }
        let page = walk.page(left.min(BATCH)).await?;
        let ids: Vec<JobId> = page.jobs.iter().map(|job| job.id).collect();
        seen += ids.len();
        if !ids.is_empty() {
            changed += deed.to(&*app.store, namespace, &ids).await?;
        }
    }
    Ok((changed, walk.before.map(|before| before.to_string())))
}

/// How many jobs were changed.
fn told(format: Format, count: usize, in_json: impl Serialize) -> Response {
    let mut response = match format {
        Format::Text => count.to_string().into_response(),
        Format::Json => Json(in_json).into_response(),
    };
    let concerns = Concerns(format!("{count} jobs of the dead letter"));
    response.extensions_mut().insert(concerns);
    response
}

/// `POST /jobs/{id}/retry`: lets a job run again that failed or was cancelled.
pub(super) async fn retry(
    State(app): State<App>,
    Tenant(namespace): Tenant,
    Id(id): Id,
    format: Format,
) -> Result<Response, Problem> {
    let which = Retriable::FailedOrCancelled;
    let retried = app.store.retry(&namespace, &[id], which).await?;
    match retried.first() {
        Some(Retried::Done) => Ok(match format {
            Format::Text => "queued".into_response(),
            Format::Json => {
                let state = JobState::Queued;
                Json(Again { id, state }).into_response()
            }
        }),
        other => Err(not_retried(id, other.copied().unwrap_or(Retried::Unknown))),
    }
}

/// Why a job does not run again.
fn not_retried(id: JobId, why: Retried) -> Problem {
    let (code, text) = match why {
        Retried::Unknown => return Problem::unknown_job(id),
        Retried::Done | Retried::NotEnded => (
            Code::JobNotEnded,
            "waits or runs as it is; cancel it first to have it run anew".to_owned(),
        ),
        Retried::Completed => (
            Code::JobCompleted,
            "has completed; post its message again to have it done once more".to_owned(),
        ),
        Retried::Cancelled => (Code::JobEnded, "was cancelled, and did not fail".to_owned()),
        Retried::Moved => (
            Code::JobMoved,
            "went to another store, and is to be retried there".to_owned(),
        ),
        Retried::TooOften => (
            Code::TooManyAttempts,
            format!(
                "has {MAX_ATTEMPTS_BEFORE_RETRY} attempts or more behind it; post its message again"
            ),
        ),
    };
    Problem::new(code, format!("job {id} {text}"))
}
