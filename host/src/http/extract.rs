//! What handlers want to know of a request: checked, and refused as a
//! [`Problem`] rather than in axum's words.

use std::str::FromStr;

use axum::extract::{FromRequestParts, Path, Query};
use axum::http::header::ACCEPT;
use axum::http::request::Parts;
use axum::http::{HeaderMap, Uri};
use serde::Deserialize;
use serde::de::DeserializeOwned;

use super::door::caller;
use super::problem::Problem;
use crate::job::{JobId, NameError, Namespace};

/// What a client wants to read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Format {
    /// MLQ's plain text: what curl, browsers and old front ends get.
    Text,
    /// For clients that name JSON in `Accept`.
    Json,
}

impl Format {
    /// The format that `Accept` asks for (RFC 9110, 12.5.1): the one of the higher
    /// quality, JSON when both have the same, but text for who only says that anything
    /// goes. Who takes neither gets one all the same: an answer of another kind says more
    /// than 406.
    pub(super) fn of(headers: &HeaderMap) -> Self {
        let (mut json, mut text) = (Quality::default(), Quality::default());
        let values = headers.get_all(ACCEPT).iter();
        for range in values
            .filter_map(|value| value.to_str().ok())
            .flat_map(|value| value.split(','))
        {
            let mut parts = range.split(';').map(str::trim);
            let media = parts.next().unwrap_or_default().to_ascii_lowercase();
            let quality: f32 = parts
                .find_map(|part| part.strip_prefix("q=").or(part.strip_prefix("Q=")))
                .map_or(1.0, |q| q.parse().unwrap_or(0.0));
            match media.as_str() {
                "application/json" | "application/problem+json" => json.say(2, quality),
                "application/*" => json.say(1, quality),
                "text/plain" => text.say(2, quality),
                "text/*" => text.say(1, quality),
                "*/*" => {
                    json.say(0, quality);
                    text.say(0, quality);
                }
                _ => {}
            }
        }
        let named = json.precision > 0 && json.value >= text.value;
        if json.value > 0.0 && (named || text.value <= 0.0) {
            Self::Json
        } else {
            Self::Text
        }
    }
}

/// How much a format is wanted; the most precise range counts.
#[derive(Default)]
struct Quality {
    value: f32,
    precision: u8,
}

impl Quality {
    fn say(&mut self, precision: u8, value: f32) {
        if precision > self.precision {
            *self = Self { value, precision };
        } else if precision == self.precision {
            self.value = self.value.max(value);
        }
    }
}

impl<S: Send + Sync> FromRequestParts<S> for Format {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Problem> {
        Ok(Self::of(&parts.headers))
    }
}

/// The namespace that the request is about, as the [`door`](super::door) has settled it.
pub(super) struct Tenant(pub(super) Namespace);

impl<S: Send + Sync> FromRequestParts<S> for Tenant {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Problem> {
        caller(parts).map(|caller| Self(caller.namespace))
    }
}

/// The job that the path names.
pub(super) struct Id(pub(super) JobId);

#[derive(Deserialize)]
struct JobPath {
    id: String,
}

impl<S: Send + Sync> FromRequestParts<S> for Id {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        let path: JobPath = path(parts, state).await?;
        Ok(Self(path.id.parse()?))
    }
}

/// What of a job the path asks for: its last segment.
#[derive(Deserialize)]
pub(super) struct View {
    pub(super) view: String,
}

impl<S: Send + Sync> FromRequestParts<S> for View {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        path(parts, state).await
    }
}

/// The function or model that the path names.
pub(super) struct Named<N>(pub(super) N);

#[derive(Deserialize)]
struct NamePath {
    name: String,
}

impl<N: FromStr<Err = NameError>, S: Send + Sync> FromRequestParts<S> for Named<N> {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        let path: NamePath = path(parts, state).await?;
        Ok(Self(path.name.parse()?))
    }
}

async fn path<T, S>(parts: &mut Parts, state: &S) -> Result<T, Problem>
where
    T: DeserializeOwned + Send,
    S: Send + Sync,
{
    match Path::<T>::from_request_parts(parts, state).await {
        Ok(Path(path)) => Ok(path),
        Err(rejection) => Err(Problem::bad_request(rejection.body_text())),
    }
}

/// The query of a request.
pub(super) struct Params<T>(pub(super) T);

impl<T: DeserializeOwned, S: Send + Sync> FromRequestParts<S> for Params<T> {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Problem> {
        read(&parts.uri).map(Self)
    }
}

/// What a query says, given without its `?`.
pub(super) fn params<T: DeserializeOwned>(query: &str) -> Result<T, Problem> {
    let uri = format!("/?{query}").parse();
    read(&uri.map_err(|error| Problem::bad_request(format!("in the query: {error}")))?)
}

fn read<T: DeserializeOwned>(uri: &Uri) -> Result<T, Problem> {
    match Query::try_from_uri(uri) {
        Ok(Query(params)) => Ok(params),
        Err(rejection) => {
            let text = rejection.body_text();
            let reason = text.rsplit("query string: ").next().unwrap_or_default();
            Err(Problem::bad_request(format!("in the query: {reason}")))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn format(accept: &str) -> Format {
        Format::of(&HeaderMap::from_iter([(ACCEPT, accept.parse().unwrap())]))
    }

    #[test]
    fn json_is_for_those_who_name_it() {
        for json in [
            "application/json",
            "text/html, Application/JSON;q=0.9",
            "application/problem+json, */*",
            "text/plain;q=0.5, application/json",
            "application/json, text/plain, */*",
            "application/*",
            "text/plain;q=0, */*;q=0.1",
        ] {
            assert_eq!(format(json), Format::Json, "{json}");
        }
        for text in [
            "",
            "*/*",
            "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8",
            "text/plain, application/json;q=0.5",
            "application/json;q=0",
            "application/json;q=x",
            "application/json;q=0.5, */*",
            "application/*;q=0.9, text/*",
            "application/json;q=0, application/*;q=0, */*",
            "image/png",
            "text/plain;q=0",
        ] {
            assert_eq!(format(text), Format::Text, "{text}");
        }
        assert_eq!(Format::of(&HeaderMap::new()), Format::Text);
    }
}
