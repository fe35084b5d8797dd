//! Access tokens: made, listed, revoked. Who may see which is [`Caller::oversees`]'s to
//! say.

use axum::Json;
use axum::body::Body;
use axum::extract::{Path, State};
use axum::http::header::CACHE_CONTROL;
use axum::http::{HeaderMap, HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};
use serde::Deserialize;
use serde_json::json;

use super::App;
use super::audit::Concerns;
use super::body::{self, content_type, essence};
use super::extract::Format;
use super::problem::Problem;
use crate::access::{Caller, Issued, Label, Reach, Scopes, StoredToken, TokenId, no_room};
use crate::job::JSON;
use crate::time::now_ms;

/// Many times what the longest description takes.
const MAX_BYTES: usize = 4 * 1024;

/// The token that is wanted.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Wanted {
    scopes: Scopes,
    /// Whether it shall count in all namespaces, not only in the caller's.
    #[serde(default)]
    all_namespaces: bool,
    #[serde(default)]
    label: Label,
    expires_in_s: Option<u64>,
}

/// `POST /tokens`: the only answer that ever holds the secret.
pub(super) async fn create(
    State(app): State<App>,
    caller: Caller,
    format: Format,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, Problem> {
    let wanted = read(&app, &headers, body).await?;
    let reach = match wanted.all_namespaces {
        true => Reach::All,
        false => Reach::Namespace(caller.namespace.clone()),
    };
    if !caller.may_reach(&reach) {
        return Err(Problem::new(
            StatusCode::FORBIDDEN,
            "insufficient-reach",
            "only a token that counts in all namespaces makes another such one; leave out all_namespaces",
        ));
    }
    let expires_in_ms = match wanted.expires_in_s {
        Some(0) => {
            return Err(unfit(
                "expires_in_s is 0; leave it out for a token that never expires",
            ));
        }
        given => given.map(|s| s.saturating_mul(1_000)),
    };
    let Wanted { scopes, label, .. } = wanted;
    let issued = StoredToken::issue(reach, scopes, label, now_ms(), expires_in_ms);
    let (stored, secret) = issued.map_err(|error| Problem::internal(&error))?;
    let about = &stored.token;
    if !app.store.put_token(&stored).await? {
        return Err(Problem::new(
            StatusCode::CONFLICT,
            "too-many-tokens",
            no_room(&about.reach),
        ));
    }
    let mut response = match format {
        Format::Text => secret.reveal().into_response(),
        Format::Json => Json(Issued::new(about, &secret)).into_response(),
    };
    let headers = response.headers_mut();
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    let concerns = format!("{} for {}: {}", about.id, about.reach, about.scopes);
    response.extensions_mut().insert(Concerns(concerns));
    Ok(response)
}

async fn read(app: &App, headers: &HeaderMap, body: Body) -> Result<Wanted, Problem> {
    let given = essence(content_type(headers));
    if given != JSON {
        return Err(Problem::new(
            StatusCode::UNSUPPORTED_MEDIA_TYPE,
            "unsupported-media-type",
            format!(
                "the body is {given:.80?}; send `Content-Type: {JSON}` and {{\"scopes\": [\"post\", \"read\"]}}"
            ),
        ));
    }
    let body = body::read(
        &app.requests,
        headers,
        body,
        MAX_BYTES,
        "the description of a token",
    )
    .await?;
    serde_json::from_slice(&body.bytes).map_err(|error| {
        unfit(format!(
            "the body describes no token: {error}; send {{\"scopes\": [\"post\", \"read\"]}}, and if you like \"label\", \"expires_in_s\", \"all_namespaces\""
        ))
    })
}

fn unfit(detail: impl Into<String>) -> Problem {
    Problem::new(StatusCode::UNPROCESSABLE_ENTITY, "bad-token", detail)
}

/// `GET /tokens`: never with a secret, nor with its hash.
pub(super) async fn list(State(app): State<App>, caller: Caller) -> Result<Response, Problem> {
    let tokens = app.store.tokens_now().await?;
    let mut tokens = tokens.list();
    tokens.retain(|token| caller.oversees(token));
    Ok(Json(json!({"tokens": tokens})).into_response())
}

/// `DELETE /tokens/{id}`.
pub(super) async fn revoke(
    State(app): State<App>,
    caller: Caller,
    Path(id): Path<String>,
) -> Result<StatusCode, Problem> {
    let unknown = |detail: String| Problem::new(StatusCode::NOT_FOUND, "unknown-token", detail);
    let id: TokenId = id.parse().map_err(unknown)?;
    let tokens = app.store.tokens_now().await?;
    let theirs = tokens.get(id).is_some_and(|token| caller.oversees(token));
    if theirs && app.store.revoke_token(id).await? {
        return Ok(StatusCode::NO_CONTENT);
    }
    Err(unknown(format!(
        "there is no access token {id} in this namespace; see `skep token list`"
    )))
}
