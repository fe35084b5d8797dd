//! `skep serve`: HTTP and workers in one process.

use std::io::ErrorKind;
use std::net::SocketAddr;
use std::path::PathBuf;

use tokio::net::{TcpListener, lookup_host};

use super::hosting::{Hosting, stop_signal};
use super::{failure::Failure, files, output};
use crate::callback::CallbackPolicy;
use crate::http::{self, App, Door, HostNames, MAX_CONNECTIONS, Tls};

/// Run a server: HTTP and workers in one process
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Examples:\n  skep serve\n  skep serve --listen 127.0.0.1:8080 --store embedded:/var/lib/skep --workers 8\n  skep serve --store redis://127.0.0.1:6379/0\n  skep serve --tls-cert server.crt --tls-key server.key --host skep.example.com"
)]
pub(super) struct Args {
    /// Where to listen; a loopback address, since this version has no tokens
    #[arg(long, env = "SKEP_LISTEN", default_value = "127.0.0.1:5000")]
    listen: String,
    #[command(flatten)]
    hosting: Hosting,
    /// Accept jobs, and run none
    #[arg(long, conflicts_with = "workers")]
    no_worker: bool,
    #[command(flatten)]
    door: DoorArgs,
}

/// How clients come in.
#[derive(Debug, clap::Args)]
struct DoorArgs {
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

impl DoorArgs {
    /// Opens the door on a listener that was asked for as `listen`.
    fn open(
        self,
        listen: &str,
        address: SocketAddr,
        listener: TcpListener,
    ) -> Result<Door, Failure> {
        let tls = match (&self.tls_cert, &self.tls_key) {
            (Some(certificate), Some(key)) => Some(
                Tls::of_files(certificate, key)
                    .map_err(|error| Failure::usage(format!("no TLS: {error}")))?,
            ),
            _ => None,
        };
        // A page whose name leads to this machine comes in by loopback.
        let hosts = if address.ip().is_loopback() || !self.hosts.is_empty() {
            let listen = listen.rsplit_once(':').map_or(listen, |(name, _)| name);
            HostNames::only(self.hosts.into_iter().chain([listen.to_owned()]))
        } else {
            HostNames::any()
        };
        Ok(Door {
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
        door,
    } = args;
    let listener = listen(&given).await?;
    let address = listener
        .local_addr()
        .map_err(|error| Failure::failed(format!("cannot listen: {error}")))?;
    let door = door.open(&given, address, listener)?;
    let scheme = if door.tls.is_some() { "https" } else { "http" };
    let url = format!("{scheme}://{address}");
    let stopping = stop_signal(hosting.grace)?;
    let workers = if no_worker { 0 } else { hosting.workers() };
    let callbacks = match address.ip().is_loopback() {
        true => CallbackPolicy::with_loopback(),
        false => CallbackPolicy::default(),
    };
    let host = hosting.start(workers, Some(callbacks)).await?;
    let app = App::new(
        host.store.clone(),
        host.intake.clone(),
        host.deployer.clone(),
    );
    output::note(&format!("skep listens on {url}"));
    let serving = async {
        http::serve(door, app, stopping.cancelled()).await;
    };
    let working = async {
        stopping.cancelled().await;
        host.stop(hosting.grace).await;
    };
    tokio::join!(serving, working);
    Ok(())
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
