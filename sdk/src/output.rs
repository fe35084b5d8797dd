//! What a handler gives back when it succeeds.

use std::any::Any;

use serde::Serialize;

use crate::bindings::skep::jobs::types;
use crate::payload::{JSON, ToPayload};
use crate::{Error, FromPayload, Payload};

/// The longest JSON text that stands for itself as a short result, in bytes.
const SHORT: usize = 256;

/// A short result for people and callbacks, and the result itself.
///
/// ```
/// # use skep_sdk::{Output, Payload};
/// # let png = Vec::new();
/// Output::new("640x480 -> 256x192", Payload::new("image/png", png));
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Output<T = Payload> {
    /// A line for people and for callbacks; at most 4 KiB by default.
    pub short_result: Option<String>,
    /// The result.
    pub result: T,
}

impl<T> Output<T> {
    /// A short result and the result.
    pub fn new(short_result: impl Into<String>, result: T) -> Self {
        Output {
            short_result: Some(short_result.into()),
            result,
        }
    }
}

impl From<types::Output> for Output {
    fn from(output: types::Output) -> Self {
        Output {
            short_result: output.short_result,
            result: output.result,
        }
    }
}

impl From<Output> for types::Output {
    fn from(output: Output) -> Self {
        types::Output {
            short_result: output.short_result,
            result: output.result,
        }
    }
}

/// What a handler may return: any [`serde::Serialize`] value (served as JSON),
/// `Vec<u8>` (served as `application/octet-stream`), a [`Payload`] with its media
/// type, or an [`Output`] of a short result and any of these.
///
/// The short result of JSON is its text while that is short, a string's without
/// the quotes; bytes have none.
pub trait IntoOutput {
    /// The short result and the result as bytes.
    fn into_output(self) -> Result<Output, Error>;
}

impl<T: Serialize + 'static> IntoOutput for T {
    fn into_output(self) -> Result<Output, Error> {
        let mut value = Some(self);
        // Moves bytes, which may be large, where `to_payload` would copy them.
        let bytes = (&mut value as &mut dyn Any).downcast_mut::<Option<Vec<u8>>>();
        if let Some(bytes) = bytes.and_then(Option::take) {
            return Payload::from(bytes).into_output();
        }
        value.to_payload()?.into_output()
    }
}

impl IntoOutput for Payload {
    fn into_output(self) -> Result<Output, Error> {
        Ok(Output {
            short_result: short(&self),
            result: self,
        })
    }
}

impl<T: IntoOutput> IntoOutput for Output<T> {
    fn into_output(self) -> Result<Output, Error> {
        let output = self.result.into_output()?;
        Ok(Output {
            short_result: self.short_result.or(output.short_result),
            result: output.result,
        })
    }
}

/// What a job's output can be read as: its result as any [`FromPayload`] type, or
/// an [`Output`] of its short result and one of these.
pub trait FromOutput: Sized {
    /// Reads the output.
    fn from_output(output: Output) -> Result<Self, Error>;
}

impl<T: FromPayload> FromOutput for T {
    fn from_output(output: Output) -> Result<Self, Error> {
        output.result.read()
    }
}

impl<T: FromPayload> FromOutput for Output<T> {
    fn from_output(output: Output) -> Result<Self, Error> {
        Ok(Output {
            short_result: output.short_result,
            result: output.result.read()?,
        })
    }
}

/// The text that stands for a payload on one line, if it is short JSON.
fn short(payload: &Payload) -> Option<String> {
    if payload.content_type != JSON {
        return None;
    }
    let json = std::str::from_utf8(&payload.data).ok()?;
    // Tried on strings only: an error of serde's costs more than a small job.
    let text = match json.starts_with('"').then(|| serde_json::from_str(json)) {
        Some(Ok(text)) => text,
        _ if json.len() <= SHORT => json.to_owned(),
        _ => return None,
    };
    (text.len() <= SHORT).then_some(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn short_of(value: impl IntoOutput) -> Option<String> {
        value.into_output().unwrap().short_result
    }

    #[test]
    fn short_json_is_its_own_short_result() {
        assert_eq!(short_of(42), Some("42".into()));
        assert_eq!(short_of("a \"word\""), Some("a \"word\"".into()));
        assert_eq!(short_of(vec![1u32, 2]), Some("[1,2]".into()));
        assert_eq!(short_of("x".repeat(256)), Some("x".repeat(256)));
        assert_eq!(short_of("x".repeat(257)), None);
    }

    #[test]
    fn bytes_have_their_type_and_no_short_result() {
        let output = vec![1u8, 2].into_output().unwrap();
        assert_eq!(output.short_result, None);
        assert_eq!(
            output.result,
            Payload::new("application/octet-stream", [1, 2])
        );
    }

    #[test]
    fn a_given_short_result_wins() {
        let output = Output::new("two", 2).into_output().unwrap();
        assert_eq!(output.short_result.as_deref(), Some("two"));
        assert_eq!(output.result, Payload::new("application/json", "2"));
    }
}
