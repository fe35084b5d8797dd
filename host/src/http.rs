//! The HTTP door: MLQ's routes, answered as MLQ answered them, and the routes
//! that a modern client expects.
//!
//! A route answers plain text unless its client accepts JSON; errors follow the
//! same rule, as problem documents of RFC 9457 ([`problem`]). Records and lists
//! are JSON always.
//!
//! Not here: whether a job may be accepted (`intake`) or a component run
//! (`deploy`); a handler translates and no more.

mod batch;
mod body;
mod deploying;
mod drain;
mod events;
mod extract;
mod functions;
mod guard;
mod headers;
mod health;
mod inert;
mod jobs;
mod lines;
mod listen;
mod pace;
mod posting;
mod problem;
mod queue;
mod refusals;
mod results;
mod room;

use std::sync::Arc;

use axum::Router;
use axum::middleware::{from_fn, from_fn_with_state};
use axum::routing::{get, post, put};
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;
use tower_http::catch_panic::CatchPanicLayer;
use tower_http::trace::TraceLayer;

pub use guard::HostNames;
pub use listen::{MAX_CONNECTIONS, Tls, TlsError};
pub(crate) use queue::text as queue_text;

use crate::deploy::Deployer;
use crate::following::Following;
use crate::intake::Intake;
use crate::store::Store;
use room::Room;

/// What the handlers work with.
#[derive(Clone)]
pub struct App {
    store: Arc<dyn Store>,
    intake: Arc<Intake>,
    deployer: Arc<Deployer>,
    following: Arc<Following>,
    /// Ends the long polls and the streams of events when the server stops.
    closing: CancellationToken,
    /// Room for the bodies of requests, and for results on their way out.
    requests: Room,
    results: Room,
}

impl App {
    /// The handlers' view of a host.
    pub fn new(store: Arc<dyn Store>, intake: Arc<Intake>, deployer: Arc<Deployer>) -> Self {
        Self {
            following: Following::new(store.clone()),
            store,
            intake,
            deployer,
            closing: CancellationToken::new(),
            requests: Room::for_requests(),
            results: Room::for_results(),
        }
    }
}

/// All routes, with what holds for each of them.
pub fn router(app: App, hosts: HostNames) -> Router {
    // As a service, so that even axum's own answers (405 and its `Allow`) pass
    // through the layers; from the inside out, what is refused or panics still
    // gets its answer in the client's format.
    Router::new()
        .fallback_service(routes(app))
        .layer(from_fn_with_state(hosts, guard::refuse_foreign_pages))
        .layer(CatchPanicLayer::custom(problem::after_panic))
        .layer(from_fn(problem::negotiate))
        .layer(from_fn(drain::unread))
        .layer(from_fn(headers::protect))
        .layer(TraceLayer::new_for_http())
}

fn routes(app: App) -> Router {
    Router::new()
        .route("/healthz", get(health::healthz))
        .route("/readyz", get(health::readyz))
        .route("/jobs", post(posting::post))
        .route("/jobs/batch", post(batch::post))
        .route("/jobs/count", get(jobs::count))
        .route("/jobs/{id}", get(jobs::record).delete(jobs::cancel))
        .route("/jobs/{id}/progress", get(jobs::progress))
        .route("/jobs/{id}/events", get(events::events))
        .route("/jobs/{id}/log", get(jobs::log))
        .route("/jobs/{id}/short_result", get(results::short_result))
        .route("/jobs/{id}/{view}", get(results::result))
        .route(
            "/consumer",
            post(deploying::consumer).delete(functions::forget),
        )
        .route("/functions", get(functions::list))
        .route(
            "/functions/{name}",
            get(functions::one)
                .put(deploying::function)
                .delete(functions::remove),
        )
        .route("/queue", get(queue::status))
        .route("/queue/concurrency", put(queue::limit))
        .route("/queue/pause", post(queue::pause))
        .route("/queue/resume", post(queue::resume))
        .route("/queue/release", post(queue::release))
        .route("/queue/rezero", post(queue::rezero))
        .route("/queue/purge", post(queue::purge))
        .fallback(problem::no_such_route)
        .with_state(app)
}

/// Where a server listens, and how.
#[derive(Debug)]
pub struct Door {
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
pub async fn serve(door: Door, app: App, shutdown: impl Future<Output = ()>) {
    let closing = app.closing.clone();
    let router = router(app, door.hosts);
    let serving = listen::serve(
        door.listener,
        door.tls,
        door.max_connections,
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
