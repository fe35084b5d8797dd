//! The store's calls.

use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use uuid::Uuid;

use crate::job::{Digest, FunctionName, JobId, JobRecord, Namespace, NewJob};
use crate::store::{
    AttemptLog, Cancelled, Cycle, Deployment, Functions, Lease, NewDeployment, Parcel, QueueStatus,
    Report, Result, Step, Store, StoreError, Stored, Token,
};

use super::EmbeddedStore;
use super::administer::{Pause, Purge, Release, Rezero, Status};
use super::cancel::Cancel;
use super::claim::RunCycle;
use super::data::{PutComponent, PutData, Sweep};
use super::deploy::{Deploy, Undeploy};
use super::lease::{Reap, Register, Renew};
use super::read;
use super::submit::Submit;
use super::transfer::{Hold, LetGo, Peek};
use super::writer::now_ms;

/// The longest sleep until a scheduled job is due: then the clock, which may
/// have been set, is looked at again.
const LONGEST_SLEEP: Duration = Duration::from_secs(60);

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
                return Err(StoreError::Unavailable(
                    "the store's writer has stopped".into(),
                ));
            }
            let told = self.shared.hosts().get(&lease.incarnation).copied();
            if told.ok_or(StoreError::LeaseLost)? || (want > 0 && self.shared.may_claim()) {
                return Ok(());
            }
            let Some(due) = self.shared.next_due().filter(|_| want > 0) else {
                rung.await;
                continue;
            };
            let pause = Duration::from_millis(due.saturating_sub(now_ms()));
            if pause.is_zero() {
                return Ok(());
            }
            tokio::select! {
                () = rung => {}
                () = tokio::time::sleep(pause.min(LONGEST_SLEEP)) => {}
            }
        }
    }

    async fn reap(&self) -> Result<usize> {
        self.write(Reap).await
    }

    async fn report(&self, lease: Lease, reports: Vec<(Token, Report)>) -> Result<()> {
        for (token, report) in reports {
            let Some(key) = self.shared.key(&token.namespace, token.id) else {
                continue;
            };
            if let Some(running) = self.shared.running().get_mut(&key) {
                let held = running.incarnation == lease.incarnation;
                if held && running.attempt == token.attempt && !running.over {
                    running.progress = report.progress.or(running.progress.take());
                }
            }
        }
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

    async fn output(&self, namespace: &Namespace, id: JobId) -> Result<Option<Stored>> {
        let Some(key) = self.shared.key(namespace, id) else {
            return Ok(None);
        };
        self.readers.read(move |db| read::output(db, key)).await
    }

    async fn log(&self, namespace: &Namespace, id: JobId) -> Result<AttemptLog> {
        let Some(key) = self.shared.key(namespace, id) else {
            return Ok(AttemptLog::default());
        };
        let lines = self.readers.read(move |db| read::log(db, key)).await?;
        Ok(AttemptLog { attempt: 0, lines })
    }

    async fn ended(&self, namespace: &Namespace, id: JobId) -> Result<()> {
        let Some(key) = self.shared.key(namespace, id) else {
            return Ok(());
        };
        // Listen first, then look: an end in between rings.
        let waiter = self.shared.wait_for(key);
        let mut ended = pin!(waiter.bell().notified());
        ended.as_mut().enable();
        if self.readers.read(move |db| read::is_open(db, key)).await? {
            ended.await;
        }
        Ok(())
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

    async fn put_component(&self, digest: Digest, bytes: Bytes) -> Result<()> {
        self.write(PutComponent { digest, bytes }).await
    }

    async fn component(&self, digest: Digest) -> Result<Option<Bytes>> {
        self.readers
            .read(move |db| read::component(db, digest))
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

    async fn status(&self, namespace: &Namespace) -> Result<QueueStatus> {
        self.write(Status(namespace.clone())).await
    }

    async fn pause(&self, namespace: &Namespace, paused: bool) -> Result<()> {
        let namespace = namespace.clone();
        self.write(Pause { namespace, paused }).await
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

    async fn sweep(&self) -> Result<usize> {
        self.write(Sweep).await
    }
}
