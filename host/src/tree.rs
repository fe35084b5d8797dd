//! Stops a job together with the jobs that it posted, and those that they posted.

use futures_util::{StreamExt as _, TryStreamExt as _, stream};

use crate::job::{JobId, Namespace};
use crate::store::{Cancelled, Outcome, Result, Store};

/// How many calls are under way at once: enough to fill one batch of a store.
const AT_ONCE: usize = 64;

/// How many children are asked for at once.
const PAGE: usize = 1000;

/// Stops a job and its descendants, also those of descendants that have ended.
///
/// From the top down: a job that is to stop posts no more, so that none is missed. If
/// this is cut off, it is to be done again; so a job that was cancelled before has its
/// descendants stopped too, while the children of one that ended by itself are left
/// alone.
pub async fn cancel(store: &dyn Store, namespace: &Namespace, id: JobId) -> Result<Cancelled> {
    let answer = store.cancel(namespace, id).await?;
    let goes_on = match answer {
        Cancelled::Done | Cancelled::Requested => true,
        Cancelled::HadEnded => store.outcome(namespace, id).await? == Outcome::Cancelled,
        Cancelled::Unknown => false,
    };
    let mut level = if goes_on { vec![id] } else { Vec::new() };
    while !level.is_empty() {
        let below = level
            .into_iter()
            .map(|id| cancel_children(store, namespace, id));
        let below = stream::iter(below).buffer_unordered(AT_ONCE);
        level = below.try_concat().await?;
    }
    Ok(answer)
}

/// Stops the children of a job; answers them.
async fn cancel_children(
    store: &dyn Store,
    namespace: &Namespace,
    id: JobId,
) -> Result<Vec<JobId>> {
    let mut all = Vec::new();
    let mut after = JobId(0);
    loop {
        let children = store.children(namespace, id, after, PAGE).await?;
        let Some(last) = children.last() else {
            return Ok(all);
        };
        after = *last;
        let stops = children
            .iter()
            .copied()
            .map(|id| store.cancel(namespace, id));
        let stops = stream::iter(stops).buffer_unordered(AT_ONCE);
        stops.try_for_each(async |_| Ok(())).await?;
        all.extend(children);
    }
}
