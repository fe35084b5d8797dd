//! The problems that each route may answer: those of its kind, and those of its own.

use std::collections::{BTreeMap, BTreeSet};

use axum::http::StatusCode;
use serde_json::json;
use utoipa::openapi::schema::{AdditionalProperties, Type};
use utoipa::openapi::{AllOfBuilder, ObjectBuilder, Ref, RefOr, Response as Answer, Schema};

use super::super::code::{Code, URN};
use super::super::routes::{Method, Route};
use super::operation::{self, Operation, TEXT};
use super::schemas::text;

/// What problem documents are called.
const PROBLEM_JSON: &str = "application/problem+json";

/// The problems that a route may answer, by their statuses.
pub(super) fn of(route: &Route, operation: &Operation) -> BTreeMap<StatusCode, BTreeSet<Code>> {
    let mut codes = vec![
        Code::BadRequest,
        Code::NoServiceWorker,
        Code::UnknownHost,
        Code::Internal,
    ];
    if route.method != Method::Get {
        codes.push(Code::CrossSite);
    }
    if route.needs.is_some() {
        codes.extend([
            Code::Unauthorized,
            Code::InsufficientScope,
            Code::OtherNamespace,
            Code::StoreUnavailable,
            Code::StoreUnreadable,
        ]);
        if route.method != Method::Get {
            codes.push(Code::StoreFull);
        }
    }
    if route.path.contains("{name}") || route.path.contains("{id}") {
        codes.push(Code::NoSuchName);
    }
    if operation.body.is_some() {
        codes.extend([Code::TooLarge, Code::Stalled, Code::Busy]);
    }
    codes.extend(&operation.problems);
    let mut by_status: BTreeMap<_, BTreeSet<_>> = BTreeMap::new();
    for code in codes {
        by_status.entry(code.status()).or_default().insert(code);
    }
    by_status
}

/// The answer with one of these problems, which have the same status.
pub(super) fn answer(status: StatusCode, codes: &BTreeSet<Code>) -> Answer {
    let told: Vec<_> = codes
        .iter()
        .map(|code| format!("`{}`: {}", code.name(), code.meaning()))
        .collect();
    let types = codes.iter().map(|code| format!("{URN}{}", code.name()));
    let first = codes.first();
    let example = json!({
        "type": format!("{URN}{}", first.map_or("", |code| code.name())),
        "title": status.canonical_reason(),
        "status": status.as_u16(),
        "detail": first.map_or("", |code| code.meaning()),
    });
    let types = ObjectBuilder::new()
        .schema_type(Type::String)
        .enum_values(Some(types));
    let narrowed = AllOfBuilder::new()
        .item(Ref::from_schema_name("Problem"))
        .item(ObjectBuilder::new().property("type", types))
        .build();
    let mut answer = Answer::new(told.join("\n\n"));
    let document = operation::content(Schema::AllOf(narrowed), Some(example));
    let line = operation::content(text(), first.map(|code| code.meaning().into()));
    answer
        .content
        .insert(PROBLEM_JSON.to_owned(), document.into());
    answer.content.insert(TEXT.to_owned(), line.into());
    let header = match status {
        StatusCode::UNAUTHORIZED => Some(("WWW-Authenticate", "`Bearer`, and why not.")),
        StatusCode::SERVICE_UNAVAILABLE => Some(("Retry-After", "Seconds to wait.")),
        StatusCode::RANGE_NOT_SATISFIABLE => Some(("Content-Range", "How many bytes there are.")),
        _ => None,
    };
    if let Some((name, description)) = header {
        answer
            .headers
            .insert(name.to_owned(), operation::header(description).into());
    }
    answer
}

/// What every problem document has, by RFC 9457.
pub(super) fn schema() -> RefOr<Schema> {
    let types = Code::ALL.iter().map(|code| format!("{URN}{}", code.name()));
    let types = types.chain(["about:blank".to_owned()]);
    let problem = ObjectBuilder::new()
        .description(Some("What is wrong, and how to mend it (RFC 9457)."))
        .property(
            "type",
            ObjectBuilder::new()
                .schema_type(Type::String)
                .enum_values(Some(types))
                .description(Some("The kind of problem; stable.")),
        )
        .property("title", described_text("The status in words."))
        .property(
            "status",
            ObjectBuilder::new()
                .schema_type(Type::Integer)
                .description(Some("The status of the answer.")),
        )
        .property(
            "detail",
            described_text("What is wrong here, and how to mend it."),
        )
        .property(
            "incident",
            described_text("What the host's log has the cause under."),
        )
        .required("type")
        .required("title")
        .required("status")
        .required("detail")
        .additional_properties(Some(AdditionalProperties::FreeForm(true)))
        .build();
    Schema::Object(problem).into()
}

fn described_text(description: &str) -> ObjectBuilder {
    ObjectBuilder::new()
        .schema_type(Type::String)
        .description(Some(description))
}
