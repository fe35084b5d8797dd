//! What a schema does for honest users, and what it refuses from the others.
//! Every hostile case runs on a thread with a small stack and a deadline, since
//! an overflow would take the whole host down and a hang a worker.

use std::sync::mpsc;
use std::time::Duration;

use serde_json::{Value, json};

use super::*;

/// Runs `test` where an overflow or a hang shows: on half of tokio's stack, and
/// for no longer than a loaded machine may need.
fn contained<T: Send + 'static>(test: impl FnOnce() -> T + Send + 'static) -> T {
    let (send, receive) = mpsc::channel();
    std::thread::Builder::new()
        .stack_size(1 << 20)
        .spawn(move || send.send(test()))
        .unwrap();
    receive
        .recv_timeout(Duration::from_secs(60))
        .expect("it hangs or panicked")
}

fn schema(value: &Value) -> Result<MessageSchema, SchemaError> {
    MessageSchema::parse(&value.to_string())
}

fn refusal(value: Value) -> SchemaError {
    contained(move || schema(&value).err()).expect("it should be refused")
}

fn multiply() -> MessageSchema {
    schema(&json!({
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "Multiply",
        "type": "object",
        "properties": {
            "arg1": {"type": "integer", "format": "int64"},
            "arg2": {"anyOf": [{"$ref": "#/$defs/Factor"}, {"type": "null"}]},
        },
        "required": ["arg1"],
        "additionalProperties": false,
        "$defs": {"Factor": {"type": "object", "properties": {"n": {"type": "integer"}}}},
    }))
    .unwrap()
}

fn complaint(message: &str) -> String {
    multiply()
        .check(message.as_bytes())
        .unwrap_err()
        .to_string()
}

#[test]
fn a_message_that_fits_passes() {
    for good in [
        r#"{"arg1": 6}"#,
        r#"{"arg1": 6, "arg2": null}"#,
        r#"{"arg1": 123456789012345678901234567890, "arg2": {"n": 3}}"#,
    ] {
        assert_eq!(multiply().check(good.as_bytes()), Ok(()), "{good}");
    }
}

