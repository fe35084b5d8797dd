//! The door: who makes a request, and whether they may. Every route of
//! [`routes`](super::routes) is behind it, and a handler that were not would find no
//! [`Caller`] and answer 500.

use std::net::SocketAddr;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use axum::extract::{ConnectInfo, FromRequestParts, Request};
use axum::http::header::{AUTHORIZATION, WWW_AUTHENTICATE};
use axum::http::request::Parts;
use axum::http::{HeaderMap, HeaderValue};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};

use super::App;
use super::audit::{Audit, Deed, shown};
use super::code::Code;
use super::metrics::Matched;
use super::problem::Problem;
use super::routes::Route;
use crate::access::{AccessToken, Caller, Elsewhere, Scope, Secret};
use crate::job::Namespace;
use crate::store::Store;
use crate::time::now_ms;

/// Names the namespace of a request.
const NAMESPACE: &str = "skep-namespace";

/// How often the log is told of tokens that do not count, however many are shown: once
/// in a second is enough to see that somebody guesses, and fills no disk.
const TELL_EVERY: Duration = Duration::from_secs(1);

/// What a client must show, by RFC 6750, when it has shown nothing.
const BEARER: HeaderValue = HeaderValue::from_static("Bearer");

/// The same when what it has shown does not count.
const INVALID: HeaderValue = HeaderValue::from_static("Bearer error=\"invalid_token\"");

/// Who is let in.
pub struct Door {
    require_token: bool,
    audit: Audit,
    strangers: Mutex<Strangers>,
}

/// Tokens that did not count.
#[derive(Default)]
struct Strangers {
    /// So many since the log was told.
    untold: u64,
    told: Option<Instant>,
}

/// Why a request is turned away.
struct Refusal {
    problem: Problem,
    /// `WWW-Authenticate`, where another token would help.
    challenge: Option<HeaderValue>,
    /// The token that was shown, if it is one of ours.
    known: Option<AccessToken>,
}

impl From<Problem> for Refusal {
    fn from(problem: Problem) -> Self {
        Self {
            problem,
            challenge: None,
            known: None,
        }
    }
}

impl Door {
    /// A door at which a token must be shown, or one where whoever reaches it may do
    /// everything: that is for loopback addresses, whose clients are this machine's.
    /// A token that is shown counts at both, and none that is not ours does.
    pub fn new(require_token: bool, audit: Audit) -> Self {
        Self {
            require_token,
            audit,
            strangers: Mutex::default(),
        }
    }

    async fn admit(
        &self,
        store: &dyn Store,
        headers: &HeaderMap,
        peer: Option<SocketAddr>,
        scope: Scope,
    ) -> Result<Caller, Refusal> {
        let Some(presented) = headers.get(AUTHORIZATION) else {
            return match self.require_token {
                true => Err(nothing_shown()),
                false => Ok(Caller::on_loopback(named(headers)?)),
            };
        };
        let Ok(secret) = bearer(presented) else {
            self.tell_of_stranger(peer, "no access token of skep");
            return Err(unknown());
        };
        let now_ms = now_ms();
        let mut tokens = store.tokens().await.map_err(Problem::from)?;
        if tokens.find(&secret).is_none() {
            // It may have been made on another host a moment ago.
            tokens = store.tokens_now().await.map_err(Problem::from)?;
        }
        let Some(token) = tokens.find(&secret) else {
            self.tell_of_stranger(peer, "unknown, or revoked");
            return Err(unknown());
        };
        if token.has_expired(now_ms) {
            self.tell_of_stranger(peer, "expired");
            return Err(expired(token));
        }
        let caller = Caller::with(token, named(headers)?).map_err(|Elsewhere| elsewhere(token))?;
        match caller.may(scope) {
            true => Ok(caller),
            false => Err(not_allowed(token, scope)),
        }
    }

    /// Counts a token that does not count, and tells the log, but not of each.
    fn tell_of_stranger(&self, peer: Option<SocketAddr>, reason: &str) {
        let mut strangers = (self.strangers.lock()).unwrap_or_else(PoisonError::into_inner);
        strangers.untold += 1;
        if strangers.told.is_none_or(|at| at.elapsed() >= TELL_EVERY) {
            let since_last = std::mem::take(&mut strangers.untold);
            strangers.told = Some(Instant::now());
            let peer = shown(peer);
            tracing::warn!(
                peer,
                reason,
                since_last,
                "a request showed a token that does not count"
            );
        }
    }
}

