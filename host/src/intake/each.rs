//! Many jobs at once where a bad one does not keep the others out: checked one by one,
//! then submitted together. In two steps, so that one batch is checked while the one
//! before it is written.

use super::{Check, Intake, IntakeError, PostRequest, near};
use crate::job::{JobId, Namespace, NewJob};
use crate::store::StoreError;

/// What a check of a job came to.
pub(crate) type Checked = Result<NewJob, IntakeError>;

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

    /// Submits what was checked: all or none.
    pub(crate) async fn submit(
        &self,
        namespace: &Namespace,
        jobs: Vec<NewJob>,
    ) -> Result<Vec<JobId>, StoreError> {
        if jobs.is_empty() {
            return Ok(Vec::new());
        }
        self.store.submit(namespace, jobs).await
    }
}
