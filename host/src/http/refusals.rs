//! Which problem each refusal from within becomes.

use super::code::Code;
use super::problem::Problem;
use crate::deploy::DeployError;
use crate::intake::IntakeError;
use crate::job::{JobId, NameError};
use crate::models::{ModelError, ModelRollbackError};
use crate::store::StoreError;

impl From<StoreError> for Problem {
    fn from(error: StoreError) -> Self {
        match error {
            StoreError::Unavailable(_) | StoreError::Refused(_) | StoreError::LeaseLost => {
                Self::hiding(
                    Code::StoreUnavailable,
                    "the store is unavailable; nothing was accepted, try again in a moment",
                    &error,
                )
            }
            StoreError::Full(_) => Self::hiding(
                Code::StoreFull,
                "the store is full: let results expire (retention_s), or have its disk or memory (maxmemory) raised",
                &error,
            ),
            StoreError::Unreadable(_) => Self::hiding(
                Code::StoreUnreadable,
                "the store holds a record that this version of skep cannot read",
                &error,
            ),
            StoreError::TooManyModels(_) => Self::new(Code::TooManyModels, error.to_string()),
            // Who uploads a model stores its content first.
            StoreError::NoBlob(_) => Self::internal(&error),
            // Nobody who posts over HTTP has a parent.
            StoreError::InUse(_)
            | StoreError::ParentOver(_)
            | StoreError::TreeFull { .. }
            // Of those, `intake` has made a refusal of its own.
            | StoreError::KeyReused(_) => Self::internal(&error),
        }
    }
}

impl From<IntakeError> for Problem {
    fn from(error: IntakeError) -> Self {
        let code = match &error {
            IntakeError::UnknownFunction { .. } => Code::UnknownFunction,
            IntakeError::Name(_) | IntakeError::BadOption(_) => Code::BadOption,
            IntakeError::TooLarge(_) | IntakeError::OverLimit { .. } => Code::TooLarge,
            IntakeError::Malformed(_) => Code::MalformedMessage,
            IntakeError::Mismatch { .. } | IntakeError::NotJson { .. } => Code::MessageMismatch,
            IntakeError::TooDeep(_) => Code::TooDeep,
            IntakeError::KeyReused(_) => Code::IdempotencyKeyReused,
            IntakeError::Broken => return Self::internal(&error),
            IntakeError::InBatch { .. } | IntakeError::Store(_) => return Self::nested(error),
        };
        let problem = Self::new(code, error.to_string());
        match error {
            IntakeError::UnknownFunction { near, .. } => problem.with("near", near),
            IntakeError::KeyReused(reused) if reused.first.is_some() => {
                problem.with("first", reused.first)
            }
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
            Code::UnknownJob,
            format!("there is no job {id} in this namespace"),
        )
    }
}

impl From<DeployError> for Problem {
    fn from(error: DeployError) -> Self {
        let code = match error {
            DeployError::TooLarge(_) => Code::TooLarge,
            DeployError::NotDeployable(_) => Code::NotDeployable,
            DeployError::NotOffered(_) => Code::NotOffered,
            DeployError::LimitsTooWide(_) => Code::LimitsTooWide,
            DeployError::BadLimit(_) => Code::BadLimit,
            DeployError::Busy(_) => Code::Busy,
            DeployError::Store(error) => return error.into(),
            DeployError::Host(_) => return Self::internal(&error),
        };
        Self::new(code, error.to_string())
    }
}

impl From<ModelError> for Problem {
    fn from(error: ModelError) -> Self {
        let code = match error {
            ModelError::TooLarge(_) => Code::TooLarge,
            ModelError::Refused(_) => Code::ModelRefused,
            ModelError::BadConfig(_) => Code::BadConfig,
            ModelError::NotGranted(_) => Code::LimitsTooWide,
            ModelError::Busy(_) => Code::Busy,
            ModelError::Store(error) => return error.into(),
            ModelError::Host(_) => return Self::internal(&error),
        };
        Self::new(code, error.to_string())
    }
}

impl From<ModelRollbackError> for Problem {
    fn from(error: ModelRollbackError) -> Self {
        let code = match error {
            ModelRollbackError::NeverAdded => Code::NoSuchModel,
            ModelRollbackError::NoSuchVersion(_) => Code::NoSuchVersion,
            ModelRollbackError::IsNewest(_) => Code::AlreadyNewest,
            ModelRollbackError::Add(error) => return error.into(),
        };
        Self::new(code, error.to_string())
    }
}

impl From<NameError> for Problem {
    /// A thing with an impossible name does not exist.
    fn from(error: NameError) -> Self {
        Self::new(Code::NoSuchName, error.to_string())
    }
}
