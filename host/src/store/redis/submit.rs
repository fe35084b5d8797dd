//! The call that accepts jobs: its command and its answer.

use redis::Cmd;
use uuid::Uuid;

use std::sync::Arc;

use crate::job::{JobId, Namespace, NewJob};
use crate::store::{Result, Reused, StoreError};

use super::link::Link;
use super::posted::encode_job;
use super::shared::Shared;
use super::{giving, script};

/// How long Redis remembers what it answered to a submit, in ms: longer than a call
/// waits for its answer and a new connection together.
pub(super) const BATCH_REMEMBERED_MS: u64 = 30_000;

/// Accepts jobs of one parent, or of none, in order, all or none; answers their ids.
pub(super) async fn accept_all(
    link: &Arc<Link>,
    shared: &Arc<Shared>,
    namespace: &Namespace,
    jobs: &[NewJob],
) -> Result<Vec<JobId>> {
    let first = jobs.first();
    if first.is_none() {
        return Ok(Vec::new());
    }
    let has_parent = first.is_some_and(|job| job.parent.is_some());
    let width = match (jobs.iter().all(is_plain), has_parent) {
        (true, false) => 1,
        (true, true) => 2,
        (false, _) => 4,
    };
    let batch = Uuid::new_v4();
    let command = |order: &str| {
        let mut command = command(link, namespace, first, width, batch, order);
        for job in jobs {
            add_job(&mut command, job, width)?;
        }
        Ok(command)
    };
    let kept = shared.recent.kept();
    let ids = giving::send(link, shared, batch, command).await?;
    let ids = read_ids(&ids, jobs)?;
    if has_parent {
        // A Redis that has lost its last second gives ids out again. Of what somebody posts
        // who then waits for it, no other job's result may be here.
        let jobs = ids.iter().map(|id| (namespace.clone(), *id));
        shared.recent.forget(jobs, kept);
    }
    Ok(ids)
}

/// Starts a command that accepts jobs of a parent or none, which are like this one,
/// each of `width` values, with what is to be taken for a host.
pub(super) fn command(
    link: &Link,
    namespace: &Namespace,
    like: Option<&NewJob>,
    width: usize,
    batch: Uuid,
    order: &str,
) -> Cmd {
    let parent = like.and_then(|job| job.parent);
    let tree = like.and_then(|job| job.root.zip(job.tree_jobs));
    let id = |id: Option<JobId>| id.map_or_else(String::new, |id| id.to_string());
    let mut command = link.command(script::SUBMIT);
    command
        .arg(namespace.as_str())
        .arg(batch.to_string())
        .arg(BATCH_REMEMBERED_MS)
        .arg(id(parent))
        .arg(id(tree.map(|(root, _)| root)))
        .arg(tree.map_or(0, |(_, limit)| limit))
        .arg(order)
        .arg(width);
    command
}

/// Whether nothing is to be known of a job, to accept it, but its record.
fn is_plain(job: &NewJob) -> bool {
    job.delay_ms == 0 && job.idempotency_key.is_none()
}

/// Adds the first `width` values of a job to a command that accepts jobs.
pub(super) fn add_job(command: &mut Cmd, job: &NewJob, width: usize) -> Result<()> {
    command.arg(encode_job(job)?);
    if width > 1 {
        let key = job.child_key.as_ref();
        command.arg(key.map_or(&[][..], |key| key.as_bytes()));
    }
    if width > 2 {
        command
            .arg(job.delay_ms)
            .arg(job.idempotency_key.as_deref().unwrap_or_default());
    }
    Ok(())
}

/// The ids of these jobs, or why they were refused. Those of another store never are for what
/// they are, and need not be given again.
pub(super) fn read_ids(ids: &str, jobs: &[NewJob]) -> Result<Vec<JobId>> {
    let like = jobs.first();
    if let ("over", Some(parent)) = (ids, like.and_then(|job| job.parent)) {
        return Err(StoreError::ParentOver(parent));
    }
    let tree = like.and_then(|job| job.root.zip(job.tree_jobs));
    let odd = |_| StoreError::Unreadable(format!("Redis answered odd ids: {ids}"));
    let id = |id: &str| id.parse::<u64>().map_err(odd);
    if let (Some(jobs), Some((root, limit))) = (ids.strip_prefix("tree "), tree) {
        let jobs = id(jobs)?;
        return Err(StoreError::TreeFull { root, jobs, limit });
    }
    if let Some(reused) = ids.strip_prefix("reused ") {
        let numbers = reused.split(' ').map(id).collect::<Result<Vec<_>>>()?;
        let reused = numbers.chunks(2).map(|pair| reused_by(pair, jobs));
        let reused = reused.collect::<Option<_>>();
        let odd = || StoreError::Unreadable(format!("Redis answered odd places: {ids}"));
        return Err(StoreError::KeyReused(reused.ok_or_else(odd)?));
    }
    match ids.split_once('-') {
        Some((first, last)) => Ok((id(first)?..=id(last)?).map(JobId).collect()),
        None => ids.split(' ').map(|one| id(one).map(JobId)).collect(),
    }
}

/// The post at a place, under the key of the job with an id, or with 0 of another post.
fn reused_by(pair: &[u64], jobs: &[NewJob]) -> Option<Reused> {
    let &[place, id] = pair else { return None };
    let place = usize::try_from(place).ok()?;
    Some(Reused {
        place,
        key: jobs.get(place)?.idempotency_key.clone()?,
        first: (id > 0).then_some(JobId(id)),
    })
}
