//! The host itself.

use serde_json::json;

use super::super::code::Code;
use super::super::health::Health;
use super::super::openapi::{JSON, Operation, Tag, bytes, text};
use crate::metrics::Format;

pub(in crate::http) fn healthz() -> Operation {
    let description = "Answered as long as the process can answer anything.";
    Operation::new(
        Tag::Host,
        "getHealth",
        "Whether the process lives",
        description,
    )
    .told::<Health>(200, "It lives.", "ok", json!({"status": "ok"}))
}

pub(in crate::http) fn readyz() -> Operation {
    let description = "For load balancers: whether the store answers within two seconds.";
    Operation::new(
        Tag::Host,
        "getReadiness",
        "Whether the host can work",
        description,
    )
    .told::<Health>(200, "It can.", "ok", json!({"status": "ok"}))
    .fails(&[Code::StoreUnavailable, Code::StoreUnreadable])
}

pub(in crate::http) fn metrics() -> Operation {
    Operation::new(
        Tag::Host,
        "getMetrics",
        "The host in numbers, for Prometheus",
        "Those of all namespaces, so that a token must count in all of them. OpenMetrics for who accepts that.",
    )
    .answer(200, "The numbers.", Format::Text.media_type(), text(), None)
    .answer(200, "", Format::OpenMetrics.media_type(), text(), None)
    .fails(&[Code::AllNamespaces])
}

pub(in crate::http) fn openapi() -> Operation {
    Operation::new(
        Tag::Host,
        "getOpenApi",
        "This API, for programs",
        "As an OpenAPI 3.1 document.",
    )
    .answer(200, "The document.", JSON, bytes(), None)
    .tagged()
}

pub(in crate::http) fn docs() -> Operation {
    let description = "As a page that needs no script and nothing from elsewhere.";
    Operation::new(Tag::Host, "getDocs", "This API, for people", description)
        .answer(200, "The page.", "text/html; charset=utf-8", text(), None)
        .tagged()
}
