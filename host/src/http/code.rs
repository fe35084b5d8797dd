//! The kinds of problems, by the names that programs go by. They are stable: one may be
//! added, none changes its meaning or its status.
//!
//! Not here: what is said of a problem to people; that is at the place where it arises.

use axum::http::StatusCode;

/// What the name of a kind begins with in a problem document.
pub(super) const URN: &str = "urn:skep:problem:";

macro_rules! codes {
    ($($code:ident $name:literal $status:ident $meaning:literal;)*) => {
        /// The kind of a problem.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
        pub(super) enum Code {
            $(#[doc = $meaning] $code,)*
        }

        impl Code {
            /// All of them, by their statuses.
            pub(super) const ALL: &[Self] = &[$(Self::$code,)*];

            /// Its name, which is stable.
            pub(super) fn name(self) -> &'static str {
                match self { $(Self::$code => $name,)* }
            }

            /// The status of an answer with it.
            pub(super) fn status(self) -> StatusCode {
                match self { $(Self::$code => StatusCode::$status,)* }
            }

            /// What it means.
            pub(super) fn meaning(self) -> &'static str {
                match self { $(Self::$code => $meaning,)* }
            }
        }
    };
}

codes! {
    BadRequest "bad-request" BAD_REQUEST "The request cannot be understood.";
    MalformedMessage "malformed-message" BAD_REQUEST "The message is not the JSON that it says it is.";
    Unauthorized "unauthorized" UNAUTHORIZED "There is no access token, or none that counts.";
    InsufficientScope "insufficient-scope" FORBIDDEN "The access token does not let its holder do this.";
    OtherNamespace "other-namespace" FORBIDDEN "The access token counts in another namespace.";
    InsufficientReach "insufficient-reach" FORBIDDEN "Only a token of all namespaces makes another such one.";
    LimitsTooWide "limits-too-wide" FORBIDDEN "Only an admin grants more than the default limits, or loops in a model.";
    CrossSite "cross-site" FORBIDDEN "A page of another site may not change anything here.";
    NoServiceWorker "no-service-worker" FORBIDDEN "Nothing here is a service worker.";
    AllNamespaces "all-namespaces" FORBIDDEN "What is asked for is of all namespaces, and the access token counts in one.";
    UnknownJob "unknown-job" NOT_FOUND "There is no such job in this namespace.";
    UnknownToken "unknown-token" NOT_FOUND "There is no such access token in this namespace.";
    NoSuchFunction "no-such-function" NOT_FOUND "No function of this name is deployed.";
    NoSuchModel "no-such-model" NOT_FOUND "There is no model of this name.";
    NoSuchVersion "no-such-version" NOT_FOUND "The function or model has no such version to go back to.";
    NoSuchName "no-such-name" NOT_FOUND "Nothing can have this name or id.";
    NoSuchRoute "no-such-route" NOT_FOUND "There is nothing at this path.";
    MethodNotAllowed "method-not-allowed" METHOD_NOT_ALLOWED "The path has other methods; `Allow` names them.";
    Stalled "stalled" REQUEST_TIMEOUT "Too little of the body came.";
    JobEnded "job-ended" CONFLICT "The job has ended before.";
    JobUnfinished "job-unfinished" CONFLICT "The job has not finished.";
    JobNotEnded "job-not-ended" CONFLICT "The job waits or runs, and is not to be retried.";
    JobCompleted "job-completed" CONFLICT "The job has completed, and is not to be retried.";
    JobMoved "job-moved" CONFLICT "The job went to another store.";
    TooManyAttempts "too-many-attempts" CONFLICT "The job has too many attempts behind it.";
    AlreadyNewest "already-newest" CONFLICT "The function or model is at this version already.";
    TooManyModels "too-many-models" CONFLICT "There is no room for another model.";
    TooManyTokens "too-many-tokens" CONFLICT "There is no room for another access token.";
    ResultExpired "result-expired" GONE "The result was kept as long as `retention_s` asked.";
    PreconditionFailed "precondition-failed" PRECONDITION_FAILED "The result is another than `If-Match` names.";
    TooLarge "too-large" PAYLOAD_TOO_LARGE "The body, or the message in it, has too many bytes.";
    UnsupportedMediaType "unsupported-media-type" UNSUPPORTED_MEDIA_TYPE "The body is of another type than is taken here.";
    RangeNotSatisfiable "range-not-satisfiable" RANGE_NOT_SATISFIABLE "The result has no bytes in this range.";
    UnknownHost "unknown-host" MISDIRECTED_REQUEST "The server does not go by this name.";
    UnknownFunction "unknown-function" UNPROCESSABLE_ENTITY "The job names a function that is not deployed.";
    IdempotencyKeyReused "idempotency-key-reused" UNPROCESSABLE_ENTITY "The idempotency key is that of a job with other functions or another message; `first` is its id.";
    BadOption "bad-option" UNPROCESSABLE_ENTITY "An option of the job is out of its range.";
    MessageMismatch "message-mismatch" UNPROCESSABLE_ENTITY "The message does not fit the schema of a function.";
    TooDeep "too-deep" UNPROCESSABLE_ENTITY "The job would have too many ancestors.";
    NotDeployable "not-deployable" UNPROCESSABLE_ENTITY "The upload is no component that can run here.";
    NotOffered "not-offered" UNPROCESSABLE_ENTITY "The component has no function of this name.";
    BadLimit "bad-limit" UNPROCESSABLE_ENTITY "A limit is out of its range.";
    ModelRefused "model-refused" UNPROCESSABLE_ENTITY "The upload is no model that can run here.";
    BadConfig "bad-config" UNPROCESSABLE_ENTITY "The model cannot be run as it is asked to.";
    BadToken "bad-token" UNPROCESSABLE_ENTITY "The body describes no access token.";
    JobFailed "job-failed" UNPROCESSABLE_ENTITY "The job failed, and has no result; `cause` says why.";
    JobCancelled "job-cancelled" UNPROCESSABLE_ENTITY "The job was cancelled, and has no result.";
    Internal "internal" INTERNAL_SERVER_ERROR "The host failed; its log has the cause, as `incident`.";
    StoreUnreadable "store-unreadable" INTERNAL_SERVER_ERROR "The store holds a record that this version cannot read.";
    StoreUnavailable "store-unavailable" SERVICE_UNAVAILABLE "The store cannot be reached; nothing was done.";
    Busy "busy" SERVICE_UNAVAILABLE "The host has as much to do as it may.";
    Stopping "stopping" SERVICE_UNAVAILABLE "The host is stopping.";
    TooManyStreams "too-many-streams" SERVICE_UNAVAILABLE "The host follows as many jobs as it may.";
    StoreFull "store-full" INSUFFICIENT_STORAGE "The store is full; nothing was accepted.";
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn a_code_has_a_name_of_its_own_and_the_status_of_an_error() {
        let names: BTreeSet<_> = Code::ALL.iter().map(|code| code.name()).collect();
        assert_eq!(names.len(), Code::ALL.len());
        for code in Code::ALL {
            let plain = |c: char| c.is_ascii_lowercase() || c == '-';
            assert!(code.name().chars().all(plain), "{code:?}");
            let status = code.status();
            let is_error = status.is_client_error() || status.is_server_error();
            assert!(is_error && code.meaning().ends_with('.'), "{code:?}");
        }
        assert!(Code::ALL.is_sorted_by_key(|code| code.status()));
    }
}
