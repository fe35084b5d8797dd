//! Which attempt a line of the host's log is about.
//!
//! The span is made when there is something to log, and not with each attempt: making one
//! takes longer than many a job.

use tracing::Span;

use crate::job::FunctionName;
use crate::store::{Lease, Token};

tokio::task_local! {
    static ABOUT: About;
}

/// An attempt of a function.
#[derive(Clone, Debug)]
pub(crate) struct About {
    /// The attempt.
    pub(crate) token: Token,
    /// Under which lease it was taken.
    pub(crate) lease: Lease,
    /// The function, if one was begun.
    pub(crate) function: Option<FunctionName>,
}

impl About {
    /// What is logged in here is about this attempt.
    pub(crate) fn span(&self) -> Span {
        let Self {
            token,
            lease,
            function,
        } = self;
        tracing::error_span!(
            "attempt",
            namespace = %token.namespace,
            job = %token.id,
            attempt = token.attempt,
            function = function.as_ref().map(FunctionName::as_str),
            incarnation = %lease.incarnation,
        )
    }

    /// Runs what belongs to the attempt.
    pub(super) async fn scope<T>(self, work: impl Future<Output = T>) -> T {
        ABOUT.scope(self, work).await
    }
}

/// The span of the attempt whose guest calls the host; none outside of one.
pub(super) fn current() -> Span {
    ABOUT.try_with(About::span).unwrap_or_else(|_| Span::none())
}
