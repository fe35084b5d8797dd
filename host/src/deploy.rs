//! Deployment: from a component's bytes to functions that jobs can name.

use std::num::NonZeroU32;
use std::sync::Arc;

use bytes::Bytes;

use crate::access::{Caller, Scope};
use crate::job::{FunctionName, LIMITS, Limits, Namespace};
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
    /// The limits asked for are wider than the defaults, and whoever asks is no admin.
    #[error("{0}")]
    LimitsTooWide(String),
    /// A limit that makes no sense, or that nobody grants.
    #[error("{0}")]
    BadLimit(String),
    /// The store did not take it.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// Too many uploads wait to be compiled; another time it may go well.
    #[error("{0}")]
    Busy(String),
    /// The host is at fault.
    #[error("{0}")]
    Host(String),
}

impl From<AdmitError> for DeployError {
    fn from(error: AdmitError) -> Self {
        match error {
            AdmitError::Refused(text) | AdmitError::TooHard(text) => Self::NotDeployable(text),
            AdmitError::TooLarge(text) => Self::TooLarge(text),
            AdmitError::Busy(text) => Self::Busy(text),
            AdmitError::Host(text) => Self::Host(text),
        }
    }
}

/// Why a function was not taken back to an earlier version; nothing was changed.
#[derive(Debug, thiserror::Error)]
pub enum RollbackError {
    /// There was never a function of the name.
    #[error("no function of this name was ever deployed in this namespace")]
    NeverDeployed,
    /// There is no such version to go back to.
    #[error("{0}")]
    NoSuchVersion(String),
    /// It is the one that is bound.
    #[error("{0}")]
    IsNewest(String),
    /// It cannot be deployed.
    #[error(transparent)]
    Deploy(#[from] DeployError),
}

impl From<StoreError> for RollbackError {
    fn from(error: StoreError) -> Self {
        Self::Deploy(error.into())
    }
}

/// How far the limits of a deployment may go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Grant {
    /// They may be narrower than the defaults.
    Narrower,
    /// Also wider, up to the ceilings: for an admin.
    Wider,
}

impl Grant {
    /// What this caller may ask for.
    pub fn of(caller: &Caller) -> Self {
        match caller.may(Scope::Admin) {
            true => Self::Wider,
            false => Self::Narrower,
        }
    }
}

/// The most functions of a namespace that may have a cap: a claim looks at each of them,
/// and at a hundred for some ten µs.
const MAX_CAPPED_FUNCTIONS: usize = 100;

/// What holds for the functions of a deployment.
#[derive(Clone, Copy, Debug, Default)]
pub struct Policy {
    /// The bounds on each attempt.
    pub limits: Limits,
    /// How many jobs of each function may run at once, on all hosts together.
    pub concurrency: Option<NonZeroU32>,
}

