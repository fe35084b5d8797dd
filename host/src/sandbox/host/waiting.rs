//! `block-until-result` and `block-until-results`: the guest is parked until the jobs
//! have ended. It holds its instance meanwhile, and no worker.

use std::time::Duration;

use tokio::time::sleep;

use super::{Guest, RunningJob, unavailable};
use crate::job::{JobId, Namespace};
use crate::sandbox::bindings::types::{Error, Output, Payload};
use crate::store::{self, Outcome, Parked, STORE_PAUSE, Store, StoreError};

/// The most jobs of one wait: as many as one `post-many` posts.
pub(in crate::sandbox) const MAX_WAIT_MANY: usize = 10_000;

/// The most bytes of results that one wait brings, unless it is for a single job: the
/// list is copied into the guest's memory, of which this is half.
pub(in crate::sandbox) const MAX_RESULTS_BYTES: u64 = 128 << 20;

/// The longest id that an error repeats, in bytes: a few times what the largest takes.
/// One call may bring ids of 80 MiB.
const MAX_ID_BYTES: usize = 64;

impl Guest {
    /// Waits until all of the jobs have ended, and answers what became of each.
    pub(super) async fn wait_for_all(
        &mut self,
        jobs: Vec<String>,
        timeout_ms: Option<u64>,
    ) -> Result<Vec<Result<Output, Error>>, Error> {
        self.job_for_call()?;
        if jobs.len() > MAX_WAIT_MANY {
            return Err(Error::LimitExceeded(format!(
                "one call may wait for {MAX_WAIT_MANY} jobs, not {}; make several calls",
                jobs.len()
            )));
        }
        self.budget.wait(jobs.len())?;
        // What is no id is the id of no job.
        let ids: Vec<JobId> = jobs.iter().filter_map(|job| job.parse().ok()).collect();
        let mut outcomes = self.end_of(&ids, timeout_ms).await?.into_iter();
        Ok(jobs
            .iter()
            .map(|job| {
                let id = job.parse::<JobId>().ok();
                let outcome = id.and_then(|_| outcomes.next());
                told(job, outcome.unwrap_or(Outcome::Unknown))
            })
            .collect())
    }

    /// Waits until jobs have ended; answers what became of them.
    async fn end_of(
        &mut self,
        ids: &[JobId],
        timeout_ms: Option<u64>,
    ) -> Result<Vec<Outcome>, Error> {
        if ids.is_empty() {
            return Ok(Vec::new());
        }
        let held = self.memory.held();
        let store = self.services.store.clone();
        let (store, job) = (&*store, &*self.job()?);
        let ended = park_until_ended(store, job, held, ids, timeout_ms).await;
        // Also when the call to park was cut short: it may have been carried out.
        let go_on = async {
            let unpark = patiently(|| store.unpark(job.lease, &job.token));
            let (went_on, ()) = tokio::join!(unpark, job.slot.resume());
            went_on.map_err(unavailable)
        };
        let outcomes = async {
            ended?;
            outcomes(store, &job.token.namespace, ids).await
        };
        let (went_on, outcomes) = tokio::join!(go_on, outcomes);
        let outcomes = outcomes?;
        went_on?;
        let bytes: u64 = outcomes.iter().map(result_bytes).sum();
        self.budget
            .fetch(usize::try_from(bytes).unwrap_or(usize::MAX))?;
        Ok(outcomes)
    }
}

