//! How a handler says that it did not succeed.

use std::error::Error as StdError;
use std::fmt;
use std::time::Duration;

use crate::Error;
use crate::bindings::skep::jobs::types;

/// What a handler gives back when it does not succeed. The text lands on the
/// job's record.
///
/// `?` turns any error into one: standard errors, boxed ones, those of `anyhow`,
/// plain strings. All become [`Failure::Failed`], except
/// [`Error::Unavailable`], which may pass and so is tried again. For that
/// conversion to exist, `Failure` itself is not a [`std::error::Error`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Failure {
    /// The message can never be handled. Dead letter at once.
    Invalid(String),
    /// The work failed and would fail again. Dead letter at once.
    Failed(String),
    /// Try again later, until the attempts are used up.
    Retry {
        /// The least time until the next attempt.
        after: Duration,
        /// Why.
        reason: String,
    },
}

impl Failure {
    /// The message can never be handled. Dead letter at once.
    pub fn invalid(reason: impl fmt::Display) -> Self {
        Failure::Invalid(reason.to_string())
    }

    /// The work failed and would fail again. Dead letter at once.
    pub fn failed(reason: impl fmt::Display) -> Self {
        Failure::Failed(reason.to_string())
    }

    /// Try again after this time, until the attempts are used up. Zero leaves the
    /// pause to the host, which waits longer each time.
    pub fn retry(after: Duration, reason: impl fmt::Display) -> Self {
        Failure::Retry {
            after,
            reason: reason.to_string(),
        }
    }
}

impl<E: Into<Box<dyn StdError>>> From<E> for Failure {
    fn from(error: E) -> Self {
        let error = error.into();
        let reason = with_causes(&*error);
        match error.downcast_ref::<Error>() {
            Some(Error::Unavailable(_)) => Failure::retry(Duration::ZERO, reason),
            _ => Failure::Failed(reason),
        }
    }
}

/// An error's text and those of its causes, from the outermost on, leaving out a
/// cause that the text before it already tells.
fn with_causes(error: &dyn StdError) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        let told = error.to_string();
        if !text.ends_with(&told) {
            text.push_str(": ");
            text.push_str(&told);
        }
        cause = error.source();
    }
    text
}

impl From<Failure> for types::Failure {
    fn from(failure: Failure) -> Self {
        match failure {
            Failure::Invalid(reason) => types::Failure::Invalid(reason),
            Failure::Failed(reason) => types::Failure::Failed(reason),
            Failure::Retry { after, reason } => types::Failure::Retry(types::RetryRequest {
                after_ms: crate::millis(after),
                reason,
            }),
        }
    }
}

#[cfg(not(target_arch = "wasm32"))]
impl Failure {
    /// The failure of a job, as a [`TestHost`](crate::TestHost) tells it. No `From`:
    /// to that, this is an error like any other.
    pub(crate) fn of_job(failure: types::Failure) -> Self {
        match failure {
            types::Failure::Invalid(reason) => Failure::Invalid(reason),
            types::Failure::Failed(reason) => Failure::Failed(reason),
            types::Failure::Retry(retry) => {
                Failure::retry(Duration::from_millis(retry.after_ms), retry.reason)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn question_mark<E: Into<Box<dyn StdError>>>(error: E) -> Failure {
        fn inner<E: Into<Box<dyn StdError>>>(error: E) -> Result<(), Failure> {
            Err(error)?
        }
        inner(error).unwrap_err()
    }

    #[test]
    fn any_error_becomes_failed() {
        let number = "x".parse::<i32>().unwrap_err();
        assert_eq!(
            question_mark(number),
            Failure::failed("invalid digit found in string")
        );
        assert_eq!(question_mark("plain text"), Failure::failed("plain text"));
        let boxed: Box<dyn StdError> = "boxed".into();
        assert_eq!(question_mark(boxed), Failure::failed("boxed"));
        assert_eq!(
            question_mark(Error::Denied("no network".into())),
            Failure::failed("denied: no network")
        );
    }

    #[test]
    fn what_the_host_cannot_do_now_is_tried_again() {
        assert_eq!(
            question_mark(Error::Unavailable("the store is away".into())),
            Failure::retry(Duration::ZERO, "unavailable: the store is away")
        );
    }

    #[test]
    fn causes_are_told_once() {
        let inner = std::io::Error::other("disk full");
        let outer = std::io::Error::other(inner);
        assert_eq!(with_causes(&outer), "disk full");
    }
}
