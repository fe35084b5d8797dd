//! The JSON Schemas (draft 2020-12) that functions declare for their messages.
//!
//! Both sides are strangers': who uploads a component chooses the schema, who
//! posts a job chooses the message. So a schema is weighed before it is compiled
//! ([`weight`]), and the work of a check is bounded before it begins; what is
//! refused says why and how to mend it. `format` is an annotation here, as the
//! draft has it, and is not checked.
//!
//! Not here: which schema belongs to which function (`intake` and `deploy`).

mod text;
mod weight;

use jsonschema::error::ValidationErrorKind;
use jsonschema::{Draft, PatternOptions, ValidationError, Validator};
use serde_json::Value;

use text::bounded;
use weight::Weight;

/// The longest schema, in bytes: a page of prose per field still fits.
pub const MAX_SCHEMA_BYTES: usize = 64 * 1024;

/// The most work that one check may be: nodes of the schema times bytes of the
/// message. The worst pairs of this size keep a core busy for a few seconds.
const MAX_WORK: u64 = 1 << 30;

/// Beyond this work a refusal does not say where the message does not fit: the
/// errors of all branches of an `anyOf` are collected on the way, and a hostile
/// pair would fill the memory with them.
const MAX_EXPLAINED_WORK: u64 = 1 << 22;

/// The size of a compiled regular expression and of its cache, in bytes each;
/// `weight::MAX_PATTERNS` of them fit into 16 MiB.
const REGEX_BYTES: usize = 128 * 1024;

/// The longest text of a [`Mismatch`] or [`SchemaError`], in bytes.
const MAX_TEXT_BYTES: usize = 512;

/// Why a schema is not accepted. The text says how to mend it.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SchemaError {
    /// It is over a bound.
    #[error("{0}")]
    TooBig(String),
    /// It refers to itself.
    #[error(
        "{0:?} refers to itself, and a recursive schema cannot be checked in bounded time; put #[schemars(with = \"serde_json::Value\")] on the recursive field, or drop the schema"
    )]
    Recursive(String),
    /// It refers to what is not in it, or in a way that skep does not follow.
    #[error("{0}")]
    Reference(String),
    /// It is not a schema.
    #[error("{0}")]
    Invalid(String),
}

/// Why a message does not fit a schema: where, and what was expected there.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct Mismatch(String);

/// A compiled schema that is safe to run on any message.
#[derive(Debug)]
pub struct MessageSchema {
    validator: Validator,
    weight: Weight,
}

impl MessageSchema {
    /// Compiles a schema.
    ///
    /// # Errors
    ///
    /// When the text is no JSON Schema, or one that could cost more than it is
    /// worth: see [`SchemaError`].
    pub fn parse(text: &str) -> Result<Self, SchemaError> {
        if text.len() > MAX_SCHEMA_BYTES {
            return Err(SchemaError::TooBig(format!(
                "the schema has {} bytes, and {MAX_SCHEMA_BYTES} are allowed; shorten its descriptions or drop it",
                text.len()
            )));
        }
        let schema: Value = serde_json::from_str(text)
            .map_err(|error| SchemaError::Invalid(format!("the schema is not JSON: {error}")))?;
        let weight = weight::weigh(&schema)?;
        let patterns = PatternOptions::regex()
            .size_limit(REGEX_BYTES)
            .dfa_size_limit(REGEX_BYTES);
        let validator = jsonschema::options()
            .with_draft(Draft::Draft202012)
            .offline()
            .should_validate_formats(false)
            .with_pattern_options(patterns)
            .build(&schema)
            .map_err(|error| SchemaError::Invalid(invalid(&error)))?;
        Ok(Self { validator, weight })
    }

    /// Bounds the work of checking a message of `bytes` bytes, in steps of very
    /// roughly a nanosecond.
    pub fn work(&self, bytes: usize) -> u64 {
        self.weight.steps().saturating_mul(bytes as u64)
    }

    /// Checks a message. Takes up to seconds: see [`work`](Self::work).
    ///
    /// # Errors
    ///
    /// When the message is no JSON, does not fit, or is too large for this
    /// schema to be checked at all.
    pub fn check(&self, message: &[u8]) -> Result<(), Mismatch> {
        let work = self.work(message.len());
        if work > MAX_WORK {
            let most = MAX_WORK / self.weight.steps().max(1);
            return Err(Mismatch(format!(
                "the message has {} bytes, and this function's schema can be checked on {most} at most; send bulk data as a binary message, or deploy the function with a simpler schema",
                message.len()
            )));
        }
        let value: Value = serde_json::from_slice(message).map_err(|error| {
            Mismatch(format!("the message is not JSON that skep reads: {error}"))
        })?;
        if self.validator.is_valid(&value) {
            return Ok(());
        }
        if work > MAX_EXPLAINED_WORK {
            return Err(Mismatch(
                "the message does not fit the function's schema; it is too large for skep to say where, so check it against the message_schema that GET /functions/{name} shows".to_owned(),
            ));
        }
        match self.validator.validate(&value) {
            Ok(()) => Ok(()),
            Err(error) => Err(Mismatch(mismatch(&error))),
        }
    }
}

/// The text for a message that does not fit.
fn mismatch(error: &ValidationError<'_>) -> String {
    let error = deepest(error);
    let pointer = error.instance_path().as_str();
    let place = if pointer.is_empty() {
        "as a whole".to_owned()
    } else {
        format!("at {}", bounded(&pointer, MAX_TEXT_BYTES / 2))
    };
    // `false` and `additionalProperties: false` would otherwise print their
    // schema's jargon or the whole object.
    let expected = match error.kind() {
        ValidationErrorKind::FalseSchema => "nothing is allowed here".to_owned(),
        ValidationErrorKind::AdditionalProperties { unexpected }
        | ValidationErrorKind::UnevaluatedProperties { unexpected } => {
            format!(
                "unknown properties {}",
                bounded(&unexpected.join(", "), MAX_TEXT_BYTES / 2)
            )
        }
        _ => bounded(error, MAX_TEXT_BYTES),
    };
    format!("the message does not fit the function's schema {place}: {expected}")
}

/// The error that tells most: within an `anyOf` or `oneOf` (an optional field,
/// an enum), the one furthest inside the message.
fn deepest<'e, 'v>(error: &'e ValidationError<'v>) -> &'e ValidationError<'v>
where
    'v: 'e,
{
    let (ValidationErrorKind::AnyOf { context } | ValidationErrorKind::OneOfNotValid { context }) =
        error.kind()
    else {
        return error;
    };
    let depth = |error: &ValidationError<'_>| error.instance_path().as_str().matches('/').count();
    context
        .iter()
        .flatten()
        .max_by_key(|inner| depth(inner))
        .filter(|inner| depth(inner) > depth(error))
        .map_or(error, |inner| deepest(inner))
}

/// The text for a schema that cannot be compiled.
fn invalid(error: &ValidationError<'_>) -> String {
    let place = error.instance_path().as_str();
    let place = if place.is_empty() { "its root" } else { place };
    let hint = match error.kind() {
        ValidationErrorKind::Format { .. } | ValidationErrorKind::Pattern { .. } => {
            " (regular expressions are those of the Rust crate `regex`: no look-around, no back-references, and at most 128 KiB compiled)"
        }
        _ => "",
    };
    format!(
        "the schema is not valid at {}: {}{hint}",
        bounded(&place, MAX_TEXT_BYTES / 2),
        bounded(error, MAX_TEXT_BYTES)
    )
}

#[cfg(test)]
mod tests;
