//! Whether this process lives, and whether it can work. Open to everybody, so that a load
//! balancer needs no token; what is amiss is for the log.

use std::time::Duration;

use axum::Json;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use serde::Serialize;
use utoipa::ToSchema;

use super::App;
use super::code::Code;
use super::extract::Format;
use super::problem::Problem;
use crate::job::Namespace;

/// How long the store may take to answer a host that is ready.
const PROMPT: Duration = Duration::from_secs(2);

/// That all is well.
#[derive(Serialize, ToSchema)]
pub(super) struct Health {
    /// `ok`.
    status: &'static str,
}

/// `GET /healthz`: answered as long as the process can answer anything.
pub(super) async fn healthz(format: Format) -> Response {
    ok(format)
}

/// `GET /readyz`: 503 when the store cannot be reached.
pub(super) async fn readyz(State(app): State<App>, format: Format) -> Result<Response, Problem> {
    let namespace = Namespace::default();
    let asked = app.store.status(&namespace);
    match tokio::time::timeout(PROMPT, asked).await {
        Ok(answer) => answer.map(|_| ok(format)).map_err(Problem::from),
        Err(_) => Err(Problem::new(
            Code::StoreUnavailable,
            format!("the store does not answer within {PROMPT:?}"),
        )),
    }
}

fn ok(format: Format) -> Response {
    match format {
        Format::Text => "ok".into_response(),
        Format::Json => Json(Health { status: "ok" }).into_response(),
    }
}
