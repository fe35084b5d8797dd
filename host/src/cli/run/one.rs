//! One job: its progress as it happens, its result, and its log if it fails.

use std::sync::Arc;

use super::super::failure::Failure;
use super::super::follow::{Display, Jobs, Listener, verdict};
use super::super::output::{note, plain};
use super::Here;
use crate::following::{Cursor, Following};
use crate::job::{JobId, Namespace, Payload};
use crate::store::{Outcome, Store};

/// Runs the job, and answers its result.
pub(super) async fn run(here: &Here, message: Payload) -> Result<Payload, Failure> {
    let failed = |error: &dyn std::fmt::Display| Failure::failed(error.to_string());
    let (host, namespace) = (&here.host, &here.namespace);
    let ids = (host.intake.accept(namespace, vec![here.request(message)])).await;
    let ids = ids.map_err(|error| failed(&error))?;
    let id = ids
        .first()
        .copied()
        .ok_or_else(|| failed(&"the job has no id"))?;
    let local = Local {
        store: Arc::clone(&host.store),
        namespace,
    };
    let ended = Display::new(1).follow(&local, id).await?;
    if let Err(failure) = verdict(&ended) {
        local.show_log(id).await;
        return Err(failure);
    }
    match host.store.outcome(namespace, id).await {
        Ok(Outcome::Completed(output)) => Ok(output.result),
        Ok(_) => Err(failed(&"the result is gone")),
        Err(error) => Err(failed(&error)),
    }
}

/// The host in this process, as a place to look at jobs.
struct Local<'n> {
    store: Arc<dyn Store>,
    namespace: &'n Namespace,
}

impl Local<'_> {
    /// Shows what the guest logged: the cause alone seldom tells why.
    async fn show_log(&self, id: JobId) {
        let lines = self.store.log(self.namespace, id).await;
        for line in lines.unwrap_or_default().lines {
            note(&format!("log: {}", plain(&line.text)));
        }
    }
}

impl Jobs for Local<'_> {
    async fn follow(&self, id: JobId, listener: &mut impl Listener) -> Result<(), Failure> {
        let following = Following::new(Arc::clone(&self.store));
        let follower = (following.follow(self.namespace, id, Cursor::default())).await;
        let mut follower = follower.map_err(|error| Failure::failed(error.to_string()))?;
        while let Some(told) = follower.next().await {
            listener.hear(told.event)?;
        }
        Ok(())
    }
}
