//! Deployment: from a component's bytes to functions that jobs can name.

use std::sync::Arc;

use bytes::Bytes;

use crate::job::{FunctionName, Limits, Namespace};
use crate::sandbox::{AdmitError, Offer, Sandbox};
use crate::store::{Deployment, NewDeployment, Store, StoreError};

/// Why a component was not deployed. Each text says what is wrong and how to mend
/// it; nothing was stored.
#[derive(Debug, thiserror::Error)]
pub enum DeployError {
    /// The component is too large.
    #[error("{0}")]
    TooLarge(String),
    /// The component cannot serve jobs.
    #[error("{0}")]
    NotDeployable(String),
    /// The component does not offer the function that it was to be bound to.
    #[error("{0}")]
    NotOffered(String),
    /// The limits asked for are wider than what this host grants.
    #[error("{0}")]
    LimitsTooWide(String),
    /// The store did not take it.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The host is at fault.
    #[error("{0}")]
    Host(String),
}

impl From<AdmitError> for DeployError {
    fn from(error: AdmitError) -> Self {
        match error {
            AdmitError::Refused(text) | AdmitError::TooHard(text) => Self::NotDeployable(text),
            AdmitError::TooLarge(text) => Self::TooLarge(text),
            AdmitError::Host(text) => Self::Host(text),
        }
    }
}

/// Takes components in.
pub struct Deployer {
    store: Arc<dyn Store>,
    sandbox: Arc<Sandbox>,
}

impl Deployer {
    /// The largest component, in bytes.
    pub const MAX_COMPONENT_BYTES: usize = crate::sandbox::MAX_COMPONENT_BYTES;

    /// A deployer into `store`.
    pub fn new(store: Arc<dyn Store>, sandbox: Arc<Sandbox>) -> Self {
        Self { store, sandbox }
    }

    /// Validates and compiles a component, and binds what it offers: all of its
    /// functions, or `only` one.
    pub async fn deploy(
        &self,
        namespace: &Namespace,
        component: Bytes,
        only: Option<&FunctionName>,
        limits: Limits,
    ) -> Result<Vec<Arc<Deployment>>, DeployError> {
        check_limits(&limits)?;
        let offer = self.sandbox.admit(&component).await?;
        let functions = bindings(&offer, only, limits)?;
        // The component first: no function may ever point at nothing.
        self.store.put_component(offer.component, component).await?;
        Ok(self.store.deploy(namespace, functions).await?)
    }
}

fn bindings(
    offer: &Offer,
    only: Option<&FunctionName>,
    limits: Limits,
) -> Result<Vec<NewDeployment>, DeployError> {
    let wanted: Vec<_> = (offer.functions.iter())
        .filter(|function| only.is_none_or(|name| name == &function.name))
        .map(|function| NewDeployment {
            function: function.name.clone(),
            component: offer.component,
            summary: function.summary.clone(),
            message_schema: function.message_schema.clone(),
            limits,
        })
        .collect();
    match only {
        Some(name) if wanted.is_empty() => {
            let offered: Vec<_> = offer.functions.iter().map(|f| f.name.as_str()).collect();
            Err(DeployError::NotOffered(format!(
                "the component does not offer `{name}`; it offers: {}",
                offered.join(", ")
            )))
        }
        _ => Ok(wanted),
    }
}

/// A deployment may narrow the host's limits, never widen them.
fn check_limits(limits: &Limits) -> Result<(), DeployError> {
    let most = Limits::default();
    let pairs = [
        ("fuel", limits.fuel, most.fuel),
        ("timeout_ms", limits.timeout_ms, most.timeout_ms),
        ("memory_bytes", limits.memory_bytes, most.memory_bytes),
        ("result_bytes", limits.result_bytes, most.result_bytes),
        (
            "short_result_bytes",
            limits.short_result_bytes,
            most.short_result_bytes,
        ),
        ("log_bytes", limits.log_bytes, most.log_bytes),
        ("posts", limits.posts, most.posts),
        ("stored_bytes", limits.stored_bytes, most.stored_bytes),
        ("fetched_bytes", limits.fetched_bytes, most.fetched_bytes),
        ("host_calls", limits.host_calls, most.host_calls),
        ("parked_ms", limits.parked_ms, most.parked_ms),
    ];
    match pairs
        .into_iter()
        .find(|(_, asked, granted)| asked > granted)
    {
        None => Ok(()),
        Some((name, asked, granted)) => Err(DeployError::LimitsTooWide(format!(
            "the limit {name}={asked} is wider than the {granted} that this host grants; ask for that or less"
        ))),
    }
}
