//! Everything that one `skep` process runs, put together: the store, the sandbox,
//! the workers, and the two ways in (`intake` for jobs, `deploy` for components).

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;

use crate::deploy::Deployer;
use crate::intake::Intake;
use crate::sandbox::{ProgressBoard, Sandbox, SandboxConfig, Services};
use crate::store::Store;
use crate::store::embedded::EmbeddedStore;
use crate::worker::{Tools, Workers};

/// What a host is to be.
#[derive(Debug)]
pub struct HostOptions {
    /// The directory of the built-in store.
    pub store_dir: PathBuf,
    /// How many jobs run at once; with 0, this host only accepts and serves.
    pub workers: usize,
    /// The `skep` binary, which also compiles components.
    pub binary: PathBuf,
}

/// A running host.
pub struct Host {
    /// Where everything is kept.
    pub store: Arc<dyn Store>,
    /// Takes jobs in.
    pub intake: Arc<Intake>,
    /// Takes components in.
    pub deployer: Arc<Deployer>,
    workers: Option<Workers>,
}

impl Host {
    /// Opens the store and starts the workers.
    pub async fn start(options: HostOptions) -> anyhow::Result<Self> {
        let directory = options.store_dir.clone();
        let open = move || EmbeddedStore::open(&directory);
        let store = (tokio::task::spawn_blocking(open).await).context("opening the store")??;
        Self::with_store(Arc::new(store), options)
    }

    /// Starts the workers on a store that is open already; compiled components go
    /// to `store_dir`, and nothing else.
    pub fn with_store(store: Arc<dyn Store>, options: HostOptions) -> anyhow::Result<Self> {
        let HostOptions {
            store_dir,
            workers,
            binary,
        } = options;
        let artefacts = store_dir.join("compiled");
        let intake = Arc::new(Intake::new(store.clone()));
        let progress = Arc::new(ProgressBoard::default());
        let config = SandboxConfig {
            slots: workers,
            artefacts,
            compiler: binary,
        };
        let services = Services {
            store: store.clone(),
            intake: intake.clone(),
            progress: progress.clone(),
        };
        let sandbox = Arc::new(Sandbox::new(&config, services)?);
        let deployer = Arc::new(Deployer::new(store.clone(), sandbox.clone()));
        let workers = match workers {
            0 => None,
            slots => Some(Workers::start(Tools {
                store: store.clone(),
                sandbox,
                progress,
                slots,
            })?),
        };
        Ok(Self {
            store,
            intake,
            deployer,
            workers,
        })
    }

    /// Stops the workers: running jobs may go on for `grace`, the rest is given
    /// back unrun.
    pub async fn stop(self, grace: Duration) {
        if let Some(workers) = self.workers {
            workers.stop(grace).await;
        }
    }
}
