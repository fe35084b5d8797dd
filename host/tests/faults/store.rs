//! A store that fails as a distant one does.

use std::collections::BTreeMap;
use std::num::NonZeroU32;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use skep::access::{AccessTokens, StoredToken, TokenId};
use skep::job::{Delivery, Digest, FunctionName, JobId, JobRecord, ModelName, Namespace, NewJob};
use skep::store::{
    AttemptLog, Callback, Cancelled, Cycle, Deployment, Functions, Given, JobFilter, JobPage,
    Lease, Model, Models, NewDeployment, NewModel, Outcome, Overview, Parcel, Parked, QueueStatus,
    Report, Result, Retriable, Retried, Step, Store, StoreError, Token, Watch,
};
use uuid::Uuid;

/// How often calls fail, from 0 to 1.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Rates {
    /// Nothing is done, and an error answered.
    pub(crate) refuse: f64,
    /// The work is done, and an error answered.
    pub(crate) lose: f64,
    /// The call takes up to 20 ms longer.
    pub(crate) delay: f64,
}

/// What happens to a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Fault {
    Refused,
    Lost,
}

/// Another store, but for its failures.
pub(crate) struct FaultStore {
    inner: Arc<dyn Store>,
    rates: Rates,
    state: Mutex<State>,
}

struct State {
    dice: fastrand::Rng,
    /// Faults that must come, for each method, next one last.
    planned: BTreeMap<&'static str, Vec<Fault>>,
    happened: BTreeMap<(&'static str, Fault), u32>,
}

impl FaultStore {
    pub(crate) fn new(inner: Arc<dyn Store>, rates: Rates, seed: u64) -> Self {
        let state = State {
            dice: fastrand::Rng::with_seed(seed),
            planned: BTreeMap::new(),
            happened: BTreeMap::new(),
        };
        Self {
            inner,
            rates,
            state: Mutex::new(state),
        }
    }

    /// Makes the next calls of a method fail.
    pub(crate) fn plan(&self, method: &'static str, mut faults: Vec<Fault>) {
        faults.reverse();
        self.state.lock().unwrap().planned.insert(method, faults);
    }

    /// How often each method has failed.
    pub(crate) fn happened(&self) -> BTreeMap<(&'static str, Fault), u32> {
        self.state.lock().unwrap().happened.clone()
    }

    fn roll(&self, method: &'static str) -> (Duration, Option<Fault>) {
        let mut state = self.state.lock().unwrap();
        let State { dice, planned, .. } = &mut *state;
        let mut delay = Duration::ZERO;
        if dice.f64() < self.rates.delay {
            delay = Duration::from_micros(dice.u64(..20_000));
        }
        let chance = dice.f64();
        let fault = match planned.get_mut(method).and_then(Vec::pop) {
            Some(fault) => Some(fault),
            None if chance < self.rates.refuse => Some(Fault::Refused),
            None if chance < self.rates.refuse + self.rates.lose => Some(Fault::Lost),
            None => None,
        };
        if let Some(fault) = fault {
            *state.happened.entry((method, fault)).or_default() += 1;
        }
        (delay, fault)
    }

