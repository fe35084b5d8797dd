//! The one way for a job to be accepted: over HTTP, from the command line, or
//! from a guest that posts. What gets past here can be run; what cannot is
//! refused with a text that says how to mend it, and nothing of its batch is
//! stored.
//!
//! Not here: where jobs are kept (`store`), and how a refusal looks on the wire
//! (`http`).

mod each;
mod json;
mod near;
mod options;
mod schemas;

use std::sync::Arc;

use tokio::sync::Semaphore;

use crate::callback::CallbackPolicy;
use crate::job::{
    ChildKey, FunctionName, JobId, MAX_DEPTH, NameError, Namespace, NewJob, Payload, SomeLimits,
    TraceContext,
};
use crate::schema::{MessageSchema, Mismatch};
use crate::store::{Deployment, Reused, Store, StoreError};
use schemas::Schemas;

pub use crate::job::MAX_MESSAGE_BYTES;
pub(crate) use each::Submitted;
pub(crate) use near::{near, unknown_function};
pub(crate) use options::{MAX_KEY_BYTES, MAX_RETENTION_S};

/// The most functions that one job may name: a job is a short chain of steps,
/// and its record lists them all.
pub const MAX_FUNCTIONS: usize = 64;

/// Checks up to this much work (a few ms, and 40 ms for a hostile one) run where
/// they are asked for; larger ones would hold up everything else on that thread.
const MAX_INLINE_WORK: u64 = 1 << 18;

/// How many large checks run at once, so that they leave cores for the rest.
const LARGE_CHECKS: usize = 2;

/// A job as somebody asks for it, unchecked.
#[derive(Clone, Debug)]
pub struct PostRequest {
    /// What the handler gets.
    pub message: Payload,
    /// The functions to run, in order; empty for all that are deployed.
    pub functions: Vec<String>,
    /// Do not start before this many ms have passed.
    pub delay_ms: Option<u64>,
    /// 0 (first) to 3 (last); 2 if `None`.
    pub priority: Option<u8>,
    /// The same key answers the same id, and is refused for another job.
    pub idempotency_key: Option<String>,
    /// 1 to 100; 5 if `None`.
    pub max_attempts: Option<u32>,
    /// How long one attempt may run, in ms: the limit of that name.
    pub timeout_ms: Option<u64>,
    /// Its limits, where they are less than the deployment grants.
    pub limits: SomeLimits,
    /// Keep the result for this many seconds; for ever if `None`.
    pub retention_s: Option<u64>,
    /// Where to call when the job has ended.
    pub callback: Option<String>,
    /// The job that posts this one.
    pub parent: Option<JobId>,
    /// How many ancestors the job has.
    pub depth: u32,
    /// The job at the root of its tree, if that is another one.
    pub root: Option<JobId>,
    /// How many jobs that tree may have.
    pub tree_jobs: Option<u64>,
    /// Which of its parent's posts it is.
    pub child_key: Option<ChildKey>,
    /// What it comes from, if that is traced.
    pub trace: Option<TraceContext>,
}

impl PostRequest {
    /// A job with the default options.
    pub fn new(message: Payload, functions: Vec<String>) -> Self {
        Self {
            message,
            functions,
            delay_ms: None,
            priority: None,
            idempotency_key: None,
            max_attempts: None,
            timeout_ms: None,
            limits: SomeLimits::default(),
            retention_s: None,
            callback: None,
            parent: None,
            depth: 0,
            root: None,
            tree_jobs: None,
            child_key: None,
            trace: None,
        }
    }
}

/// Why a job was not accepted. Nothing of its batch was stored.
#[derive(Debug, thiserror::Error)]
pub enum IntakeError {
    /// A function that is not deployed.
    #[error("{text}")]
    UnknownFunction {
        /// What happened and what to do.
        text: String,
        /// Deployed names that look like it, best first.
        near: Vec<FunctionName>,
    },
    /// A name that no function can have.
    #[error(transparent)]
    Name(#[from] NameError),
    /// An option out of its range.
    #[error("{0}")]
    BadOption(String),
    /// A message over [`MAX_MESSAGE_BYTES`].
    #[error(
        "the message has {0} bytes, and {MAX_MESSAGE_BYTES} are allowed, since it is journalled and handed to the guest whole; store large inputs as data and post their key"
    )]
    TooLarge(usize),
    /// A message over the limit of a function.
    #[error(
        "the message has {bytes} bytes, and function {function} takes {limit} (the limit `message_bytes`); store large inputs as data and post their key"
    )]
    OverLimit {
        /// The function.
        function: FunctionName,
        /// How many it has.
        bytes: usize,
        /// How many it may have.
        limit: u64,
    },
    /// A JSON message that is not JSON.
    #[error("the message is not valid JSON: {0}")]
    Malformed(String),
    /// A message that does not fit the schema of a function.
    #[error("function {function}: {mismatch}")]
    Mismatch {
        /// The function whose schema it is.
        function: FunctionName,
        /// Where, and what was expected.
        mismatch: Mismatch,
    },
    /// A function that takes JSON got something else.
    #[error(
        "function {function} takes JSON messages that fit its schema, and this message is {content_type}; post it as application/json"
    )]
    NotJson {
        /// The function whose schema it is.
        function: FunctionName,
        /// What the message is instead.
        content_type: String,
    },
    /// A tree of jobs deeper than [`MAX_DEPTH`].
    #[error(
        "the job would have {0} ancestors, and {MAX_DEPTH} are allowed; a handler that posts itself without end looks like this"
    )]
    TooDeep(u32),
    /// The idempotency key of another job.
    #[error(transparent)]
    KeyReused(Reused),
    /// One of several jobs was not acceptable.
    #[error("job {index} of {count}: {error}")]
    InBatch {
        /// Which one, from 1.
        index: usize,
        /// How many there are.
        count: usize,
        /// What is wrong with it.
        error: Box<IntakeError>,
    },
    /// The store did not accept it.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The check itself broke down.
    #[error("the check of the message broke down; this is a fault of skep")]
    Broken,
}

