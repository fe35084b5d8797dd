//! What is measured of the calls of one model.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::{Registry, Unit};

use super::labels::OTHER;
use super::{Histograms, of};
use crate::job::{ModelName, Namespace};

/// How many models have labels of their own, in all namespaces together: with some forty series
/// each, some four thousand.
pub const MAX_MODELS_SHOWN: usize = 100;

/// How long a call waits for the device, in s: from "it was idle" to a queue that is full.
const WAITS: &[f64] = &[2e-5, 1e-4, 5e-4, 2e-3, 1e-2, 5e-2, 0.2, 1.0, 5.0, 30.0];

/// How long an engine runs a batch, in s: from a small sum to a large model on the CPU.
const RUNS: &[f64] = &[5e-5, 2e-4, 1e-3, 5e-3, 2e-2, 0.1, 0.5, 2.0, 10.0, 60.0];

/// Rows of a batch: powers of two, as they are calibrated.
const ROWS: &[f64] = &[1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 64.0, 128.0, 256.0];

/// How a call ended, as it is counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum InferenceOutcome {
    /// It got its outputs.
    Completed,
    /// It got an error that would come again.
    Failed,
    /// Too much was under way, or the device failed.
    Busy,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ModelLabels {
    namespace: Arc<str>,
    model: Arc<str>,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct CallLabels {
    namespace: Arc<str>,
    model: Arc<str>,
    outcome: &'static str,
}

/// Measures one model.
#[derive(Debug)]
pub struct InferenceMeter {
    completed: Counter,
    failed: Counter,
    busy: Counter,
    waits: Histogram,
    runs: Histogram,
    rows: Histogram,
}

impl InferenceMeter {
    /// Notes how long a call waited for the device.
    pub fn waited(&self, time: Duration) {
        self.waits.observe(time.as_secs_f64());
    }

    /// Notes a batch of so many rows, whether it went well or not.
    pub fn ran(&self, rows: u32, time: Duration) {
        self.rows.observe(f64::from(rows));
        self.runs.observe(time.as_secs_f64());
    }

    /// Notes how a call ended.
    pub fn ended(&self, outcome: InferenceOutcome) {
        match outcome {
            InferenceOutcome::Completed => self.completed.inc(),
            InferenceOutcome::Failed => self.failed.inc(),
            InferenceOutcome::Busy => self.busy.inc(),
        };
    }
}

/// The meters of all models.
pub(super) struct InferenceMeters {
    calls: Family<CallLabels, Counter>,
    waits: Histograms<ModelLabels>,
    runs: Histograms<ModelLabels>,
    rows: Histograms<ModelLabels>,
    known: Mutex<Known>,
}

#[derive(Default)]
struct Known {
    models: HashMap<(Namespace, ModelName), Arc<InferenceMeter>>,
    other: Option<Arc<InferenceMeter>>,
}

impl Default for InferenceMeters {
    fn default() -> Self {
        Self {
            calls: Family::default(),
            waits: Family::new_with_constructor(|| of(WAITS)),
            runs: Family::new_with_constructor(|| of(RUNS)),
            rows: Family::new_with_constructor(|| of(ROWS)),
            known: Mutex::default(),
        }
    }
}

impl InferenceMeters {
    pub(super) fn register(&self, to: &mut Registry) {
        to.register(
            "inference_calls",
            "Calls of models that ended on this host: `outcome` is completed, failed or busy (another time it may go well)",
            self.calls.clone(),
        );
        to.register_with_unit(
            "inference_wait",
            "How long a call of a model waited until its batch ran",
            Unit::Seconds,
            self.waits.clone(),
        );
        to.register_with_unit(
            "inference_run",
            "How long the engine ran for one batch",
            Unit::Seconds,
            self.runs.clone(),
        );
        to.register(
            "inference_batch_rows",
            "Rows of one batch: its count is that of batches, its sum that of rows",
            self.rows.clone(),
        );
    }

    /// The meter of a model: its own, if it is among the first, and its namespace has a label.
    pub(super) fn of(
        &self,
        namespace: &Namespace,
        model: &ModelName,
        label: impl FnOnce() -> Arc<str>,
    ) -> Arc<InferenceMeter> {
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        let key = (namespace.clone(), model.clone());
        if let Some(meter) = known.models.get(&key) {
            return meter.clone();
        }
        let label = (known.models.len() < MAX_MODELS_SHOWN).then(label);
        if let Some(namespace) = label.filter(|label| &**label != OTHER) {
            let meter = self.meter(namespace, model.as_str().into());
            known.models.insert(key, meter.clone());
            return meter;
        }
        let other = || self.meter(OTHER.into(), OTHER.into());
        known.other.get_or_insert_with(other).clone()
    }

    fn meter(&self, namespace: Arc<str>, model: Arc<str>) -> Arc<InferenceMeter> {
        let calls = |outcome| {
            self.calls.get_or_create_owned(&CallLabels {
                namespace: namespace.clone(),
                model: model.clone(),
                outcome,
            })
        };
        let (completed, failed, busy) = (calls("completed"), calls("failed"), calls("busy"));
        let labels = ModelLabels { namespace, model };
        Arc::new(InferenceMeter {
            completed,
            failed,
            busy,
            waits: self.waits.get_or_create_owned(&labels),
            runs: self.runs.get_or_create_owned(&labels),
            rows: self.rows.get_or_create_owned(&labels),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::metrics::{Format, Metrics, page};

    fn name<T: std::str::FromStr<Err: std::fmt::Debug>>(name: &str) -> T {
        name.parse().unwrap()
    }

    fn shown(metrics: &Metrics) -> String {
        page(Format::OpenMetrics, &[metrics.registry()])
    }

    #[test]
    fn batches_rows_and_outcomes_are_shown_by_model() {
        let metrics = Metrics::new();
        let meter = metrics.model(&name("default"), &name("iris"));
        meter.waited(Duration::from_micros(150));
        meter.ran(3, Duration::from_millis(2));
        meter.ended(InferenceOutcome::Completed);
        meter.ended(InferenceOutcome::Busy);
        let page = shown(&metrics);
        let of = "namespace=\"default\",model=\"iris\"";
        for line in [
            format!("skep_inference_calls_total{{{of},outcome=\"completed\"}} 1"),
            format!("skep_inference_calls_total{{{of},outcome=\"failed\"}} 0"),
            format!("skep_inference_calls_total{{{of},outcome=\"busy\"}} 1"),
            format!("skep_inference_batch_rows_sum{{{of}}} 3.0"),
            format!("skep_inference_batch_rows_count{{{of}}} 1"),
            format!("skep_inference_run_seconds_sum{{{of}}} 0.002"),
            format!("skep_inference_wait_seconds_sum{{{of}}} 0.00015"),
        ] {
            assert!(page.lines().any(|shown| shown == line), "{line}\n{page}");
        }
    }

    #[test]
    fn the_first_models_have_labels_and_the_rest_share_one() {
        let metrics = Metrics::new();
        let of = |model: usize| metrics.model(&name("default"), &name(&format!("m{model}")));
        let first = of(0);
        (1..MAX_MODELS_SHOWN + 50).for_each(|model| drop(of(model)));
        assert!(Arc::ptr_eq(&first, &of(0)));
        assert!(Arc::ptr_eq(
            &of(MAX_MODELS_SHOWN),
            &of(MAX_MODELS_SHOWN + 1)
        ));
        let page = shown(&metrics);
        let sums = |line: &&str| line.starts_with("skep_inference_run_seconds_sum{");
        assert_eq!(page.lines().filter(sums).count(), MAX_MODELS_SHOWN + 1);
    }
}
