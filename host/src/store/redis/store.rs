//! The store's calls.

use std::num::NonZeroU32;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use async_trait::async_trait;
use bytes::Bytes;
use uuid::Uuid;

use crate::access::{AccessTokens, StoredToken, TokenId};
use crate::job::{
    Cause, Delivery, Digest, FunctionName, JobId, JobRecord, ModelName, Namespace, NewJob,
};
use crate::store::record::{Ended, Fate};
use crate::store::{
    AttemptLog, Callback, Cancelled, Cycle, Deployment, Functions, Given, JobFilter, JobPage,
    Lease, Model, Models, NewDeployment, NewModel, Outcome, Overview, Parcel, Parked, QueueStatus,
    Report, Result, Retriable, Retried, Step, Store, StoreError, Token, Watch,
};

use super::posted::{decode_past, encode_end};
use super::reply::{self, Reply};
use super::shared::{Host, NEVER, Shared};
use super::{RedisStore, script};

/// The longest sleep until a delayed job is due: then the clocks are compared again.
const LONGEST_SLEEP: Duration = Duration::from_secs(60);

/// How many results one sweep drops: a few milliseconds of Redis's time.
const SWEPT: usize = 256;

/// Counts an incarnation as one that sleeps and wants jobs.
struct Hungry<'a>(&'a Shared);

impl<'a> Hungry<'a> {
    fn new(shared: &'a Shared) -> Self {
        if shared.hungry.fetch_add(1, Ordering::SeqCst) == 0 {
            shared.hunger.notify_waiters();
        }
        Self(shared)
    }
}

impl Drop for Hungry<'_> {
    fn drop(&mut self) {
        self.0.hungry.fetch_sub(1, Ordering::SeqCst);
    }
}

impl RedisStore {
    /// The past attempts of jobs as they are stored; nothing where there are none.
    pub(super) async fn pasts(&self, namespace: &Namespace, ids: &[JobId]) -> Result<Vec<Vec<u8>>> {
        let mut command = redis::cmd("MGET");
        for id in ids {
            command.arg(self.link.key(&format!("h:{namespace}/{id}")));
        }
        let mut answer = Reply::new(self.link.send(&command).await?)?;
        ids.iter().map(|_| answer.maybe_bytes()).collect()
    }

    /// What is to be recorded when a job ends that waits: somebody cancelled it, unless
    /// there is a cause.
    pub(super) fn end_of_waiting(
        &self,
        id: JobId,
        past: &[u8],
        cause: Option<Cause>,
    ) -> Result<Vec<u8>> {
        let ended = Ended {
            fate: Fate::Cancelled,
            ended_at_ms: self.shared.clock.now_ms(),
            attempts: decode_past(id, past)?,
            short_result: None,
            content_type: None,
            result_bytes: None,
            expires_at_ms: None,
            cancel_requested: cause.is_none(),
            cause,
        };
        encode_end(&ended, None)
    }
}

#[async_trait]
impl Store for RedisStore {
    fn lease(&self) -> Duration {
        self.lease
    }

    async fn submit(&self, namespace: &Namespace, jobs: Vec<NewJob>) -> Result<Vec<JobId>> {
        self.gatherer.accept(namespace, jobs).await
    }

    async fn register(&self) -> Result<Lease> {
        let incarnation = Uuid::new_v4();
        let mut command = self.link.command(script::REGISTER);
        command.arg(incarnation.to_string()).arg(self.lease_ms());
        self.link.run(script::REGISTER, &command).await?;
        self.shared.hosts().insert(incarnation, Host::default());
        Ok(Lease { incarnation })
    }

    async fn renew(&self, lease: Lease) -> Result<()> {
        let mut command = self.link.command(script::RENEW);
        command
            .arg(lease.incarnation.to_string())
            .arg(self.lease_ms());
        match reply::number(self.link.run(script::RENEW, &command).await?)? {
            0 => {
                self.shared.lost(lease.incarnation);
                Err(StoreError::LeaseLost)
            }
            _ => Ok(()),
        }
    }

    async fn cycle(&self, lease: Lease, step: Arc<Step>) -> Result<Cycle> {
        self.make_step(lease, &step).await
    }

    async fn wake(&self, lease: Lease, want: usize) -> Result<()> {
        let _hungry = (want > 0).then(|| Hungry::new(&self.shared));
        loop {
            // Listen first, then look: what happens in between rings.
            let mut rung = pin!(self.shared.bell().notified());
            rung.as_mut().enable();
            let told = {
                let hosts = self.shared.hosts();
                let host = hosts.get(&lease.incarnation).ok_or(StoreError::LeaseLost)?;
                host.is_to_look()
            };
            if told || (want > 0 && self.shared.may_claim()) {
                return Ok(());
            }
            let due = self.shared.next_due();
            if want == 0 || due == NEVER {
                rung.await;
                continue;
            }
            let pause = Duration::from_millis(due.saturating_sub(self.shared.clock.now_ms()));
            if pause.is_zero() {
                return Ok(());
            }
            tokio::select! {
                () = rung => {}
                () = tokio::time::sleep(pause.min(LONGEST_SLEEP)) => {}
            }
        }
    }

