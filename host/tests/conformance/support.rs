//! A store to test, and short words for what the tests do with it.

use std::collections::HashMap;
use std::future::Future;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use skep::job::{
    Cause, CauseKind, ChildKey, JobId, Limits, Namespace, NewJob, Output, Payload, Progress, Usage,
};
use skep::store::{Claim, Completion, Cycle, Lease, Report, Step, Store, Verdict};
use uuid::Uuid;

use crate::backend::Backend;

/// The lease of the tests that wait for its end.
pub(crate) const SHORT_LEASE: Duration = Duration::from_millis(100);

/// Longer than anything here takes, also on a busy machine.
const PATIENCE: Duration = Duration::from_secs(20);

/// A store and what is needed to crash and reopen it.
pub(crate) struct World {
    store: Option<Arc<dyn Store>>,
    backend: Backend,
    lease: Duration,
    hosts: Mutex<Hosts>,
}

/// The hosts that a test has registered, with the number of the last step of each.
type Hosts = HashMap<Uuid, u64>;

impl World {
    /// A new store.
    pub(crate) async fn new(backend: Backend, lease: Duration) -> Self {
        let mut world = Self {
            store: None,
            backend,
            lease,
            hosts: Mutex::default(),
        };
        world.store = Some(world.backend.open(lease).await);
        world
    }

    /// A store that is open, and cannot be opened again.
    pub(crate) fn of(store: Arc<dyn Store>, lease: Duration) -> Self {
        Self {
            store: Some(store),
            backend: Backend::embedded(),
            lease,
            hosts: Mutex::default(),
        }
    }

    /// Another store of the same kind, with nothing in it.
    pub(crate) async fn fresh(&self) -> Self {
        Self::new(self.backend.fresh(), self.lease).await
    }

    /// Whether a crash begins the count of claims, of which every
    /// [`CLAIMS_PER_YIELD`](skep::store::CLAIMS_PER_YIELD)th is special, anew.
    pub(crate) fn counts_claims_anew(&self) -> bool {
        matches!(self.backend, Backend::Embedded(_))
    }

    /// The store, as another process has it open, where there can be one.
    pub(crate) async fn elsewhere(&self) -> Arc<dyn Store> {
        match self.backend {
            Backend::Embedded(_) => self.store().clone(),
            Backend::Redis { .. } => self.backend.open(self.lease).await,
        }
    }

    /// The store.
    pub(crate) fn store(&self) -> &Arc<dyn Store> {
        self.store.as_ref().expect("the store is open")
    }

    /// Ends every host at once and opens the store again, as after a crash.
    pub(crate) async fn crash(&mut self) {
        let store = self.store.take().expect("the store is open");
        assert_eq!(Arc::strong_count(&store), 1, "a test still holds the store");
        drop(store);
        let hosts = std::mem::take(&mut *self.hosts());
        let hosts = hosts.into_keys().map(|incarnation| Lease { incarnation });
        self.store = Some(self.backend.reopen(self.lease, hosts.collect()).await);
    }

    fn hosts(&self) -> MutexGuard<'_, Hosts> {
        self.hosts.lock().expect("no test panics here")
    }

    /// Submits jobs to the default namespace.
    pub(crate) async fn submit(&self, jobs: Vec<NewJob>) -> Vec<u64> {
        let ids = self.store().submit(&ns(), jobs).await.expect("submit");
        ids.into_iter().map(|id| id.0).collect()
    }

    /// Submits plain jobs.
    pub(crate) async fn submit_some(&self, count: usize) -> Vec<u64> {
        self.submit((0..count).map(|n| job(&n.to_string())).collect())
            .await
    }

    /// A new host.
    pub(crate) async fn host(&self) -> Lease {
        let lease = self.store().register().await.expect("register");
        self.hosts().insert(lease.incarnation, 0);
        lease
    }

    /// The next step of a host.
    pub(crate) fn step(&self, lease: Lease, done: Vec<Completion>, want: usize) -> Arc<Step> {
        let mut hosts = self.hosts();
        let number = hosts.entry(lease.incarnation).or_default();
        *number += 1;
        Arc::new(Step {
            number: *number,
            done,
            want,
            stands: false,
            had: 0,
        })
    }

    /// Runs a cycle.
    pub(crate) async fn cycle(&self, lease: Lease, done: Vec<Completion>, want: usize) -> Cycle {
        self.try_cycle(lease, done, want).await.expect("cycle")
    }

    /// Runs a cycle that may be refused.
    pub(crate) async fn try_cycle(
        &self,
        lease: Lease,
        done: Vec<Completion>,
        want: usize,
    ) -> skep::store::Result<Cycle> {
        let step = self.step(lease, done, want);
        self.store().cycle(lease, step).await
    }

    /// Takes jobs.
    pub(crate) async fn claim(&self, lease: Lease, want: usize) -> Vec<Claim> {
        self.cycle(lease, vec![], want).await.claimed
    }

    /// Takes jobs and answers their ids.
    pub(crate) async fn claim_ids(&self, lease: Lease, want: usize) -> Vec<u64> {
        ids(&self.claim(lease, want).await)
    }

    /// Ends an attempt and expects that it counts.
    pub(crate) async fn finish(&self, lease: Lease, claim: &Claim, verdict: Verdict) {
        let cycle = self.cycle(lease, vec![done(claim, verdict)], 0).await;
        assert_eq!(cycle.refused, [], "the completion of {:?}", claim.token);
    }

    /// The record of a job of the default namespace.
    pub(crate) async fn job(&self, id: u64) -> skep::job::JobRecord {
        let record = self.store().job(&ns(), JobId(id)).await.expect("job");
        record.unwrap_or_else(|| panic!("job {id} is unknown"))
    }

    /// Waits until expired leases gave back `jobs` jobs.
    pub(crate) async fn reap(&self, jobs: usize) {
        let mut reaped = 0;
        eventually("the leases expire", async || {
            reaped += self.store().reap().await.expect("reap");
            reaped >= jobs
        })
        .await;
        assert_eq!(reaped, jobs);
    }
}

