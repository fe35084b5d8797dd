//! What is measured of the attempts of one function.

use std::sync::Arc;

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;

use super::Metrics;
use super::labels::{FunctionLabels, NamespaceLabels};
use crate::job::{CauseKind, Usage};

/// How an attempt ended, as it is counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// The job succeeded.
    Completed,
    /// It went to the dead letter.
    Failed(CauseKind),
    /// It will be tried again.
    Retried(CauseKind),
    /// The host gave it back unrun.
    Released,
    /// Somebody cancelled it.
    Cancelled,
}

impl Outcome {
    /// Its name, and why.
    pub fn as_labels(self) -> (&'static str, &'static str) {
        match self {
            Self::Completed => ("completed", ""),
            Self::Failed(cause) => ("failed", cause.as_str()),
            Self::Retried(cause) => ("retried", cause.as_str()),
            Self::Released => ("released", ""),
            Self::Cancelled => ("cancelled", ""),
        }
    }
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(super) struct AttemptLabels {
    namespace: Arc<str>,
    function: Arc<str>,
    outcome: &'static str,
    cause: &'static str,
}

/// Measures one function.
#[derive(Debug)]
pub struct FunctionMeter {
    labels: FunctionLabels,
    /// The most frequent outcome is at hand, the others are looked up.
    completed: Counter,
    attempts: Family<AttemptLabels, Counter>,
    running: Gauge,
    waits: Histogram,
    runs: Histogram,
    fuels: Histogram,
    memories: Histogram,
}

/// A function that is in the sandbox; until this is dropped.
#[derive(Debug)]
pub struct Running(Gauge);

impl Drop for Running {
    fn drop(&mut self) {
        self.0.dec();
    }
}

impl FunctionMeter {
    pub(super) fn new(metrics: &Metrics, labels: &FunctionLabels) -> Self {
        let space = NamespaceLabels {
            namespace: labels.namespace.clone(),
        };
        Self {
            completed: metrics
                .attempts
                .get_or_create_owned(&attempt(labels, Outcome::Completed)),
            attempts: metrics.attempts.clone(),
            running: metrics.running.get_or_create_owned(labels),
            waits: metrics.waits.get_or_create_owned(&space),
            runs: metrics.runs.get_or_create_owned(labels),
            fuels: metrics.fuels.get_or_create_owned(labels),
            memories: metrics.memories.get_or_create_owned(labels),
            labels: labels.clone(),
        }
    }

    /// Notes how long a job has waited, in ms, that begins with this function.
    pub fn waited(&self, ms: u64) {
        self.waits.observe(ms as f64 / 1000.0);
    }

    /// Notes that the function is in the sandbox.
    pub fn begin(&self) -> Running {
        self.running.inc();
        Running(self.running.clone())
    }

    /// Notes what the function has used in an attempt.
    pub fn used(&self, usage: &Usage) {
        self.runs.observe(usage.run_us as f64 / 1e6);
        self.fuels.observe(usage.fuel as f64);
        self.memories.observe(usage.peak_memory_bytes as f64);
    }

    /// Notes how an attempt ended, of which this was the last function.
    pub fn ended(&self, outcome: Outcome) {
        match outcome {
            Outcome::Completed => self.completed.inc(),
            _ => {
                let labels = attempt(&self.labels, outcome);
                self.attempts.get_or_create(&labels).inc()
            }
        };
    }
}

fn attempt(function: &FunctionLabels, outcome: Outcome) -> AttemptLabels {
    let (outcome, cause) = outcome.as_labels();
    AttemptLabels {
        namespace: function.namespace.clone(),
        function: function.function.clone(),
        outcome,
        cause,
    }
}
