//! The store's calls.

use std::num::NonZeroU32;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use uuid::Uuid;

use crate::access::{AccessTokens, StoredToken, TokenId};
use crate::job::{Delivery, Digest, FunctionName, JobId, JobRecord, ModelName, Namespace, NewJob};
use crate::store::blob::chunks;
use crate::store::recent::merge;
use crate::store::{
    AttemptLog, Callback, Cancelled, Cycle, Deployment, Functions, Given, JobFilter, JobPage,
    Lease, Model, Models, NewDeployment, NewModel, Outcome, Overview, Parcel, Parked, QueueStatus,
    Report, Result, Retriable, Retried, Step, Store, StoreError, Token, Watch,
};

use super::administer::{Overlook, Pause, Purge, Release, Rezero, SetConcurrency, Status};
use super::again::{Forget, Retry};
use super::blobs::{PutChunk, blob};
use super::callbacks::{CalledBack, TakeCallbacks};
use super::cancel::Cancel;
use super::children::children;
use super::claim::RunCycle;
use super::data::{PutData, Sweep};
use super::deploy::{Deploy, Undeploy, versions};
use super::key::Key;
use super::lease::{Reap, Register, Renew};
use super::list::list;
use super::models;
use super::models::{PutModel, RemoveModel};
use super::parking::over;
use super::read;
use super::submit::Submit;
use super::tokens::{PutToken, RevokeToken};
use super::transfer::{Hold, LetGo, Peek};
use super::writer::now_ms;
use super::{EmbeddedStore, stopped};

/// The longest sleep until a scheduled job is due: then the clock, which may
/// have been set, is looked at again.
const LONGEST_SLEEP: Duration = Duration::from_secs(60);

/// Resolves when the bell rings or some time later; answers whether it is time.
async fn until(due_ms: Option<u64>, rung: impl Future<Output = ()>) -> bool {
    let Some(due_ms) = due_ms else {
        rung.await;
        return false;
    };
    let pause = Duration::from_millis(due_ms.saturating_sub(now_ms()));
    if pause.is_zero() {
        return true;
    }
    tokio::select! {
        () = rung => {}
        () = tokio::time::sleep(pause.min(LONGEST_SLEEP)) => {}
    }
    false
}

#[async_trait]
impl Store for EmbeddedStore {
    fn lease(&self) -> Duration {
        self.lease
    }

    async fn submit(&self, namespace: &Namespace, jobs: Vec<NewJob>) -> Result<Vec<JobId>> {
        self.write(Submit::new(namespace.clone(), jobs)?).await
    }

    async fn register(&self) -> Result<Lease> {
        self.write(Register(Uuid::new_v4())).await
    }

    async fn renew(&self, lease: Lease) -> Result<()> {
        self.write(Renew(lease)).await
    }

    async fn cycle(&self, lease: Lease, step: Arc<Step>) -> Result<Cycle> {
        self.write(RunCycle { lease, step }).await
    }

    async fn wake(&self, lease: Lease, want: usize) -> Result<()> {
        loop {
            // Listen first, then look: what happens in between rings.
            let mut rung = pin!(self.shared.bell().notified());
            rung.as_mut().enable();
            if self.shared.is_closed() {
                return Err(stopped());
            }
            let told = (self.shared.hosts().get(&lease.incarnation)).map(|told| told.cancels);
            if told.ok_or(StoreError::LeaseLost)? || (want > 0 && self.shared.may_claim()) {
                return Ok(());
            }
            if until(self.shared.next_due().filter(|_| want > 0), rung).await {
                return Ok(());
            }
        }
    }

    async fn given(&self, lease: Lease, had: u64) -> Result<Given> {
        loop {
            // Listen first, then look: what happens in between rings.
            let mut rung = pin!(self.shared.gifts().notified());
            rung.as_mut().enable();
            if self.shared.is_closed() {
                return Err(stopped());
            }
            let given = {
                let mut hosts = self.shared.hosts();
                let told = hosts.get_mut(&lease.incarnation);
                told.ok_or(StoreError::LeaseLost)?.gifts.since(had)
            };
            if !given.jobs.is_empty() {
                return Ok(given);
            }
            rung.await;
        }
    }

    async fn reap(&self) -> Result<usize> {
        self.write(Reap).await
    }

    async fn report(&self, lease: Lease, reports: Vec<(Token, Report)>) -> Result<()> {
        for (token, report) in reports {
            self.shared.report(lease, &token, report);
        }
        Ok(())
    }

    async fn park(&self, lease: Lease, token: &Token, awaited: &[JobId]) -> Result<Parked> {
        self.begin_to_wait(lease, token, awaited).await
    }

    async fn unpark(&self, lease: Lease, token: &Token) -> Result<()> {
        self.shared.unpark(lease, token);
        Ok(())
    }

    async fn cancel(&self, namespace: &Namespace, id: JobId) -> Result<Cancelled> {
        self.write(Cancel {
            namespace: namespace.clone(),
            id,
        })
        .await
    }

