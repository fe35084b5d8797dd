//! `skep worker`: workers on a store that hosts share, without HTTP but what they are watched
//! by, if somebody wants that.

use super::engines::EngineArgs;
use super::hosting::{Hosting, stop_signal};
use super::logging::LogFormat;
use super::place::Place;
use super::{failure::Failure, output};
use crate::host::Host;
use crate::http::{self, App, Audit};
use crate::store::StoreUrl;

/// How many connections there may be at once of those who watch: each scraper and each load
/// balancer keeps one or two.
const MAX_CONNECTIONS: u32 = 64;

/// Run jobs from a store that hosts share, without HTTP
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Example:\n  skep serve --store redis://db.internal:6379/0 &\n  skep worker --store redis://db.internal:6379/0 --workers 16\n\nWhat is not a flag may be in a table [worker] of skep.toml, as in: workers = 16"
)]
pub(super) struct Args {
    #[command(flatten)]
    hosting: Hosting,
    /// Serve /metrics, /healthz and /readyz at this address, such as 127.0.0.1:9100, and
    /// nothing else. On any address but a loopback one, /metrics asks for an access token
    #[arg(long, value_name = "ADDRESS")]
    metrics: Option<String>,
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
    let Args { hosting, metrics } = args;
    if let StoreUrl::Embedded(_) = hosting.places.store {
        return Err(Failure::usage(
            "the built-in store belongs to one process: run `skep serve` there, or name a store that hosts share with --store redis://HOST:PORT/DB",
        ));
    }
    let place = match metrics {
        Some(given) => Some(Place::open("--metrics", given).await?),
        None => None,
    };
    let stopping = stop_signal(hosting.grace)?;
    let workers = hosting.workers();
    let options = hosting.options(workers, None)?;
    let store = hosting.open().await?;
    let place = match place {
        Some(place) => {
            let door = place.door(false, Audit::default(), &*store, &hosting.places.store);
            Some((door.await?, place))
        }
        None => None,
    };
    let host = Host::start(store, options)?;
    output::note(&format!(
        "skep runs {workers} jobs at once from {}",
        hosting.places.store
    ));
    let watched = place.map(|(door, place)| (App::new(&host, door), place));
    let watching = async {
        if let Some((app, place)) = watched {
            announce(&place);
            let endpoint = place.endpoint(None, MAX_CONNECTIONS, Vec::new());
            http::serve_watching(endpoint, app, stopping.cancelled()).await;
        }
    };
    let working = async {
        stopping.cancelled().await;
        host.stop(hosting.grace).await;
    };
    tokio::join!(watching, working);
    Ok(())
}

/// Says where to look, and what whoever listens to the network hears.
fn announce(place: &Place) {
    let url = format!("http://{}", place.address());
    if !place.is_private() {
        output::note(&format!(
            "warning: {url} has no TLS: access tokens go through the network in clear; put a reverse proxy with TLS in front of it"
        ));
    }
    output::note(&format!("skep shows /metrics on {url}"));
}
