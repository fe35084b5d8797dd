//! How a command ends when it does not succeed.

use std::process::ExitCode;

use super::{logging, output};

/// Why a command did not succeed.
#[derive(Debug)]
pub(super) enum Failure {
    /// The command makes no sense as given: exit code 2, as clap's own.
    Usage(String),
    /// A job or an operation failed: exit code 1.
    Failed(String),
    /// A person ended it with Ctrl-C: exit code 130, as a shell has it.
    Interrupted,
    /// Nobody reads the output any more: nothing to say.
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

    /// Says why on stderr, and answers the exit code.
    pub(super) fn report(self) -> ExitCode {
        let (text, code) = match self {
            Self::Usage(text) => (text, 2),
            Self::Failed(text) => (text, 1),
            Self::Interrupted => return ExitCode::from(130),
            Self::Unread => return ExitCode::from(1),
        };
        match logging::is_json() {
            true => tracing::error!("{text}"),
            false => output::note(&format!("error: {text}")),
        }
        ExitCode::from(code)
    }
}

impl From<anyhow::Error> for Failure {
    fn from(error: anyhow::Error) -> Self {
        Self::Failed(format!("{error:#}"))
    }
}
