//! Posting a job.

use std::time::Duration;

use crate::bindings::skep::jobs::queue::{self, PostOptions, PostRequest};
use crate::{Error, ToPayload, millis};

/// A job to post: [`send`](Self::send) it, or collect many for
/// [`Context::post_many`](crate::Context::post_many).
#[derive(Clone, Debug)]
#[must_use = "nothing is posted before `send` or `post_many`"]
pub struct Post {
    pub(crate) request: PostRequest,
}

impl Post {
    /// A job with this message and the defaults.
    pub fn new<T: ToPayload>(message: &T) -> Result<Self, Error> {
        Ok(Post {
            request: PostRequest {
                message: message.to_payload()?,
                options: PostOptions {
                    functions: Vec::new(),
                    delay_ms: None,
                    priority: None,
                    idempotency_key: None,
                    max_attempts: None,
                    timeout_ms: None,
                    retention_s: None,
                    callback: None,
                },
            },
        })
    }

    /// The functions to run, in order; the last one's output is the result.
    /// Without any: all functions of the namespace, in the order of deployment.
    pub fn functions<S: Into<String>>(mut self, names: impl IntoIterator<Item = S>) -> Self {
        self.request.options.functions = names.into_iter().map(Into::into).collect();
        self
    }

    /// Does not start before this time has passed.
    pub fn delay(mut self, delay: Duration) -> Self {
        self.request.options.delay_ms = Some(millis(delay));
        self
    }

    /// 0 (first) to 3 (last); 2 by default.
    pub fn priority(mut self, priority: u8) -> Self {
        self.request.options.priority = Some(priority);
        self
    }

    /// The same key answers the same id, and the job runs once.
    pub fn idempotency_key(mut self, key: impl Into<String>) -> Self {
        self.request.options.idempotency_key = Some(key.into());
        self
    }

    /// 1 to 100 attempts; 5 by default.
    pub fn max_attempts(mut self, attempts: u32) -> Self {
        self.request.options.max_attempts = Some(attempts);
        self
    }

    /// How long an attempt may run; may only shorten what the deployment grants.
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.request.options.timeout_ms = Some(millis(timeout));
        self
    }

    /// Keeps the result this many seconds after the end; for ever by default.
    pub fn retention_seconds(mut self, seconds: u64) -> Self {
        self.request.options.retention_s = Some(seconds);
        self
    }

    /// Where to send the callback when the job has ended.
    pub fn callback(mut self, url: impl Into<String>) -> Self {
        self.request.options.callback = Some(url.into());
        self
    }

    /// Posts the job and answers its id. It is on disk when this returns.
    pub fn send(self) -> Result<String, Error> {
        Ok(queue::post(&self.request.message, &self.request.options)?)
    }
}
