//! Models.

use serde_json::{Value, json};

use super::super::code::Code;
use super::super::models::{ModelVersions, Models, OneModel};
use super::super::openapi::{Operation, Tag, boolean, bytes, integer, text_like};
use crate::model::{Batching, DeviceChoice, EngineChoice};
use crate::store::Model;
use utoipa::PartialSchema as _;

/// What a model says of its rows, in the example.
const NOTE: &str = "rows are independent";

fn iris() -> Value {
    json!({
        "name": "iris", "version": 1,
        "digest": "2c26b46b68ffc68ff99b453c1d30413413422d706483bfa0f98a5e886266e7ae",
        "bytes": 1_234,
        "config": {
            "engine": "auto", "device": "auto", "batching": "auto", "max_batch": null,
            "max_delay_us": 0, "batch_axes": {}, "pad": {}, "preload": false,
            "allow_loops": false,
        },
        "findings": {
            "signature": {
                "inputs": [{"name": "x", "dtype": "f32", "shape": [null, 4]}],
                "outputs": [{"name": "y", "dtype": "f32", "shape": [null, 3]}],
            },
            "batch": {"inputs": [0], "outputs": [0]}, "note": NOTE, "memory_bytes": 65_536,
        },
        "added_at_ms": 1_795_000_000_000_u64,
    })
}

fn with_versions() -> Value {
    let mut one = iris();
    if let Some(fields) = one.as_object_mut() {
        fields.insert("versions_kept".into(), 1.into());
    }
    one
}

pub(in crate::http) fn list() -> Operation {
    Operation::new(
        Tag::Models,
        "listModels",
        "The models",
        "The newest version of each, by name.",
    )
    .json::<Models<'_>>(200, "The models.", json!({"models": [iris()]}))
}

pub(in crate::http) fn one() -> Operation {
    Operation::new(
        Tag::Models,
        "getModel",
        "A model",
        "What it takes and gives, how it is run, and how many versions of it are kept.",
    )
    .json::<OneModel<'_>>(200, "The model.", with_versions())
    .fails(&[Code::NoSuchModel])
}

pub(in crate::http) fn versions() -> Operation {
    Operation::new(
        Tag::Models,
        "listModelVersions",
        "The versions of a model",
        "The newest ten are kept.",
    )
    .json::<ModelVersions<'_>>(
        200,
        "The versions, the newest first.",
        json!({"versions": [iris()]}),
    )
    .fails(&[Code::NoSuchModel])
}

pub(in crate::http) fn add() -> Operation {
    let operation = Operation::new(
        Tag::Models,
        "addModel",
        "Adds a model",
        "An ONNX file. It is loaded and run once in a process of its own, and becomes the newest version of its name, at once on all hosts; calls that run go on with theirs. The same bytes to be run the same make no new version.",
    )
    .takes("application/octet-stream", bytes(), None)
    .takes("application/onnx", bytes(), None);
    configured(operation)
        .json::<Model>(200, "It is the newest version.", iris())
        .json::<Model>(
            201,
            "It is there, and nothing of its name was before.",
            iris(),
        )
        .fails(&[
            Code::UnsupportedMediaType,
            Code::ModelRefused,
            Code::BadConfig,
            Code::LimitsTooWide,
            Code::TooManyModels,
        ])
}

/// How a model is run, in the query.
fn configured(operation: Operation) -> Operation {
    operation
        .query("engine", EngineChoice::schema(), "Which engine runs it.")
        .query("device", DeviceChoice::schema(), "Where it runs.")
        .query(
            "batching",
            Batching::schema(),
            "Whether calls may share a batch.",
        )
        .query(
            "max_batch",
            integer(1, 4_096),
            "The most rows of a batch; without it, as many as were measured to pay.",
        )
        .query(
            "max_delay_us",
            integer(0, 1_000_000),
            "How long a call may wait for others to join it although the device is idle, in µs.",
        )
        .query(
            "batch_axis",
            text_like("^.+:[0-9]{1,3}$", "state:1"),
            "`NAME:AXIS`: where an input or output has a row for each call, if that is not what was found. Once for each.",
        )
        .query(
            "pad",
            text_like("^[^:]+:[0-9]{1,3}(:-?[0-9]{1,6})?$", "input_ids:1:0"),
            "`NAME:AXIS[:VALUE]`: rows of different lengths may share a batch, made equal along this axis. Once for each; a name with a colon needs the value, too.",
        )
        .query(
            "preload",
            boolean(false),
            "Whether hosts load it when it arrives, rather than at its first use.",
        )
        .query(
            "allow_loops",
            boolean(false),
            "Whether it may have `Loop` and `Scan`, whose time nothing bounds but the job's own; only an admin may say so.",
        )
}

pub(in crate::http) fn rollback() -> Operation {
    Operation::new(
        Tag::Models,
        "rollBackModel",
        "Takes a model back to an earlier version",
        "Its bytes, and how they are run, become the next version.",
    )
    .goes_back()
    .told::<Model>(
        200,
        "It is the newest version.",
        "iris version 3 (as version 1)",
        iris(),
    )
    .fails(&[Code::NoSuchModel, Code::TooManyModels])
}

pub(in crate::http) fn remove() -> Operation {
    Operation::new(
        Tag::Models,
        "removeModel",
        "Removes a model",
        "With all its versions. Calls that run go on; later ones find none.",
    )
    .done(204, "It is removed.")
    .fails(&[Code::NoSuchModel])
}
