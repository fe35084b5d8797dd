//! What a host counts and measures, for whoever watches it: counters, gauges and
//! histograms by the conventions of Prometheus.
//!
//! Every label has few values: names of functions that are deployed, and of namespaces,
//! up to a bound ([`labels`]), else what the source code lists. A number is counted where
//! it comes up, with a handle that is at hand ([`FunctionMeter`]), so that a job costs
//! some hundred ns.
//!
//! Not here: what is asked of the store when somebody looks (`scrape`), and the route.

mod attempt;
mod inference;
mod labels;
mod page;
mod process;

use std::sync::{Arc, OnceLock};
use std::time::Duration;

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::metrics::info::Info;
use prometheus_client::registry::{Registry, Unit};

pub use attempt::{FunctionMeter, Outcome, Running};
pub use inference::{InferenceMeter, InferenceOutcome, MAX_MODELS_SHOWN};
pub use labels::{MAX_FUNCTIONS_SHOWN, MAX_NAMESPACES_SHOWN, NONE, OTHER};
pub use page::{Format, page};
pub(crate) use process::processes;

use crate::job::{FunctionName, ModelName, Namespace};
use attempt::AttemptLabels;
use inference::InferenceMeters;
use labels::{Bounded, FunctionLabels, NamespaceLabels};

/// How long a job waits, in s: from "at once" to the hours of a backlog.
const WAITS: &[f64] = &[
    0.001, 0.005, 0.02, 0.1, 0.5, 2.0, 10.0, 60.0, 300.0, 1800.0, 7200.0,
];

/// How long a function runs, in s: from a small sum to the longest timeouts.
const RUNS: &[f64] = &[
    0.0001, 0.0005, 0.002, 0.01, 0.05, 0.2, 1.0, 5.0, 30.0, 120.0, 600.0,
];

/// Units of fuel: a small sum takes some thousand, the default limit is far above.
const FUELS: &[f64] = &[1e4, 1e5, 1e6, 1e7, 1e8, 1e9, 1e10, 1e11];

/// Memory of a guest, in bytes: one page of WASM's, and up to the default limit.
const MEMORIES: &[f64] = &[
    65_536.0,
    1_048_576.0,
    4_194_304.0,
    16_777_216.0,
    67_108_864.0,
    268_435_456.0,
    1_073_741_824.0,
];

/// How long it takes to make an instance, in s: some µs, unless its memory is large.
const INSTANTIATIONS: &[f64] = &[5e-6, 1e-5, 2e-5, 5e-5, 1e-4, 5e-4, 2e-3, 1e-2, 1e-1];

/// How long a store takes to answer, in s: memory, a network, an fsync, one that is ill.
const CALLS: &[f64] = &[5e-5, 2e-4, 1e-3, 5e-3, 2e-2, 0.1, 0.5, 2.5];

/// How long an answer takes over HTTP, in s; long polls may take a minute.
const ANSWERS: &[f64] = &[0.0005, 0.002, 0.01, 0.05, 0.2, 1.0, 5.0, 60.0];

/// How long compiling takes, in s, up to what its child process may take.
const COMPILES: &[f64] = &[0.05, 0.1, 0.5, 1.0, 5.0, 15.0, 60.0, 300.0];

