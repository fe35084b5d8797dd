//! Callbacks that wait to be sent: an outbox, so that none is lost with a host.

use std::time::Duration;

use crate::job::{JobId, Namespace, TraceContext};

/// How long a host has a callback for itself, from
/// [`take_callbacks`](super::Store::take_callbacks) on: longer than one try may take, so
/// that another host only has it when this one is gone.
pub const CALLBACK_TAKEN: Duration = Duration::from_secs(60);

/// A callback that is due.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Callback {
    /// Whose job it is.
    pub namespace: Namespace,
    /// The job that has ended.
    pub id: JobId,
    /// Where it goes.
    pub url: String,
    /// How often it was taken: tells whoever took it last from all before.
    pub number: u32,
    /// How many tries were noted so far. Whoever took it and noted none made none.
    pub tried: u32,
    /// Whether the job completed.
    pub success: bool,
    /// Its short result.
    pub short_result: Option<String>,
    /// When it ended, in ms since the Unix epoch.
    pub ended_at_ms: u64,
    /// The trace that the job belongs to.
    pub trace: Option<TraceContext>,
}