#[test]
fn a_message_that_does_not_fit_is_told_where_and_why() {
    let text = complaint(r#"{"arg1": "six"}"#);
    assert!(text.contains("/arg1") && text.contains("integer"), "{text}");
    let text = complaint(r#"{"arg2": null}"#);
    assert!(text.contains("arg1") && text.contains("required"), "{text}");
    let text = complaint(r#"{"arg1": 1, "arg2": {"n": "x"}}"#);
    assert!(
        text.contains("/arg2/n") && text.contains("integer"),
        "{text}"
    );
    let text = complaint(r#"{"arg1": 1, "atg2": 2}"#);
    assert!(text.contains("unknown properties atg2"), "{text}");
    let text = complaint("[1, 2");
    assert!(text.contains("line 1 column"), "{text}");
}

#[test]
fn a_complaint_is_short_whatever_the_message() {
    for message in [
        json!({"arg1": "x".repeat(1 << 20)}),
        json!({"x".repeat(1 << 20): 1, "arg1": 1}),
        json!({"arg1": 1, "arg2": {"n": vec!["y"; 1 << 16]}}),
    ] {
        let text = complaint(&message.to_string());
        assert!(text.len() < 1024, "{} bytes: {text:.200}", text.len());
    }
}

#[test]
fn true_and_a_schema_without_draft_are_schemas() {
    assert_eq!(schema(&json!(true)).unwrap().check(b"1"), Ok(()));
    assert!(
        schema(&json!({"type": "string"}))
            .unwrap()
            .check(b"1")
            .is_err()
    );
    assert!(schema(&json!(false)).unwrap().check(b"1").is_err());
}

#[test]
fn a_property_may_have_the_name_of_a_keyword() {
    let schema = schema(&json!({"properties": {
        "$ref": {"type": "string"}, "$id": {"type": "integer"}, "enum": {"type": "array"},
    }}));
    assert!(schema.unwrap().check(br#"{"$id": "x"}"#).is_err());
}

#[test]
fn what_is_no_schema_is_refused_with_its_place() {
    assert!(matches!(
        MessageSchema::parse("{"),
        Err(SchemaError::Invalid(_))
    ));
    assert!(matches!(refusal(json!(12)), SchemaError::Invalid(_)));
    let text = refusal(json!({"properties": {"a": {"type": "intger"}}})).to_string();
    assert!(text.contains("/properties/a/type"), "{text}");
    let text = refusal(json!({"$schema": "http://json-schema.org/draft-07/schema#"})).to_string();
    assert!(text.contains("2020-12"), "{text}");
}

#[test]
fn a_schema_that_is_too_long_is_refused() {
    let long = json!({"description": "x".repeat(MAX_SCHEMA_BYTES)});
    assert!(matches!(refusal(long), SchemaError::TooBig(_)));
}

#[test]
fn references_out_of_the_schema_are_refused() {
    for target in [
        "https://example.com/schema.json",
        "file:///etc/passwd",
        "other.json#/x",
        "#anchor",
        "#/$defs/none",
        "#/%zz",
        "#/%ff",
    ] {
        let error = refusal(json!({"properties": {"a": {"$ref": target}}}));
        assert!(
            matches!(error, SchemaError::Reference(_)),
            "{target}: {error}"
        );
    }
    let elsewhere = json!({"$defs": {"a": {"$id": "https://example.com/a", "$ref": "#/x"}}});
    assert!(matches!(refusal(elsewhere), SchemaError::Reference(_)));
    let dynamic = json!({"$dynamicRef": "#node"});
    assert!(matches!(refusal(dynamic), SchemaError::Reference(_)));
    // Not followed by us, so the validator must not fetch it either.
    let hidden = json!({"$defs": {"unused": {"$ref": "https://example.com/x.json"}}});
    assert!(contained(move || schema(&hidden)).is_err());
}

#[test]
fn recursion_is_refused_and_the_text_tells_the_fix() {
    for recursive in [
        json!({"$ref": "#"}),
        json!({"$defs": {"a": {"$ref": "#/$defs/a"}}, "$ref": "#/$defs/a"}),
        json!({"$defs": {"a": {"$ref": "#/$defs/b"}, "b": {"not": {"$ref": "#/$defs/%61"}}}, "$ref": "#/$defs/a"}),
        json!({"properties": {"next": {"$ref": "#/properties/next", "type": "object"}}}),
        json!({"$defs": {"Tree": {"properties": {"kids": {"items": {"$ref": "#/$defs/Tree"}}}}}, "$ref": "#/$defs/Tree"}),
    ] {
        let error = refusal(recursive);
        assert!(matches!(error, SchemaError::Recursive(_)), "{error}");
        assert!(error.to_string().contains("schemars"), "{error}");
    }
}

#[test]
fn references_that_explode_are_refused() {
    let mut defs = serde_json::Map::new();
    for level in 0..60 {
        let next = json!({"$ref": format!("#/$defs/d{}", level + 1)});
        defs.insert(format!("d{level}"), json!({"allOf": [next, next]}));
    }
    defs.insert("d60".into(), json!(true));
    let error = refusal(json!({"$defs": defs, "$ref": "#/$defs/d0"}));
    assert!(matches!(error, SchemaError::TooBig(_)), "{error}");
}

#[test]
fn a_long_chain_of_references_is_refused_and_the_longest_allowed_is_safe() {
    let chain = |length: usize| {
        let mut defs = serde_json::Map::new();
        for level in 0..length {
            let next = format!("#/$defs/d{}", level + 1);
            defs.insert(format!("d{level}"), json!({"allOf": [{"$ref": next}]}));
        }
        defs.insert(format!("d{length}"), json!({"type": "string"}));
        json!({"$defs": defs, "$ref": "#/$defs/d0"})
    };
    assert!(matches!(refusal(chain(500)), SchemaError::TooBig(_)));
    let longest = (1..100)
        .rev()
        .find(|length| weight::weigh(&chain(*length)).is_ok());
    let longest = chain(longest.unwrap());
    assert!(contained(move || schema(&longest).unwrap().check(b"\"x\"")).is_ok());
}

#[test]
fn deep_json_is_refused_in_schema_and_message() {
    let deep =
        |open: &str, close: &str| format!("{}1{}", open.repeat(10_000), close.repeat(10_000));
    let nested = deep(r#"{"not":"#, "}");
    assert!(contained(move || MessageSchema::parse(&nested)).is_err());
    let message = deep("[", "]");
    assert!(contained(move || schema(&json!(true)).unwrap().check(message.as_bytes())).is_err());
    let message = deep(r#"{"a":"#, "}");
    assert!(contained(move || schema(&json!(true)).unwrap().check(message.as_bytes())).is_err());
}

#[test]
fn regular_expressions_are_linear_and_small() {
    for bad in [
        "(?=x)y",
        r"(a)\1",
        "(",
        "((a{1,1000}){1,1000}){1,1000}",
        r"\p{L}{1000}",
    ] {
        let error = refusal(json!({"type": "string", "pattern": bad}));
        assert!(matches!(error, SchemaError::Invalid(_)), "{bad}: {error}");
        assert!(error.to_string().contains("128 KiB"), "{bad}: {error}");
        let error = refusal(json!({"patternProperties": {bad: true}}));
        assert!(matches!(error, SchemaError::Invalid(_)), "{bad}: {error}");
    }
    // Backtracking engines never end on these.
    for evil in ["^(a+)+$", "^(a|a)*$", "^(.*a){12}$", "(x+x+)+y"] {
        let schema = schema(&json!({"pattern": evil})).unwrap();
        let message = json!(format!("{}!", "ax".repeat(1 << 18))).to_string();
        assert!(contained(move || schema.check(message.as_bytes())).is_err());
    }
    let many: Value = (0..65).map(|n| (format!("^{n}"), json!(true))).collect();
    assert!(matches!(
        refusal(json!({"patternProperties": many})),
        SchemaError::TooBig(_)
    ));
}

#[test]
fn nested_unevaluated_is_refused_and_a_single_one_works() {
    let flat = json!({
        "properties": {"a": {}},
        "allOf": [{"properties": {"b": {}}}],
        "unevaluatedProperties": false,
    });
    let flat = schema(&flat).unwrap();
    assert_eq!(flat.check(br#"{"a": 1, "b": 2}"#), Ok(()));
    let text = flat.check(br#"{"c": 1}"#).unwrap_err().to_string();
    assert!(text.contains("unknown properties c"), "{text}");
    let mut nested = json!({"properties": {"a": {}}});
    for _ in 0..40 {
        nested = json!({"allOf": [nested], "unevaluatedProperties": {"type": "string"}});
    }
    assert!(matches!(refusal(nested), SchemaError::TooBig(_)));
}

#[test]
fn enums_count_with_all_their_values() {
    let values: Vec<u32> = (0..3_000).collect();
    assert!(matches!(
        refusal(json!({"enum": values})),
        SchemaError::TooBig(_)
    ));
    let values: Vec<u32> = (0..1_000).collect();
    assert!(
        schema(&json!({"enum": values}))
            .unwrap()
            .check(b"999")
            .is_ok()
    );
}

#[test]
fn absurd_work_is_refused_before_it_begins() {
    let branches: Vec<Value> = (0..600).map(|n| json!({"items": {"const": n}})).collect();
    let schema = schema(&json!({"anyOf": branches})).unwrap();
    let message = format!("[{}1]", "1,".repeat(1 << 20));
    let text = contained(move || schema.check(message.as_bytes()))
        .unwrap_err()
        .to_string();
    assert!(text.contains("can be checked on"), "{text}");
}

#[test]
fn the_most_work_allowed_ends_soon_and_explains_within_bounds() {
    let branches: Vec<Value> = (0..60)
        .map(|n| json!({"items": {"type": "string", "minLength": n}}))
        .collect();
    let schema = schema(&json!({"anyOf": branches})).unwrap();
    let bytes = usize::try_from(MAX_WORK / schema.weight.steps()).unwrap();
    let message = format!("[{}1]", "1,".repeat(bytes / 2 - 2));
    let text = contained(move || schema.check(message.as_bytes()))
        .unwrap_err()
        .to_string();
    assert!(text.contains("too large for skep to say where"), "{text}");
}
