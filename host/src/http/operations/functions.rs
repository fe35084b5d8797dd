//! Functions.

use serde_json::{Value, json};

use super::super::code::Code;
use super::super::functions::{FunctionView, Functions, Removed};
use super::super::openapi::{Operation, TEXT, Tag, bytes, integer, limits, text};
use super::super::versions::Versions;
use crate::job::FunctionName;
use utoipa::PartialSchema as _;

pub(in crate::http) fn versions() -> Operation {
    Operation::new(
        Tag::Functions,
        "listVersions",
        "What was deployed under a name",
        "Also after the function was removed. A page has 100.",
    )
    .query(
        "cursor",
        integer(0, u32::MAX.into()),
        "Where to go on: `next` of the answer before.",
    )
    .json::<Versions<'_>>(
        200,
        "The versions, the newest first.",
        json!({"versions": [multiply()], "next": null}),
    )
    .fails(&[Code::NoSuchFunction])
}

pub(in crate::http) fn rollback() -> Operation {
    Operation::new(
        Tag::Functions,
        "rollBack",
        "Goes back to an earlier version",
        "Binds its component, limits and concurrency anew, as the next version. Limits that the caller may not grant are refused, as when it is deployed.",
    )
    .goes_back()
    .told::<FunctionView<'_>>(
        200,
        "It is deployed.",
        "multiply version 3 (as version 1)",
        multiply(),
    )
    .fails(&[Code::NoSuchFunction])
}

/// What an upload is called.
const WASM: &str = "application/wasm";

fn multiply() -> Value {
    json!({
        "name": "multiply", "version": 1,
        "component": "2c26b46b68ffc68ff99b453c1d30413413422d706483bfa0f98a5e886266e7ae",
        "summary": "Multiplies two numbers",
        "message_schema": {"type": "object", "required": ["arg1", "arg2"]},
        "limits": {"fuel": 1_000_000_000_000_u64, "timeout_ms": 300_000},
        "concurrency": null, "deployed_at_ms": 1_795_000_000_000_u64,
    })
}

pub(in crate::http) fn list() -> Operation {
    Operation::new(
        Tag::Functions,
        "listFunctions",
        "The deployed functions",
        "In the order in which they were first deployed.",
    )
    .json::<Functions<'_>>(200, "The functions.", json!({"functions": [multiply()]}))
}

pub(in crate::http) fn one() -> Operation {
    Operation::new(
        Tag::Functions,
        "getFunction",
        "A deployed function",
        "With all its limits, their defaults, and those that nobody can change.",
    )
    .json::<FunctionView<'_>>(200, "The function.", multiply())
    .fails(&[Code::NoSuchFunction])
}

pub(in crate::http) fn remove() -> Operation {
    Operation::new(
        Tag::Functions,
        "removeFunction",
        "Removes a function",
        "Jobs that run go on; those that wait and name it fail as `no-such-function`.",
    )
    .done(204, "It is removed.")
    .fails(&[Code::NoSuchFunction])
}

pub(in crate::http) fn forget() -> Operation {
    Operation::new(
        Tag::Functions,
        "forgetFunction",
        "Removes a function, as MLQ did",
        "Answers whether there was one.",
    )
    .needs_query("name", FunctionName::schema(), "The function.")
    .told::<Removed>(
        200,
        "Whether it was there.",
        "True",
        json!({"removed": true}),
    )
}

pub(in crate::http) fn consumer() -> Operation {
    deploys(Operation::new(
        Tag::Functions,
        "deployComponent",
        "Deploys all functions of a component",
        "MLQ's way: each function that the component offers gets a new version. Limits and `concurrency` hold for each of them.",
    ))
    .answer(200, "They are deployed.", TEXT, text(), Some("True".into()))
    .json::<Functions<'_>>(200, "They are deployed.", json!({"functions": [multiply()]}))
}

pub(in crate::http) fn function() -> Operation {
    deploys(Operation::new(
        Tag::Functions,
        "deployFunction",
        "Deploys one function of a component",
        "It gets a new version; jobs that run go on with theirs.",
    ))
    .json::<FunctionView<'_>>(200, "It is deployed.", multiply())
    .fails(&[Code::NotOffered])
}

fn deploys(operation: Operation) -> Operation {
    let mut operation = operation
        .takes(WASM, bytes(), None)
        .takes("application/octet-stream", bytes(), None)
        .query(
            "concurrency",
            integer(1, u32::MAX.into()),
            "How many jobs of it may run at once, on all hosts together.",
        );
    for (name, schema) in limits() {
        let description = "A limit of each attempt; only an admin grants more than the default.";
        operation = operation.query(name, schema, description);
    }
    operation.fails(&[
        Code::UnsupportedMediaType,
        Code::NotDeployable,
        Code::LimitsTooWide,
        Code::BadLimit,
    ])
}
