//! What one namespace may have under way of what all share: loads, and calls that wait for one.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::{InferError, NamedTensor};
use crate::job::Namespace;

/// What calls that wait for a load hold of inputs, in KiB: as much as those that wait for a
/// model that is loaded (`batcher::MAX_BYTES_OF_MODEL`).
const WAITING_KIB: usize = 128 << 10;

/// What they hold in all namespaces, in KiB: four of them.
const WAITING_KIB_OF_ALL: usize = 4 * WAITING_KIB;

/// The namespaces that have something under way.
#[derive(Debug)]
pub(super) struct Tenants {
    known: Mutex<HashMap<Namespace, Arc<Tenant>>>,
    waiting: Arc<Semaphore>,
}

#[derive(Debug)]
struct Tenant {
    /// One load at a time: a tenant with a thousand models is not to hold up the others.
    turn: Arc<Semaphore>,
    waiting: Arc<Semaphore>,
}

/// A place in a line, until this is dropped.
#[derive(Debug)]
pub(super) struct Held {
    _places: Vec<OwnedSemaphorePermit>,
    _tenant: Arc<Tenant>,
}

impl Default for Tenants {
    fn default() -> Self {
        Self {
            known: Mutex::default(),
            waiting: Arc::new(Semaphore::new(WAITING_KIB_OF_ALL)),
        }
    }
}

impl Tenants {
    /// The namespace's turn to load a model.
    pub(super) async fn load(&self, namespace: &Namespace) -> Held {
        let tenant = self.of(namespace);
        // The semaphore is never closed.
        let turn = tenant.turn.clone().acquire_owned().await.ok();
        Held {
            _places: turn.into_iter().collect(),
            _tenant: tenant,
        }
    }

    /// Room for inputs whose call waits until its model is loaded.
    pub(super) fn wait(
        &self,
        namespace: &Namespace,
        inputs: &[NamedTensor],
    ) -> Result<Held, InferError> {
        let tenant = self.of(namespace);
        let bytes: usize = inputs.iter().map(|input| input.value.data().len()).sum();
        // A call that brings nothing holds something, too.
        let kib = u32::try_from(bytes.div_ceil(1024) + 1).unwrap_or(u32::MAX);
        let take = |of: &Arc<Semaphore>| of.clone().try_acquire_many_owned(kib).ok();
        let places = take(&tenant.waiting).zip(take(&self.waiting));
        let Some((own, of_all)) = places else {
            return Err(InferError::Busy(
                "too many calls wait for models to be loaded: try again later".to_owned(),
            ));
        };
        Ok(Held {
            _places: vec![own, of_all],
            _tenant: tenant,
        })
    }

    fn of(&self, namespace: &Namespace) -> Arc<Tenant> {
        // The map is whole between any two operations on it.
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        known.retain(|_, tenant| Arc::strong_count(tenant) > 1);
        let tenant = known.entry(namespace.clone()).or_insert_with(|| {
            Arc::new(Tenant {
                turn: Arc::new(Semaphore::new(1)),
                waiting: Arc::new(Semaphore::new(WAITING_KIB)),
            })
        });
        tenant.clone()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::inference::Tensor;
    use crate::model::DataType;

    #[tokio::test]
    async fn one_tenant_fills_its_own_room_and_none_of_anothers() {
        let tenants = Tenants::default();
        let (a, b) = ("a".parse().unwrap(), "b".parse().unwrap());
        let bytes = 32 << 20;
        let value = Tensor::new(DataType::U8, vec![bytes], vec![0; bytes as usize].into());
        let name = "x".to_owned();
        let large = [NamedTensor {
            name,
            value: value.unwrap(),
        }];
        let held: Vec<_> = (0..3).map(|_| tenants.wait(&a, &large).unwrap()).collect();
        let full = tenants.wait(&a, &large).unwrap_err();
        assert!(matches!(full, InferError::Busy(_)), "{full}");
        tenants.wait(&b, &large).unwrap();
        drop(held);
        tenants.wait(&a, &large).unwrap();
        let _turn = tenants.load(&a).await;
        tenants.load(&b).await;
        let second = tokio::time::timeout(std::time::Duration::from_millis(10), tenants.load(&a));
        assert!(second.await.is_err(), "a load of this tenant is under way");
    }
}
