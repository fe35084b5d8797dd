//! What `serve` and `worker` have in common: the store, the workers, and an end that
//! loses nothing.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio_util::sync::CancellationToken;

use super::callbacks::CallbackArgs;
use super::engines::EngineArgs;
use super::logging::LogFormat;
use super::{duration, failure::Failure, output, trust};
use crate::callback::CallbackPolicy;
use crate::host::{HostOptions, MAX_PARKED};
use crate::sandbox::CHILD_CPU_S;
use crate::store::{LEASE, Store, StoreUrl};
use crate::traces::{Collector, Traces};

/// Where a host keeps what it has.
#[derive(Debug, clap::Args)]
pub(super) struct Places {
    /// Where jobs and functions live: embedded:DIRECTORY for one host, or
    /// redis://HOST:PORT/DB (rediss, redis-sentinel, redis-cluster) for many
    #[arg(
        long,
        value_name = "URL",
        env = "SKEP_STORE",
        hide_env_values = true,
        default_value = "embedded:skep-data"
    )]
    pub(super) store: StoreUrl,
    /// Where this host keeps compiled components; nobody else may write there
    /// [default: the store's directory, or ~/.cache/skep]
    #[arg(long, value_name = "DIR", env = "SKEP_CACHE")]
    cache: Option<PathBuf>,
}

/// What both are told.
#[derive(Debug, clap::Args)]
pub(super) struct Hosting {
    #[command(flatten)]
    pub(super) places: Places,
    /// How many jobs run at once [default: two per core, at least 4]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..))]
    pub(super) workers: Option<u16>,
    /// How many more jobs may be parked, waiting for others; one beyond that goes back
    /// to the queue and begins again later, with the jobs that it has posted
    #[arg(long, value_name = "JOBS", default_value_t = MAX_PARKED, value_parser = clap::value_parser!(u16).range(1..))]
    pub(super) max_parked: u16,
    /// How long running jobs may go on once this host is asked to stop
    #[arg(long, value_name = "TIME", default_value = "30s", value_parser = duration::parse)]
    pub(super) grace: Duration,
    /// How long this host may be silent before its jobs are given to others; for
    /// tests, which cannot wait as long as a network deserves
    #[arg(long, value_name = "TIME", hide = true, value_parser = lease)]
    lease: Option<Duration>,
    /// The CPU time that compiling one component may take, in seconds; for tests, which
    /// cannot wait as long as a large component deserves
    #[arg(long, value_name = "SECONDS", hide = true, default_value_t = CHILD_CPU_S)]
    compile_cpu_s: u64,
    /// Send traces to the OTLP collector at this address, over HTTP (port 4318, as a rule);
    /// what OpenTelemetry reads of the environment counts too
    #[arg(long, value_name = "URL")]
    otlp: Option<String>,
    /// How stderr is written: text, or an object of JSON a line; SKEP_LOG says how much
    #[arg(
        long,
        value_enum,
        default_value_t,
        value_name = "FORMAT",
        env = "SKEP_LOG_FORMAT"
    )]
    pub(super) log_format: LogFormat,
    #[command(flatten)]
    pub(super) engines: EngineArgs,
    #[command(flatten)]
    callbacks: CallbackArgs,
}

impl Hosting {
    /// How many jobs run at once.
    pub(super) fn workers(&self) -> usize {
        self.workers.map_or_else(default_workers, usize::from)
    }

    /// Opens the store.
    pub(super) async fn open(&self) -> Result<Arc<dyn Store>, Failure> {
        let store = self
            .places
            .store
            .open_with(self.lease.unwrap_or(LEASE))
            .await;
        Ok(store?)
    }

    /// How the host is to be; `otherwise` says where callbacks may go unless the
    /// operator does.
    pub(super) fn options(
        &self,
        workers: usize,
        otherwise: Option<CallbackPolicy>,
    ) -> Result<HostOptions, Failure> {
        Ok(HostOptions {
            cache_dir: self.places.cache_dir()?,
            workers,
            max_parked: self.max_parked,
            binary: this_binary()?,
            compile_cpu_s: self.compile_cpu_s,
            callbacks: self.callbacks.options(otherwise)?,
            inference: self.engines.options(),
            traces: self.traces()?,
        })
    }

    fn traces(&self) -> Result<Traces, Failure> {
        let Some(collector) = Collector::of(self.otlp.as_deref()) else {
            return Ok(Traces::default());
        };
        let tls = match collector.is_secure() {
            true => trust::system_and(None)?,
            false => trust::nobody()?,
        };
        Traces::start(&collector, tls).map_err(|error| Failure::usage(format!("{error:#}")))
    }
}

impl Places {
    /// Where compiled components are kept.
    pub(super) fn cache_dir(&self) -> Result<PathBuf, Failure> {
        if let Some(given) = &self.cache {
            return Ok(given.clone());
        }
        if let StoreUrl::Embedded(directory) = &self.store {
            return Ok(directory.clone());
        }
        let from = |name: &str, below: &str| {
            let value = std::env::var_os(name).filter(|value| Path::new(value).is_absolute())?;
            Some(Path::new(&value).join(below))
        };
        from("XDG_CACHE_HOME", "skep")
            .or_else(|| from("HOME", ".cache/skep"))
            .ok_or_else(|| {
                Failure::usage(
                    "there is no home directory to keep compiled components in; name a directory with --cache",
                )
            })
    }
}

/// A lease that can be renewed three times before it ends.
fn lease(text: &str) -> Result<Duration, String> {
    let lease = duration::parse(text)?;
    if lease < Duration::from_secs(1) {
        return Err("a lease of less than a second ends on a busy machine by itself".to_owned());
    }
    Ok(lease)
}

/// Jobs wait for the disk and for each other too, so that one per core would
/// leave cores idle.
pub(super) fn default_workers() -> usize {
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    (2 * cores).max(4)
}

/// The host compiles components in child processes of its own program.
pub(super) fn this_binary() -> Result<PathBuf, Failure> {
    std::env::current_exe()
        .map_err(|error| Failure::failed(format!("cannot find the skep program itself: {error}")))
}

/// Cancelled at the first SIGINT or SIGTERM; a second one ends the process at once,
/// as if it had not been caught.
pub(super) fn stop_signal(grace: Duration) -> Result<CancellationToken, Failure> {
    let stopping = CancellationToken::new();
    let caught = |kind| {
        signal(kind).map_err(|error| Failure::failed(format!("cannot catch signals: {error}")))
    };
    let mut interrupt = caught(SignalKind::interrupt())?;
    let mut terminate = caught(SignalKind::terminate())?;
    tokio::spawn({
        let stopping = stopping.clone();
        async move {
            next(&mut interrupt, &mut terminate).await;
            output::note(&format!(
                "stopping: running jobs get {} s, the rest goes back to the queue; again to stop at once",
                grace.as_secs()
            ));
            stopping.cancel();
            let signal = next(&mut interrupt, &mut terminate).await;
            std::process::exit(128 + signal.as_raw_value());
        }
    });
    Ok(stopping)
}

async fn next(interrupt: &mut Signal, terminate: &mut Signal) -> SignalKind {
    tokio::select! {
        _ = interrupt.recv() => SignalKind::interrupt(),
        _ = terminate.recv() => SignalKind::terminate(),
    }
}
