//! How a command ends when it does not succeed.

use std::process::ExitCode;

use super::{logging, output};
use crate::store::StoreError;

/// Why a command did not succeed.
#[derive(Debug)]
pub(super) enum Failure {
    /// The command makes no sense as given: exit code 2, as clap's own.
    Usage(String),
    /// A job or an operation failed: exit code 1.
    Failed(String),
    /// The server or the store is away, or too busy: exit code 3. The same command may
    /// do later.
    Away(String),
    /// A person ended it with Ctrl-C: exit code 130, as a shell has it.
    Interrupted,
    /// Nobody reads the output any more: nothing to say. Exit code 141, as that of a
    /// program that SIGPIPE ends, so that a script with `pipefail` learns of it.
    Unread,
}

impl Failure {
    /// The command makes no sense.
    pub(super) fn usage(text: impl Into<String>) -> Self {
        Self::Usage(text.into())
    }

    /// A job or an operation failed.
    pub(super) fn failed(text: impl Into<String>) -> Self {
        Self::Failed(text.into())
    }

    /// The server or the store is away.
    pub(super) fn away(text: impl Into<String>) -> Self {
        Self::Away(text.into())
    }

    /// The same with more to say.
    pub(super) fn and(self, more: &str) -> Self {
        match self {
            Self::Usage(text) => Self::Usage(format!("{text}; {more}")),
            Self::Failed(text) => Self::Failed(format!("{text}; {more}")),
            Self::Away(text) => Self::Away(format!("{text}; {more}")),
            other @ (Self::Interrupted | Self::Unread) => other,
        }
    }

    /// Says why on stderr, and answers the exit code.
    pub(super) fn report(self) -> ExitCode {
        let (text, code) = match self {
            Self::Usage(text) => (text, 2),
            Self::Failed(text) => (text, 1),
            Self::Away(text) => (text, 3),
            Self::Interrupted => return ExitCode::from(130),
            Self::Unread => return ExitCode::from(141),
        };
        match logging::is_json() {
            true => tracing::error!("{text}"),
            false => output::note(&format!("error: {text}")),
        }
        ExitCode::from(code)
    }
}

/// Why some of many things did not succeed, while the others are still worth doing.
#[derive(Default)]
pub(super) struct Causes(Vec<String>);

impl Causes {
    /// What succeeded; that a job or an operation failed is kept for the end, and
    /// anything else is the end.
    pub(super) fn take<T>(&mut self, done: Result<T, Failure>) -> Result<Option<T>, Failure> {
        match done {
            Ok(value) => Ok(Some(value)),
            Err(Failure::Failed(cause)) => {
                self.0.push(cause);
                Ok(None)
            }
            Err(other) => Err(other),
        }
    }

    /// Fails if any did.
    pub(super) fn end(self) -> Result<(), Failure> {
        match self.0.is_empty() {
            true => Ok(()),
            false => Err(Failure::failed(self.0.join("\nerror: "))),
        }
    }
}

impl From<anyhow::Error> for Failure {
    fn from(error: anyhow::Error) -> Self {
        Self::Failed(format!("{error:#}"))
    }
}

impl From<StoreError> for Failure {
    fn from(error: StoreError) -> Self {
        match error {
            StoreError::Unavailable(_) => Self::Away(error.to_string()),
            _ => Self::Failed(error.to_string()),
        }
    }
}
