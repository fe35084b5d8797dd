//! `post` and `post-many`: jobs that a job posts are its children.

use super::{Guest, unavailable};
use crate::intake::{IntakeError, PostRequest};
use crate::job::Payload;
use crate::sandbox::bindings::queue::PostRequest as WitPostRequest;
use crate::sandbox::bindings::types::Error;
use crate::store::StoreError;

/// The most jobs of one `post-many`: one batch of the store.
pub(in crate::sandbox) const MAX_POST_MANY: usize = 10_000;

impl Guest {
    /// Accepts all of the jobs, or none.
    pub(super) async fn post_all(
        &mut self,
        posts: Vec<WitPostRequest>,
    ) -> Result<Vec<String>, Error> {
        let job = self.job_for_call()?;
        if posts.len() > MAX_POST_MANY {
            return Err(Error::LimitExceeded(format!(
                "one call may post {MAX_POST_MANY} jobs, not {}; make several calls",
                posts.len()
            )));
        }
        let (namespace, parent, depth) = (job.token.namespace.clone(), job.token.id, job.depth + 1);
        if u64::from(depth) > job.tree.depth {
            return Err(Error::LimitExceeded(format!(
                "the job would have {depth} ancestors, and {} are allowed (the limit `tree_depth`); a handler that posts itself without end looks like this",
                job.tree.depth
            )));
        }
        let bytes = posts.iter().map(|post| post.message.data.len()).sum();
        self.budget.post(posts.len(), bytes)?;
        let job = self.job()?;
        let count = posts.len();
        let keys = posts.iter().enumerate();
        let keys: Vec<_> = keys.map(|(n, post)| job.child_key(n, post)).collect();
        let (root, tree_jobs) = (Some(job.tree.root), Some(job.tree.jobs));
        let limits = job.tree.handed_down.clone();
        let trace = job.trace;
        let requests = posts
            .into_iter()
            .zip(keys)
            .map(|(WitPostRequest { message, options }, key)| PostRequest {
                message: Payload {
                    content_type: message.content_type,
                    data: message.data.into(),
                },
                functions: options.functions,
                delay_ms: options.delay_ms,
                priority: options.priority,
                idempotency_key: options.idempotency_key,
                max_attempts: options.max_attempts,
                timeout_ms: options.timeout_ms,
                limits: limits.clone(),
                retention_s: options.retention_s,
                callback: options.callback,
                parent: Some(parent),
                depth,
                root,
                tree_jobs,
                child_key: Some(key),
                trace,
            })
            .collect();
        let ids = self.services.intake.accept(&namespace, requests).await;
        let ids = ids.map_err(refused)?;
        self.job()?.ordinals.posts += count as u64;
        Ok(ids.iter().map(ToString::to_string).collect())
    }
}

fn refused(error: IntakeError) -> Error {
    let text = error.to_string();
    let one = match error {
        IntakeError::InBatch { error, .. } => *error,
        error => error,
    };
    match one {
        IntakeError::TooDeep(_)
        | IntakeError::OverLimit { .. }
        | IntakeError::Store(StoreError::TreeFull { .. }) => Error::LimitExceeded(text),
        IntakeError::Store(StoreError::ParentOver(_)) => Error::Denied(text),
        IntakeError::Store(error) => unavailable(error),
        _ => Error::InvalidArgument(text),
    }
}