/// Accepts jobs.
pub struct Intake {
    store: Arc<dyn Store>,
    callbacks: CallbackPolicy,
    schemas: Schemas,
    large: Semaphore,
}

impl Intake {
    /// An intake in front of `store`, which accepts callbacks to where `callbacks`
    /// lets them go.
    pub fn new(store: Arc<dyn Store>, callbacks: CallbackPolicy) -> Self {
        Self {
            store,
            callbacks,
            schemas: Schemas::default(),
            large: Semaphore::new(LARGE_CHECKS),
        }
    }

    /// Accepts all of the jobs, in order, or none. They are durable when this
    /// returns.
    ///
    /// # Errors
    ///
    /// When one of them could not be run, or the store is not available.
    pub async fn accept(
        &self,
        namespace: &Namespace,
        requests: Vec<PostRequest>,
    ) -> Result<Vec<JobId>, IntakeError> {
        if requests.is_empty() {
            return Ok(Vec::new());
        }
        let count = requests.len();
        let mut deployed = self.store.functions(namespace).await?;
        if !near::all_known(&requests, &deployed) {
            // Perhaps deployed a moment ago, through another host.
            deployed = self.store.functions_now(namespace).await?;
        }
        let mut checks = Vec::with_capacity(count);
        for (index, request) in requests.into_iter().enumerate() {
            let check = self.prepare(request, &deployed);
            checks.push(check.map_err(|error| error.of_batch(index, count))?);
        }
        let work = checks.iter().map(Check::work).fold(0, u64::saturating_add);
        let jobs = self.inline_or_aside(work, || check_all(checks)).await??;
        let submitted = self.store.submit(namespace, jobs).await;
        submitted.map_err(|error| IntakeError::of_store(error, count))
    }

    /// All that can be said of a request without reading its message.
    fn prepare(
        &self,
        request: PostRequest,
        deployed: &[Arc<Deployment>],
    ) -> Result<Check, IntakeError> {
        let functions = near::resolve(&request.functions, deployed)?;
        let bytes = request.message.data.len();
        for deployment in &functions {
            let limit = request.limits.narrow(&deployment.limits).message_bytes;
            if bytes as u64 > limit {
                return Err(IntakeError::OverLimit {
                    function: deployment.function.clone(),
                    bytes,
                    limit,
                });
            }
        }
        let schemas = functions
            .iter()
            .filter_map(|function| {
                let schema = self.schemas.of(function)?;
                Some((function.function.clone(), schema))
            })
            .collect();
        let names = functions.iter().map(|found| found.function.clone());
        let job = options::check(request, names.collect(), &self.callbacks)?;
        Ok(Check { job, schemas })
    }

    /// Reads messages: at once, or on a thread of its own when that may take long.
    async fn inline_or_aside<T: Send + 'static>(
        &self,
        work: u64,
        read: impl FnOnce() -> T + Send + 'static,
    ) -> Result<T, IntakeError> {
        if work <= MAX_INLINE_WORK {
            return Ok(read());
        }
        let _permit = self
            .large
            .acquire()
            .await
            .map_err(|_| IntakeError::Broken)?;
        tokio::task::spawn_blocking(read)
            .await
            .map_err(|_| IntakeError::Broken)
    }
}

impl IntakeError {
    /// The refusal of a store that was given so many jobs.
    fn of_store(error: StoreError, count: usize) -> Self {
        match error {
            StoreError::KeyReused(mut reused) if !reused.is_empty() => {
                let first = reused.swap_remove(0);
                let place = first.place;
                Self::KeyReused(first).of_batch(place, count)
            }
            error => error.into(),
        }
    }

    /// This error as that of one job in a batch; a lone job needs no number.
    fn of_batch(self, index: usize, count: usize) -> Self {
        if count == 1 {
            return self;
        }
        Self::InBatch {
            index: index + 1,
            count,
            error: Box::new(self),
        }
    }
}

/// A job whose message is still to be read.
struct Check {
    job: NewJob,
    schemas: Vec<(FunctionName, Arc<MessageSchema>)>,
}

impl Check {
    fn work(&self) -> u64 {
        let message = &self.job.message;
        if !message.is_json() {
            return 0;
        }
        let bytes = message.data.len();
        let schemas = self.schemas.iter().map(|(_, schema)| schema.work(bytes));
        schemas.fold(bytes as u64, u64::saturating_add)
    }

    fn run(self) -> Result<NewJob, IntakeError> {
        let message = &self.job.message;
        if message.is_json() {
            json::check(&message.data).map_err(IntakeError::Malformed)?;
        }
        for (function, schema) in self.schemas {
            if !message.is_json() {
                return Err(IntakeError::NotJson {
                    function,
                    content_type: message.content_type.clone(),
                });
            }
            schema
                .check(&message.data)
                .map_err(|mismatch| IntakeError::Mismatch { function, mismatch })?;
        }
        Ok(self.job)
    }
}

fn check_all(checks: Vec<Check>) -> Result<Vec<NewJob>, IntakeError> {
    let count = checks.len();
    checks
        .into_iter()
        .enumerate()
        .map(|(index, check)| check.run().map_err(|error| error.of_batch(index, count)))
        .collect()
}

impl std::fmt::Debug for Intake {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Intake").finish_non_exhaustive()
    }
}
