//! Access tokens: made, listed, revoked. Who may see which is [`Caller::oversees`]'s to
//! say.

use axum::Json;
use axum::body::Body;
use axum::extract::{Path, State};
use axum::http::header::CACHE_CONTROL;
use axum::http::{HeaderMap, HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::App;
use super::audit::Concerns;
use super::body::{self, content_type, essence};
use super::code::Code;
use super::extract::Format;
use super::problem::{ACCEPT_POST, Problem};
use crate::access::{
    AccessToken, Caller, Issued, Label, Reach, Scopes, StoredToken, TokenId, no_room,
};
use crate::job::JSON;
use crate::time::now_ms;

/// Many times what the longest description takes.
const MAX_BYTES: usize = 4 * 1024;

/// The longest life of a token, in seconds: a century, beyond which a unit is more likely
/// wrong than meant.
const MAX_EXPIRES_IN_S: u64 = 100 * 366 * 24 * 3600;

/// The access token that is wanted.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = NewToken)]
pub(super) struct Wanted {
    /// What it shall let its holder do.
    scopes: Scopes,
    /// Whether it shall count in all namespaces, not only in the caller's.
    #[serde(default)]
    all_namespaces: bool,
    /// What people call it.
    #[serde(default)]
    label: Label,
    /// From when on it shall not count, in seconds from now; never if it is left out.
    #[schema(minimum = 1, maximum = 3_162_240_000_u64)]
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
            Code::InsufficientReach,
            "only a token that counts in all namespaces makes another such one; leave out all_namespaces",
        ));
    }
    let expires_in_ms = match wanted.expires_in_s {
        Some(0) => {
            return Err(unfit(
                "expires_in_s is 0; leave it out for a token that never expires",
            ));
        }
        Some(seconds) if seconds > MAX_EXPIRES_IN_S => {
            return Err(unfit(format!(
                "expires_in_s is at most {MAX_EXPIRES_IN_S} (a century), not {seconds}; leave it out for a token that never expires"
            )));
        }
        given => given.map(|s| s * 1_000),
    };
    let Wanted { scopes, label, .. } = wanted;
    let issued = StoredToken::issue(reach, scopes, label, now_ms(), expires_in_ms);
    let (stored, secret) = issued.map_err(|error| Problem::internal(&error))?;
    let about = &stored.token;
    if !app.store.put_token(&stored).await? {
        return Err(Problem::new(Code::TooManyTokens, no_room(&about.reach)));
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
        return Err(Problem::not_taken(
            ACCEPT_POST,
            JSON,
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
    Problem::new(Code::BadToken, detail)
}

/// Access tokens.
#[derive(Serialize, ToSchema)]
pub(super) struct Tokens<'t> {
    tokens: Vec<&'t AccessToken>,
}

/// `GET /tokens`: never with a secret, nor with its hash.
pub(super) async fn list(State(app): State<App>, caller: Caller) -> Result<Response, Problem> {
    let tokens = app.store.tokens_now().await?;
    let mut tokens = tokens.list();
    tokens.retain(|token| caller.oversees(token));
    Ok(Json(Tokens { tokens }).into_response())
}

/// `DELETE /tokens/{id}`.
pub(super) async fn revoke(
    State(app): State<App>,
    caller: Caller,
    Path(id): Path<String>,
) -> Result<StatusCode, Problem> {
    let unknown = |detail: String| Problem::new(Code::UnknownToken, detail);
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
