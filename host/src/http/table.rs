//! Every route: its method and path, the scope that it needs, what the audit log calls it, its
//! handler, and what the OpenAPI document says of it.

use super::routes::{Method, Routes};
use super::{
    batch, dead, deploying, events, functions, health, jobs, lists, metrics, models, openapi,
    operations as of, posting, queue, results, tokens, versions,
};
use crate::access::Scope;

/// What a host is watched by.
pub(super) fn watching() -> Routes {
    Routes::new()
        .open("/healthz", health::healthz, of::host::healthz)
        .open("/readyz", health::readyz, of::host::readyz)
        .route(
            Method::Get,
            "/metrics",
            Scope::Read,
            metrics::page,
            of::host::metrics,
        )
}

/// All routes.
pub(super) fn table() -> Routes {
    use Method::{Delete, Get, Post, Put};
    use Scope::{Admin, Deploy, Post as ToPost, Read};
    watching()
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