/// A family of histograms, whose buckets are the same in each.
type Histograms<L> = Family<L, Histogram, fn() -> Histogram>;

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct CallLabels {
    call: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct OutcomeLabels {
    outcome: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct RequestLabels {
    method: &'static str,
    route: &'static str,
    code: u16,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct RouteLabels {
    method: &'static str,
    route: &'static str,
}

/// All that one process counts and measures.
pub struct Metrics {
    registry: Registry,
    functions: Bounded,
    attempts: Family<AttemptLabels, Counter>,
    running: Family<FunctionLabels, Gauge>,
    waits: Histograms<NamespaceLabels>,
    runs: Histograms<FunctionLabels>,
    fuels: Histograms<FunctionLabels>,
    memories: Histograms<FunctionLabels>,
    instantiations: Histogram,
    compiles: Histograms<OutcomeLabels>,
    calls: Histograms<CallLabels>,
    call_errors: Family<CallLabels, Counter>,
    callbacks: Family<OutcomeLabels, Counter>,
    requests: Family<RequestLabels, Counter>,
    answers: Histograms<RouteLabels>,
    inference: InferenceMeters,
}

impl Default for Metrics {
    fn default() -> Self {
        Self::new()
    }
}

fn of(buckets: &[f64]) -> Histogram {
    Histogram::new(buckets.iter().copied())
}

impl Metrics {
    /// Nothing counted yet.
    pub fn new() -> Self {
        let mut metrics = Self {
            registry: Registry::with_prefix("skep"),
            functions: Bounded::default(),
            attempts: Family::default(),
            running: Family::default(),
            waits: Family::new_with_constructor(|| of(WAITS)),
            runs: Family::new_with_constructor(|| of(RUNS)),
            fuels: Family::new_with_constructor(|| of(FUELS)),
            memories: Family::new_with_constructor(|| of(MEMORIES)),
            instantiations: of(INSTANTIATIONS),
            compiles: Family::new_with_constructor(|| of(COMPILES)),
            calls: Family::new_with_constructor(|| of(CALLS)),
            call_errors: Family::default(),
            callbacks: Family::default(),
            requests: Family::default(),
            answers: Family::new_with_constructor(|| of(ANSWERS)),
            inference: InferenceMeters::default(),
        };
        metrics.register();
        metrics
    }

    fn register(&mut self) {
        let to = &mut self.registry;
        let build = Info::new(vec![("version", env!("CARGO_PKG_VERSION"))]);
        to.register("build", "The version of skep that runs here", build);
        to.register(
            "attempts",
            "Attempts that ended on this host: `outcome` is completed, failed, retried, released or cancelled, and `cause` is why",
            self.attempts.clone(),
        );
        to.register(
            "jobs_running",
            "Jobs of which a function is in the sandbox of this host, the parked ones included",
            self.running.clone(),
        );
        to.register_with_unit(
            "job_wait",
            "From the time a job was due until this host took it for its first attempt",
            Unit::Seconds,
            self.waits.clone(),
        );
        to.register_with_unit(
            "job_run",
            "How long a function ran in the sandbox in one attempt, the time parked left out",
            Unit::Seconds,
            self.runs.clone(),
        );
        to.register(
            "job_fuel",
            "Units of fuel that a function used in one attempt",
            self.fuels.clone(),
        );
        to.register_with_unit(
            "job_memory",
            "The most memory that a function held at once in one attempt",
            Unit::Bytes,
            self.memories.clone(),
        );
        to.register_with_unit(
            "sandbox_instantiation",
            "How long it took to make a fresh instance for an attempt",
            Unit::Seconds,
            self.instantiations.clone(),
        );
        to.register_with_unit(
            "compile",
            "How long it took to compile a component",
            Unit::Seconds,
            self.compiles.clone(),
        );
        to.register_with_unit(
            "store_call",
            "How long the store took to answer, as the host sees it",
            Unit::Seconds,
            self.calls.clone(),
        );
        to.register(
            "store_errors",
            "Calls that the store failed at: it was away, full, or could not read what it holds",
            self.call_errors.clone(),
        );
        to.register(
            "callbacks",
            "Tries of callbacks: `outcome` is delivered, retried (it will be) or given_up",
            self.callbacks.clone(),
        );
        to.register(
            "http_requests",
            "Requests answered, by the route that they matched",
            self.requests.clone(),
        );
        to.register_with_unit(
            "http_request_duration",
            "From the head of a request until the head of its answer",
            Unit::Seconds,
            self.answers.clone(),
        );
        self.inference.register(to);
    }

    /// The meter of a function, which is deployed.
    pub fn function(&self, namespace: &Namespace, function: &FunctionName) -> Arc<FunctionMeter> {
        self.functions.of(namespace, Some(function), |labels| {
            FunctionMeter::new(self, labels)
        })
    }

    /// The meter of attempts in which no function was run.
    pub fn no_function(&self, namespace: &Namespace) -> Arc<FunctionMeter> {
        self.functions
            .of(namespace, None, |labels| FunctionMeter::new(self, labels))
    }

    /// The meter of a model, which was added.
    pub fn model(&self, namespace: &Namespace, model: &ModelName) -> Arc<InferenceMeter> {
        let label = || self.namespace_label(namespace);
        self.inference.of(namespace, model, label)
    }

    /// The label of a namespace.
    pub(crate) fn namespace_label(&self, namespace: &Namespace) -> Arc<str> {
        self.functions.namespace(namespace)
    }

    /// Notes how long an instance took to make.
    pub fn instantiated(&self, took: Duration) {
        self.instantiations.observe(took.as_secs_f64());
    }

    /// Notes how long a component took to compile, and whether it did.
    pub fn compiled(&self, took: Duration, succeeded: bool) {
        let outcome = if succeeded { "compiled" } else { "refused" };
        let labels = OutcomeLabels { outcome };
        let seconds = took.as_secs_f64();
        self.compiles.get_or_create(&labels).observe(seconds);
    }

    /// The meter of a call of the store.
    pub(crate) fn call(&self, call: &'static str) -> CallMeter {
        CallMeter {
            labels: CallLabels { call },
            all: self.calls.clone(),
            errors: self.call_errors.clone(),
            seconds: OnceLock::new(),
        }
    }

    /// Notes what became of a try of a callback.
    pub fn called_back(&self, outcome: &'static str) {
        let labels = OutcomeLabels { outcome };
        self.callbacks.get_or_create(&labels).inc();
    }

    /// Notes an answer over HTTP. `route` is the one that the request matched, never its
    /// path.
    pub fn answered(&self, method: &'static str, route: &'static str, code: u16, took: Duration) {
        let request = RequestLabels {
            method,
            route,
            code,
        };
        self.requests.get_or_create(&request).inc();
        let labels = RouteLabels { method, route };
        let seconds = took.as_secs_f64();
        self.answers.get_or_create(&labels).observe(seconds);
    }

    /// All that was counted here.
    pub(crate) fn registry(&self) -> &Registry {
        &self.registry
    }
}

/// Measures one kind of call of the store.
#[derive(Clone, Debug)]
pub(crate) struct CallMeter {
    labels: CallLabels,
    all: Histograms<CallLabels>,
    errors: Family<CallLabels, Counter>,
    /// Made by the first call: most kinds are never made on most hosts.
    seconds: OnceLock<Histogram>,
}

impl CallMeter {
    /// Notes how long one took, and whether it was answered.
    pub(crate) fn called(&self, took: Duration, succeeded: bool) {
        let make = || self.all.get_or_create_owned(&self.labels);
        self.seconds.get_or_init(make).observe(took.as_secs_f64());
        if !succeeded {
            self.errors.get_or_create(&self.labels).inc();
        }
    }
}

impl std::fmt::Debug for Metrics {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Metrics").finish_non_exhaustive()
    }
}
