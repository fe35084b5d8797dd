//! Handlers as the macros make them, called natively the way a host would.

use skep_sdk::__private::bindings::skep::jobs::types;
use skep_sdk::__private::{Listener, functions, handle};
use skep_sdk::{Context, Failure, Job, Payload};

#[derive(serde::Deserialize, schemars::JsonSchema)]
struct Numbers {
    arg1: i64,
    arg2: i64,
}

/// Multiplies
/// two numbers.
///
/// Not part of the summary.
#[skep_sdk::listener]
fn multiply(msg: Numbers, ctx: &Context) -> Result<i64, Failure> {
    Ok(msg.arg1 * msg.arg2)
}

#[skep_sdk::listener]
/// Parses a number.
fn parse(msg: Vec<u8>, ctx: &Context) -> Result<i64, Failure> {
    Ok(String::from_utf8(msg)?.parse()?)
}

/// Is named by a keyword.
#[skep_sdk::listener]
fn r#match(msg: Payload, ctx: &Context) -> Result<String, &'static str> {
    match ctx.job().message.data.is_empty() {
        true => Ok(msg.content_type),
        false => Err("the bytes were copied"),
    }
}

fn call<L: Listener>(data: &str) -> Result<types::Output, types::Failure> {
    let job = Job {
        id: "1".into(),
        function: L::NAME.into(),
        message: Payload::new("text/plain", data),
        attempt: 1,
        max_attempts: 5,
        posted_at_ms: 0,
        started_at_ms: 0,
        timeout_ms: 1000,
        priority: 2,
        functions: Vec::new(),
        parent: None,
        depth: 0,
    };
    handle(&[L::ENTRY], job)
}

#[test]
fn functions_are_described() {
    let listed = functions(&[multiply::ENTRY, parse::ENTRY, r#match::ENTRY]);
    let names: Vec<_> = listed.iter().map(|function| &*function.name).collect();
    let summaries: Vec<_> = listed.iter().map(|function| &*function.summary).collect();
    assert_eq!(names, ["multiply", "parse", "match"]);
    assert_eq!(
        summaries,
        [
            "Multiplies two numbers.",
            "Parses a number.",
            "Is named by a keyword."
        ]
    );
}

#[test]
fn only_messages_with_a_schema_have_one() {
    let listed = functions(&[multiply::ENTRY, parse::ENTRY, r#match::ENTRY]);
    let schema = listed[0].message_schema.as_deref().unwrap();
    assert!(schema.contains("https://json-schema.org/draft/2020-12/schema"));
    assert!(schema.contains(r#""required":["arg1","arg2"]"#), "{schema}");
    assert_eq!(listed[1].message_schema, None);
    assert_eq!(listed[2].message_schema, None);
}

#[test]
fn messages_are_read_and_outputs_written() {
    let output = call::<multiply>(r#"{"arg1":6,"arg2":7}"#).unwrap();
    assert_eq!(output.short_result.as_deref(), Some("42"));
    assert_eq!(output.result, Payload::new("application/json", "42"));
    let output = call::<r#match>("bytes").unwrap();
    assert_eq!(output.short_result.as_deref(), Some("text/plain"));
}

#[test]
fn a_message_that_does_not_fit_is_invalid_and_an_error_is_failed() {
    let types::Failure::Invalid(text) = call::<multiply>(r#"{"arg1":6}"#).unwrap_err() else {
        panic!("not invalid");
    };
    assert!(text.contains("missing field `arg2`"), "{text}");
    assert_eq!(
        call::<parse>("six"),
        Err(types::Failure::Failed(
            "invalid digit found in string".into()
        ))
    );
}