    async fn through<T>(
        &self,
        method: &'static str,
        call: impl Future<Output = Result<T>>,
    ) -> Result<T> {
        let (delay, fault) = self.roll(method);
        if delay > Duration::ZERO {
            tokio::time::sleep(delay).await;
        }
        let failed = |what: &str| Err(StoreError::Unavailable(format!("{method}: {what}")));
        match fault {
            None => call.await,
            Some(Fault::Refused) => failed("a fault that was asked for, before the work"),
            Some(Fault::Lost) => {
                call.await?;
                failed("a fault that was asked for, after the work")
            }
        }
    }
}

/// Passes each method on through `through`.
macro_rules! all_methods {
    ($($name:ident($($arg:ident: $type:ty),*) -> $answer:ty;)+) => {
        #[async_trait]
        impl Store for FaultStore {
            $(async fn $name(&self, $($arg: $type),*) -> Result<$answer> {
                self.through(stringify!($name), self.inner.$name($($arg),*)).await
            })+
        }
    };
}

all_methods! {
    submit(namespace: &Namespace, jobs: Vec<NewJob>) -> Vec<JobId>;
    register() -> Lease;
    renew(lease: Lease) -> ();
    cycle(lease: Lease, step: Arc<Step>) -> Cycle;
    wake(lease: Lease, want: usize) -> ();
    given(lease: Lease, had: u64) -> Given;
    reap() -> usize;
    report(lease: Lease, reports: Vec<(Token, Report)>) -> ();
    park(lease: Lease, token: &Token, awaited: &[JobId]) -> Parked;
    unpark(lease: Lease, token: &Token) -> ();
    outcomes(namespace: &Namespace, ids: &[JobId], max_bytes: u64) -> Vec<Outcome>;
    children(namespace: &Namespace, id: JobId, after: JobId, want: usize) -> Vec<JobId>;
    watch(namespace: &Namespace, id: JobId) -> Watch;
    take_callbacks(want: usize) -> Vec<Callback>;
    called_back(callback: &Callback, delivery: Delivery, again_in_ms: Option<u64>) -> ();
    callback_due() -> ();
    cancel(namespace: &Namespace, id: JobId) -> Cancelled;
    job(namespace: &Namespace, id: JobId) -> Option<JobRecord>;
    list(namespace: &Namespace, filter: &Arc<JobFilter>, before: Option<JobId>, want: usize) -> JobPage;
    retry(namespace: &Namespace, ids: &[JobId], which: Retriable) -> Vec<Retried>;
    forget(namespace: &Namespace, ids: &[JobId]) -> usize;
    log(namespace: &Namespace, id: JobId) -> AttemptLog;
    ended(namespace: &Namespace, id: JobId) -> ();
    status(namespace: &Namespace) -> QueueStatus;
    overview() -> Overview;
    pause(namespace: &Namespace, paused: bool) -> ();
    set_concurrency(namespace: &Namespace, limit: Option<NonZeroU32>) -> ();
    release(namespace: &Namespace) -> usize;
    rezero(namespace: &Namespace) -> ();
    purge(namespace: &Namespace) -> usize;
    store_id() -> Uuid;
    hold(namespace: &Namespace, mover: Uuid, want: usize) -> Vec<Parcel>;
    let_go(namespace: &Namespace, mover: Uuid, moved: Vec<(JobId, String)>) -> usize;
    peek(namespace: &Namespace, after: JobId, want: usize) -> Vec<Parcel>;
    deliver(namespace: &Namespace, parcels: Vec<Parcel>) -> Vec<JobId>;
    put_data(namespace: &Namespace, key: &str, data: Bytes, expires_at_ms: Option<u64>) -> ();
    data(namespace: &Namespace, key: &str) -> Option<Bytes>;
    put_blob(digest: Digest, bytes: Bytes) -> ();
    blob(digest: Digest) -> Option<Bytes>;
    put_model(namespace: &Namespace, model: NewModel) -> Arc<Model>;
    remove_model(namespace: &Namespace, name: &ModelName) -> bool;
    models(namespace: &Namespace) -> Arc<Models>;
    models_now(namespace: &Namespace) -> Arc<Models>;
    model_versions(namespace: &Namespace, name: &ModelName) -> Vec<Arc<Model>>;
    deploy(namespace: &Namespace, functions: Vec<NewDeployment>) -> Vec<Arc<Deployment>>;
    undeploy(namespace: &Namespace, functions: &[FunctionName]) -> usize;
    functions(namespace: &Namespace) -> Arc<Functions>;
    functions_now(namespace: &Namespace) -> Arc<Functions>;
    versions(namespace: &Namespace, function: &FunctionName, before: Option<u32>, want: usize) -> Vec<Arc<Deployment>>;
    put_token(token: &StoredToken) -> bool;
    revoke_token(id: TokenId) -> bool;
    tokens() -> Arc<AccessTokens>;
    tokens_now() -> Arc<AccessTokens>;
    sweep() -> usize;
}
