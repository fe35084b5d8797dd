//! Lists of jobs: a page at a time as JSON, or all of them as lines of JSON, which are
//! read from the store only as fast as the client takes them.

use std::convert::Infallible;

use axum::Json;
use axum::body::Body;
use axum::extract::State;
use axum::http::header::{ACCEPT, CONTENT_TYPE, LINK};
use axum::http::{HeaderMap, Uri};
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use futures_util::stream;
use serde::{Deserialize, Serialize};
use serde_json::json;
use tokio_util::sync::CancellationToken;
use url::form_urlencoded;
use utoipa::ToSchema;

use super::App;
use super::batch::{NDJSON, stopping};
use super::extract::{Params, Tenant};
use super::problem::Problem;
use super::walk::Walk;
use crate::job::{CauseKind, FunctionName, JobId, JobSummary, Namespace, State as JobState};
use crate::store::{JobFilter, JobPage, MAX_TEXT_BYTES, SearchText};

/// How many jobs a page has, unless the client says so: what a person scrolls through.
const PAGE_JOBS: u64 = 100;

/// The most that it may have: with causes and short results of 4 KiB each, 8 MiB.
pub(super) const MAX_PAGE_JOBS: u64 = 1_000;

/// How many times a page is looked for in the store: with a filter that few jobs fit, some
/// 200 ms. Then the client is told where to go on.
const LOOKS: usize = 8;

/// How many jobs are held at once of a list in lines: 2 MiB at most.
const LINES: usize = 256;

/// A page of a list of jobs.
#[derive(Serialize, ToSchema)]
#[schema(as = Jobs)]
pub(super) struct Page {
    /// The newest first.
    jobs: Vec<JobSummary>,
    /// The cursor of the next page; `null` after the last one.
    next: Option<String>,
}

/// The query of a list.
#[derive(Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(super) struct Query {
    /// Separated by commas.
    state: Option<String>,
    function: Option<FunctionName>,
    posted_after_ms: Option<u64>,
    posted_before_ms: Option<u64>,
    cause: Option<CauseKind>,
    text: Option<String>,
    limit: Option<u64>,
    cursor: Option<String>,
}

impl Query {
    fn filter(&self) -> Result<JobFilter, Problem> {
        let states = self.state.as_deref().map(states).transpose()?;
        Ok(JobFilter {
            states: states.unwrap_or_default(),
            function: self.function.clone(),
            posted_after_ms: self.posted_after_ms,
            posted_before_ms: self.posted_before_ms,
            cause: self.cause,
            text: self.text.as_deref().map(search_text).transpose()?,
            ids: None,
        })
    }
}

/// States that are separated by commas.
fn states(text: &str) -> Result<Vec<JobState>, Problem> {
    let one = |name: &str| {
        let state = serde_json::from_value(name.trim().into());
        state.map_err(|error| Problem::bad_request(format!("in the query: state: {error}")))
    };
    text.split(',').map(one).collect()
}

/// A text to search for.
pub(super) fn search_text(text: &str) -> Result<SearchText, Problem> {
    SearchText::new(text).ok_or_else(|| {
        Problem::bad_request(format!(
            "a text to search for has 1 to {MAX_TEXT_BYTES} bytes, not {}",
            text.len()
        ))
    })
}

/// Where a list goes on, as an earlier answer has told.
pub(super) fn cursor(text: &str) -> Result<JobId, Problem> {
    text.parse().map_err(|_| {
        Problem::bad_request(
            "the cursor is none: take it from `next` of the answer before, or leave it out",
        )
    })
}

/// `GET /jobs`.
pub(super) async fn jobs(
    State(app): State<App>,
    Tenant(namespace): Tenant,
    Params(query): Params<Query>,
    headers: HeaderMap,
    uri: Uri,
) -> Result<Response, Problem> {
    let filter = query.filter()?;
    list(&app, &namespace, query, filter, &headers, &uri).await
}

/// `GET /dead`: the jobs that failed.
pub(super) async fn dead(
    State(app): State<App>,
    Tenant(namespace): Tenant,
    Params(query): Params<Query>,
    headers: HeaderMap,
    uri: Uri,
) -> Result<Response, Problem> {
    if query.state.is_some() {
        return Err(Problem::bad_request(
            "in the query: state: all jobs of the dead letter have failed; leave it out, or ask GET /jobs",
        ));
    }
    let filter = query.filter()?.dead();
    list(&app, &namespace, query, filter, &headers, &uri).await
}

async fn list(
    app: &App,
    namespace: &Namespace,
    query: Query,
    filter: JobFilter,
    headers: &HeaderMap,
    uri: &Uri,
) -> Result<Response, Problem> {
    let in_lines = wants_lines(headers);
    let limit = match query.limit {
        Some(0) => Err(0),
        Some(limit) if !in_lines && limit > MAX_PAGE_JOBS => Err(limit),
        limit => Ok(limit),
    };
    let limit = limit.map_err(|limit| {
        Problem::bad_request(format!(
            "in the query: limit: a page has 1 to {MAX_PAGE_JOBS} jobs, not {limit}; for all that there are, send `Accept: {}`",
            NDJSON[0]
        ))
    })?;
    let before = query.cursor.as_deref().map(cursor).transpose()?;
    let walk = app.walks.begin(&app.store, namespace, filter, before)?;
    if in_lines {
        return Lines::begin(app, walk, limit.unwrap_or(u64::MAX)).await;
    }
    let limit = limit.unwrap_or(PAGE_JOBS);
    let JobPage { jobs, next } = page(walk, usize::try_from(limit).unwrap_or(usize::MAX)).await?;
    let next = next.map(|next| next.to_string());
    let link = next.as_deref().map(|next| [(LINK, next_link(uri, next))]);
    Ok((link, Json(Page { jobs, next })).into_response())
}

