//! What is asked when somebody looks at a host: how the store stands, and what the host
//! does at this moment. Both go onto the page beside what was counted ([`Metrics`]).
//!
//! However many look, the store is asked once a second at most, and it has little time to
//! answer: a page without its part is of more use than none.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::{ConstGauge, Gauge};
use prometheus_client::registry::{Registry, Unit};
use tokio::sync::Mutex;
use tokio::time::{Instant, timeout};

use crate::inference::Inference;
use crate::metrics::{Format, Metrics, page, processes};
use crate::sandbox::Sandbox;
use crate::store::{Overview, QueueStatus, Store};

/// How long an overview is good enough: a scrape is a matter of many seconds, and a person
/// who reloads the page sees it move.
const FRESH: Duration = Duration::from_secs(1);

/// How long the store may take: Prometheus waits for 10 s, and then has nothing.
const PROMPT: Duration = Duration::from_secs(2);

/// What somebody may look at.
pub struct Scraper {
    store: Arc<dyn Store>,
    sandbox: Arc<Sandbox>,
    inference: Arc<Inference>,
    slots: usize,
    metrics: Arc<Metrics>,
    last: Mutex<Option<Seen>>,
}

/// What the store said, if it did.
#[derive(Clone)]
struct Seen {
    at: Instant,
    overview: Option<Arc<Overview>>,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Space {
    namespace: Arc<str>,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct SpaceState {
    namespace: Arc<str>,
    state: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct SpaceOutcome {
    namespace: Arc<str>,
    outcome: &'static str,
}

/// Where a model runs.
#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Place {
    engine: Arc<str>,
    device: Arc<str>,
}

impl Scraper {
    /// A host to look at, which runs so many jobs at once.
    pub fn new(
        store: Arc<dyn Store>,
        sandbox: Arc<Sandbox>,
        inference: Arc<Inference>,
        slots: usize,
        metrics: Arc<Metrics>,
    ) -> Self {
        Self {
            store,
            sandbox,
            inference,
            slots,
            metrics,
            last: Mutex::default(),
        }
    }

    /// What is counted here.
    pub fn metrics(&self) -> &Arc<Metrics> {
        &self.metrics
    }

    /// The page.
    pub async fn page(&self, format: Format) -> String {
        let mut now = Registry::with_prefix("skep");
        self.host(&mut now);
        let overview = self.overview().await;
        let up = ConstGauge::new(u64::from(overview.is_some()));
        now.register("store_up", "Whether the store answered a moment ago", up);
        if let Some(overview) = overview {
            self.show(&overview, &mut now);
        }
        page(format, &[self.metrics.registry(), &now, &processes()])
    }

    fn host(&self, to: &mut Registry) {
        to.register(
            "slots",
            "How many jobs this host runs at once",
            ConstGauge::new(self.slots as u64),
        );
        to.register(
            "slots_busy",
            "How many jobs it runs now",
            ConstGauge::new(self.sandbox.running() as u64),
        );
        to.register(
            "jobs_parked",
            "Jobs of this host that wait for other jobs, and take no slot",
            ConstGauge::new(self.sandbox.parked() as u64),
        );
        to.register(
            "jobs_waiting_for_models",
            "Jobs of this host that wait for a model, and take no slot",
            ConstGauge::new(self.sandbox.lent() as u64),
        );
        self.models(to);
    }

    /// The models that are loaded: how many on which device, and what they take.
    fn models(&self, to: &mut Registry) {
        let loaded = Family::<Place, Gauge>::default();
        let memory = Family::<Place, Gauge>::default();
        for model in self.inference.loaded() {
            let place = Place {
                engine: model.engine.into(),
                device: model.device.into(),
            };
            loaded.get_or_create(&place).inc();
            let bytes = model.memory_bytes.cast_signed();
            memory.get_or_create(&place).inc_by(bytes);
        }
        to.register(
            "models_loaded",
            "Models that this host has in memory",
            loaded,
        );
        to.register_with_unit(
            "models_memory",
            "What these models take, about",
            Unit::Bytes,
            memory,
        );
    }

    /// How the store stands, or stood a moment ago.
    async fn overview(&self) -> Option<Arc<Overview>> {
        let mut last = self.last.lock().await;
        if let Some(seen) = last.as_ref().filter(|seen| seen.at.elapsed() < FRESH) {
            return seen.overview.clone();
        }
        let overview = match timeout(PROMPT, self.store.overview()).await {
            Ok(Ok(overview)) => Some(Arc::new(overview)),
            Ok(Err(error)) => {
                tracing::debug!(%error, "the metrics are without those of the store");
                None
            }
            Err(_) => None,
        };
        *last = Some(Seen {
            at: Instant::now(),
            overview: overview.clone(),
        });
        overview
    }

    fn show(&self, overview: &Overview, to: &mut Registry) {
        // Those without a label of their own are one.
        let mut spaces: BTreeMap<Arc<str>, (QueueStatus, u64)> = BTreeMap::new();
        for one in &overview.queues {
            let label = self.metrics.namespace_label(&one.namespace);
            let (status, dead) = spaces.entry(label).or_default();
            *status = and(status, &one.status);
            *dead += one.dead;
        }
        let jobs = Family::<SpaceState, Gauge>::default();
        let posted = Family::<Space, Counter>::default();
        let ended = Family::<SpaceOutcome, Counter>::default();
        let paused = Family::<Space, Gauge>::default();
        let oldest = Family::<Space, Gauge<f64, std::sync::atomic::AtomicU64>>::default();
        for (namespace, (status, dead)) in spaces {
            for (state, count) in [
                ("queued", status.queued),
                ("scheduled", status.scheduled),
                ("running", status.running),
                ("parked", status.parked),
                ("moving", status.moving),
                ("failed", dead),
            ] {
                let namespace = namespace.clone();
                let labels = SpaceState { namespace, state };
                jobs.get_or_create(&labels).set(count.cast_signed());
            }
            for (outcome, count) in [
                ("completed", status.completed),
                ("failed", status.failed),
                ("cancelled", status.cancelled),
            ] {
                let namespace = namespace.clone();
                let labels = SpaceOutcome { namespace, outcome };
                ended.get_or_create(&labels).inc_by(count);
            }
            let since = status.oldest_queued_at_ms.unwrap_or(overview.now_ms);
            let space = Space { namespace };
            let age_ms = overview.now_ms.saturating_sub(since);
            oldest.get_or_create(&space).set(age_ms as f64 / 1000.0);
            posted.get_or_create(&space).inc_by(status.posted);
            paused.get_or_create(&space).set(i64::from(status.paused));
        }
        to.register(
            "jobs",
            "Jobs in the store by state, of which failed is the dead letter; the same on every host that shares it",
            jobs,
        );
        to.register(
            "jobs_posted",
            "Jobs accepted into the store since the last rezero; the same on every host that shares it",
            posted,
        );
        to.register(
            "jobs_ended",
            "Jobs that ended in the store since the last rezero; the same on every host that shares it",
            ended,
        );
        to.register_with_unit(
            "queue_oldest",
            "How long the oldest job has been due that waits for a worker, 0 if none does: the latency of the queue",
            Unit::Seconds,
            oldest,
        );
        to.register("queue_paused", "Whether no job is taken", paused);
        to.register(
            "hosts",
            "Hosts that hold a lease in the store",
            ConstGauge::new(overview.hosts),
        );
        to.register(
            "namespaces",
            "Namespaces in the store; the metrics of queues look at the first thousand",
            ConstGauge::new(overview.namespaces),
        );
    }
}

/// Two namespaces as one.
fn and(one: &QueueStatus, other: &QueueStatus) -> QueueStatus {
    let since = [one.oldest_queued_at_ms, other.oldest_queued_at_ms];
    QueueStatus {
        queued: one.queued + other.queued,
        scheduled: one.scheduled + other.scheduled,
        running: one.running + other.running,
        parked: one.parked + other.parked,
        moving: one.moving + other.moving,
        posted: one.posted + other.posted,
        completed: one.completed + other.completed,
        failed: one.failed + other.failed,
        cancelled: one.cancelled + other.cancelled,
        paused: one.paused || other.paused,
        concurrency: None,
        oldest_queued_at_ms: since.into_iter().flatten().min(),
    }
}

impl std::fmt::Debug for Scraper {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Scraper").finish_non_exhaustive()
    }
}
