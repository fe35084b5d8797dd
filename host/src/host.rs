//! Placeholder: the lead's module replaces this at the merge.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use crate::deploy::Deployer;
use crate::intake::Intake;
use crate::store::Store;

/// What a host runs.
#[derive(Debug)]
pub struct HostOptions {
    /// Where the embedded store lives.
    pub store_dir: PathBuf,
    /// How many workers; 0 for none.
    pub workers: usize,
}

/// Everything one process runs.
pub struct Host {
    /// The store.
    pub store: Arc<dyn Store>,
    /// Accepts jobs.
    pub intake: Arc<Intake>,
    /// Deploys components.
    pub deployer: Arc<Deployer>,
}

impl Host {
    /// Starts it.
    pub async fn start(_options: HostOptions) -> anyhow::Result<Self> {
        anyhow::bail!("not here yet")
    }

    /// Stops it.
    pub async fn stop(self, _grace: Duration) {}
}
