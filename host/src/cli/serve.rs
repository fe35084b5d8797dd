//! `skep serve`: HTTP and workers in one process.

use std::path::{Path, PathBuf};

use super::engines::EngineArgs;
use super::hosting::{Hosting, stop_signal};
use super::logging::LogFormat;
use super::place::Place;
use super::{failure::Failure, files, output};
use crate::callback::CallbackPolicy;
use crate::host::Host;
use crate::http::{self, App, Audit, MAX_CONNECTIONS, Tls};

/// Run a server: HTTP and workers in one process
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Examples:\n  skep serve\n  skep serve --listen 127.0.0.1:8080 --store embedded:/var/lib/skep --workers 8\n  skep serve --store redis://127.0.0.1:6379/0\n  skep serve --listen 0.0.0.0:5000 --tls-cert server.crt --tls-key server.key \\\n    --audit-log /var/log/skep.audit\n\nWhat is not a flag may be in a table [serve] of skep.toml, as in: workers = 8"
)]
pub(super) struct Args {
    /// Where to listen. On any address but a loopback one, clients must show access tokens
    #[arg(
        long,
        value_name = "ADDRESS",
        env = "SKEP_LISTEN",
        default_value = "127.0.0.1:5000"
    )]
    listen: String,
    #[command(flatten)]
    hosting: Hosting,
    /// Accept jobs, and run none
    #[arg(long, conflicts_with = "workers")]
    no_worker: bool,
    #[command(flatten)]
    endpoint: EndpointArgs,
    /// Ask for access tokens on a loopback address too, as behind a reverse proxy, whose
    /// clients are others'
    #[arg(long)]
    require_token: bool,
    /// Append who deployed, removed, cancelled, purged, made or revoked what to this file,
    /// as lines of JSON
    #[arg(long, value_name = "FILE")]
    audit_log: Option<PathBuf>,
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

/// How clients come in.
#[derive(Debug, clap::Args)]
struct EndpointArgs {
    /// Speak TLS with this certificate, in PEM, followed by those that signed it; read
    /// again when it changes
    #[arg(long, value_name = "FILE", requires = "tls_key")]
    tls_cert: Option<PathBuf>,
    /// The certificate's private key, in PEM
    #[arg(long, value_name = "FILE", requires = "tls_cert")]
    tls_key: Option<PathBuf>,
    /// A name that clients call this server by, beside localhost, IP addresses and the
    /// name in --listen; again for each, or with commas between
    #[arg(long = "host", value_name = "NAME", env = "SKEP_HOST", value_delimiter = ',', value_parser = host_name)]
    hosts: Vec<String>,
    /// How many connections there may be at once; further ones are answered 503
    #[arg(long, value_name = "NUMBER", default_value_t = MAX_CONNECTIONS, value_parser = clap::value_parser!(u32).range(1..1_000_000))]
    max_connections: u32,
}

impl EndpointArgs {
    fn tls(&self) -> Result<Option<Tls>, Failure> {
        match (&self.tls_cert, &self.tls_key) {
            (Some(certificate), Some(key)) => Tls::of_files(certificate, key)
                .map(Some)
                .map_err(|error| Failure::usage(format!("no TLS: {error}"))),
            (None, None) => Ok(None),
            // A flag needs the other one; what a file says does not know of that.
            _ => Err(Failure::usage(
                "TLS needs both --tls-cert and --tls-key, also in skep.toml",
            )),
        }
    }
}

/// A name as browsers send it, without scheme and port.
fn host_name(given: &str) -> Result<String, String> {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-._".contains(&byte);
    if given.is_empty() || !given.bytes().all(plain) {
        return Err(
            "write a name alone, such as skep.example.com; one with letters of other scripts in its xn-- form".to_owned(),
        );
    }
    Ok(given.to_owned())
}

/// Serves until a signal says stop.
pub(super) async fn run(args: Args) -> Result<(), Failure> {
    let Args {
        listen,
        hosting,
        no_worker,
        endpoint,
        require_token,
        audit_log,
    } = args;
    let audit = match &audit_log {
        Some(path) => audit_to(path)?,
        None => Audit::default(),
    };
    let place = Place::open("--listen", listen).await?;
    let tls = endpoint.tls()?;
    let scheme = if tls.is_some() { "https" } else { "http" };
    let url = format!("{scheme}://{}", place.address());
    let stopping = stop_signal(hosting.grace)?;
    let workers = if no_worker { 0 } else { hosting.workers() };
    let callbacks = match place.is_private() {
        true => CallbackPolicy::with_loopback(),
        false => CallbackPolicy::default(),
    };
    let options = hosting.options(workers, Some(callbacks))?;
    let store = hosting.open().await?;
    let door = place.door(require_token, audit, &*store, &hosting.places.store);
    let door = door.await?;
    if !place.is_private() && tls.is_none() {
        warn_of_clear_text(&url);
    }
    let most = files::connections(endpoint.max_connections);
    let endpoint = place.endpoint(tls, most, endpoint.hosts);
    let host = Host::start(store, options)?;
    let app = App::new(&host, door);
    output::note(&format!("skep listens on {url}"));
    let serving = http::serve(endpoint, app, stopping.cancelled());
    let working = async {
        stopping.cancelled().await;
        host.stop(hosting.grace).await;
    };
    tokio::join!(serving, working);
    Ok(())
}

fn audit_to(path: &Path) -> Result<Audit, Failure> {
    Audit::to_file(path).map_err(|error| {
        Failure::usage(format!(
            "--audit-log {}: it cannot be written: {error}",
            path.display()
        ))
    })
}

/// What whoever listens to the network hears.
fn warn_of_clear_text(url: &str) {
    output::note(&format!(
        "warning: {url} has no TLS: access tokens, messages and results go through the network in clear; name a certificate with --tls-cert and --tls-key, or put a reverse proxy with TLS in front of it"
    ));
}
