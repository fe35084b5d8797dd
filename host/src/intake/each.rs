//! Many jobs at once where a bad one does not keep the others out: checked one by one,
//! then submitted together. In two steps, so that one batch is checked while the one
//! before it is written.

use std::collections::BTreeMap;

use super::{Check, Intake, IntakeError, PostRequest, near};
use crate::job::{JobId, Namespace, NewJob};
use crate::store::{Reused, StoreError};

/// What a check of a job came to.
pub(crate) type Checked = Result<NewJob, IntakeError>;

/// What became of a job that was submitted: its id, or that its key is another job's.
pub(crate) type Submitted = Result<JobId, Reused>;

impl Intake {
    /// Checks jobs one by one, in order.
    ///
    /// # Errors
    ///
    /// When none could be checked.
    pub(crate) async fn check_each(
        &self,
        namespace: &Namespace,
        requests: Vec<PostRequest>,
    ) -> Result<Vec<Checked>, IntakeError> {
        let mut deployed = self.store.functions(namespace).await?;
        if !near::all_known(&requests, &deployed) {
            deployed = self.store.functions_now(namespace).await?;
        }
        let checks: Vec<_> = (requests.into_iter())
            .map(|request| self.prepare(request, &deployed))
            .collect();
        let work = checks.iter().flatten().map(Check::work);
        let work = work.fold(0, u64::saturating_add);
        let check_all = move || -> Vec<Checked> {
            let checks = checks.into_iter();
            checks.map(|check| check.and_then(Check::run)).collect()
        };
        self.inline_or_aside(work, check_all).await
    }

    /// Submits what was checked: all that may be, or none if the store takes none.
    pub(crate) async fn submit(
        &self,
        namespace: &Namespace,
        jobs: Vec<NewJob>,
    ) -> Result<Vec<Submitted>, StoreError> {
        if jobs.iter().all(|job| job.idempotency_key.is_none()) {
            let ids = self.store.submit(namespace, jobs).await?;
            return Ok(ids.into_iter().map(Ok).collect());
        }
        let mut refused = BTreeMap::new();
        let mut open: Vec<usize> = (0..jobs.len()).collect();
        let ids = loop {
            let these = open.iter().filter_map(|place| jobs.get(*place).cloned());
            match self.store.submit(namespace, these.collect()).await {
                // The others go without them; each round is smaller than the one before.
                Err(StoreError::KeyReused(reused)) if !reused.is_empty() => {
                    for one in reused {
                        refused.extend(open.get(one.place).map(|place| (*place, one)));
                    }
                    open.retain(|place| !refused.contains_key(place));
                }
                ids => break ids?,
            }
        };
        let mut ids = ids.into_iter();
        let told = |place: usize| match refused.remove(&place) {
            Some(one) => Some(Err(one)),
            None => ids.next().map(Ok),
        };
        Ok((0..jobs.len()).filter_map(told).collect())
    }
}
