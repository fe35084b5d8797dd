//! Talks to a server.

use std::convert::Infallible;
use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use reqwest::header::{ACCEPT, AUTHORIZATION, CONTENT_TYPE, HeaderMap, HeaderValue};
use reqwest::{Method, RequestBuilder, Response, StatusCode, Url};
use serde::Deserialize;
use serde::de::DeserializeOwned;

use super::failure::Failure;
use super::{Global, trust};
use crate::access::Secret;
use crate::job::{JobId, JobRecord, Payload};

/// How long a server may take to accept a connection.
const CONNECT: Duration = Duration::from_secs(5);

/// How long a server may be silent within an answer; longer than any long poll.
const SILENCE: Duration = Duration::from_secs(120);

/// A server, and the namespace in it.
pub(super) struct Client {
    http: reqwest::Client,
    base: Url,
}

/// The problem document of RFC 9457, as far as a person reads it.
#[derive(Deserialize)]
struct Problem {
    detail: String,
}

/// An access token as it was given. Read later, since clap would show one that it cannot
/// read.
#[derive(Clone)]
pub(super) struct Shown(String);

impl FromStr for Shown {
    type Err = Infallible;

    fn from_str(given: &str) -> Result<Self, Infallible> {
        Ok(Self(given.to_owned()))
    }
}

impl fmt::Debug for Shown {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("***")
    }
}

impl Client {
    /// A client of the server that the options name.
    pub(super) fn new(global: &Global) -> Result<Self, Failure> {
        Self::patient(global, SILENCE)
    }

    /// A client of a server that may be silent for so long within an answer.
    pub(super) fn patient(global: &Global, silence: Duration) -> Result<Self, Failure> {
        let url = &global.url;
        let mut base = Url::parse(url)
            .map_err(|error| Failure::usage(format!("--url {url:?} is not a URL: {error}")))?;
        let tls = match base.scheme() {
            "https" => trust::system_and(global.ca.as_deref())?,
            "http" => trust::nobody()?,
            _ => {
                return Err(Failure::usage(format!(
                    "--url {url:?} must begin with http:// or https://"
                )));
            }
        };
        if !base.path().ends_with('/') {
            base.set_path(&format!("{}/", base.path()));
        }
        let mut headers = HeaderMap::new();
        headers.insert(ACCEPT, HeaderValue::from_static("application/json"));
        let value = |text: &str| {
            HeaderValue::from_str(text).map_err(|error| Failure::usage(error.to_string()))
        };
        if let Some(namespace) = &global.namespace {
            headers.insert("skep-namespace", value(namespace.as_str())?);
        }
        // An empty one is none, as where a script's secret is not set.
        let shown = global.token.as_ref().map(|Shown(token)| token.trim());
        if let Some(token) = shown.filter(|token| !token.is_empty()) {
            if let Err(error) = token.parse::<Secret>() {
                return Err(Failure::usage(format!("--token or SKEP_TOKEN: {error}")));
            }
            let mut bearer = value(&format!("Bearer {token}"))?;
            bearer.set_sensitive(true);
            headers.insert(AUTHORIZATION, bearer);
        }
        let mut builder = reqwest::Client::builder()
            .default_headers(headers)
            .tls_backend_preconfigured(tls)
            .connect_timeout(CONNECT)
            .read_timeout(silence);
        // A proxy for the world cannot reach this machine's own loopback.
        if matches!(base.host_str(), Some("localhost" | "127.0.0.1" | "[::1]")) {
            builder = builder.no_proxy();
        }
        let http = builder
            .build()
            .map_err(|error| Failure::failed(format!("no HTTP client: {error}")))?;
        Ok(Self { http, base })
    }

    /// A request to a path without leading slash.
    pub(super) fn request(&self, method: Method, path: &str) -> Result<RequestBuilder, Failure> {
        let url = self.base.join(path);
        let url = url.map_err(|error| Failure::usage(format!("{path:?}: {error}")))?;
        Ok(self.http.request(method, url))
    }

    /// Sends a request; an answer that is an error becomes a failure with its
    /// text.
    pub(super) async fn send(&self, request: RequestBuilder) -> Result<Response, Failure> {
        let response = request.send().await.map_err(|error| self.away(&error))?;
        self.checked(response).await
    }

    /// An answer that is no error; of one that is, its text.
    pub(super) async fn checked(&self, response: Response) -> Result<Response, Failure> {
        let status = response.status();
        if status.is_success() {
            return Ok(response);
        }
        let body = response.bytes().await.unwrap_or_default();
        let text = match serde_json::from_slice::<Problem>(&body) {
            Ok(problem) => problem.detail,
            Err(_) => format!("{} answered {status}; is that a skep server?", self.base),
        };
        let text = match status {
            StatusCode::UNAUTHORIZED => {
                format!("{text}; name it with --token, or put it into SKEP_TOKEN")
            }
            _ => text,
        };
        Err(Failure::failed(text))
    }

    /// Sends a request and reads the JSON answer.
    pub(super) async fn json<T: DeserializeOwned>(
        &self,
        request: RequestBuilder,
    ) -> Result<T, Failure> {
        let response = self.send(request).await?;
        let read = response.json().await;
        read.map_err(|error| {
            Failure::failed(format!("{} answered something odd: {error}", self.base))
        })
    }

    /// A job's record.
    pub(super) async fn record(&self, id: JobId) -> Result<JobRecord, Failure> {
        let request = self.request(Method::GET, &format!("jobs/{id}"))?;
        self.json(request).await
    }

    /// The result of a job that has completed.
    pub(super) async fn result(&self, id: JobId) -> Result<Payload, Failure> {
        let request = self.request(Method::GET, &format!("jobs/{id}/result"))?;
        let response = self.send(request).await?;
        let content_type = response.headers().get(CONTENT_TYPE);
        let content_type = content_type.and_then(|value| value.to_str().ok());
        let content_type = content_type.unwrap_or_default().to_owned();
        let data = response.bytes().await.map_err(|error| self.away(&error))?;
        Ok(Payload { content_type, data })
    }

    /// What it means that a request broke off.
    pub(super) fn away(&self, error: &reqwest::Error) -> Failure {
        let url = self.base.as_str().trim_end_matches('/');
        let mut causes = std::iter::successors(std::error::Error::source(error), |e| e.source());
        let unknown = causes.find_map(|cause| {
            let text = cause.to_string();
            text.contains("certificate").then_some(text)
        });
        if let (true, Some(why)) = (error.is_connect(), unknown) {
            return Failure::failed(format!(
                "{url} does not show a certificate that is trusted here: {why}; if it is yours, name that of its CA with --ca"
            ));
        }
        if error.is_connect() {
            return Failure::failed(format!(
                "no skep server answers at {url}; start one with `skep serve`, or name another with --url"
            ));
        }
        // reqwest's own text ends where the reason begins.
        let mut text = format!("the server at {url} did not answer to the end: {error}");
        let mut source = std::error::Error::source(error);
        while let Some(inner) = source {
            text.push_str(&format!(": {inner}"));
            source = inner.source();
        }
        Failure::failed(text)
    }
}
