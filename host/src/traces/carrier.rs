//! Carries spans to the collector, with the HTTP and TLS that are in the tree already.
//! A collector that is away costs the host nothing, and the log a line a minute.

use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use anyhow::Context as _;
use async_trait::async_trait;
use opentelemetry_http::{Bytes, HttpClient, HttpError, Request, Response};
use reqwest::redirect;
use rustls::ClientConfig;
use tokio::runtime::Handle;

/// How often the log is told that the collector does not take spans.
const TELL_EVERY: Duration = Duration::from_secs(60);

/// How long one batch may take; the next one waits behind it, and what does not fit into
/// the queue meanwhile is dropped.
const BATCH: Duration = Duration::from_secs(10);

/// See the module.
#[derive(Debug)]
pub(super) struct Carrier {
    client: reqwest::Client,
    /// The exporter's thread has no runtime of its own.
    runtime: Handle,
    told: Mutex<Option<Instant>>,
}

impl Carrier {
    /// One that works on the caller's runtime, and speaks TLS like this.
    pub(super) fn new(tls: ClientConfig) -> anyhow::Result<Self> {
        let client = reqwest::Client::builder()
            .tls_backend_preconfigured(tls)
            .timeout(BATCH)
            // Headers with a key in them are for nobody else.
            .redirect(redirect::Policy::none())
            .build()
            .context("no HTTP client for the OTLP collector")?;
        Ok(Self {
            client,
            runtime: Handle::try_current()?,
            told: Mutex::default(),
        })
    }

    /// Tells the log, but not of each batch. Neither the address nor the answer is in it:
    /// both may have secrets.
    fn tell(&self, why: &str) {
        let mut told = self.told.lock().unwrap_or_else(PoisonError::into_inner);
        if told.is_none_or(|at| at.elapsed() >= TELL_EVERY) {
            *told = Some(Instant::now());
            tracing::warn!(
                "spans are lost: the OTLP collector {why}; skep speaks OTLP over HTTP with protobuf, which collectors take at port 4318"
            );
        }
    }
}

#[async_trait]
impl HttpClient for Carrier {
    async fn send_bytes(&self, request: Request<Bytes>) -> Result<Response<Bytes>, HttpError> {
        let (head, body) = request.into_parts();
        let request = self
            .client
            .request(head.method, head.uri.to_string())
            .headers(head.headers)
            .body(body);
        // Its timers are the runtime's, too.
        let sending = async move { request.send().await };
        let answer = match self.runtime.spawn(sending).await? {
            Ok(answer) => answer,
            Err(error) => {
                self.tell(if error.is_timeout() {
                    "does not answer in time"
                } else {
                    "cannot be reached"
                });
                return Err(error.without_url().into());
            }
        };
        let status = answer.status();
        if !status.is_success() {
            self.tell(&format!("answers {status}"));
        }
        // What it says beside that is of no use here.
        let mut response = Response::new(Bytes::new());
        *response.status_mut() = status;
        Ok(response)
    }
}
