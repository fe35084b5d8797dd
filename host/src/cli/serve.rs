//! `skep serve`: HTTP and workers in one process.

use std::io::ErrorKind;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use tokio::net::{TcpListener, lookup_host};

use super::engines::EngineArgs;
use super::hosting::{Hosting, stop_signal};
use super::logging::LogFormat;
use super::{failure::Failure, files, output};
use crate::access::AccessToken;
use crate::callback::CallbackPolicy;
use crate::host::Host;
use crate::http::{self, App, Audit, Door, Endpoint, HostNames, MAX_CONNECTIONS, Tls};
use crate::store::{Store, StoreUrl};
use crate::time::now_ms;

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
    /// An endpoint on a listener that was asked for as `listen`.
    fn open(
        self,
        listen: &str,
        address: SocketAddr,
        listener: TcpListener,
    ) -> Result<Endpoint, Failure> {
        let tls = match (&self.tls_cert, &self.tls_key) {
            (Some(certificate), Some(key)) => Some(
                Tls::of_files(certificate, key)
                    .map_err(|error| Failure::usage(format!("no TLS: {error}")))?,
            ),
            (None, None) => None,
            // A flag needs the other one; what a file says does not know of that.
            _ => {
                return Err(Failure::usage(
                    "TLS needs both --tls-cert and --tls-key, also in skep.toml",
                ));
            }
        };
        // A page whose name leads to this machine comes in by loopback.
        let hosts = if address.ip().is_loopback() || !self.hosts.is_empty() {
            let listen = listen.rsplit_once(':').map_or(listen, |(name, _)| name);
            HostNames::only(self.hosts.into_iter().chain([listen.to_owned()]))
        } else {
            HostNames::any()
        };
        Ok(Endpoint {
            listener,
            tls,
            max_connections: files::connections(self.max_connections),
            hosts,
        })
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
        listen: given,
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
    let listener = listen(&given).await?;
    let address = listener
        .local_addr()
        .map_err(|error| Failure::failed(format!("cannot listen: {error}")))?;
    let endpoint = endpoint.open(&given, address, listener)?;
    let scheme = if endpoint.tls.is_some() {
        "https"
    } else {
        "http"
    };
    let url = format!("{scheme}://{address}");
    let stopping = stop_signal(hosting.grace)?;
    let workers = if no_worker { 0 } else { hosting.workers() };
    let is_private = address.ip().is_loopback();
    let callbacks = match is_private {
        true => CallbackPolicy::with_loopback(),
        false => CallbackPolicy::default(),
    };
    let options = hosting.options(workers, Some(callbacks))?;
    let store = hosting.open().await?;
    let door = Door::new(require_token || !is_private, audit);
    if require_token || !is_private {
        check_tokens(&*store, &hosting.places.store, &given).await?;
    }
    if !is_private && endpoint.tls.is_none() {
        warn_of_clear_text(&url);
    }
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

/// Refuses to start where tokens are needed and there is none: nobody could get in, and
/// whoever started the server would only see that it does not answer them.
async fn check_tokens(store: &dyn Store, url: &StoreUrl, listen: &str) -> Result<(), Failure> {
    let tokens = store.tokens_now().await;
    let tokens = tokens.map_err(|error| Failure::failed(format!("{url}: {error}")))?;
    let now_ms = now_ms();
    let counts = |token: &&AccessToken| !token.has_expired(now_ms);
    match tokens.list().iter().any(counts) {
        true => Ok(()),
        false => Err(Failure::usage(format!(
            "skep lets nobody in on {listen} without an access token, and there is none yet; make the first one, and start again:\n  skep token create --scopes admin --store {url}"
        ))),
    }
}

/// What whoever listens to the network hears.
fn warn_of_clear_text(url: &str) {
    output::note(&format!(
        "warning: {url} has no TLS: access tokens, messages and results go through the network in clear; name a certificate with --tls-cert and --tls-key, or put a reverse proxy with TLS in front of it"
    ));
}

/// A listener.
async fn listen(given: &str) -> Result<TcpListener, Failure> {
    let addresses: Vec<SocketAddr> = match lookup_host(given).await {
        Ok(addresses) => addresses.collect(),
        Err(error) => {
            return Err(Failure::usage(format!(
                "--listen {given:?} is no address: {error}; write one such as 127.0.0.1:5000"
            )));
        }
    };
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
    async fn what_is_no_address_is_told_how_to_write_one() {
        assert!(refused("nonsense").await.contains("127.0.0.1:5000"));
    }

    #[tokio::test]
    async fn a_port_in_use_is_named() {
        let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let address = taken.local_addr().unwrap().to_string();
        assert!(refused(&address).await.contains("--listen"));
    }
}