    async fn job(&self, namespace: &Namespace, id: JobId) -> Result<Option<JobRecord>> {
        let Some(key) = self.shared.key(namespace, id) else {
            return Ok(None);
        };
        let namespace = namespace.clone();
        let running = self.shared.running().get(&key).cloned();
        self.readers
            .read(move |db| read::job(db, namespace, key, running))
            .await
    }

    async fn outcomes(
        &self,
        namespace: &Namespace,
        ids: &[JobId],
        max_bytes: u64,
    ) -> Result<Vec<Outcome>> {
        let Some(info) = self.shared.namespace(namespace) else {
            return Ok(vec![Outcome::Unknown; ids.len()]);
        };
        let keys = ids.iter().map(|id| Key::new(info.number, *id));
        let keys: Vec<_> = keys.collect();
        let mut here = vec![None; ids.len()];
        let others = self.shared.recent().take(&keys, |key| key, &mut here);
        let read = self.read_outcomes(others.into(), max_bytes).await?;
        Ok(merge(here, read, max_bytes))
    }

    async fn children(
        &self,
        namespace: &Namespace,
        id: JobId,
        after: JobId,
        want: usize,
    ) -> Result<Vec<JobId>> {
        let Some(key) = self.shared.key(namespace, id) else {
            return Ok(Vec::new());
        };
        self.readers
            .read(move |db| children(db, key, after, want))
            .await
    }

    async fn list(
        &self,
        namespace: &Namespace,
        filter: &Arc<JobFilter>,
        before: Option<JobId>,
        want: usize,
    ) -> Result<JobPage> {
        let Some(info) = self.shared.namespace(namespace) else {
            return Ok(JobPage::default());
        };
        let (shared, filter) = (self.shared.clone(), filter.clone());
        self.readers
            .read(move |db| list(db, &shared, &info, &filter, before, want))
            .await
    }

    async fn retry(
        &self,
        namespace: &Namespace,
        ids: &[JobId],
        which: Retriable,
    ) -> Result<Vec<Retried>> {
        self.write(Retry {
            namespace: namespace.clone(),
            ids: ids.to_vec(),
            which,
        })
        .await
    }

    async fn forget(&self, namespace: &Namespace, ids: &[JobId]) -> Result<usize> {
        self.write(Forget {
            namespace: namespace.clone(),
            ids: ids.to_vec(),
        })
        .await
    }

    async fn log(&self, namespace: &Namespace, id: JobId) -> Result<AttemptLog> {
        let Some(key) = self.shared.key(namespace, id) else {
            return Ok(AttemptLog::default());
        };
        if let Some(log) = self.shared.live_log(key) {
            return Ok(log);
        }
        self.readers.read(move |db| read::log(db, key)).await
    }

    async fn watch(&self, namespace: &Namespace, id: JobId) -> Result<Watch> {
        Ok(self.shared.newsroom().subscribe(namespace, id))
    }

    async fn ended(&self, namespace: &Namespace, id: JobId) -> Result<()> {
        let Some(key) = self.shared.key(namespace, id) else {
            return Ok(());
        };
        // Listen first, then look: an end in between rings.
        let wait = self.shared.waiters().subscribe([key]);
        self.look(&wait).await?;
        over(self.shared.clone(), wait).await
    }

    async fn take_callbacks(&self, want: usize) -> Result<Vec<Callback>> {
        self.write(TakeCallbacks(want)).await
    }

    async fn called_back(
        &self,
        callback: &Callback,
        delivery: Delivery,
        again_in_ms: Option<u64>,
    ) -> Result<()> {
        self.write(CalledBack {
            callback: callback.clone(),
            delivery,
            again_in_ms,
        })
        .await
    }

    async fn callback_due(&self) -> Result<()> {
        loop {
            // Listen first, then look: what happens in between rings.
            let mut rung = pin!(self.shared.outbox().notified());
            rung.as_mut().enable();
            if self.shared.is_closed() {
                return Err(stopped());
            }
            if until(self.shared.next_callback(), rung).await {
                return Ok(());
            }
        }
    }

    async fn put_data(
        &self,
        namespace: &Namespace,
        key: &str,
        data: Bytes,
        expires_at_ms: Option<u64>,
    ) -> Result<()> {
        let namespace = namespace.clone();
        self.write(PutData {
            namespace,
            key: key.to_owned(),
            data,
            expires_at_ms,
        })
        .await
    }

    async fn data(&self, namespace: &Namespace, key: &str) -> Result<Option<Bytes>> {
        let Some(info) = self.shared.namespace(namespace) else {
            return Ok(None);
        };
        let key = key.to_owned();
        self.readers
            .read(move |db| read::data(db, info.number, &key))
            .await
    }

    async fn put_blob(&self, digest: Digest, bytes: Bytes) -> Result<()> {
        let chunks = chunks(&bytes);
        let of = chunks.len();
        for (place, bytes) in chunks.into_iter().enumerate() {
            let chunk = PutChunk {
                digest,
                place,
                of,
                bytes,
            };
            self.write(chunk).await?;
        }
        Ok(())
    }

    async fn blob(&self, digest: Digest) -> Result<Option<Bytes>> {
        self.readers.read(move |db| blob(db, digest)).await
    }

