//! `skep worker`: workers on a store that hosts share, without HTTP.

use super::engines::EngineArgs;
use super::hosting::{Hosting, stop_signal};
use super::logging::LogFormat;
use super::{failure::Failure, output};
use crate::host::Host;
use crate::store::StoreUrl;

/// Run jobs from a store that hosts share, without HTTP
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Example:\n  skep serve --store redis://db.internal:6379/0 &\n  skep worker --store redis://db.internal:6379/0 --workers 16\n\nWhat is not a flag may be in a table [worker] of skep.toml, as in: workers = 16"
)]
pub(super) struct Args {
    #[command(flatten)]
    hosting: Hosting,
}

impl Args {
    /// How it logs.
    pub(super) fn log_format(&self) -> LogFormat {
        self.hosting.log_format
    }

    /// What runs its models.
    pub(super) fn engines(&self) -> &EngineArgs {
        &self.hosting.engines
    }
}

/// Works until a signal says stop.
pub(super) async fn run(args: Args) -> Result<(), Failure> {
    let Args { hosting } = args;
    if let StoreUrl::Embedded(_) = hosting.places.store {
        return Err(Failure::usage(
            "the built-in store belongs to one process: run `skep serve` there, or name a store that hosts share with --store redis://HOST:PORT/DB",
        ));
    }
    let stopping = stop_signal(hosting.grace)?;
    let workers = hosting.workers();
    let options = hosting.options(workers, None)?;
    let host = Host::start(hosting.open().await?, options)?;
    output::note(&format!(
        "skep runs {workers} jobs at once from {}",
        hosting.places.store
    ));
    stopping.cancelled().await;
    host.stop(hosting.grace).await;
    Ok(())
}
