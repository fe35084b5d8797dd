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
mod health;
mod jobs;
mod lines;
mod posting;
mod problem;
mod queue;
mod refusals;
mod results;

use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::middleware::from_fn;
use axum::routing::{get, post};
use axum::serve::ListenerExt as _;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;
use tower_http::catch_panic::CatchPanicLayer;
use tower_http::trace::TraceLayer;

pub(crate) use queue::text as queue_text;

use crate::deploy::Deployer;
use crate::following::Following;
use crate::intake::Intake;
use crate::store::Store;

/// How long open requests may take to finish once the server stops. Long polls
/// and streams of events end at once, so that only transfers are left.
const DRAIN: Duration = Duration::from_secs(10);

/// What the handlers work with.
#[derive(Clone)]
pub struct App {
    store: Arc<dyn Store>,
    intake: Arc<Intake>,
    deployer: Arc<Deployer>,
    following: Arc<Following>,
    /// Ends the long polls and the streams of events when the server stops.
    closing: CancellationToken,
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
        }
    }
}

/// All routes, with what holds for each of them.
pub fn router(app: App) -> Router {
    // As a service, so that even axum's own answers (405 and its `Allow`) pass
    // through the layers; from the inside out, what is refused or panics still
    // gets its answer in the client's format.
    Router::new()
        .fallback_service(routes(app))
        .layer(from_fn(guard::refuse_foreign_pages))
        .layer(CatchPanicLayer::custom(problem::after_panic))
        .layer(from_fn(problem::negotiate))
        .layer(from_fn(drain::unread))
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
        .route("/queue/pause", post(queue::pause))
        .route("/queue/resume", post(queue::resume))
        .route("/queue/release", post(queue::release))
        .route("/queue/rezero", post(queue::rezero))
        .route("/queue/purge", post(queue::purge))
        .fallback(problem::no_such_route)
        .with_state(app)
}

/// Serves until `shutdown` resolves, then finishes the open requests.
///
/// # Errors
///
/// When the listener fails for good.
pub async fn serve(
    listener: TcpListener,
    app: App,
    shutdown: impl Future<Output = ()>,
) -> std::io::Result<()> {
    let closing = app.closing.clone();
    // Answers are small and complete; waiting for more to send with them, as
    // Nagle's algorithm does, would add up to 40 ms to each.
    let listener = listener.tap_io(|connection| {
        if let Err(error) = connection.set_nodelay(true) {
            tracing::debug!(%error, "a connection keeps Nagle's algorithm");
        }
    });
    let server = axum::serve(listener, router(app))
        .with_graceful_shutdown(closing.clone().cancelled_owned())
        .into_future();
    tokio::pin!(server);
    tokio::select! {
        ended = &mut server => return ended,
        () = shutdown => closing.cancel(),
    }
    let drained = tokio::time::timeout(DRAIN, server).await;
    drained.unwrap_or_else(|_| {
        tracing::warn!("some requests did not finish within {DRAIN:?} and were cut off");
        Ok(())
    })
}

impl std::fmt::Debug for App {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("App").finish_non_exhaustive()
    }
}