impl From<Limits> for Policy {
    fn from(limits: Limits) -> Self {
        Self {
            limits,
            concurrency: None,
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
        policy: impl Into<Policy>,
        grant: Grant,
    ) -> Result<Vec<Arc<Deployment>>, DeployError> {
        let policy = policy.into();
        check_limits(&policy.limits, grant)?;
        let offer = self.sandbox.admit(namespace, &component).await?;
        let functions = bindings(&offer, only, policy)?;
        if policy.concurrency.is_some() {
            self.check_capped(namespace, &functions).await?;
        }
        // The component first: no function may ever point at nothing.
        self.store.put_blob(offer.component, component).await?;
        Ok(self.store.deploy(namespace, functions).await?)
    }

    /// Binds what an earlier version of a function was, or the one before the newest, as its
    /// next version; answers that, and which version it is like.
    pub async fn rollback(
        &self,
        namespace: &Namespace,
        name: &FunctionName,
        version: Option<u32>,
        grant: Grant,
    ) -> Result<(Arc<Deployment>, u32), RollbackError> {
        let newest = self.store.versions(namespace, name, None, 1).await?;
        let newest = newest.first().ok_or(RollbackError::NeverDeployed)?.version;
        let wanted = version.unwrap_or(newest - 1);
        let deployed = self.store.functions_now(namespace).await?;
        if wanted == newest && deployed.iter().any(|one| &one.function == name) {
            return Err(RollbackError::IsNewest(format!(
                "{name} is at version {newest} already; name an earlier one"
            )));
        }
        let after = wanted.saturating_add(1);
        let found = self.store.versions(namespace, name, Some(after), 1).await?;
        let found = found.into_iter().find(|one| one.version == wanted);
        let earlier = found.ok_or_else(|| {
            RollbackError::NoSuchVersion(match newest {
                1 => format!("{name} has version 1 alone, and nothing to go back to"),
                _ => format!("{name} has the versions 1 to {newest}, and no version {wanted}"),
            })
        })?;
        check_limits(&earlier.limits, grant)?;
        let again = vec![NewDeployment {
            function: name.clone(),
            component: earlier.component,
            summary: earlier.summary.clone(),
            message_schema: earlier.message_schema.clone(),
            limits: earlier.limits,
            concurrency: earlier.concurrency,
        }];
        if earlier.concurrency.is_some() {
            self.check_capped(namespace, &again).await?;
        }
        let bound = self.store.deploy(namespace, again).await?;
        let bound = bound.into_iter().next();
        let bound = bound.ok_or_else(|| DeployError::Host("a deployment bound nothing".into()))?;
        Ok((bound, wanted))
    }

    /// Refuses to cap more functions of a namespace than claims can look at.
    async fn check_capped(
        &self,
        namespace: &Namespace,
        new: &[NewDeployment],
    ) -> Result<(), DeployError> {
        let deployed = self.store.functions(namespace).await?;
        let stays = |one: &&Arc<Deployment>| {
            one.concurrency.is_some() && new.iter().all(|new| new.function != one.function)
        };
        let capped = deployed.iter().filter(stays).count() + new.len();
        if capped <= MAX_CAPPED_FUNCTIONS {
            return Ok(());
        }
        Err(DeployError::LimitsTooWide(format!(
            "{capped} functions of the namespace {namespace} would have a concurrency of their own, and at most {MAX_CAPPED_FUNCTIONS} may; deploy some without, or cap the namespace with `skep queue limit`"
        )))
    }
}

fn bindings(
    offer: &Offer,
    only: Option<&FunctionName>,
    policy: Policy,
) -> Result<Vec<NewDeployment>, DeployError> {
    let wanted: Vec<_> = (offer.functions.iter())
        .filter(|function| only.is_none_or(|name| name == &function.name))
        .map(|function| NewDeployment {
            function: function.name.clone(),
            component: offer.component,
            summary: function.summary.clone(),
            message_schema: function.message_schema.clone(),
            limits: policy.limits,
            concurrency: policy.concurrency,
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

/// A deployment may narrow the defaults; an admin's may widen them, up to the ceilings.
fn check_limits(limits: &Limits, grant: Grant) -> Result<(), DeployError> {
    let default = Limits::default();
    for limit in &LIMITS {
        let (name, asked, usual) = (limit.name, limit.of(limits), limit.of(&default));
        if asked < limit.least {
            return Err(DeployError::BadLimit(format!(
                "the limit {name} must be at least {}",
                limit.least
            )));
        }
        if asked > limit.most {
            return Err(DeployError::BadLimit(format!(
                "the limit {name}={asked} is beyond {} ({}), the most that anybody is granted; ask for that or less, and make several jobs of the work",
                limit.most,
                limit.unit.show(limit.most)
            )));
        }
        if asked > usual && grant == Grant::Narrower {
            return Err(DeployError::LimitsTooWide(format!(
                "the limit {name}={asked} is wider than the {usual} that this host grants; ask for that or less, or let an admin deploy it, who may grant up to {}",
                limit.most
            )));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_an_admin_widens_and_nobody_beyond_the_ceiling() {
        for limit in &LIMITS {
            let with = |value| {
                let mut limits = Limits::default();
                limit.set(&mut limits, value);
                limits
            };
            let text = |value, grant| check_limits(&with(value), grant).unwrap_err().to_string();
            let usual = limit.of(&Limits::default());
            for grant in [Grant::Narrower, Grant::Wider] {
                assert!(check_limits(&with(limit.least), grant).is_ok());
                assert!(check_limits(&with(usual), grant).is_ok());
                let error = text(limit.most + 1, grant);
                assert!(error.contains(limit.name), "{error}");
                assert!(error.contains(&limit.most.to_string()), "{error}");
            }
            assert!(check_limits(&with(limit.most), Grant::Wider).is_ok());
            if usual < limit.most {
                let error = text(usual + 1, Grant::Narrower);
                assert!(
                    error.contains(limit.name) && error.contains("admin"),
                    "{error}"
                );
            }
            if limit.least > 0 {
                assert!(text(0, Grant::Wider).contains("at least 1"));
            }
        }
    }
}
