//! What a handler knows about its job, and what it can ask of the host.

use std::time::Duration;

use crate::host::{inference, queue};
use crate::inference::Infer;
use crate::post::{self, Post};
use crate::stored::Store;
use crate::wait;
use crate::{Error, FromOutput, FromPayload, Job, JobId, ModelInfo, Payload, ToPayload, millis};

/// The longest note of a progress update, in bytes; a host refuses longer ones.
const NOTE: usize = 256;

/// The job at hand and the host's functions.
///
/// Where there is no host, as in a native test, the methods that ask it panic;
/// `TestHost` is one.
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

    /// Tells whoever watches how far this job is: 0 to 100, and a note, of which
    /// the first 256 bytes are shown. An empty note is none. Cheap.
    ///
    /// ```
    /// # use skep_sdk::{Context, Failure};
    /// # fn f(ctx: &Context, pages: &[String]) -> Result<(), Failure> {
    /// for (n, page) in pages.iter().enumerate() {
    ///     ctx.progress((100 * n / pages.len()) as u8, &format!("page {n}"))?;
    ///     // …
    /// }
    /// # Ok(()) }
    /// ```
    pub fn progress(&self, percent: u8, note: &str) -> Result<(), Error> {
        let note = note
            .get(..note.floor_char_boundary(NOTE))
            .filter(|note| !note.is_empty());
        Ok(queue::update_progress(percent, note)?)
    }

    /// Begins to store a value for other jobs of the namespace: any
    /// [`serde::Serialize`] type as JSON, `Vec<u8>` as it is.
    ///
    /// ```
    /// # use std::time::Duration;
    /// # use skep_sdk::{Context, Failure};
    /// # fn f(ctx: &Context, counts: Vec<u32>, picture: Vec<u8>) -> Result<(), Failure> {
    /// let key = ctx.store(&counts).save()?;
    /// ctx.store(&picture).key("cat.jpg").expiry(Duration::from_secs(3600)).save()?;
    /// # Ok(()) }
    /// ```
    pub fn store<'a, T: ToPayload>(&self, value: &'a T) -> Store<'a> {
        Store::new(value)
    }

    /// What is stored under a key of this namespace, or none: read from JSON, or
    /// the bytes as `Vec<u8>`.
    ///
    /// ```
    /// # use skep_sdk::{Context, Failure};
    /// # fn f(ctx: &Context, key: &str) -> Result<(), Failure> {
    /// let counts: Option<Vec<u32>> = ctx.fetch(key)?;
    /// let Some(picture) = ctx.fetch::<Vec<u8>>("cat.jpg")? else {
    ///     return Err(Failure::failed("somebody deleted the picture"));
    /// };
    /// # Ok(()) }
    /// ```
    pub fn fetch<T: FromPayload>(&self, key: &str) -> Result<Option<T>, Error> {
        let Some(data) = queue::fetch_data(key)? else {
            return Ok(None);
        };
        let value = Payload::from(data).read();
        value
            .map(Some)
            .map_err(|error| error.within(format_args!("the data under {key:?}")))
    }

    /// Begins to post a job as a child of this one. The message is any
    /// [`serde::Serialize`] type as JSON, `Vec<u8>` as bytes, or a [`Payload`].
    ///
    /// ```
    /// # use std::time::Duration;
    /// # use skep_sdk::{Context, Failure, Output};
    /// # fn f(ctx: &Context, msg: Vec<u8>) -> Result<Output, Failure> {
    /// let id = ctx
    ///     .post(&msg)
    ///     .functions(["thumbnail"])
    ///     .priority(0)
    ///     .timeout(Duration::from_secs(10))
    ///     .send()?;
    /// Ok(ctx.wait(&id)?)
    /// # }
    /// ```
    ///
    /// If this job is run again, on another machine perhaps, the same posts in the
    /// same order answer the ids of the jobs that it posted before.
    pub fn post<T: ToPayload>(&self, message: &T) -> Post {
        Post::new(message)
    }

    /// Posts many jobs and answers their ids, in order: far cheaper than one
    /// [`send`](Post::send) each. All are accepted, or none; beyond 1,000 jobs or
    /// 16 MiB, that holds for each such part.
    ///
    /// ```
    /// # use skep_sdk::{Context, Failure};
    /// # fn f(ctx: &Context, numbers: Vec<u32>) -> Result<(), Failure> {
    /// let ids = ctx.post_many(numbers.iter().map(|n| ctx.post(n).functions(["square"])))?;
    /// let squares: Vec<u32> = ctx.wait_all(&ids)?;
    /// # Ok(()) }
    /// ```
    pub fn post_many(&self, posts: impl IntoIterator<Item = Post>) -> Result<Vec<JobId>, Error> {
        post::post_many(posts)
    }

    /// Waits until a job has ended and reads its result: from JSON, as bytes
    /// (`Vec<u8>`, [`Payload`]), or as an [`Output`](crate::Output) with its short
    /// result. This job is parked meanwhile and takes no worker. A job that ended
    /// before, or that does not exist, answers at once; one that failed answers
    /// [`Error::JobFailed`], which `?` turns into a failure of this job.
    ///
    /// ```
    /// # use skep_sdk::{Context, Error, Failure};
    /// # fn f(ctx: &Context) -> Result<u32, Failure> {
    /// let id = ctx.post(&"6 * 7").functions(["calculate"]).send()?;
    /// match ctx.wait(&id) {
    ///     Err(Error::JobFailed(cause)) => {
    ///         skep_sdk::warn!("job {id}: {cause}");
    ///         Ok(0)
    ///     }
    ///     answer => Ok(answer?),
    /// }
    /// # }
    /// ```
    pub fn wait<T: FromOutput>(&self, job: impl AsRef<str>) -> Result<T, Error> {
        wait::one(job.as_ref(), None)
    }

    /// Waits no longer than `timeout`, then answers [`Error::TimedOut`]; the job
    /// goes on.
    pub fn wait_timeout<T: FromOutput>(
        &self,
        job: impl AsRef<str>,
        timeout: Duration,
    ) -> Result<T, Error> {
        wait::one(job.as_ref(), Some(millis(timeout)))
    }

    /// Waits until all of these jobs have ended, and reads their results, in the
    /// order asked. If some failed, the answer is the error of the first of them.
    pub fn wait_all<T: FromOutput>(&self, jobs: &[impl AsRef<str>]) -> Result<Vec<T>, Error> {
        wait::all(jobs)
    }

    /// Waits until each of these jobs has ended, failed or not, and answers what
    /// became of each, in the order asked; with a timeout, [`Error::TimedOut`] if one
    /// has not ended by then. At most 10,000 jobs.
    ///
    /// ```
    /// # use std::time::Duration;
    /// # use skep_sdk::{Context, Failure, JobId};
    /// # fn f(ctx: &Context, ids: Vec<JobId>) -> Result<u32, Failure> {
    /// let answers = ctx.wait_each::<u32>(&ids, Duration::from_secs(60))?;
    /// Ok(answers.into_iter().flatten().sum())
    /// # }
    /// ```
    pub fn wait_each<T: FromOutput>(
        &self,
        jobs: &[impl AsRef<str>],
        timeout: impl Into<Option<Duration>>,
    ) -> Result<Vec<Result<T, Error>>, Error> {
        wait::each(jobs, timeout.into().map(millis))
    }

    /// Runs a function on each of these messages, as a job each, on whatever
    /// machines there are: posts them all, waits for all, and answers the results in
    /// order.
    ///
    /// ```
    /// # use skep_sdk::{Context, Failure};
    /// # fn f(ctx: &Context, pages: Vec<String>) -> Result<u32, Failure> {
    /// let counts: Vec<u32> = ctx.map("count-words", pages)?;
    /// Ok(counts.iter().sum())
    /// # }
    /// ```
    pub fn map<T: FromOutput>(
        &self,
        function: &str,
        messages: impl IntoIterator<Item: ToPayload>,
    ) -> Result<Vec<T>, Error> {
        let posts = messages
            .into_iter()
            .map(|message| self.post(&message).functions([function]));
        let ids = self.post_many(posts)?;
        self.wait_all(&ids)
    }

    /// Whether somebody cancelled this job. A handler that runs long asks now
    /// and then, tidies up and returns; one that does not is stopped after a
    /// grace period.
    pub fn is_cancelled(&self) -> bool {
        queue::is_cancelled()
    }

    /// The names of the models that this job may use, sorted.
    pub fn models(&self) -> Result<Vec<String>, Error> {
        Ok(inference::models()?)
    }

    /// What a model takes and gives.
    pub fn describe(&self, model: &str) -> Result<ModelInfo, Error> {
        Ok(inference::describe(model)?)
    }

    /// Begins to call a model, which the host runs natively. Calls of many jobs may share
    /// one batch; this job takes no worker while it waits.
    ///
    /// ```
    /// # use skep_sdk::{Context, Failure};
    /// # fn f(ctx: &Context, flowers: Vec<[f32; 4]>) -> Result<Vec<f32>, Failure> {
    /// let out = ctx.infer("iris").input("x", &flowers)?.run()?;
    /// Ok(out.get::<f32>("probabilities")?.to_vec())
    /// # }
    /// ```
    pub fn infer(&self, model: &str) -> Infer {
        Infer::new(model)
    }

    /// Hands the message over for reading; see [`FromPayload::from_payload`].
    pub(crate) fn message(&mut self) -> &mut Payload {
        &mut self.job.message
    }
}
