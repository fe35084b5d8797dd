//! What a query says of how a model is to be run: a field of [`ModelConfig`] each, but for
//! those of single tensors, which come once for each: `pad=NAME:AXIS[:VALUE]` and
//! `batch_axis=NAME:AXIS`.

use axum::extract::FromRequestParts;
use axum::http::request::Parts;
use serde_json::{Map, Value, json};
use url::form_urlencoded;

use super::super::problem::Problem;
use crate::model::ModelConfig;

/// What the query asks for.
pub(in crate::http) struct Asked(pub(in crate::http) ModelConfig);

impl<S: Send + Sync> FromRequestParts<S> for Asked {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Problem> {
        let asked = read(parts.uri.query().unwrap_or_default());
        asked
            .map(Self)
            .map_err(|error| Problem::bad_request(format!("in the query: {error}")))
    }
}

fn read(query: &str) -> Result<ModelConfig, String> {
    let mut config = Map::new();
    for (name, value) in form_urlencoded::parse(query.as_bytes()) {
        let in_option = |error: String| format!("{name}: {error}");
        match &*name {
            "engine" | "device" | "batching" => put(&mut config, &name, json!(value)),
            "max_batch" | "max_delay_us" | "preload" | "allow_loops" => {
                let value = serde_json::from_str(&value)
                    .map_err(|_| in_option(format!("{value:.40?} is no number, true or false")))?;
                put(&mut config, &name, value)
            }
            "batch_axis" => {
                let (tensor, axis) = value.rsplit_once(':').unwrap_or_default();
                let axis = number(tensor, axis, "NAME:AXIS").map_err(in_option)?;
                put(of(&mut config, "batch_axes"), tensor, axis)
            }
            "pad" => {
                let (tensor, pad) = padding(&value).map_err(in_option)?;
                put(of(&mut config, "pad"), tensor, pad)
            }
            _ => Err("unknown option; there are engine, device, batching, max_batch, max_delay_us, batch_axis, pad, preload, allow_loops".into()),
        }
        .map_err(|error| format!("{name:.40}: {error}"))?;
    }
    serde_json::from_value(Value::Object(config)).map_err(|error| error.to_string())
}

/// `NAME:AXIS[:VALUE]`. Read from its end, since names may have colons; then the value has
/// to be there.
fn padding(text: &str) -> Result<(&str, Value), String> {
    const FORM: &str = "NAME:AXIS or NAME:AXIS:VALUE";
    let (rest, last) = text.rsplit_once(':').unwrap_or_default();
    match rest.rsplit_once(':') {
        None => Ok((rest, json!({"axis": number(rest, last, FORM)?}))),
        Some((tensor, axis)) => {
            let axis = number(tensor, axis, FORM)?;
            let value: f64 = (last.parse()).map_err(|_| format!("{last:.40?} is no number"))?;
            let value = serde_json::Number::from_f64(value)
                .ok_or_else(|| format!("{last:.40?} is no finite number"))?;
            Ok((tensor, json!({"axis": axis, "value": value})))
        }
    }
}

/// The number of an axis of a tensor.
fn number(tensor: &str, axis: &str, form: &str) -> Result<Value, String> {
    match axis.parse::<u32>() {
        Ok(axis) if !tensor.is_empty() => Ok(json!(axis)),
        _ => Err(format!("write it as {form}, with an axis from 0")),
    }
}

/// The options of single tensors.
fn of<'c>(config: &'c mut Map<String, Value>, name: &str) -> Option<&'c mut Map<String, Value>> {
    let options = config.entry(name).or_insert_with(|| json!({}));
    options.as_object_mut()
}

/// Puts a value where none is.
fn put<'c>(
    map: impl Into<Option<&'c mut Map<String, Value>>>,
    name: &str,
    value: Value,
) -> Result<(), String> {
    let before = map
        .into()
        .and_then(|map| map.insert(name.to_owned(), value));
    match before {
        None => Ok(()),
        Some(_) => Err("it is there twice".into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{Batching, DeviceChoice, EngineChoice, Pad};

    #[test]
    fn a_query_says_how_a_model_is_run() {
        assert_eq!(read("").unwrap(), ModelConfig::default());
        let asked = read(
            "batching=off&max_batch=32&max_delay_us=500&device=cpu&engine=rten&preload=true&pad=ids:1:-0.5&pad=out:1&pad=in:0:1:0&batch_axis=state:1&batch_axis=x:y:0&allow_loops=true",
        );
        let pad = |axis, value| Pad { axis, value };
        let expected = ModelConfig {
            engine: EngineChoice::Rten,
            device: DeviceChoice::Cpu,
            batching: Batching::Off,
            max_batch: Some(32),
            max_delay_us: 500,
            batch_axes: [("state".to_owned(), 1), ("x:y".to_owned(), 0)].into(),
            pad: [
                ("ids".to_owned(), pad(1, -0.5)),
                ("out".to_owned(), pad(1, 0.0)),
                ("in:0".to_owned(), pad(1, 0.0)),
            ]
            .into(),
            preload: true,
            allow_loops: true,
        };
        assert_eq!(asked.unwrap(), expected);
    }

    #[test]
    fn what_no_model_is_run_with_is_refused() {
        for (query, words) in [
            ("max_bach=3", "unknown option; there are"),
            ("batch_axes=x", "unknown option"),
            ("engine=tract", "unknown variant"),
            ("batching=true", "unknown variant"),
            ("max_batch=-1", "invalid value"),
            ("max_batch=x", "is no number"),
            ("max_batch=", "is no number"),
            ("preload=1", "invalid type"),
            ("max_batch=1&max_batch=2", "twice"),
            ("pad=x:1&pad=x:1", "twice"),
            ("pad=x", "NAME:AXIS"),
            ("pad=:1", "NAME:AXIS"),
            ("pad=x:y", "axis from 0"),
            ("pad=x:1:y", "is no number"),
            ("pad=x:1:nan", "no finite number"),
            ("pad=x:1:inf", "no finite number"),
            ("batch_axis=x", "NAME:AXIS"),
            ("batch_axis=x:-1", "axis from 0"),
            ("batch_axis=x:99999999999999999999", "axis from 0"),
        ] {
            let error = read(query).unwrap_err();
            assert!(error.contains(words), "{query}: {error}");
        }
    }
}
