//! The same asked of the server for several jobs, functions or models, and what became of each.

use std::fmt::Display;

use reqwest::{Method, RequestBuilder};
use serde::{Deserialize, Serialize};
use serde_json::json;

use super::client::Client;
use super::failure::{Causes, Failure};
use super::output::one_line;
use super::{Global, output};
use crate::job::JobId;

/// What the server made of it.
#[derive(Deserialize, Serialize)]
struct Done {
    id: String,
    state: String,
}

/// Asks for each job, prints its new state, and fails in the end if one of them did.
pub(super) async fn ask(
    ids: &[JobId],
    global: &Global,
    request: impl Fn(&Client, JobId) -> Result<RequestBuilder, Failure>,
) -> Result<(), Failure> {
    let client = global.client()?;
    let mut causes = Causes::default();
    for id in ids {
        let done: Result<Done, _> = client.json(request(&client, *id)?).await;
        if let Some(done) = causes.take(done)? {
            match global.json {
                true => output::json(&done)?,
                false => output::line(&one_line(&format!("{} {}", done.id, done.state)))?,
            }
        }
    }
    causes.end()
}

/// Removes each of these `functions` or `models`, says so, and fails in the end if one of them
/// did.
pub(super) async fn remove<N: Display + Serialize>(
    kind: &str,
    names: &[N],
    global: &Global,
) -> Result<(), Failure> {
    let client = global.client()?;
    let mut causes = Causes::default();
    for name in names {
        let request = client.request(Method::DELETE, &format!("{kind}/{name}"))?;
        if causes.take(client.send(request).await)?.is_some() {
            match global.json {
                true => output::json(&json!({"name": name, "removed": true}))?,
                false => output::line(&format!("removed {name}"))?,
            }
        }
    }
    causes.end()
}
