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
use crate::inference::Inference;
use crate::intake::Intake;
use crate::models::Modeller;
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
    pub fn new(
        store: Arc<dyn Store>,
        intake: Arc<Intake>,
        deployer: Arc<Deployer>,
        modeller: Arc<Modeller>,
        inference: Arc<Inference>,
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
            modeller,
            inference,
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
    use Scope::{Admin, Deploy, Post as ToPost, Read};
    use operations as of;
    Routes::new()
        .open("/healthz", health::healthz, of::host::healthz)
        .open("/readyz", health::readyz, of::host::readyz)
        .open("/openapi.json", openapi::json, of::host::openapi)
        .open("/docs", openapi::docs, of::host::docs)
        .route(Get, "/jobs", Read, lists::jobs, of::lists::jobs)
        .route(Post, "/jobs", ToPost, posting::post, of::posting::post)
        .route(Post, "/jobs/batch", ToPost, batch::post, of::posting::batch)
        .route(Get, "/jobs/count", Read, jobs::count, of::jobs::count)
        .route(Get, "/jobs/{id}", Read, jobs::record, of::jobs::record)
        .audited(
            Delete,
            "/jobs/{id}",
            ToPost,
            "cancel",
            jobs::cancel,
            of::jobs::cancel,
        )
        .audited(
            Post,
            "/jobs/{id}/retry",
            ToPost,
            "retry",
            dead::retry,
            of::dead::retry,
        )
        .route(
            Get,
            "/jobs/{id}/progress",
            Read,
            jobs::progress,
            of::jobs::progress,
        )
        .route(
            Get,
            "/jobs/{id}/events",
            Read,
            events::events,
            of::jobs::events,
        )
        .route(Get, "/jobs/{id}/log", Read, jobs::log, of::jobs::log)
        .route(
            Get,
            "/jobs/{id}/short_result",
            Read,
            results::short_result,
            of::jobs::short_result,
        )
        .route(
            Get,
            "/jobs/{id}/result",
            Read,
            results::result,
            of::jobs::result,
        )
        .route(
            Get,
            "/jobs/{id}/{view}",
            Read,
            results::result_as,
            of::jobs::result_as,
        )
        .route(Get, "/dead", Read, lists::dead, of::lists::dead)
        .audited(
            Delete,
            "/dead",
            Admin,
            "delete dead",
            dead::delete,
            of::dead::delete,
        )
        .route(Get, "/dead/causes", Read, dead::causes, of::dead::causes)
        .audited(
            Post,
            "/dead/requeue",
            Admin,
            "requeue",
            dead::requeue,
            of::dead::requeue,
        )
        .audited(
            Post,
            "/consumer",
            Deploy,
            "deploy",
            deploying::consumer,
            of::functions::consumer,
        )
        .audited(
            Delete,
            "/consumer",
            Deploy,
            "undeploy",
            functions::forget,
            of::functions::forget,
        )
        .route(
            Get,
            "/functions",
            Read,
            functions::list,
            of::functions::list,
        )
        .route(
            Get,
            "/functions/{name}",
            Read,
            functions::one,
            of::functions::one,
        )
        .audited(
            Put,
            "/functions/{name}",
            Deploy,
            "deploy",
            deploying::function,
            of::functions::function,
        )
        .audited(
            Delete,
            "/functions/{name}",
            Deploy,
            "undeploy",
            functions::remove,
            of::functions::remove,
        )
        .route(
            Get,
            "/functions/{name}/versions",
            Read,
            versions::list,
            of::functions::versions,
        )
        .audited(
            Post,
            "/functions/{name}/rollback",
            Deploy,
            "rollback",
            versions::rollback,
            of::functions::rollback,
        )
        .route(Get, "/models", Read, models::list, of::models::list)
        .route(Get, "/models/{name}", Read, models::one, of::models::one)
        .audited(
            Put,
            "/models/{name}",
            Deploy,
            "add model",
            models::add,
            of::models::add,
        )
        .audited(
            Delete,
            "/models/{name}",
            Deploy,
            "remove model",
            models::remove,
            of::models::remove,
        )
        .route(
            Get,
            "/models/{name}/versions",
            Read,
            models::versions,
            of::models::versions,
        )
        .audited(
            Post,
            "/models/{name}/rollback",
            Deploy,
            "rollback model",
            models::rollback,
            of::models::rollback,
        )
        .route(Get, "/queue", Read, queue::status, of::queue::status)
        .audited(
            Put,
            "/queue/concurrency",
            Admin,
            "limit",
            queue::limit,
            of::queue::limit,
        )
        .audited(
            Post,
            "/queue/pause",
            Admin,
            "pause",
            queue::pause,
            of::queue::pause,
        )
        .audited(
            Post,
            "/queue/resume",
            Admin,
            "resume",
            queue::resume,
            of::queue::resume,
        )
        .audited(
            Post,
            "/queue/release",
            Admin,
            "release",
            queue::release,
            of::queue::release,
        )
        .audited(
            Post,
            "/queue/rezero",
            Admin,
            "rezero",
            queue::rezero,
            of::queue::rezero,
        )
        .audited(
            Post,
            "/queue/purge",
            Admin,
            "purge",
            queue::purge,
            of::queue::purge,
        )
        .route(Get, "/metrics", Read, metrics::page, of::host::metrics)
        .route(Get, "/tokens", Admin, tokens::list, of::tokens::list)
        .audited(
            Post,
            "/tokens",
            Admin,
            "create token",
            tokens::create,
            of::tokens::create,
        )
        .audited(
            Delete,
            "/tokens/{id}",
            Admin,
            "revoke token",
            tokens::revoke,
            of::tokens::revoke,
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
