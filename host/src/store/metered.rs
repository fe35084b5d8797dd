//! A store that is measured: how long each call took, and how many failed. What only
//! waits for something to happen is not measured, nor what is answered from memory for
//! nearly every job.

use std::num::NonZeroU32;
use std::pin::Pin;
use std::sync::Arc;
use std::time::{Duration, Instant};

use async_trait::async_trait;
use bytes::Bytes;
use uuid::Uuid;

use super::{
    AttemptLog, Callback, Cancelled, Cycle, Deployment, Functions, Given, JobFilter, JobPage,
    Lease, Model, Models, NewDeployment, NewModel, Outcome, Overview, Parcel, Parked, QueueStatus,
    Report, Result, Retriable, Retried, Step, Store, StoreError, Token, Watch,
};
use crate::access::{AccessTokens, StoredToken, TokenId};
use crate::job::{Delivery, Digest, FunctionName, JobId, JobRecord, ModelName, Namespace, NewJob};
use crate::metrics::{CallMeter, Metrics};

/// What the calls of the trait return.
type Answer<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

/// Whether the store did its work, whatever the answer.
fn worked<T>(answer: &Result<T>) -> bool {
    !matches!(
        answer,
        Err(StoreError::Unavailable(_)
            | StoreError::Refused(_)
            | StoreError::Full(_)
            | StoreError::Unreadable(_)
            | StoreError::InUse(_))
    )
}

macro_rules! metered {
    ($($call:ident($($argument:ident: $type:ty),*) -> $answer:ty;)+) => {
        /// The meters of the calls, each at hand.
        struct Meters {
            $($call: CallMeter,)+
        }

        impl Meters {
            fn new(metrics: &Metrics) -> Self {
                Self { $($call: metrics.call(stringify!($call)),)+ }
            }
        }

        #[async_trait]
        impl Store for Metered {
            $(async fn $call(&self, $($argument: $type),*) -> Result<$answer> {
                let begun = Instant::now();
                let answer = self.inner.$call($($argument),*).await;
                self.meters.$call.called(begun.elapsed(), worked(&answer));
                answer
            })+

            fn lease(&self) -> Duration {
                self.inner.lease()
            }

            // These are passed on as they are, without a future around the future.
            fn wake<'s: 'a, 'a>(&'s self, lease: Lease, want: usize) -> Answer<'a, Result<()>>
            where
                Self: 'a,
            {
                self.inner.wake(lease, want)
            }

            fn given<'s: 'a, 'a>(&'s self, lease: Lease, had: u64) -> Answer<'a, Result<Given>>
            where
                Self: 'a,
            {
                self.inner.given(lease, had)
            }

            fn ended<'s: 'a, 'n: 'a, 'a>(
                &'s self,
                namespace: &'n Namespace,
                id: JobId,
            ) -> Answer<'a, Result<()>>
            where
                Self: 'a,
            {
                self.inner.ended(namespace, id)
            }

            fn callback_due<'s: 'a, 'a>(&'s self) -> Answer<'a, Result<()>>
            where
                Self: 'a,
            {
                self.inner.callback_due()
            }

            fn functions<'s: 'a, 'n: 'a, 'a>(
                &'s self,
                namespace: &'n Namespace,
            ) -> Answer<'a, Result<Arc<Functions>>>
            where
                Self: 'a,
            {
                self.inner.functions(namespace)
            }

            fn models<'s: 'a, 'n: 'a, 'a>(
                &'s self,
                namespace: &'n Namespace,
            ) -> Answer<'a, Result<Arc<Models>>>
            where
                Self: 'a,
            {
                self.inner.models(namespace)
            }

            fn tokens<'s: 'a, 'a>(&'s self) -> Answer<'a, Result<Arc<AccessTokens>>>
            where
                Self: 'a,
            {
                self.inner.tokens()
            }
        }
    };
}

metered! {
    submit(namespace: &Namespace, jobs: Vec<NewJob>) -> Vec<JobId>;
    register() -> Lease;
    renew(lease: Lease) -> ();
    cycle(lease: Lease, step: Arc<Step>) -> Cycle;
    reap() -> usize;
    report(lease: Lease, reports: Vec<(Token, Report)>) -> ();
    park(lease: Lease, token: &Token, awaited: &[JobId]) -> Parked;
    unpark(lease: Lease, token: &Token) -> ();
    cancel(namespace: &Namespace, id: JobId) -> Cancelled;
    list(namespace: &Namespace, filter: &Arc<JobFilter>, before: Option<JobId>, want: usize) -> JobPage;
    retry(namespace: &Namespace, ids: &[JobId], which: Retriable) -> Vec<Retried>;
    forget(namespace: &Namespace, ids: &[JobId]) -> usize;
    versions(namespace: &Namespace, function: &FunctionName, before: Option<u32>, want: usize) -> Vec<Arc<Deployment>>;
    job(namespace: &Namespace, id: JobId) -> Option<JobRecord>;
    outcomes(namespace: &Namespace, ids: &[JobId], max_bytes: u64) -> Vec<Outcome>;
    children(namespace: &Namespace, id: JobId, after: JobId, want: usize) -> Vec<JobId>;
    log(namespace: &Namespace, id: JobId) -> AttemptLog;
    watch(namespace: &Namespace, id: JobId) -> Watch;
    take_callbacks(want: usize) -> Vec<Callback>;
    called_back(callback: &Callback, delivery: Delivery, again_in_ms: Option<u64>) -> ();
    put_data(namespace: &Namespace, key: &str, data: Bytes, expires_at_ms: Option<u64>) -> ();
    data(namespace: &Namespace, key: &str) -> Option<Bytes>;
    put_blob(digest: Digest, bytes: Bytes) -> ();
    blob(digest: Digest) -> Option<Bytes>;
    put_model(namespace: &Namespace, model: NewModel) -> Arc<Model>;
    remove_model(namespace: &Namespace, name: &ModelName) -> bool;
    models_now(namespace: &Namespace) -> Arc<Models>;
    model_versions(namespace: &Namespace, name: &ModelName) -> Vec<Arc<Model>>;
    deploy(namespace: &Namespace, functions: Vec<NewDeployment>) -> Vec<Arc<Deployment>>;
    undeploy(namespace: &Namespace, functions: &[FunctionName]) -> usize;
    functions_now(namespace: &Namespace) -> Arc<Functions>;
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
    put_token(token: &StoredToken) -> bool;
    revoke_token(id: TokenId) -> bool;
    tokens_now() -> Arc<AccessTokens>;
    sweep() -> usize;
}

/// See the module.
pub struct Metered {
    inner: Arc<dyn Store>,
    meters: Meters,
}

impl Metered {
    /// Measures a store.
    pub fn new(inner: Arc<dyn Store>, metrics: &Metrics) -> Self {
        let meters = Meters::new(metrics);
        Self { inner, meters }
    }
}

impl std::fmt::Debug for Metered {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Metered").finish_non_exhaustive()
    }
}
