//! The HTTP door: MLQ's routes, answered as MLQ answered them, and the routes
//! that a modern client expects.
//!
//! A route answers plain text unless its client accepts JSON; errors follow the
//! same rule, as problem documents of RFC 9457 ([`problem`]). Records and lists
//! are JSON always.
//!
//! Not here: whether a job may be accepted (`intake`) or a component run
//! (`deploy`); a handler translates and no more.

mod audit;
mod batch;
mod body;
mod code;
mod dead;
mod deploying;
mod door;
mod drain;
mod events;
mod extract;
mod functions;
mod guard;
mod headers;
mod health;
mod idempotency;
mod inert;
mod jobs;
mod lines;
mod listen;
mod lists;
mod metrics;
mod models;
mod openapi;
mod operations;
mod pace;
mod posting;
mod problem;
mod queue;
mod refusals;
mod representation;
mod results;
mod rollback;
mod room;
mod routes;
mod table;
mod tokens;
mod versions;
mod walk;

use std::ops::Deref;
use std::sync::Arc;

use axum::middleware::{from_fn, from_fn_with_state};
use axum::{Extension, Router};
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;
use tower_http::catch_panic::CatchPanicLayer;

pub use audit::Audit;
pub use door::Door;
pub use guard::HostNames;
pub use listen::{MAX_CONNECTIONS, Tls, TlsError};
pub(crate) use queue::text as queue_text;
pub use routes::{Method, Route};

use crate::deploy::Deployer;
use crate::following::Following;
use crate::host::Host;
use crate::inference::Inference;
use crate::intake::Intake;
use crate::models::Modeller;
use crate::scrape::Scraper;
use crate::store::Store;
use crate::traces::Traces;
use room::Room;
use walk::Walks;

/// What the handlers work with: one pointer, since each layer of a request clones it.
#[derive(Clone)]
pub struct App(Arc<Parts>);

/// What an [`App`] points to.
pub struct Parts {
    store: Arc<dyn Store>,
    intake: Arc<Intake>,
    deployer: Arc<Deployer>,
    modeller: Arc<Modeller>,
    inference: Arc<Inference>,
    following: Arc<Following>,
    door: Door,
    scraper: Arc<Scraper>,
    traces: Traces,
    /// Ends the long polls and the streams of events when the server stops.
    closing: CancellationToken,
    /// Room for the bodies of requests, for models on their way in, and for results on their
    /// way out.
    requests: Room,
    uploads: Room,
    results: Room,
    /// Who goes through many jobs.
    walks: Arc<Walks>,
}

impl App {
    /// The handlers' view of a host, behind a door.
    pub fn new(host: &Host, door: Door) -> Self {
        Self(Arc::new(Parts {
            door,
            following: Following::new(host.store.clone()),
            store: host.store.clone(),
            intake: host.intake.clone(),
            deployer: host.deployer.clone(),
            modeller: host.modeller.clone(),
            inference: host.inference.clone(),
            scraper: host.scraper.clone(),
            traces: host.traces.clone(),
            closing: CancellationToken::new(),
            requests: Room::for_requests(),
            uploads: Room::for_models(),
            results: Room::for_results(),
            walks: Walks::new(),
        }))
    }
}

impl Deref for App {
    type Target = Parts;

    fn deref(&self) -> &Parts {
        &self.0
    }
}

/// All routes, with what holds for each of them.
pub fn router(app: App, hosts: HostNames) -> Router {
    let routes = table::table().router.fallback(problem::no_such_route);
    behind_the_layers(routes, app, hosts)
}

/// What a host without further HTTP is watched by.
fn watching(app: App, hosts: HostNames) -> Router {
    let routes = table::watching().router.fallback(problem::only_watched);
    behind_the_layers(routes, app, hosts)
}

/// Routes, with what holds for each of them.
fn behind_the_layers(routes: Router<App>, app: App, hosts: HostNames) -> Router {
    // For the door in front of each of them.
    let routes = routes.layer(Extension(app.clone())).with_state(app.clone());
    // As a service, so that even axum's own answers (405 and its `Allow`) pass
    // through the layers; from the inside out, what is refused or panics still
    // gets its answer in the client's format.
    Router::new()
        .fallback_service(routes)
        .layer(from_fn_with_state(hosts, guard::refuse_foreign_pages))
        .layer(CatchPanicLayer::custom(problem::after_panic))
        .layer(from_fn(problem::negotiate))
        .layer(from_fn(drain::unread))
        .layer(from_fn(headers::protect))
        .layer(from_fn_with_state(app, metrics::observe))
}

/// All routes, and what each of them needs: for tests, which must know them all.
pub fn route_table() -> Vec<Route> {
    table::table().table
}

/// Where a server listens, and how.
#[derive(Debug)]
pub struct Endpoint {
    /// Where.
    pub listener: TcpListener,
    /// Whether TLS is spoken there.
    pub tls: Option<Tls>,
    /// How many connections there may be at once.
    pub max_connections: u32,
    /// Under which names the server may be asked.
    pub hosts: HostNames,
}

/// Serves until `shutdown` resolves, then finishes the open requests.
pub async fn serve(endpoint: Endpoint, app: App, shutdown: impl Future<Output = ()>) {
    let closing = app.closing.clone();
    let router = router(app, endpoint.hosts.clone());
    listen_with(endpoint, router, closing, shutdown).await;
}

/// Serves `/metrics`, `/healthz` and `/readyz`, and nothing else, until `shutdown` resolves.
pub async fn serve_watching(endpoint: Endpoint, app: App, shutdown: impl Future<Output = ()>) {
    let closing = app.closing.clone();
    let router = watching(app, endpoint.hosts.clone());
    listen_with(endpoint, router, closing, shutdown).await;
}

async fn listen_with(
    endpoint: Endpoint,
    router: Router,
    closing: CancellationToken,
    shutdown: impl Future<Output = ()>,
) {
    let serving = listen::serve(
        endpoint.listener,
        endpoint.tls,
        endpoint.max_connections,
        router,
        closing.clone(),
    );
    let closed = async {
        shutdown.await;
        closing.cancel();
    };
    tokio::join!(serving, closed);
}

impl std::fmt::Debug for App {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("App").finish_non_exhaustive()
    }
}
