//! Why an attempt did not succeed, and what that means for the job.

use std::borrow::Cow;
use std::fmt;

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::text::printable;

/// The longest text of a cause, in bytes: a guest writes it, and every attempt
/// keeps one on the record.
const MAX_MESSAGE_BYTES: usize = 4096;

/// The kind of a cause; its name is what users see on the record.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "kebab-case")]
pub enum CauseKind {
    /// The handler says the message can never be handled.
    Invalid,
    /// The handler says the work failed.
    Failed,
    /// The handler asks for another attempt.
    Retry,
    /// The guest trapped: unreachable, a bad pointer, a division by zero.
    Trap,
    /// The guest's stack is used up.
    StackOverflow,
    /// The CPU budget is used up.
    FuelExhausted,
    /// The guest asked for more memory than it may have, and died of it.
    MemoryLimit,
    /// The result, short result or content type is over its bound.
    OutputTooLarge,
    /// The wall-clock time of the attempt is used up.
    TimedOut,
    /// The host that ran the attempt is gone.
    HostLost,
    /// The host could not run the attempt; not the guest's fault.
    HostError,
    /// No deployed function has the name.
    NoSuchFunction,
    /// Somebody cancelled the job.
    Cancelled,
    /// A person took the job from its host.
    Released,
    /// The job went on to another store.
    Moved,
}

impl CauseKind {
    /// The kind's name, as on the record.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Invalid => "invalid",
            Self::Failed => "failed",
            Self::Retry => "retry",
            Self::Trap => "trap",
            Self::StackOverflow => "stack-overflow",
            Self::FuelExhausted => "fuel-exhausted",
            Self::MemoryLimit => "memory-limit",
            Self::OutputTooLarge => "output-too-large",
            Self::TimedOut => "timed-out",
            Self::HostLost => "host-lost",
            Self::HostError => "host-error",
            Self::NoSuchFunction => "no-such-function",
            Self::Cancelled => "cancelled",
            Self::Released => "released",
            Self::Moved => "moved",
        }
    }

    /// Whether another attempt may go better. What would only happen again goes
    /// to the dead letter at once.
    pub fn may_pass(self) -> bool {
        matches!(
            self,
            Self::Retry | Self::TimedOut | Self::HostLost | Self::HostError | Self::Released
        )
    }
}

/// Why an attempt did not succeed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Cause {
    /// Its kind.
    pub kind: CauseKind,
    /// What happened, for people; a backtrace follows on lines of its own.
    pub message: String,
}

impl Cause {
    /// A cause; a longer text than the record keeps is cut, and one that a terminal
    /// would obey is spelled out: people read it with `curl` too.
    pub fn new(kind: CauseKind, message: impl Into<String>) -> Self {
        let mut message = message.into();
        let given = message.len();
        message.truncate(message.floor_char_boundary(MAX_MESSAGE_BYTES));
        if let Cow::Owned(spelled) = printable(&message, |c| matches!(c, '\n' | '\t')) {
            message = spelled;
        }
        if given.max(message.len()) > MAX_MESSAGE_BYTES {
            message.truncate(message.floor_char_boundary(MAX_MESSAGE_BYTES));
            message.push('…');
        }
        Self { kind, message }
    }
}

impl fmt::Display for Cause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.kind.as_str(), self.message)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cause_is_short_and_cannot_move_the_cursor() {
        let cause = |text: &str| Cause::new(CauseKind::Failed, text).message;
        assert_eq!(cause("a\n\tat b\x1b[2J"), "a\n\tat b\\u{1b}[2J");
        for text in ["x".repeat(1 << 20), "\x1b".repeat(MAX_MESSAGE_BYTES)] {
            let cut = cause(&text);
            assert!(cut.len() <= MAX_MESSAGE_BYTES + '…'.len_utf8());
            assert!(cut.ends_with('…'));
        }
    }
}