    async fn put_model(&self, namespace: &Namespace, model: NewModel) -> Result<Arc<Model>> {
        let namespace = namespace.clone();
        self.write(PutModel { namespace, model }).await
    }

    async fn remove_model(&self, namespace: &Namespace, name: &ModelName) -> Result<bool> {
        let (namespace, name) = (namespace.clone(), name.clone());
        self.write(RemoveModel { namespace, name }).await
    }

    async fn models(&self, namespace: &Namespace) -> Result<Arc<Models>> {
        let info = self.shared.namespace(namespace);
        Ok(info.map(|info| info.models()).unwrap_or_default())
    }

    async fn model_versions(
        &self,
        namespace: &Namespace,
        name: &ModelName,
    ) -> Result<Vec<Arc<Model>>> {
        let Some(info) = self.shared.namespace(namespace) else {
            return Ok(Vec::new());
        };
        let name = name.clone();
        self.readers
            .read(move |db| models::versions(db, info.number, &name))
            .await
    }

    async fn deploy(
        &self,
        namespace: &Namespace,
        functions: Vec<NewDeployment>,
    ) -> Result<Vec<Arc<Deployment>>> {
        self.write(Deploy {
            namespace: namespace.clone(),
            functions,
        })
        .await
    }

    async fn undeploy(&self, namespace: &Namespace, functions: &[FunctionName]) -> Result<usize> {
        let functions = functions.to_vec();
        self.write(Undeploy {
            namespace: namespace.clone(),
            functions,
        })
        .await
    }

    async fn functions(&self, namespace: &Namespace) -> Result<Arc<Functions>> {
        let info = self.shared.namespace(namespace);
        Ok(info.map(|info| info.functions()).unwrap_or_default())
    }

    async fn versions(
        &self,
        namespace: &Namespace,
        function: &FunctionName,
        before: Option<u32>,
        want: usize,
    ) -> Result<Vec<Arc<Deployment>>> {
        let Some(info) = self.shared.namespace(namespace) else {
            return Ok(Vec::new());
        };
        let function = function.clone();
        self.readers
            .read(move |db| versions(db, info.number, &function, before, want))
            .await
    }

    async fn status(&self, namespace: &Namespace) -> Result<QueueStatus> {
        self.write(Status(namespace.clone())).await
    }

    async fn overview(&self) -> Result<Overview> {
        self.write(Overlook).await
    }

    async fn pause(&self, namespace: &Namespace, paused: bool) -> Result<()> {
        let namespace = namespace.clone();
        self.write(Pause { namespace, paused }).await
    }

    async fn set_concurrency(
        &self,
        namespace: &Namespace,
        limit: Option<NonZeroU32>,
    ) -> Result<()> {
        let namespace = namespace.clone();
        self.write(SetConcurrency { namespace, limit }).await
    }

    async fn release(&self, namespace: &Namespace) -> Result<usize> {
        self.write(Release(namespace.clone())).await
    }

    async fn rezero(&self, namespace: &Namespace) -> Result<()> {
        self.write(Rezero(namespace.clone())).await
    }

    async fn purge(&self, namespace: &Namespace) -> Result<usize> {
        let mut purged = 0;
        let mut rest = Some(Purge::all(namespace.clone()));
        while let Some(part) = rest {
            let (count, next) = self.write(part).await?;
            purged += count;
            rest = next;
        }
        Ok(purged)
    }

    async fn store_id(&self) -> Result<Uuid> {
        Ok(self.id)
    }

    async fn hold(&self, namespace: &Namespace, mover: Uuid, want: usize) -> Result<Vec<Parcel>> {
        let namespace = namespace.clone();
        let store = self.id;
        self.write(Hold {
            store,
            namespace,
            mover,
            want,
        })
        .await
    }

    async fn let_go(
        &self,
        namespace: &Namespace,
        mover: Uuid,
        moved: Vec<(JobId, String)>,
    ) -> Result<usize> {
        let namespace = namespace.clone();
        self.write(LetGo {
            namespace,
            mover,
            moved,
        })
        .await
    }

    async fn peek(&self, namespace: &Namespace, after: JobId, want: usize) -> Result<Vec<Parcel>> {
        let namespace = namespace.clone();
        let store = self.id;
        self.write(Peek {
            store,
            namespace,
            after,
            want,
        })
        .await
    }

    async fn deliver(&self, namespace: &Namespace, parcels: Vec<Parcel>) -> Result<Vec<JobId>> {
        let delivery = Submit::parcels(namespace.clone(), parcels)?;
        self.write(delivery).await
    }

    async fn put_token(&self, token: &StoredToken) -> Result<bool> {
        self.write(PutToken(token.clone())).await
    }

    async fn revoke_token(&self, id: TokenId) -> Result<bool> {
        self.write(RevokeToken(id)).await
    }

    async fn tokens(&self) -> Result<Arc<AccessTokens>> {
        Ok(self.shared.tokens())
    }

    async fn sweep(&self) -> Result<usize> {
        self.write(Sweep).await
    }
}