/// As many jobs as are wanted, or as are found in a few looks.
async fn page(mut walk: Walk, want: usize) -> Result<JobPage, Problem> {
    let mut page = JobPage::default();
    for _ in 0..LOOKS {
        let left = want.saturating_sub(page.jobs.len());
        if left == 0 || walk.is_over {
            break;
        }
        page.jobs.extend(walk.page(left).await?.jobs);
    }
    page.next = walk.before;
    Ok(page)
}

/// A link to the same list, further down (RFC 8288).
fn next_link(uri: &Uri, next: &str) -> String {
    let given = form_urlencoded::parse(uri.query().unwrap_or_default().as_bytes());
    let query = form_urlencoded::Serializer::new(String::new())
        .extend_pairs(given.filter(|(name, _)| name != "cursor"))
        .append_pair("cursor", next)
        .finish();
    format!("<{}?{query}>; rel=\"next\"", uri.path())
}

/// Whether a client asks for lines of JSON.
fn wants_lines(headers: &HeaderMap) -> bool {
    let accepted = headers.get_all(ACCEPT).iter();
    let accepted = accepted.filter_map(|value| value.to_str().ok());
    accepted
        .flat_map(|value| value.split(','))
        .any(|range| NDJSON[0].eq_ignore_ascii_case(range.split(';').next().unwrap_or("").trim()))
}

/// A list on its way to a client in lines.
struct Lines {
    walk: Walk,
    closing: CancellationToken,
    /// How many jobs may still be told.
    left: u64,
    /// Lines that were read before the answer began.
    first: Option<Bytes>,
    /// Whether nothing comes any more.
    is_over: bool,
}

impl Lines {
    /// Reads the first lines, so that what fails at once is told by a status.
    async fn begin(app: &App, walk: Walk, limit: u64) -> Result<Response, Problem> {
        let mut lines = Self {
            walk,
            closing: app.closing.clone(),
            left: limit,
            first: None,
            is_over: false,
        };
        lines.first = Some(lines.read().await?);
        let stream = stream::unfold(lines, async |mut lines| {
            let next = lines.next().await?;
            Some((Ok::<_, Infallible>(next), lines))
        });
        let body = Body::from_stream(stream);
        Ok(([(CONTENT_TYPE, NDJSON[0])], body).into_response())
    }

    /// The next lines; `None` after the last ones.
    async fn next(&mut self) -> Option<Bytes> {
        if let Some(first) = self.first.take() {
            return Some(first);
        }
        loop {
            if self.is_over || self.walk.is_over || self.left == 0 {
                return None;
            }
            let from = self.walk.before;
            let lines = match self.read().await {
                Ok(lines) => lines,
                Err(problem) => {
                    self.is_over = true;
                    let cursor = from.map(|from| from.to_string());
                    let line = json!({"error": problem.document(), "cursor": cursor});
                    return Some(format!("{line}\n").into());
                }
            };
            // One of which none fit says nothing.
            if !lines.is_empty() {
                return Some(lines);
            }
        }
    }

    async fn read(&mut self) -> Result<Bytes, Problem> {
        let want = usize::try_from(self.left).map_or(LINES, |left| left.min(LINES));
        let page = tokio::select! {
            biased;
            () = self.closing.cancelled() => return Err(stopping()),
            page = self.walk.page(want) => page?,
        };
        self.left = self.left.saturating_sub(page.jobs.len() as u64);
        let mut lines = Vec::new();
        for job in &page.jobs {
            add_line(&mut lines, job)?;
        }
        Ok(lines.into())
    }
}

fn add_line(lines: &mut Vec<u8>, job: &JobSummary) -> Result<(), Problem> {
    serde_json::to_writer(&mut *lines, job).map_err(|error| Problem::internal(&error))?;
    lines.push(b'\n');
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_link_to_the_next_page_keeps_the_filter() {
        let uri: Uri = "/dead?text=a%26b&cursor=9&limit=2".parse().unwrap();
        let link = "</dead?text=a%26b&limit=2&cursor=4>; rel=\"next\"";
        assert_eq!(next_link(&uri, "4"), link);
        let uri: Uri = "/jobs".parse().unwrap();
        assert_eq!(next_link(&uri, "4"), "</jobs?cursor=4>; rel=\"next\"");
    }

    #[test]
    fn lines_are_for_those_who_name_them() {
        let wants =
            |accept: &str| wants_lines(&HeaderMap::from_iter([(ACCEPT, accept.parse().unwrap())]));
        assert!(wants("application/x-ndjson"));
        assert!(wants("text/plain;q=0.1, Application/X-NDJSON;q=1"));
        assert!(!wants("*/*"));
        assert!(!wants("application/json"));
    }
}
