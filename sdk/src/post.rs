//! Posting jobs.

use std::time::Duration;

use crate::host::queue::{self, PostOptions, PostRequest};
use crate::{Error, JobId, ToPayload, millis};

/// The most jobs of one call of the host: while the next are posted, the first run. The
/// host takes ten times as many.
const CALL_JOBS: usize = 1_000;

/// The most bytes of messages of one call, unless a single message has more. What
/// a host takes in with one call is bounded (80 MiB), and until the call is over a
/// guest holds it as well.
const CALL_BYTES: usize = 16 * 1024 * 1024;

/// A job to post: [`send`](Self::send) it, or collect many for
/// [`Context::post_many`](crate::Context::post_many).
#[derive(Clone, Debug)]
#[must_use = "nothing is posted before `send` or `post_many`"]
pub struct Post {
    /// Or why the message cannot be written, told when it is posted.
    request: Result<PostRequest, Error>,
}

impl Post {
    pub(crate) fn new<T: ToPayload>(message: &T) -> Self {
        Post {
            request: message.to_payload().map(|message| PostRequest {
                message,
                options: no_options(),
            }),
        }
    }

    /// The functions to run, in order; the last one's output is the result.
    /// Without any: all functions of the namespace, in the order of deployment.
    pub fn functions<S: Into<String>>(self, names: impl IntoIterator<Item = S>) -> Self {
        self.with(|options| options.functions = names.into_iter().map(Into::into).collect())
    }

    /// Does not start before this time has passed.
    pub fn delay(self, delay: Duration) -> Self {
        self.with(|options| options.delay_ms = Some(millis(delay)))
    }

    /// 0 (first) to 3 (last); 2 by default.
    pub fn priority(self, priority: u8) -> Self {
        self.with(|options| options.priority = Some(priority))
    }

    /// The same key answers the same id, and the job runs once, whoever posts it. With
    /// other functions or another message it is refused.
    /// A job that runs again needs none for the jobs that it posts: it gets those
    /// that it has.
    pub fn idempotency_key(self, key: impl Into<String>) -> Self {
        self.with(|options| options.idempotency_key = Some(key.into()))
    }

    /// 1 to 100 attempts; 5 by default.
    pub fn max_attempts(self, attempts: u32) -> Self {
        self.with(|options| options.max_attempts = Some(attempts))
    }

    /// How long an attempt may run; may only shorten what the deployment grants.
    pub fn timeout(self, timeout: Duration) -> Self {
        self.with(|options| options.timeout_ms = Some(millis(timeout)))
    }

    /// How long the result is kept after the end, rounded up to whole seconds; for
    /// ever by default.
    pub fn retention(self, time: Duration) -> Self {
        self.with(|options| options.retention_s = Some(crate::seconds(time)))
    }

    /// Where to send the callback when the job has ended.
    pub fn callback(self, url: impl Into<String>) -> Self {
        self.with(|options| options.callback = Some(url.into()))
    }

    /// Posts the job and answers its id. It is on disk when this returns.
    pub fn send(self) -> Result<JobId, Error> {
        let request = self.request?;
        Ok(queue::post(&request.message, &request.options)?.into())
    }

    fn with(mut self, change: impl FnOnce(&mut PostOptions)) -> Self {
        if let Ok(request) = &mut self.request {
            change(&mut request.options);
        }
        self
    }
}

/// Options that ask for nothing. What wit-bindgen makes has no `Default`.
pub(crate) fn no_options() -> PostOptions {
    PostOptions {
        functions: Vec::new(),
        delay_ms: None,
        priority: None,
        idempotency_key: None,
        max_attempts: None,
        timeout_ms: None,
        retention_s: None,
        callback: None,
    }
}

/// Posts jobs with as few calls of the host as its bounds allow.
pub(crate) fn post_many(posts: impl IntoIterator<Item = Post>) -> Result<Vec<JobId>, Error> {
    let mut ids = Vec::new();
    let mut call = Vec::new();
    let mut bytes = 0;
    for post in posts {
        let request = post.request?;
        let more = request.message.data.len();
        if call.len() == CALL_JOBS || (bytes + more > CALL_BYTES && !call.is_empty()) {
            send(&mut call, &mut ids)?;
            bytes = 0;
        }
        bytes += more;
        call.push(request);
    }
    if !call.is_empty() {
        send(&mut call, &mut ids)?;
    }
    Ok(ids)
}

fn send(call: &mut Vec<PostRequest>, ids: &mut Vec<JobId>) -> Result<(), Error> {
    let posted = queue::post_many(call)?;
    ids.extend(posted.into_iter().map(JobId::from));
    call.clear();
    Ok(())
}