/// Lets a request in, or not. See [`super::routes`].
pub(super) async fn enter(route: Route, mut request: Request, next: Next) -> Response {
    if let Some(matched) = request.extensions().get::<Matched>() {
        let _ = matched.0.set(route.path);
    }
    let Some(scope) = route.needs else {
        return next.run(request).await;
    };
    let Some(app) = request.extensions().get::<App>().cloned() else {
        return Problem::internal(&"a route has no door").into_response();
    };
    let peer = request.extensions().get::<ConnectInfo<SocketAddr>>();
    let peer = peer.map(|peer| peer.0);
    let uri = request.uri().clone();
    let deed = |namespace: String, token| Deed {
        peer,
        token,
        namespace,
        object: uri
            .path_and_query()
            .map_or_else(String::new, ToString::to_string),
    };
    let door = &app.door;
    let admitted = door.admit(&*app.store, request.headers(), peer, scope);
    match admitted.await {
        Ok(caller) => {
            let audited = route.audited.map(|action| {
                let deed = deed(caller.namespace.to_string(), caller.token);
                door.audit.begin(action, deed)
            });
            request.extensions_mut().insert(caller);
            let mut response = next.run(request).await;
            if let Some(audited) = audited {
                audited.end(&mut response);
            }
            response
        }
        Err(refusal) => {
            let mut response = refusal.problem.into_response();
            if let Some(challenge) = refusal.challenge {
                response.headers_mut().insert(WWW_AUTHENTICATE, challenge);
            }
            // Strangers may not write there.
            if let (Some(token), Some(action)) = (refusal.known, route.audited) {
                let deed = deed(token.reach.to_string(), Some(token.id));
                door.audit.begin(action, deed).end(&mut response);
            }
            response
        }
    }
}

/// The namespace that a request names.
fn named(headers: &HeaderMap) -> Result<Option<Namespace>, Problem> {
    let Some(name) = headers.get(NAMESPACE) else {
        return Ok(None);
    };
    let name = String::from_utf8_lossy(name.as_bytes());
    let refused = |error| Problem::bad_request(format!("in the header Skep-Namespace: {error}"));
    name.parse().map(Some).map_err(refused)
}

/// The secret in `Authorization: Bearer SECRET`.
fn bearer(presented: &HeaderValue) -> Result<Secret, ()> {
    let text = presented.to_str().map_err(drop)?;
    let (scheme, secret) = text.split_once(' ').ok_or(())?;
    match scheme.eq_ignore_ascii_case("bearer") {
        true => secret.trim().parse().map_err(drop),
        false => Err(()),
    }
}

fn unauthorised(detail: impl Into<String>, challenge: HeaderValue) -> Refusal {
    Refusal {
        challenge: Some(challenge),
        ..Problem::new(Code::Unauthorized, detail).into()
    }
}

fn nothing_shown() -> Refusal {
    unauthorised(
        "this server lets nobody in without an access token: send one as `Authorization: Bearer TOKEN`; whoever runs the server makes it with `skep token create`",
        BEARER,
    )
}

fn unknown() -> Refusal {
    unauthorised(
        "this access token does not count here: it is misspelt, of another server, or was revoked; whoever runs this server makes one with `skep token create`",
        INVALID,
    )
}

fn expired(token: &AccessToken) -> Refusal {
    let detail = format!(
        "the access token {} has expired; an admin makes another with `skep token create`",
        token.id
    );
    unauthorised(detail, INVALID)
}

/// Whether that namespace exists is nobody's business but its own.
fn elsewhere(token: &AccessToken) -> Refusal {
    let problem = Problem::new(
        Code::OtherNamespace,
        format!(
            "the access token {} counts in the namespace {} only, and the header Skep-Namespace names another; leave it out, or use a token of that one",
            token.id, token.reach
        ),
    );
    Refusal {
        known: Some(token.clone()),
        ..problem.into()
    }
}

fn not_allowed(token: &AccessToken, scope: Scope) -> Refusal {
    let problem = Problem::new(
        Code::InsufficientScope,
        format!(
            "this needs the scope {scope}, and the access token {} has only: {}; an admin makes one with `skep token create --scopes {scope}`",
            token.id, token.scopes
        ),
    );
    let challenge = format!("Bearer error=\"insufficient_scope\", scope=\"{scope}\"");
    Refusal {
        challenge: HeaderValue::from_str(&challenge).ok(),
        known: Some(token.clone()),
        ..problem.with("scope", scope).into()
    }
}

/// Whom the door has let in.
pub(super) fn caller(parts: &Parts) -> Result<Caller, Problem> {
    let caller = parts.extensions.get::<Caller>().cloned();
    caller.ok_or_else(|| Problem::internal(&"a handler was reached past the door"))
}

impl<S: Send + Sync> FromRequestParts<S> for Caller {
    type Rejection = Response;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Response> {
        caller(parts).map_err(IntoResponse::into_response)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_comes_as_a_bearers() {
        let secret = Secret::generate().unwrap().reveal();
        let read = |text: &str| bearer(&HeaderValue::from_str(text).unwrap());
        for good in ["Bearer ", "bearer ", "BEARER   "] {
            assert!(read(&format!("{good}{secret}")).is_ok(), "{good}");
        }
        for bad in ["", "Bearer", "Basic ", "Bearer x", "Token "] {
            assert!(read(&format!("{bad}{secret}")).is_err(), "{bad}");
        }
        assert!(bearer(&HeaderValue::from_bytes(b"Bearer \xff").unwrap()).is_err());
    }
}
