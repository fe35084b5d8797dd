//! What a handler knows about its job, and what it can ask of the host.

use std::time::Duration;

use crate::bindings::skep::jobs::{inference, queue};
use crate::post::Post;
use crate::{Error, FromPayload, Job, ModelInfo, NamedTensor, Output, Payload, ToPayload, millis};

/// The job at hand and the host's functions.
///
/// The methods that ask the host panic where there is none, as in native unit
/// tests.
#[derive(Debug)]
pub struct Context {
    pub(crate) job: Job,
}

impl Context {
    /// A context for calling a handler from a test; the host makes them else.
    pub fn new(job: Job) -> Self {
        Context { job }
    }

    /// The job: its id, attempt, parent and more. `message.data` is empty if the
    /// handler takes the message as bytes, since they were handed over to it.
    pub fn job(&self) -> &Job {
        &self.job
    }

    /// The same as [`job`](Self::job), under the name it had in MLQ.
    pub fn full_message(&self) -> &Job {
        &self.job
    }

    /// Tells whoever watches how far this job is: 0 to 100.
    pub fn update_progress(&self, percent: u8) -> Result<(), Error> {
        Ok(queue::update_progress(percent, None)?)
    }

    /// Tells how far this job is, with a note of at most 256 bytes.
    pub fn update_progress_with_note(&self, percent: u8, note: &str) -> Result<(), Error> {
        Ok(queue::update_progress(percent, Some(note))?)
    }

    /// Stores bytes for other jobs of the namespace and answers their key: the
    /// one given (at most 512 bytes), or a new one. An existing key is
    /// overwritten. Without an expiry the data stays for ever; an expiry is
    /// rounded up to whole seconds.
    pub fn store_data(
        &self,
        data: &[u8],
        key: Option<&str>,
        expiry: Option<Duration>,
    ) -> Result<String, Error> {
        Ok(queue::store_data(data, key, expiry.map(seconds))?)
    }

    /// The bytes under a key of this namespace, or none.
    pub fn fetch_data(&self, key: &str) -> Result<Option<Vec<u8>>, Error> {
        Ok(queue::fetch_data(key)?)
    }

    /// Begins to post a job as a child of this one:
    ///
    /// ```no_run
    /// # fn f(ctx: &skep_sdk::Context) -> Result<(), skep_sdk::Failure> {
    /// let id = ctx.post(&42)?.functions(["resize"]).send()?;
    /// # Ok(()) }
    /// ```
    pub fn post<T: ToPayload>(&self, message: &T) -> Result<Post, Error> {
        Post::new(message)
    }

    /// Posts many jobs at once and answers their ids: far cheaper than one call
    /// each. All are accepted, or none.
    pub fn post_many(&self, posts: impl IntoIterator<Item = Post>) -> Result<Vec<String>, Error> {
        let requests: Vec<_> = posts.into_iter().map(|post| post.request).collect();
        Ok(queue::post_many(&requests)?)
    }

    /// Waits until a job has ended and answers its output; this job is parked
    /// meanwhile. A job that ended before, or that does not exist, answers at
    /// once.
    pub fn block_until_result(&self, job: &str) -> Result<Output, Error> {
        Ok(queue::block_until_result(job, None)?.into())
    }

    /// Waits no longer than `timeout`, then gives [`Error::TimedOut`].
    pub fn block_until_result_for(&self, job: &str, timeout: Duration) -> Result<Output, Error> {
        Ok(queue::block_until_result(job, Some(millis(timeout)))?.into())
    }

    /// Waits for several jobs as one wait; the answers come in the order asked.
    pub fn block_until_results(
        &self,
        jobs: &[String],
        timeout: Option<Duration>,
    ) -> Result<Vec<Result<Output, Error>>, Error> {
        let results = queue::block_until_results(jobs, timeout.map(millis))?;
        Ok(results
            .into_iter()
            .map(|result| Ok(result?.into()))
            .collect())
    }

    /// Waits for a job and reads its result.
    pub fn wait<T: FromPayload>(&self, job: &str) -> Result<T, Error> {
        T::from_payload(&mut self.block_until_result(job)?.result)
    }

    /// Whether somebody cancelled this job. A handler that runs long asks now
    /// and then, tidies up and returns; one that does not is stopped after a
    /// grace period.
    pub fn is_cancelled(&self) -> bool {
        queue::is_cancelled()
    }

    /// The names of the models that this job may use.
    pub fn models(&self) -> Result<Vec<String>, Error> {
        Ok(inference::models()?)
    }

    /// What a model takes and gives.
    pub fn describe(&self, model: &str) -> Result<ModelInfo, Error> {
        Ok(inference::describe(model)?)
    }

    /// Runs a model. Calls from many sandboxes may share one batch.
    pub fn infer(&self, model: &str, inputs: &[NamedTensor]) -> Result<Vec<NamedTensor>, Error> {
        Ok(inference::infer(model, inputs)?)
    }

    /// Hands the message over for reading; see [`FromPayload::from_payload`].
    pub(crate) fn message(&mut self) -> &mut Payload {
        &mut self.job.message
    }
}

/// Whole seconds, rounded up.
fn seconds(duration: Duration) -> u64 {
    duration.as_secs() + u64::from(duration.subsec_nanos() > 0)
}
