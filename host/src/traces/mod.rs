//! Traces: one from the request that posts a job through the queue, each attempt, the
//! jobs that it posts and its callback, sent to a collector over OTLP.
//!
//! The context of a trace travels in the job ([`TraceContext`]), so that it survives
//! retries, other hosts and other stores. Without a collector nothing is recorded, and
//! what a job carries is handed on as it is.
//!
//! Not here: how the context is kept (`store`), and what counts as an attempt (`worker`).

mod carrier;
mod spans;

use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use opentelemetry::KeyValue;
use opentelemetry::trace::TracerProvider as _;
use opentelemetry_otlp::{Protocol, SpanExporter, WithExportConfig as _, WithHttpConfig as _};
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::trace::{SdkTracer, SdkTracerProvider};
use rustls::ClientConfig;
use uuid::Uuid;

pub use spans::{AttemptSpan, CallbackSpan, PostSpan};

#[cfg(doc)]
use crate::job::TraceContext;
use carrier::Carrier;

/// How long the last spans may take to be sent when a host stops.
const LAST_SPANS: Duration = Duration::from_secs(3);

/// What the standard calls the address of a collector, for traces and for all signals.
const ENDPOINTS: [&str; 2] = [
    "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT",
    "OTEL_EXPORTER_OTLP_ENDPOINT",
];

/// Where spans are sent.
#[derive(Clone)]
pub struct Collector {
    /// The address as it was given to skep; else the exporter reads the environment.
    given: Option<String>,
    is_secure: bool,
}

impl Collector {
    /// The collector at this address, or the one that the environment names as
    /// OpenTelemetry has it, if it names one.
    pub fn of(given: Option<&str>) -> Option<Self> {
        let said = |name: &str| std::env::var(name).ok().filter(|value| !value.is_empty());
        if said("OTEL_SDK_DISABLED").is_some_and(|off| off.eq_ignore_ascii_case("true")) {
            return None;
        }
        let given = given.map(ToOwned::to_owned);
        let address = given
            .clone()
            .or_else(|| ENDPOINTS.into_iter().find_map(said))?;
        Some(Self {
            is_secure: address.starts_with("https:"),
            given,
        })
    }

    /// Whether TLS is spoken with it.
    pub fn is_secure(&self) -> bool {
        self.is_secure
    }
}

/// Records spans, if there is somebody to send them to.
#[derive(Clone, Debug, Default)]
pub struct Traces(Option<Arc<Recorder>>);

#[derive(Debug)]
struct Recorder {
    tracer: SdkTracer,
    provider: SdkTracerProvider,
}

impl Traces {
    /// Records to a collector. The environment says what is sampled and what is sent
    /// beside the spans, as OpenTelemetry has it (`OTEL_TRACES_SAMPLER`,
    /// `OTEL_EXPORTER_OTLP_HEADERS`, `OTEL_RESOURCE_ATTRIBUTES` and so on).
    ///
    /// # Errors
    ///
    /// When the address is none. The text does not have it: it may hold a password.
    pub fn start(collector: &Collector, tls: ClientConfig) -> anyhow::Result<Self> {
        let mut exporter = SpanExporter::builder()
            .with_http()
            .with_http_client(Carrier::new(tls)?)
            .with_protocol(Protocol::HttpBinary);
        if let Some(url) = &collector.given {
            let url = url.trim_end_matches('/');
            exporter = exporter.with_endpoint(format!("{url}/v1/traces"));
        }
        let exporter = exporter.build().ok().context(
            "the address of the OTLP collector is none; write one such as http://localhost:4318",
        )?;
        let mut resource = Resource::builder().with_attributes([
            KeyValue::new("service.version", env!("CARGO_PKG_VERSION")),
            KeyValue::new("service.instance.id", Uuid::new_v4().to_string()),
        ]);
        if std::env::var_os("OTEL_SERVICE_NAME").is_none() {
            resource = resource.with_service_name("skep");
        }
        let provider = SdkTracerProvider::builder()
            .with_resource(resource.build())
            .with_batch_exporter(exporter)
            .build();
        Ok(Self(Some(Arc::new(Recorder {
            tracer: provider.tracer("skep"),
            provider,
        }))))
    }

    /// Sends what was recorded and not sent yet.
    pub async fn stop(&self) {
        let Some(recorder) = self.0.clone() else {
            return;
        };
        // It blocks until its own thread has sent them, by way of this runtime.
        let stop = move || recorder.provider.shutdown_with_timeout(LAST_SPANS);
        match tokio::task::spawn_blocking(stop).await {
            Ok(Ok(())) => {}
            Ok(Err(error)) => tracing::debug!(%error, "the last spans were not all sent"),
            Err(error) => tracing::debug!(%error, "the last spans were not sent"),
        }
    }
}
