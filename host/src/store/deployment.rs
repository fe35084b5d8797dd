//! Functions and the components that they are bound to.

use std::num::NonZeroU32;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::job::{Digest, FunctionName, Limits};

/// A function about to be bound to a component.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewDeployment {
    /// The function's name.
    pub function: FunctionName,
    /// The component that serves it.
    pub component: Digest,
    /// One line for people.
    pub summary: String,
    /// A JSON Schema that messages must fit.
    pub message_schema: Option<String>,
    /// The bounds on each attempt.
    pub limits: Limits,
    /// How many jobs of it may run at once, on all hosts together.
    pub concurrency: Option<NonZeroU32>,
}

/// A function bound to a component.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Deployment {
    /// The function's name.
    pub function: FunctionName,
    /// From 1, counted per name.
    pub version: u32,
    /// The component that serves it.
    pub component: Digest,
    /// One line for people.
    pub summary: String,
    /// A JSON Schema that messages must fit.
    pub message_schema: Option<String>,
    /// The bounds on each attempt.
    pub limits: Limits,
    /// How many jobs of it may run at once, on all hosts together.
    pub concurrency: Option<NonZeroU32>,
    /// When, in ms since the Unix epoch.
    pub deployed_at_ms: u64,
}

/// The functions of a namespace in the order of their first deployment.
pub type Functions = Vec<Arc<Deployment>>;