    async fn given(&self, lease: Lease, had: u64) -> Result<Given> {
        self.gifts(lease, had).await
    }

    async fn reap(&self) -> Result<usize> {
        self.take_back().await
    }

    async fn report(&self, lease: Lease, reports: Vec<(Token, Report)>) -> Result<()> {
        self.note_reports(lease, &reports).await
    }

    async fn park(&self, lease: Lease, token: &Token, awaited: &[JobId]) -> Result<Parked> {
        self.begin_wait(lease, token, awaited).await
    }

    async fn unpark(&self, lease: Lease, token: &Token) -> Result<()> {
        self.leave_wait(lease, token).await
    }

    async fn cancel(&self, namespace: &Namespace, id: JobId) -> Result<Cancelled> {
        loop {
            let past = self
                .pasts(namespace, &[id])
                .await?
                .pop()
                .unwrap_or_default();
            let end = self.end_of_waiting(id, &past, None)?;
            let mut command = self.link.command(script::CANCEL);
            command.arg(namespace.as_str()).arg(id.0).arg(past).arg(end);
            let answer = reply::text(self.link.run(script::CANCEL, &command).await?)?;
            match answer.as_str() {
                "unknown" => return Ok(Cancelled::Unknown),
                "ended" => return Ok(Cancelled::HadEnded),
                "done" => return Ok(Cancelled::Done),
                "called" => {
                    self.shared.callbacks.ring();
                    return Ok(Cancelled::Done);
                }
                "requested" => {
                    // Others hear of it by the event.
                    self.shared.stop(namespace, id);
                    return Ok(Cancelled::Requested);
                }
                // An attempt has ended in between.
                _ => {}
            }
        }
    }

    async fn job(&self, namespace: &Namespace, id: JobId) -> Result<Option<JobRecord>> {
        self.read_job(namespace, id).await
    }

    async fn outcomes(
        &self,
        namespace: &Namespace,
        ids: &[JobId],
        max_bytes: u64,
    ) -> Result<Vec<Outcome>> {
        self.find_outcomes(namespace, ids, max_bytes).await
    }

    async fn children(
        &self,
        namespace: &Namespace,
        id: JobId,
        after: JobId,
        want: usize,
    ) -> Result<Vec<JobId>> {
        self.read_children(namespace, id, after, want).await
    }

    async fn list(
        &self,
        namespace: &Namespace,
        filter: &Arc<JobFilter>,
        before: Option<JobId>,
        want: usize,
    ) -> Result<JobPage> {
        self.read_list(namespace, filter, before, want).await
    }

    async fn retry(
        &self,
        namespace: &Namespace,
        ids: &[JobId],
        which: Retriable,
    ) -> Result<Vec<Retried>> {
        self.run_again(namespace, ids, which).await
    }

    async fn forget(&self, namespace: &Namespace, ids: &[JobId]) -> Result<usize> {
        self.forget_dead(namespace, ids).await
    }

    async fn log(&self, namespace: &Namespace, id: JobId) -> Result<AttemptLog> {
        self.read_log(namespace, id).await
    }

    async fn watch(&self, namespace: &Namespace, id: JobId) -> Result<Watch> {
        self.begin_watch(namespace, id).await
    }

    async fn ended(&self, namespace: &Namespace, id: JobId) -> Result<()> {
        self.has_ended(namespace, id).await
    }

    async fn take_callbacks(&self, want: usize) -> Result<Vec<Callback>> {
        self.take_due(want).await
    }

    async fn called_back(
        &self,
        callback: &Callback,
        delivery: Delivery,
        again_in_ms: Option<u64>,
    ) -> Result<()> {
        self.note_delivery(callback, &delivery, again_in_ms).await
    }

    async fn callback_due(&self) -> Result<()> {
        self.shared.callbacks.rung(&self.shared.clock).await;
        Ok(())
    }

    async fn put_data(
        &self,
        namespace: &Namespace,
        key: &str,
        data: Bytes,
        expires_at_ms: Option<u64>,
    ) -> Result<()> {
        let mut command = redis::cmd("SET");
        command
            .arg(self.link.key(&format!("n:{namespace}:x:{key}")))
            .arg(&*data);
        if let Some(at) = expires_at_ms {
            command
                .arg("PXAT")
                .arg(at.clamp(1, i64::MAX.unsigned_abs()));
        }
        self.link.send(&command).await.map(drop)
    }

    async fn data(&self, namespace: &Namespace, key: &str) -> Result<Option<Bytes>> {
        let found = self.get(&format!("n:{namespace}:x:{key}")).await?;
        Ok(found.map(Bytes::from))
    }

    async fn put_blob(&self, digest: Digest, bytes: Bytes) -> Result<()> {
        self.write_blob(digest, &bytes).await
    }

