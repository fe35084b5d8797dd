//! `skep serve`: HTTP, workers and the built-in store in one process.

use std::io::ErrorKind;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use tokio::net::{TcpListener, lookup_host};
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio_util::sync::CancellationToken;

use super::{duration, failure::Failure, output};
use crate::host::{Host, HostOptions};
use crate::http::{self, App};
use crate::store::StoreUrl;

/// Run a server: HTTP, workers and the built-in store in one process
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Examples:\n  skep serve\n  skep serve --listen 127.0.0.1:8080 --store embedded:/var/lib/skep --workers 8"
)]
pub(super) struct Args {
    /// Where to listen; a loopback address, since this version has no tokens
    #[arg(long, env = "SKEP_LISTEN", default_value = "127.0.0.1:5000")]
    listen: String,
    /// Where jobs and functions live: embedded:DIRECTORY
    #[arg(long, env = "SKEP_STORE", default_value = "embedded:skep-data")]
    store: StoreUrl,
    /// How many jobs run at once [default: two per core, at least 4]
    #[arg(long, conflicts_with = "no_worker", value_parser = clap::value_parser!(u16).range(1..))]
    workers: Option<u16>,
    /// Accept jobs, and run none
    #[arg(long)]
    no_worker: bool,
    /// How long running jobs may go on once the server is asked to stop
    #[arg(long, default_value = "30s", value_parser = duration::parse)]
    grace: Duration,
}

impl Args {
    fn workers(&self) -> usize {
        if self.no_worker {
            return 0;
        }
        self.workers.map_or_else(default_workers, usize::from)
    }
}

/// Jobs wait for the disk and for each other too, so that one per core would
/// leave cores idle.
fn default_workers() -> usize {
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    (2 * cores).max(4)
}

/// Serves until a signal says stop.
pub(super) async fn run(args: Args) -> Result<(), Failure> {
    let listener = listen(&args.listen).await?;
    let url = match listener.local_addr() {
        Ok(address) => format!("http://{address}"),
        Err(error) => return Err(Failure::failed(format!("cannot listen: {error}"))),
    };
    let stopping = CancellationToken::new();
    watch_signals(stopping.clone(), args.grace)?;
    let StoreUrl::Embedded(store_dir) = args.store.clone();
    let options = HostOptions {
        store_dir,
        workers: args.workers(),
        binary: this_binary()?,
    };
    let host = Host::start(options).await?;
    let app = App::new(
        host.store.clone(),
        host.intake.clone(),
        host.deployer.clone(),
    );
    output::note(&format!("skep listens on {url}"));
    let serving = async {
        let served = http::serve(listener, app, stopping.cancelled()).await;
        stopping.cancel();
        served
    };
    let working = async {
        stopping.cancelled().await;
        host.stop(args.grace).await;
    };
    let (served, ()) = tokio::join!(serving, working);
    served.map_err(|error| Failure::failed(format!("{url} failed: {error}")))
}

/// The host compiles components in child processes of its own program.
pub(super) fn this_binary() -> Result<PathBuf, Failure> {
    std::env::current_exe()
        .map_err(|error| Failure::failed(format!("cannot find the skep program itself: {error}")))
}

/// A listener on a loopback address.
async fn listen(given: &str) -> Result<TcpListener, Failure> {
    let addresses: Vec<SocketAddr> = match lookup_host(given).await {
        Ok(addresses) => addresses.collect(),
        Err(error) => {
            return Err(Failure::usage(format!(
                "--listen {given:?} is no address: {error}; write one such as 127.0.0.1:5000"
            )));
        }
    };
    if !addresses.iter().all(|address| address.ip().is_loopback()) {
        return Err(Failure::usage(format!(
            "skep does not listen on {given}: this version has no access tokens, so whoever reached the port could run code here; listen on a loopback address such as 127.0.0.1:5000, and let others in through an SSH tunnel or a reverse proxy that knows who they are"
        )));
    }
    TcpListener::bind(addresses.as_slice())
        .await
        .map_err(|error| match error.kind() {
            ErrorKind::AddrInUse => Failure::failed(format!(
                "{given} is in use, by another skep or another program; stop that one, or choose another port with --listen"
            )),
            ErrorKind::PermissionDenied => Failure::failed(format!(
                "{given} may not be used by this user; choose a port above 1023 with --listen"
            )),
            _ => Failure::failed(format!("cannot listen on {given}: {error}")),
        })
}

/// Cancels `stopping` at the first SIGINT or SIGTERM; a second one ends the
/// process at once, as if it had not been caught.
fn watch_signals(stopping: CancellationToken, grace: Duration) -> Result<(), Failure> {
    let caught = |kind| {
        signal(kind).map_err(|error| Failure::failed(format!("cannot catch signals: {error}")))
    };
    let mut interrupt = caught(SignalKind::interrupt())?;
    let mut terminate = caught(SignalKind::terminate())?;
    tokio::spawn(async move {
        next(&mut interrupt, &mut terminate).await;
        output::note(&format!(
            "stopping: running jobs get {} s, the rest waits for the next start; again to stop at once",
            grace.as_secs()
        ));
        stopping.cancel();
        let signal = next(&mut interrupt, &mut terminate).await;
        std::process::exit(128 + signal.as_raw_value());
    });
    Ok(())
}

async fn next(interrupt: &mut Signal, terminate: &mut Signal) -> SignalKind {
    tokio::select! {
        _ = interrupt.recv() => SignalKind::interrupt(),
        _ = terminate.recv() => SignalKind::terminate(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn refused(given: &str) -> String {
        match listen(given).await {
            Err(Failure::Usage(text) | Failure::Failed(text)) => text,
            other => panic!("{given} should be refused: {other:?}"),
        }
    }

    #[tokio::test]
    async fn only_loopback_is_listened_on() {
        for given in ["0.0.0.0:0", "[::]:0", "192.0.2.1:5000"] {
            assert!(refused(given).await.contains("access tokens"), "{given}");
        }
        assert!(refused("nonsense").await.contains("127.0.0.1:5000"));
    }

    #[tokio::test]
    async fn a_port_in_use_is_named() {
        let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let address = taken.local_addr().unwrap().to_string();
        assert!(refused(&address).await.contains("--listen"));
    }
}