/// Parks a guest that holds `held` bytes until the jobs have ended. Whether it succeeds
/// or not, the guest may be parked afterwards.
async fn park_until_ended(
    store: &dyn Store,
    job: &RunningJob,
    held: usize,
    ids: &[JobId],
    timeout_ms: Option<u64>,
) -> Result<(), Error> {
    let ended = async {
        // A store may take its time, for which nobody needs a worker.
        let mut parked = job.slot.park(held);
        loop {
            let park = || store.park(job.lease, &job.token, ids);
            let ended = match patiently(park).await.map_err(unavailable)? {
                Parked::Ended => return Ok(()),
                Parked::Cycle(jobs) => return Err(would_wait_for_itself(&jobs)),
                Parked::Waiting(ended) => ended,
            };
            parked = parked || job.slot.park(held);
            if !parked {
                // The attempt ends here, and the host hands the job back.
                job.slot.gives_up();
                return std::future::pending().await;
            }
            match ended.await {
                Ok(()) => return Ok(()),
                Err(error) => tracing::debug!(%error, "a wait was cut short, and begins anew"),
            }
            sleep(STORE_PAUSE).await;
        }
    };
    let left = job.parked_limit.saturating_sub(job.slot.parked_for());
    let asked = timeout_ms.map_or(Duration::MAX, Duration::from_millis);
    tokio::select! {
        biased;
        () = job.cancel.cancelled() => Err(Error::Denied(
            "this job was cancelled; tidy up and return".to_owned(),
        )),
        ended = ended => ended,
        () = sleep(left.min(asked)) => Err(match asked <= left {
            true => Error::TimedOut(format!(
                "not all of the jobs have ended within {} ms; they go on",
                asked.as_millis()
            )),
            false => Error::LimitExceeded(format!(
                "an attempt may be parked for {} ms in all (the limit `parked_ms`)",
                (job.parked_before + job.parked_limit).as_millis()
            )),
        }),
    }
}

/// What became of jobs that have ended, within [`MAX_RESULTS_BYTES`].
async fn outcomes(
    store: &dyn Store,
    namespace: &Namespace,
    ids: &[JobId],
) -> Result<Vec<Outcome>, Error> {
    let mut outcomes: Vec<Outcome> = Vec::with_capacity(ids.len());
    let mut bytes = 0;
    while let Some(rest) = ids.get(outcomes.len()..).filter(|rest| !rest.is_empty()) {
        let left = MAX_RESULTS_BYTES.saturating_sub(bytes);
        let ask = || store.outcomes(namespace, rest, left);
        let some = patiently(ask).await.map_err(unavailable)?;
        bytes += some.iter().map(result_bytes).sum::<u64>();
        if some.is_empty() || (bytes > MAX_RESULTS_BYTES && ids.len() > 1) {
            return Err(Error::LimitExceeded(format!(
                "the results of one wait may have {MAX_RESULTS_BYTES} bytes together; wait for fewer jobs at a time"
            )));
        }
        outcomes.extend(some);
    }
    Ok(outcomes)
}

/// Asks a store until it answers: a job that waits for others has time, and must not
/// fail because a Redis is started anew.
async fn patiently<T, F>(ask: impl Fn() -> F) -> store::Result<T>
where
    F: Future<Output = store::Result<T>>,
{
    loop {
        match ask().await {
            Err(StoreError::Unavailable(error)) => {
                tracing::debug!(%error, "the store is asked again");
                sleep(STORE_PAUSE).await;
            }
            answer => return answer,
        }
    }
}

fn result_bytes(outcome: &Outcome) -> u64 {
    match outcome {
        Outcome::Completed(output) => output.result.data.len() as u64,
        _ => 0,
    }
}

/// What a job came to, as the guest is told.
fn told(job: &str, outcome: Outcome) -> Result<Output, Error> {
    match outcome {
        Outcome::Completed(output) => Ok(Output {
            short_result: output.short_result,
            result: Payload {
                content_type: output.result.content_type,
                data: output.result.data.into(),
            },
        }),
        Outcome::Unknown if job.len() > MAX_ID_BYTES => Err(Error::NotFound(format!(
            "there is no job whose id has {} bytes",
            job.len()
        ))),
        Outcome::Unknown => Err(Error::NotFound(format!("there is no job {job:?}"))),
        Outcome::Expired => Err(Error::NotFound(format!(
            "the result of job {job} was kept as long as its retention asked, and is gone"
        ))),
        Outcome::Failed(cause) => Err(Error::JobFailed(cause.to_string())),
        Outcome::Cancelled => Err(Error::JobFailed(format!("cancelled: job {job}"))),
        Outcome::Open => Err(Error::Unavailable(format!(
            "job {job} was started again; wait for it once more"
        ))),
    }
}

fn would_wait_for_itself(jobs: &[JobId]) -> Error {
    let names: Vec<String> = jobs.iter().map(ToString::to_string).collect();
    let text = match names.split_first() {
        Some((first, [])) => format!("job {first} cannot wait for itself"),
        Some((first, others)) => format!(
            "job {first} would wait for itself: {first} waits for {}, and that for {first}",
            others.join(", that for ")
        ),
        None => "the jobs would wait for each other".to_owned(),
    };
    Error::InvalidArgument(text)
}
