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
use super::{Global, output, trust};
use crate::access::Secret;
use crate::job::{JobId, JobRecord, Payload};

/// How long a server may take to accept a connection.
const CONNECT: Duration = Duration::from_secs(5);

/// How long a connection is kept for the next request: less than a server keeps it (75 s),
/// or a post may meet the end of its connection on the way.
const IDLE: Duration = Duration::from_secs(60);

/// How long a server may be silent within an answer; longer than any long poll.
const SILENCE: Duration = Duration::from_secs(120);

/// A server, and the namespace in it.
pub(super) struct Client {
    http: reqwest::Client,
    base: Url,
}

/// The header in which a server tells its version.
const VERSION: &str = "skep-version";

/// The problem document of RFC 9457, as far as it matters here.
#[derive(Deserialize)]
struct Problem {
    #[serde(rename = "type", default)]
    kind: String,
    detail: String,
}

impl Problem {
    /// Whether the server does not know what was asked of it, as one of another version
    /// may not.
    fn is_of_another_version(&self) -> bool {
        ["no-such-route", "method-not-allowed"]
            .iter()
            .any(|kind| self.kind.strip_prefix("urn:skep:problem:") == Some(kind))
    }
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
                return Err(Failure::usage(format!(
                    "--token, SKEP_TOKEN or skep.toml: {error}"
                )));
            }
            let mut bearer = value(&format!("Bearer {token}"))?;
            bearer.set_sensitive(true);
            headers.insert(AUTHORIZATION, bearer);
        }
        let mut builder = reqwest::Client::builder()
            .default_headers(headers)
            .tls_backend_preconfigured(tls)
            .connect_timeout(CONNECT)
            .pool_idle_timeout(IDLE)
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
        let other = self.other_version(&response);
        let body = response.bytes().await.unwrap_or_default();
        let text = match serde_json::from_slice::<Problem>(&body) {
            Ok(problem) if problem.is_of_another_version() => {
                let other = other.unwrap_or_else(|| self.odd());
                format!("{other}: {}", problem.detail)
            }
            Ok(problem) => problem.detail,
            Err(_) => format!("{} answered {status}; is that a skep server?", self.shown()),
        };
        match status {
            StatusCode::UNAUTHORIZED => Err(Failure::failed(format!(
                "{text}; name it with --token, or put it into SKEP_TOKEN"
            ))),
            StatusCode::SERVICE_UNAVAILABLE => Err(Failure::away(text)),
            _ => Err(Failure::failed(text)),
        }
    }

    /// The server's URL, for people.
    pub(super) fn shown(&self) -> &str {
        self.base.as_str().trim_end_matches('/')
    }

    /// What to say of a server that does what no skep of this version does.
    fn odd(&self) -> String {
        format!(
            "the server at {} is another skep than this one, or none",
            self.shown()
        )
    }

    /// What to say of a server of another version, if it is one.
    fn other_version(&self, response: &Response) -> Option<String> {
        let theirs = server_version(response)?;
        (theirs != env!("CARGO_PKG_VERSION")).then(|| {
            format!(
                "the server at {} is skep {theirs}, and this is {}; use the same version",
                self.shown(),
                env!("CARGO_PKG_VERSION")
            )
        })
    }

    /// Sends a request and reads the JSON answer.
    pub(super) async fn json<T: DeserializeOwned>(
        &self,
        request: RequestBuilder,
    ) -> Result<T, Failure> {
        let response = self.send(request).await?;
        let other = self.other_version(&response);
        let body = response.bytes().await.map_err(|error| self.away(&error))?;
        serde_json::from_slice(&body).map_err(|error| {
            let other = other.unwrap_or_else(|| self.odd());
            Failure::failed(format!("{other}: it answered something odd: {error}"))
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
        let url = self.shown();
        if let Some(why) = trust::why_not(error) {
            return Failure::failed(format!(
                "{url} does not show a certificate that is trusted here: {why}; if the server is yours, name its certificate, or that of its CA, with --ca"
            ));
        }
        if trust::speaks_no_tls(error) {
            return Failure::failed(format!(
                "the server at {url} does not speak TLS; try http:// instead of https://"
            ));
        }
        if error.is_connect() {
            let why = reason(error).map_or_else(String::new, |why| format!(" ({why})"));
            return Failure::away(format!(
                "no server answers at {url}{why}; is `skep serve` running there? Another one is named with --url or SKEP_URL"
            ));
        }
        // reqwest's own text ends where the reason begins.
        let mut text = format!("the server at {url} did not answer to the end: {error}");
        let mut source = std::error::Error::source(error);
        while let Some(inner) = source {
            text.push_str(&format!(": {inner}"));
            source = inner.source();
        }
        Failure::away(text)
    }
}

/// The version that a server tells, as plain text.
pub(super) fn server_version(response: &Response) -> Option<String> {
    let version = response.headers().get(VERSION)?.to_str().ok()?;
    Some(output::one_line(version))
}

/// The innermost cause.
fn reason(error: &reqwest::Error) -> Option<String> {
    let causes = std::iter::successors(std::error::Error::source(error), |e| e.source());
    causes.last().map(ToString::to_string)
}
