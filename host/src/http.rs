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
mod inert;
mod jobs;
mod lines;
mod listen;
mod lists;
mod metrics;
mod pace;
mod posting;
mod problem;
mod queue;
mod refusals;
mod results;
mod room;
mod routes;
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

use crate::access::Scope;
use crate::deploy::Deployer;
use crate::following::Following;
use crate::intake::Intake;
use crate::scrape::Scraper;
use crate::store::Store;
use crate::traces::Traces;
use room::Room;
use routes::Routes;
use walk::Walks;

/// What the handlers work with: one pointer, since each layer of a request clones it.
#[derive(Clone)]
pub struct App(Arc<Parts>);

/// What an [`App`] points to.
pub struct Parts {
    store: Arc<dyn Store>,
    intake: Arc<Intake>,
    deployer: Arc<Deployer>,
    following: Arc<Following>,
    door: Door,
    scraper: Arc<Scraper>,
    traces: Traces,
    /// Ends the long polls and the streams of events when the server stops.
    closing: CancellationToken,
    /// Room for the bodies of requests, and for results on their way out.
    requests: Room,
    results: Room,
    /// Who goes through many jobs.
    walks: Arc<Walks>,
}

impl App {
    /// The handlers' view of a host, behind a door.
    pub fn new(
        store: Arc<dyn Store>,
        intake: Arc<Intake>,
        deployer: Arc<Deployer>,
        scraper: Arc<Scraper>,
        traces: Traces,
        door: Door,
    ) -> Self {
        Self(Arc::new(Parts {
            door,
            scraper,
            traces,
            following: Following::new(store.clone()),
            store,
            intake,
            deployer,
            closing: CancellationToken::new(),
            requests: Room::for_requests(),
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
    // As a service, so that even axum's own answers (405 and its `Allow`) pass
    // through the layers; from the inside out, what is refused or panics still
    // gets its answer in the client's format.
    Router::new()
        .fallback_service(routes(app.clone()))
        .layer(from_fn_with_state(hosts, guard::refuse_foreign_pages))
        .layer(CatchPanicLayer::custom(problem::after_panic))
        .layer(from_fn(problem::negotiate))
        .layer(from_fn(drain::unread))
        .layer(from_fn(headers::protect))
        .layer(from_fn_with_state(app, metrics::observe))
}

/// All routes, and what each of them needs: for tests, which must know them all.
pub fn route_table() -> Vec<Route> {
    table().table
}

fn routes(app: App) -> Router {
    table()
        .router
        .fallback(problem::no_such_route)
        // For the door in front of each of them.
        .layer(Extension(app.clone()))
        .with_state(app)
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

fn table() -> Routes {
    use Method::{Delete, Get, Post, Put};
    Routes::new()
        .open("/healthz", health::healthz)
        .open("/readyz", health::readyz)
        .route(Get, "/jobs", Scope::Read, lists::jobs)
        .route(Post, "/jobs", Scope::Post, posting::post)
        .route(Post, "/jobs/batch", Scope::Post, batch::post)
        .route(Get, "/jobs/count", Scope::Read, jobs::count)
        .route(Get, "/jobs/{id}", Scope::Read, jobs::record)
        .audited(Delete, "/jobs/{id}", Scope::Post, "cancel", jobs::cancel)
        .audited(Post, "/jobs/{id}/retry", Scope::Post, "retry", dead::retry)
        .route(Get, "/jobs/{id}/progress", Scope::Read, jobs::progress)
        .route(Get, "/jobs/{id}/events", Scope::Read, events::events)
        .route(Get, "/jobs/{id}/log", Scope::Read, jobs::log)
        .route(
            Get,
            "/jobs/{id}/short_result",
            Scope::Read,
            results::short_result,
        )
        .route(Get, "/jobs/{id}/{view}", Scope::Read, results::result)
        .route(Get, "/dead", Scope::Read, lists::dead)
        .audited(Delete, "/dead", Scope::Admin, "delete dead", dead::delete)
        .route(Get, "/dead/causes", Scope::Read, dead::causes)
        .audited(
            Post,
            "/dead/requeue",
            Scope::Admin,
            "requeue",
            dead::requeue,
        )
        .audited(
            Post,
            "/consumer",
            Scope::Deploy,
            "deploy",
            deploying::consumer,
        )
        .audited(
            Delete,
            "/consumer",
            Scope::Deploy,
            "undeploy",
            functions::forget,
        )
        .route(Get, "/functions", Scope::Read, functions::list)
        .route(Get, "/functions/{name}", Scope::Read, functions::one)
        .audited(
            Put,
            "/functions/{name}",
            Scope::Deploy,
            "deploy",
            deploying::function,
        )
        .audited(
            Delete,
            "/functions/{name}",
            Scope::Deploy,
            "undeploy",
            functions::remove,
        )
        .route(
            Get,
            "/functions/{name}/versions",
            Scope::Read,
            versions::list,
        )
        .audited(
            Post,
            "/functions/{name}/rollback",
            Scope::Deploy,
            "rollback",
            versions::rollback,
        )
        .route(Get, "/queue", Scope::Read, queue::status)
        .audited(
            Put,
            "/queue/concurrency",
            Scope::Admin,
            "limit",
            queue::limit,
        )
        .audited(Post, "/queue/pause", Scope::Admin, "pause", queue::pause)
        .audited(Post, "/queue/resume", Scope::Admin, "resume", queue::resume)
        .audited(
            Post,
            "/queue/release",
            Scope::Admin,
            "release",
            queue::release,
        )
        .audited(Post, "/queue/rezero", Scope::Admin, "rezero", queue::rezero)
        .audited(Post, "/queue/purge", Scope::Admin, "purge", queue::purge)
        .route(Get, "/metrics", Scope::Read, metrics::page)
        .route(Get, "/tokens", Scope::Admin, tokens::list)
        .audited(
            Post,
            "/tokens",
            Scope::Admin,
            "create token",
            tokens::create,
        )
        .audited(
            Delete,
            "/tokens/{id}",
            Scope::Admin,
            "revoke token",
            tokens::revoke,
        )
}

/// Serves until `shutdown` resolves, then finishes the open requests.
pub async fn serve(endpoint: Endpoint, app: App, shutdown: impl Future<Output = ()>) {
    let closing = app.closing.clone();
    let router = router(app, endpoint.hosts);
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
