//! The stores that are tested: how each is opened, and what a crash is to it.

use std::path::Path;
use std::sync::{Arc, LazyLock};
use std::time::{Duration, Instant};

use skep::store::embedded::{EmbeddedStore, Options};
use skep::store::redis::RedisStore;
use skep::store::{Lease, Result, Store, StoreError};
use skep_testkit::{RedisCluster, RedisServer};
use tempfile::TempDir;
use uuid::Uuid;

/// One for all tests, which keep apart by a prefix of their own. Nothing is on disk,
/// so that the disk's speed is not what is tested. It ends with this process, whose
/// statics are not dropped.
static REDIS: LazyLock<RedisServer> = LazyLock::new(RedisServer::start);

/// The same, as three masters.
static CLUSTER: LazyLock<RedisCluster> = LazyLock::new(RedisCluster::start);

/// How long a lease that is to end still lasts.
const LAST_LEASE: Duration = Duration::from_millis(5);

/// Where a store keeps its data.
pub(crate) enum Backend {
    Embedded(TempDir),
    Redis {
        url: String,
        /// What the keys of this test begin with.
        prefix: String,
    },
}

impl Backend {
    /// A new directory.
    pub(crate) fn embedded() -> Self {
        Self::Embedded(tempfile::tempdir().expect("a temporary directory"))
    }

    /// A new place in the one server.
    pub(crate) fn redis() -> Self {
        Self::at(REDIS.url())
    }

    /// A new place in the cluster.
    pub(crate) fn cluster() -> Self {
        Self::at(CLUSTER.url())
    }

    fn at(url: String) -> Self {
        Self::Redis {
            url,
            prefix: Uuid::new_v4().to_string(),
        }
    }

    /// A new place of the same kind.
    pub(crate) fn fresh(&self) -> Self {
        match self {
            Self::Embedded(_) => Self::embedded(),
            Self::Redis { url, .. } => Self::at(url.clone()),
        }
    }

    /// Opens the store.
    pub(crate) async fn open(&self, lease: Duration) -> Arc<dyn Store> {
        match self {
            Self::Embedded(directory) => {
                let options = EmbeddedStore::options().lease(lease).callback_taken(lease);
                Arc::new(open_again(options, directory.path()).expect("the store opens"))
            }
            Self::Redis { .. } => Arc::new(self.open_redis(lease).await),
        }
    }

    /// Opens the store after all of its hosts are gone, and sees to it that this is
    /// known. A directory belongs to one process, so that whoever opens it knows. The
    /// hosts of a Redis outlive a connection: their leases are made to end now, and
    /// their jobs taken back.
    pub(crate) async fn reopen(&self, lease: Duration, hosts: Vec<Lease>) -> Arc<dyn Store> {
        let store = self.open(lease).await;
        if matches!(self, Self::Embedded(_)) {
            return store;
        }
        // A lease lasts for as long as whoever renews it says.
        let ending = self.open_redis(LAST_LEASE).await;
        for host in &hosts {
            match ending.renew(*host).await {
                Ok(()) | Err(StoreError::LeaseLost) => {}
                Err(error) => panic!("a lease cannot be ended: {error}"),
            }
        }
        tokio::time::sleep(2 * LAST_LEASE).await;
        while store.reap().await.expect("reap") > 0 {}
        store
    }

    async fn open_redis(&self, lease: Duration) -> RedisStore {
        let Self::Redis { url, prefix } = self else {
            panic!("not a Redis");
        };
        let options = RedisStore::options()
            .lease(lease)
            .callback_taken(lease)
            .prefix(prefix);
        let address = url.parse().expect("an address");
        options.open(&address).await.expect("the store opens")
    }
}

/// Opens a directory that was open a moment ago. Another test that starts a process
/// holds a copy of every lock from its fork to its exec.
pub(crate) fn open_again(options: Options, directory: &Path) -> Result<EmbeddedStore> {
    let deadline = Instant::now() + Duration::from_secs(10);
    loop {
        match options.open(directory) {
            Err(StoreError::InUse(_)) if Instant::now() < deadline => std::thread::yield_now(),
            opened => break opened,
        }
    }
}
