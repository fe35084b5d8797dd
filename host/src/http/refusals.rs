//! Which status each refusal from within becomes.

use axum::http::StatusCode;

use super::problem::Problem;
use crate::deploy::DeployError;
use crate::intake::IntakeError;
use crate::job::{JobId, NameError};
use crate::store::StoreError;

impl From<StoreError> for Problem {
    fn from(error: StoreError) -> Self {
        match error {
            StoreError::Unavailable(_) | StoreError::Refused(_) | StoreError::LeaseLost => {
                Self::hiding(
                    StatusCode::SERVICE_UNAVAILABLE,
                    "store-unavailable",
                    "the store is unavailable; nothing was accepted, try again in a moment",
                    &error,
                )
            }
            StoreError::Full(_) => Self::hiding(
                StatusCode::INSUFFICIENT_STORAGE,
                "store-full",
                "the store is full: let results expire (retention_s), or have its disk or memory (maxmemory) raised",
                &error,
            ),
            StoreError::Unreadable(_) => Self::hiding(
                StatusCode::INTERNAL_SERVER_ERROR,
                "store-unreadable",
                "the store holds a record that this version of skep cannot read",
                &error,
            ),
            // Nobody who posts over HTTP has a parent.
            StoreError::InUse(_) | StoreError::ParentOver(_) | StoreError::TreeFull { .. } => {
                Self::internal(&error)
            }
        }
    }
}

impl From<IntakeError> for Problem {
    fn from(error: IntakeError) -> Self {
        let (status, kind) = match &error {
            IntakeError::UnknownFunction { .. } => {
                (StatusCode::UNPROCESSABLE_ENTITY, "unknown-function")
            }
            IntakeError::Name(_) | IntakeError::BadOption(_) => {
                (StatusCode::UNPROCESSABLE_ENTITY, "bad-option")
            }
            IntakeError::TooLarge(_) | IntakeError::OverLimit { .. } => {
                (StatusCode::PAYLOAD_TOO_LARGE, "too-large")
            }
            IntakeError::Malformed(_) => (StatusCode::BAD_REQUEST, "malformed-message"),
            IntakeError::Mismatch { .. } | IntakeError::NotJson { .. } => {
                (StatusCode::UNPROCESSABLE_ENTITY, "message-mismatch")
            }
            IntakeError::TooDeep(_) => (StatusCode::UNPROCESSABLE_ENTITY, "too-deep"),
            IntakeError::Broken => return Self::internal(&error),
            IntakeError::InBatch { .. } | IntakeError::Store(_) => return Self::nested(error),
        };
        let problem = Self::new(status, kind, error.to_string());
        match error {
            IntakeError::UnknownFunction { near, .. } => problem.with("near", near),
            _ => problem,
        }
    }
}

impl Problem {
    /// Errors around another one, which knows the status.
    fn nested(error: IntakeError) -> Self {
        match error {
            IntakeError::Store(error) => error.into(),
            IntakeError::InBatch { index, error, .. } => Self::from(*error).with("job", index),
            other => other.into(),
        }
    }

    /// No such job in this namespace.
    pub(super) fn unknown_job(id: JobId) -> Self {
        Self::new(
            StatusCode::NOT_FOUND,
            "unknown-job",
            format!("there is no job {id} in this namespace"),
        )
    }
}

impl From<DeployError> for Problem {
    fn from(error: DeployError) -> Self {
        let (status, kind) = match error {
            DeployError::TooLarge(_) => (StatusCode::PAYLOAD_TOO_LARGE, "too-large"),
            DeployError::NotDeployable(_) => (StatusCode::UNPROCESSABLE_ENTITY, "not-deployable"),
            DeployError::NotOffered(_) => (StatusCode::UNPROCESSABLE_ENTITY, "not-offered"),
            DeployError::LimitsTooWide(_) => (StatusCode::FORBIDDEN, "limits-too-wide"),
            DeployError::BadLimit(_) => (StatusCode::UNPROCESSABLE_ENTITY, "bad-limit"),
            DeployError::Busy(_) => (StatusCode::SERVICE_UNAVAILABLE, "busy"),
            DeployError::Store(error) => return error.into(),
            DeployError::Host(_) => return Self::internal(&error),
        };
        Self::new(status, kind, error.to_string())
    }
}

impl From<NameError> for Problem {
    /// A thing with an impossible name does not exist.
    fn from(error: NameError) -> Self {
        Self::new(StatusCode::NOT_FOUND, "no-such-name", error.to_string())
    }
}
