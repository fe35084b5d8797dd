//! Placeholder: the lead's module replaces this at the merge.

use std::sync::Arc;

use bytes::Bytes;

use crate::job::{FunctionName, Limits, Namespace};
use crate::store::{Deployment, StoreError};

/// Deploys components.
#[derive(Debug)]
pub struct Deployer {}

/// Why a component was not deployed; the text says what and how to mend.
#[derive(Debug, thiserror::Error)]
pub enum DeployError {
    /// Over the size limit.
    #[error("{0}")]
    TooLarge(String),
    /// Not a component that this host can run.
    #[error("{0}")]
    NotDeployable(String),
    /// It does not offer the function asked for.
    #[error("{0}")]
    NotOffered(String),
    /// Limits wider than allowed.
    #[error("{0}")]
    LimitsTooWide(String),
    /// The store did not accept it.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The host's fault.
    #[error("{0}")]
    Host(String),
}

impl Deployer {
    /// The largest component, in bytes.
    pub const MAX_COMPONENT_BYTES: usize = 64 << 20;

    /// Validates, compiles and binds. `only` binds just this function of it.
    pub async fn deploy(
        &self,
        _namespace: &Namespace,
        _component: Bytes,
        _only: Option<&FunctionName>,
        _limits: Limits,
    ) -> Result<Vec<Arc<Deployment>>, DeployError> {
        Err(DeployError::Host("not here yet".to_owned()))
    }
}