    async fn blob(&self, digest: Digest) -> Result<Option<Bytes>> {
        self.read_blob(digest).await
    }

    async fn put_model(&self, namespace: &Namespace, model: NewModel) -> Result<Arc<Model>> {
        self.add_model(namespace, &model).await
    }

    async fn remove_model(&self, namespace: &Namespace, name: &ModelName) -> Result<bool> {
        self.drop_model(namespace, name).await
    }

    async fn models(&self, namespace: &Namespace) -> Result<Arc<Models>> {
        self.known_models(namespace).await
    }

    async fn models_now(&self, namespace: &Namespace) -> Result<Arc<Models>> {
        self.read_models(namespace).await
    }

    async fn model_versions(
        &self,
        namespace: &Namespace,
        name: &ModelName,
    ) -> Result<Vec<Arc<Model>>> {
        self.read_model_versions(namespace, name).await
    }

    async fn deploy(
        &self,
        namespace: &Namespace,
        functions: Vec<NewDeployment>,
    ) -> Result<Vec<Arc<Deployment>>> {
        self.bind(namespace, functions).await
    }

    async fn undeploy(&self, namespace: &Namespace, functions: &[FunctionName]) -> Result<usize> {
        self.unbind(namespace, functions).await
    }

    async fn functions(&self, namespace: &Namespace) -> Result<Arc<Functions>> {
        self.bound(namespace).await
    }

    async fn functions_now(&self, namespace: &Namespace) -> Result<Arc<Functions>> {
        self.bound_now(namespace).await
    }

    async fn versions(
        &self,
        namespace: &Namespace,
        function: &FunctionName,
        before: Option<u32>,
        want: usize,
    ) -> Result<Vec<Arc<Deployment>>> {
        self.read_versions(namespace, function, before, want).await
    }

    async fn put_token(&self, token: &StoredToken) -> Result<bool> {
        self.keep_token(token).await
    }

    async fn revoke_token(&self, id: TokenId) -> Result<bool> {
        self.forget_token(id).await
    }

    async fn tokens(&self) -> Result<Arc<AccessTokens>> {
        self.fresh_tokens().await
    }

    async fn tokens_now(&self) -> Result<Arc<AccessTokens>> {
        self.tokens_since(Instant::now()).await
    }

    async fn sweep(&self) -> Result<usize> {
        let mut command = self.link.command(script::SWEEP);
        command.arg(SWEPT);
        let dropped = reply::number(self.link.run(script::SWEEP, &command).await?)?;
        Ok(usize::try_from(dropped).unwrap_or(usize::MAX))
    }

    async fn status(&self, namespace: &Namespace) -> Result<QueueStatus> {
        self.read_status(namespace).await
    }

    async fn overview(&self) -> Result<Overview> {
        self.read_overview().await
    }

    async fn pause(&self, namespace: &Namespace, paused: bool) -> Result<()> {
        self.set_paused(namespace, paused).await
    }

    async fn release(&self, namespace: &Namespace) -> Result<usize> {
        Ok(self.release_running(namespace).await? + self.release_held(namespace).await?)
    }

    async fn set_concurrency(
        &self,
        namespace: &Namespace,
        limit: Option<NonZeroU32>,
    ) -> Result<()> {
        self.set_limit(namespace, limit).await
    }

    async fn rezero(&self, namespace: &Namespace) -> Result<()> {
        let mut command = self.link.command(script::REZERO);
        command.arg(namespace.as_str());
        self.link.run(script::REZERO, &command).await.map(drop)
    }

    async fn purge(&self, namespace: &Namespace) -> Result<usize> {
        let purged = self.purge_waiting(namespace).await?;
        self.rezero(namespace).await?;
        Ok(purged)
    }

    async fn store_id(&self) -> Result<Uuid> {
        let mut command = redis::cmd("HGET");
        command.arg(self.link.key("meta")).arg("id");
        let id = reply::text(self.link.send(&command).await?)?;
        (id.parse()).map_err(|_| StoreError::Unreadable(format!("the store's id is {id:?}")))
    }

    async fn hold(&self, namespace: &Namespace, mover: Uuid, want: usize) -> Result<Vec<Parcel>> {
        let mut parcels = self.parcels(namespace, JobId(0), Some(mover), want).await?;
        parcels.sort_unstable_by_key(|parcel| parcel.origin.id);
        Ok(parcels)
    }

    async fn let_go(
        &self,
        namespace: &Namespace,
        mover: Uuid,
        moved: Vec<(JobId, String)>,
    ) -> Result<usize> {
        self.end_moved(namespace, mover, moved).await
    }

    async fn peek(&self, namespace: &Namespace, after: JobId, want: usize) -> Result<Vec<Parcel>> {
        self.parcels(namespace, after, None, want).await
    }

    async fn deliver(&self, namespace: &Namespace, parcels: Vec<Parcel>) -> Result<Vec<JobId>> {
        self.accept_parcels(namespace, &parcels).await
    }
}
