//! Carries a namespace's models, functions and waiting jobs from one store to another.
//!
//! A process that does it may be killed at any instant: run again, it goes on
//! where it stopped, and each job is in one place only ([`store::Parcel`] says
//! how). What runs or has ended stays where it is.
//!
//! [`store::Parcel`]: crate::store::Parcel

use std::sync::Arc;

use uuid::Uuid;

use crate::job::{FunctionName, JobId, ModelName, Namespace};
use crate::store::{NewDeployment, NewModel, Parcel, Store, StoreError, mover};

/// Jobs that travel together: enough to share the price of three commits, few
/// enough that a bar moves and a kill has little to repeat.
const BATCH: usize = 256;

/// Why a move did not come to its end. It can be run again.
#[derive(Debug, thiserror::Error)]
pub enum MoveError {
    /// The source failed.
    #[error("the source: {0}")]
    Source(#[source] StoreError),
    /// The destination failed.
    #[error("the destination: {0}")]
    Destination(#[source] StoreError),
    /// Both are one store.
    #[error(
        "the source and the destination are the same store, or one is a copy of the other's files; move to a store that skep made itself"
    )]
    SameStore,
    /// A function's component is missing.
    #[error(
        "the source has no component for the function {0}; deploy it anew, or undeploy it there"
    )]
    NoComponent(FunctionName),
    /// A model's content is missing.
    #[error("the source has no content for the model {0}; add it anew, or remove it there")]
    NoModel(ModelName),
}

/// A way from one store to another.
pub struct Transfer {
    source: Arc<dyn Store>,
    destination: Arc<dyn Store>,
    namespace: Namespace,
    /// Names the destination on the records of what left.
    name: String,
    mover: Uuid,
}

impl Transfer {
    /// A transfer of a namespace; `name` is what records call the destination.
    ///
    /// # Errors
    ///
    /// If both are the same store, or do not answer.
    pub async fn new(
        source: Arc<dyn Store>,
        destination: Arc<dyn Store>,
        namespace: Namespace,
        name: String,
    ) -> Result<Self, MoveError> {
        let from = source.store_id().await.map_err(MoveError::Source)?;
        let to = destination.store_id().await;
        let to = to.map_err(MoveError::Destination)?;
        if from == to {
            return Err(MoveError::SameStore);
        }
        Ok(Self {
            source,
            destination,
            namespace,
            name,
            mover: mover(from, to),
        })
    }

    /// Deploys the functions that the destination lacks, so that the jobs can run
    /// there; answers their names. Those that it has stay as they are.
    ///
    /// # Errors
    ///
    /// Those of the stores; a component may be missing.
    pub async fn functions(&self) -> Result<Vec<FunctionName>, MoveError> {
        let here = self.source.functions(&self.namespace).await;
        let here = here.map_err(MoveError::Source)?;
        let there = self.destination.functions(&self.namespace).await;
        let there = there.map_err(MoveError::Destination)?;
        let lacks = |name| there.iter().all(|other| &other.function != name);
        let mut carried = Vec::new();
        for function in here.iter().filter(|one| lacks(&one.function)) {
            let component = self.source.blob(function.component).await;
            let component = component.map_err(MoveError::Source)?;
            let component =
                component.ok_or_else(|| MoveError::NoComponent(function.function.clone()))?;
            let deployment = NewDeployment {
                function: function.function.clone(),
                component: function.component,
                summary: function.summary.clone(),
                message_schema: function.message_schema.clone(),
                limits: function.limits,
                concurrency: function.concurrency,
            };
            // The component first: no function may ever point at nothing.
            self.destination
                .put_blob(function.component, component)
                .await
                .map_err(MoveError::Destination)?;
            self.destination
                .deploy(&self.namespace, vec![deployment])
                .await
                .map_err(MoveError::Destination)?;
            carried.push(function.function.clone());
        }
        Ok(carried)
    }

    /// Adds the models that the destination lacks, in their newest version, so that the
    /// functions find them; answers their names. Those that it has stay as they are.
    ///
    /// # Errors
    ///
    /// Those of the stores; a model's content may be missing.
    pub async fn models(&self) -> Result<Vec<ModelName>, MoveError> {
        let here = self.source.models_now(&self.namespace).await;
        let here = here.map_err(MoveError::Source)?;
        let there = self.destination.models_now(&self.namespace).await;
        let there = there.map_err(MoveError::Destination)?;
        let lacks = |name| there.iter().all(|other| &other.name != name);
        let mut carried = Vec::new();
        for model in here.iter().filter(|one| lacks(&one.name)) {
            let content = self.source.blob(model.digest).await;
            let content = content.map_err(MoveError::Source)?;
            let content = content.ok_or_else(|| MoveError::NoModel(model.name.clone()))?;
            let new = NewModel {
                name: model.name.clone(),
                digest: model.digest,
                bytes: model.bytes,
                config: model.config.clone(),
                findings: model.findings.clone(),
            };
            let put = async {
                self.destination.put_blob(model.digest, content).await?;
                self.destination.put_model(&self.namespace, new).await
            };
            put.await.map_err(MoveError::Destination)?;
            carried.push(model.name.clone());
        }
        Ok(carried)
    }

    /// How many jobs there are to carry, for people.
    ///
    /// # Errors
    ///
    /// Those of the source.
    pub async fn waiting(&self) -> Result<u64, MoveError> {
        let status = self.source.status(&self.namespace).await;
        let status = status.map_err(MoveError::Source)?;
        Ok(status.waiting() + status.moving)
    }

    /// Moves some jobs; answers how many, 0 when there are none left.
    ///
    /// # Errors
    ///
    /// Those of the stores. What is held then stays held for the next run.
    pub async fn move_some(&self) -> Result<usize, MoveError> {
        let parcels = self.source.hold(&self.namespace, self.mover, BATCH).await;
        let parcels = parcels.map_err(MoveError::Source)?;
        if parcels.is_empty() {
            return Ok(0);
        }
        let origins: Vec<JobId> = parcels.iter().map(|parcel| parcel.origin.id).collect();
        let ids = self.deliver(parcels).await?;
        let moved = origins.into_iter().zip(ids);
        let moved = moved.map(|(id, there)| (id, format!("moved to {} as job {there}", self.name)));
        let moved: Vec<_> = moved.collect();
        let count = moved.len();
        self.source
            .let_go(&self.namespace, self.mover, moved)
            .await
            .map_err(MoveError::Source)?;
        Ok(count)
    }

    /// Copies some jobs after an id; answers how many and the last one's id, or
    /// `None` when there are none left.
    ///
    /// # Errors
    ///
    /// Those of the stores.
    pub async fn copy_some(&self, after: JobId) -> Result<Option<(usize, JobId)>, MoveError> {
        let parcels = self.source.peek(&self.namespace, after, BATCH).await;
        let parcels = parcels.map_err(MoveError::Source)?;
        let Some(last) = parcels.last().map(|parcel| parcel.origin.id) else {
            return Ok(None);
        };
        let count = parcels.len();
        self.deliver(parcels).await?;
        Ok(Some((count, last)))
    }

    async fn deliver(&self, parcels: Vec<Parcel>) -> Result<Vec<JobId>, MoveError> {
        let ids = self.destination.deliver(&self.namespace, parcels).await;
        ids.map_err(MoveError::Destination)
    }
}
