//! Every route, with the scope that it needs and something to send to it.

use reqwest::{Method, RequestBuilder};
use serde_json::{Value, json};

use crate::models::model_bytes;
use crate::server::{Server, guest_bytes};

/// What a route takes.
pub(crate) enum Takes {
    Nothing,
    Json(Value),
    Lines,
    Component,
    Model,
}

/// A route: method, path in the router, the scope that it needs, a path that leads
/// there, what to send.
pub(crate) type Row = (
    &'static str,
    &'static str,
    &'static str,
    &'static str,
    Takes,
);

/// Every route. Written out here, and not read from the router, so that a scope which
/// changes there is noticed here.
pub(crate) fn rows() -> Vec<Row> {
    use Takes::{Component, Json, Lines, Model, Nothing};
    let job = json!({"msg": {"arg1": 6, "arg2": 7}, "functions": ["multiply"]});
    let token = json!({"scopes": ["read"], "expires_in_s": 60});
    vec![
        ("GET", "/healthz", "", "/healthz", Nothing),
        ("GET", "/readyz", "", "/readyz", Nothing),
        ("GET", "/openapi.json", "", "/openapi.json", Nothing),
        ("GET", "/docs", "", "/docs", Nothing),
        ("GET", "/jobs", "read", "/jobs", Nothing),
        ("POST", "/jobs", "post", "/jobs", Json(job)),
        ("POST", "/jobs/batch", "post", "/jobs/batch", Lines),
        ("GET", "/jobs/count", "read", "/jobs/count", Nothing),
        ("GET", "/jobs/{id}", "read", "/jobs/1", Nothing),
        ("DELETE", "/jobs/{id}", "post", "/jobs/1", Nothing),
        ("POST", "/jobs/{id}/retry", "post", "/jobs/1/retry", Nothing),
        ("GET", "/dead", "read", "/dead", Nothing),
        ("GET", "/dead/causes", "read", "/dead/causes", Nothing),
        ("POST", "/dead/requeue", "admin", "/dead/requeue", Nothing),
        ("DELETE", "/dead", "admin", "/dead", Nothing),
        (
            "GET",
            "/jobs/{id}/progress",
            "read",
            "/jobs/1/progress",
            Nothing,
        ),
        (
            "GET",
            "/jobs/{id}/events",
            "read",
            "/jobs/1/events",
            Nothing,
        ),
        ("GET", "/jobs/{id}/log", "read", "/jobs/1/log", Nothing),
        (
            "GET",
            "/jobs/{id}/short_result",
            "read",
            "/jobs/1/short_result",
            Nothing,
        ),
        (
            "GET",
            "/jobs/{id}/result",
            "read",
            "/jobs/1/result",
            Nothing,
        ),
        (
            "GET",
            "/jobs/{id}/{view}",
            "read",
            "/jobs/1/result.txt",
            Nothing,
        ),
        ("POST", "/consumer", "deploy", "/consumer", Component),
        (
            "DELETE",
            "/consumer",
            "deploy",
            "/consumer?name=divide",
            Nothing,
        ),
        ("GET", "/functions", "read", "/functions", Nothing),
        (
            "GET",
            "/functions/{name}",
            "read",
            "/functions/multiply",
            Nothing,
        ),
        (
            "GET",
            "/functions/{name}/versions",
            "read",
            "/functions/multiply/versions",
            Nothing,
        ),
        (
            "POST",
            "/functions/{name}/rollback",
            "deploy",
            "/functions/multiply/rollback",
            Nothing,
        ),
        (
            "DELETE",
            "/functions/{name}",
            "deploy",
            "/functions/divide",
            Nothing,
        ),
        (
            "PUT",
            "/functions/{name}",
            "deploy",
            "/functions/divide",
            Component,
        ),
        ("GET", "/models", "read", "/models", Nothing),
        ("PUT", "/models/{name}", "deploy", "/models/sum", Model),
        ("GET", "/models/{name}", "read", "/models/sum", Nothing),
        (
            "GET",
            "/models/{name}/versions",
            "read",
            "/models/sum/versions",
            Nothing,
        ),
        (
            "POST",
            "/models/{name}/rollback",
            "deploy",
            "/models/sum/rollback",
            Nothing,
        ),
        ("DELETE", "/models/{name}", "deploy", "/models/sum", Nothing),
        ("GET", "/queue", "read", "/queue", Nothing),
        ("GET", "/metrics", "read", "/metrics", Nothing),
        (
            "PUT",
            "/queue/concurrency",
            "admin",
            "/queue/concurrency",
            Json(json!({"limit": 8})),
        ),
        ("POST", "/queue/pause", "admin", "/queue/pause", Nothing),
        ("POST", "/queue/release", "admin", "/queue/release", Nothing),
        ("POST", "/queue/rezero", "admin", "/queue/rezero", Nothing),
        ("POST", "/queue/purge", "admin", "/queue/purge", Nothing),
        ("POST", "/queue/resume", "admin", "/queue/resume", Nothing),
        ("GET", "/tokens", "admin", "/tokens", Nothing),
        ("POST", "/tokens", "admin", "/tokens", Json(token)),
        (
            "DELETE",
            "/tokens/{id}",
            "admin",
            "/tokens/000000000000",
            Nothing,
        ),
    ]
}

impl Takes {
    /// Puts it into a request.
    pub(crate) fn put_into(&self, request: RequestBuilder) -> RequestBuilder {
        let typed = |kind: &str, body: Vec<u8>| ("content-type", kind.to_owned(), body);
        let (header, kind, body) = match self {
            Self::Nothing => return request,
            Self::Json(value) => typed("application/json", value.to_string().into()),
            Self::Lines => typed("application/x-ndjson", b"{\"msg\": 1}\n".to_vec()),
            Self::Model => typed("application/octet-stream", model_bytes("add")),
            Self::Component => typed("application/wasm", guest_bytes("multiply")),
        };
        request.header(header, kind).body(body)
    }
}

/// A request along this route.
pub(crate) fn ask((method, _, _, path, takes): &Row, server: &Server) -> RequestBuilder {
    let method = Method::from_bytes(method.as_bytes()).unwrap();
    takes.put_into(server.request(method, path))
}
