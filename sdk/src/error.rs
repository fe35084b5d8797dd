//! Why a host call, or the reading or writing of JSON, failed.

use std::fmt;

use crate::bindings::skep::jobs::{inference, types};

/// Why a call of a [`Context`](crate::Context) method was refused. Each text
/// names the limit or the fix.
///
/// With `?` it becomes a [`Failure`](crate::Failure): a retry for
/// [`Unavailable`](Error::Unavailable), `failed` for the others.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Error {
    /// The job, key or model does not exist in this namespace.
    NotFound(String),
    /// A bound of one call or of this job's budget is reached.
    LimitExceeded(String),
    /// The deployment's policy does not grant this.
    Denied(String),
    /// The wait reached its timeout; the job awaited goes on.
    TimedOut(String),
    /// The job awaited failed or was cancelled; the text is its cause.
    JobFailed(String),
    /// An argument is malformed.
    InvalidArgument(String),
    /// The host cannot do this now, or cannot do it at all.
    Unavailable(String),
    /// The model cannot be run on the host, or failed on these inputs.
    Engine(String),
    /// A payload is not the JSON that was expected, or a value cannot be
    /// written as JSON.
    Json(String),
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (kind, text) = match self {
            Error::NotFound(text) => ("not found", text),
            Error::LimitExceeded(text) => ("limit exceeded", text),
            Error::Denied(text) => ("denied", text),
            Error::TimedOut(text) => ("timed out", text),
            Error::JobFailed(text) => ("job failed", text),
            Error::InvalidArgument(text) => ("invalid argument", text),
            Error::Unavailable(text) => ("unavailable", text),
            Error::Engine(text) => ("engine", text),
            // What serde says needs no heading.
            Error::Json(text) => return f.write_str(text),
        };
        write!(f, "{kind}: {text}")
    }
}

impl std::error::Error for Error {}

impl Error {
    /// Tells which input is no tensor.
    pub(crate) fn within_input(self, name: &str) -> Self {
        match self {
            Error::InvalidArgument(text) => Error::InvalidArgument(format!("{name:?}: {text}")),
            other => other,
        }
    }

    /// Tells which payload is not what was expected; other errors tell by themselves.
    pub(crate) fn within(self, what: fmt::Arguments<'_>) -> Self {
        match self {
            Error::Json(text) => Error::Json(format!("{what}: {text}")),
            other => other,
        }
    }
}

impl From<types::Error> for Error {
    fn from(error: types::Error) -> Self {
        match error {
            types::Error::NotFound(text) => Error::NotFound(text),
            types::Error::LimitExceeded(text) => Error::LimitExceeded(text),
            types::Error::Denied(text) => Error::Denied(text),
            types::Error::TimedOut(text) => Error::TimedOut(text),
            types::Error::JobFailed(text) => Error::JobFailed(text),
            types::Error::InvalidArgument(text) => Error::InvalidArgument(text),
            types::Error::Unavailable(text) => Error::Unavailable(text),
        }
    }
}

impl From<inference::InferError> for Error {
    fn from(error: inference::InferError) -> Self {
        use inference::InferError as E;
        match error {
            E::NotFound(text) => Error::NotFound(text),
            E::Denied(text) => Error::Denied(text),
            E::InvalidInput(text) => Error::InvalidArgument(text),
            E::TooLarge(text) => Error::LimitExceeded(text),
            // Both may go well another time, which is what `?` makes of it.
            E::Busy(text) | E::TimedOut(text) => Error::Unavailable(text),
            E::Engine(text) => Error::Engine(text),
        }
    }
}