/// The ids of claims.
pub(crate) fn ids(claims: &[Claim]) -> Vec<u64> {
    claims.iter().map(|claim| claim.token.id.0).collect()
}

/// The default namespace.
pub(crate) fn ns() -> Namespace {
    Namespace::default()
}

/// A namespace.
pub(crate) fn namespace(name: &str) -> Namespace {
    name.parse().expect("a namespace")
}

/// A job for the function `f`.
pub(crate) fn job(message: &str) -> NewJob {
    NewJob::new(
        Payload::json(message.to_owned()),
        vec!["f".parse().expect("a name")],
    )
}

/// A job of a priority.
pub(crate) fn job_of_priority(priority: u8) -> NewJob {
    NewJob {
        priority: priority.try_into().expect("a priority"),
        ..job("0")
    }
}

/// A job that another one posts; `key` tells it from its siblings.
pub(crate) fn child(parent: u64, key: &str) -> NewJob {
    NewJob {
        parent: Some(JobId(parent)),
        depth: 1,
        child_key: Some(ChildKey::of([key.as_bytes()])),
        ..job(key)
    }
}

/// The end of a claim's attempt.
pub(crate) fn done(claim: &Claim, verdict: Verdict) -> Completion {
    Completion {
        token: claim.token.clone(),
        verdict,
        started_at_ms: claim.claimed_at_ms,
        ended_at_ms: claim.claimed_at_ms + 5,
        usage: Usage {
            fuel: 7,
            peak_memory_bytes: 65_536,
            run_us: 11,
            ..Usage::default()
        },
        limits: Some(Limits::default()),
        components: vec![skep::job::Digest::of(b"component")],
        log: vec![],
    }
}

/// Success.
pub(crate) fn completed(result: &str) -> Verdict {
    Verdict::Completed(output(result))
}

/// An output.
pub(crate) fn output(result: &str) -> Output {
    Output {
        short_result: Some(format!("short {result}")),
        result: Payload {
            content_type: "text/plain".into(),
            data: result.to_owned().into(),
        },
    }
}

/// A cause that may pass.
pub(crate) fn retry(delay_ms: u64) -> Verdict {
    Verdict::Retry {
        cause: Cause::new(CauseKind::Retry, "not yet"),
        delay_ms,
    }
}

/// A cause that does not pass.
pub(crate) fn trap() -> Cause {
    Cause::new(CauseKind::Trap, "unreachable")
}

/// A progress.
pub(crate) fn report(percent: u8) -> Report {
    Report {
        progress: Some(progress(percent)),
        log: Vec::new(),
    }
}

/// A progress that tells itself from others.
pub(crate) fn progress(percent: u8) -> Progress {
    Progress {
        percent,
        note: Some(format!("{percent} of 100")),
    }
}

/// The time, in ms since the Unix epoch.
pub(crate) fn now_ms() -> u64 {
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    u64::try_from(now.expect("a clock after 1970").as_millis()).expect("a clock before doomsday")
}

/// Waits for a future that must resolve.
pub(crate) async fn soon<F: Future>(what: &str, future: F) -> F::Output {
    let answer = tokio::time::timeout(PATIENCE, future).await;
    answer.unwrap_or_else(|_| panic!("waited in vain: {what}"))
}

/// Asserts that a future has not resolved once everything that could run has.
pub(crate) async fn not_yet<F: Future + Unpin>(what: &str, future: &mut F) {
    let answer = tokio::time::timeout(Duration::from_millis(30), future).await;
    assert!(answer.is_err(), "resolved too early: {what}");
}

/// Asks again until the answer is yes.
pub(crate) async fn eventually(what: &str, mut ask: impl AsyncFnMut() -> bool) {
    soon(what, async {
        while !ask().await {
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    })
    .await;
}

/// Runs each test with each store.
macro_rules! conformance {
    (@$backend:ident, $lease:expr; $($test:ident),+) => {
        mod $backend {
            use std::time::Duration;

            use $crate::backend::Backend;
            use $crate::support::World;

            $(
                #[tokio::test]
                async fn $test() {
                    let lease: Option<Duration> = $lease;
                    let lease = lease.unwrap_or(skep::store::LEASE);
                    super::$test(World::new(Backend::$backend(), lease).await).await;
                }
            )+
        }
    };
    ($lease:expr; $($test:ident),+ $(,)?) => {
        conformance!(@embedded, $lease; $($test),+);
        conformance!(@redis, $lease; $($test),+);
        conformance!(@cluster, $lease; $($test),+);
    };
    ($($test:ident),+ $(,)?) => { conformance!(None; $($test),+); };
}
