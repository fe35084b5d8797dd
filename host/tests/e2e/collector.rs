//! An OTLP collector on loopback: takes what is exported, and keeps the spans.

use std::sync::{Arc, Mutex};

use axum::Router;
use axum::body::Bytes;
use axum::http::HeaderMap;
use axum::routing::post;
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::common::v1::any_value::Value;
use opentelemetry_proto::tonic::common::v1::{AnyValue, KeyValue};
use prost::Message as _;

use crate::server::{PATIENCE, eventually};

/// A span as it came, and from which service instance.
#[derive(Clone, Debug)]
pub(crate) struct Span {
    pub(crate) host: String,
    pub(crate) name: String,
    pub(crate) kind: i32,
    pub(crate) trace: String,
    pub(crate) id: String,
    pub(crate) parent: String,
    pub(crate) begun_ns: u64,
    pub(crate) ended_ns: u64,
    pub(crate) is_error: bool,
    attributes: Vec<KeyValue>,
}

fn shown(value: Option<&AnyValue>) -> Option<String> {
    match value?.value.as_ref()? {
        Value::StringValue(text) => Some(text.clone()),
        Value::IntValue(number) => Some(number.to_string()),
        other => Some(format!("{other:?}")),
    }
}

fn of(attributes: &[KeyValue], name: &str) -> Option<String> {
    let found = attributes.iter().find(|attribute| attribute.key == name);
    shown(found?.value.as_ref())
}

impl Span {
    /// An attribute, as text; empty if it is not there.
    pub(crate) fn attribute(&self, name: &str) -> String {
        of(&self.attributes, name).unwrap_or_default()
    }
}

/// A running collector.
#[derive(Clone)]
pub(crate) struct Collector {
    pub(crate) url: String,
    spans: Arc<Mutex<Vec<Span>>>,
}

impl Collector {
    pub(crate) async fn start() -> Self {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let spans = Arc::<Mutex<Vec<Span>>>::default();
        let kept = spans.clone();
        let take = async move |headers: HeaderMap, body: Bytes| {
            assert_eq!(headers["content-type"], "application/x-protobuf");
            let request = ExportTraceServiceRequest::decode(body).unwrap();
            kept.lock().unwrap().extend(read(request));
        };
        let router = Router::new().route("/v1/traces", post(take));
        tokio::spawn(async move { axum::serve(listener, router).await });
        Self { url, spans }
    }

    pub(crate) fn spans(&self) -> Vec<Span> {
        self.spans.lock().unwrap().clone()
    }

    /// Waits until this holds for the spans so far, and answers them.
    pub(crate) async fn until(&self, enough: impl Fn(&[Span]) -> bool) -> Vec<Span> {
        eventually(PATIENCE, async || self.spans(), |spans| enough(spans)).await
    }
}

fn read(request: ExportTraceServiceRequest) -> Vec<Span> {
    let mut spans = Vec::new();
    for of_host in request.resource_spans {
        let resource = of_host.resource.unwrap().attributes;
        assert_eq!(of(&resource, "service.name").as_deref(), Some("skep"));
        let host = of(&resource, "service.instance.id").unwrap();
        for span in of_host
            .scope_spans
            .into_iter()
            .flat_map(|scope| scope.spans)
        {
            spans.push(Span {
                host: host.clone(),
                name: span.name,
                kind: span.kind,
                trace: hex(&span.trace_id),
                id: hex(&span.span_id),
                parent: hex(&span.parent_span_id),
                begun_ns: span.start_time_unix_nano,
                ended_ns: span.end_time_unix_nano,
                is_error: span.status.is_some_and(|status| status.code == 2),
                attributes: span.attributes,
            });
        }
    }
    spans
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
