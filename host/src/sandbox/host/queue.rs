//! `skep:jobs/queue`: the queue, seen from inside a job.

use bytes::Bytes;
use uuid::Uuid;

use super::{Guest, unavailable};
use crate::intake::{IntakeError, PostRequest};
use crate::job::{MAX_NOTE_BYTES, Payload, Progress};
use crate::sandbox::bindings::queue::{Host, PostOptions, PostRequest as WitPostRequest};
use crate::sandbox::bindings::types::{Error, Output, Payload as WitPayload};
use crate::time::now_ms;

/// The longest key of stored data, in bytes; it is part of a key of the store.
const MAX_KEY_BYTES: usize = 512;

/// The most jobs of one `post-many`: one batch of the store.
const MAX_POST_MANY: usize = 10_000;

impl Host for Guest {
    async fn update_progress(&mut self, percent: u8, note: Option<String>) -> Result<(), Error> {
        self.job_for_call()?;
        if percent > 100 {
            return Err(Error::InvalidArgument(format!(
                "progress is 0 to 100, not {percent}"
            )));
        }
        if let Some(length) = note
            .as_ref()
            .map(String::len)
            .filter(|&n| n > MAX_NOTE_BYTES)
        {
            return Err(Error::LimitExceeded(format!(
                "a progress note may have {MAX_NOTE_BYTES} bytes, not {length}"
            )));
        }
        let note = note.map(|note| note.replace(char::is_control, " "));
        self.voice.progress(Progress { percent, note });
        Ok(())
    }

    async fn store_data(
        &mut self,
        data: Vec<u8>,
        key: Option<String>,
        expiry_seconds: Option<u64>,
    ) -> Result<String, Error> {
        let namespace = self.job_for_call()?.token.namespace.clone();
        let key = key.unwrap_or_else(|| Uuid::new_v4().to_string());
        check_key(&key)?;
        self.budget.store(key.len() + data.len())?;
        let expires_at_ms = expiry_seconds.map(|s| now_ms().saturating_add(s.saturating_mul(1000)));
        self.services
            .store
            .put_data(&namespace, &key, Bytes::from(data), expires_at_ms)
            .await
            .map_err(unavailable)?;
        Ok(key)
    }

    async fn fetch_data(&mut self, key: String) -> Result<Option<Vec<u8>>, Error> {
        let namespace = self.job_for_call()?.token.namespace.clone();
        check_key(&key)?;
        let data = (self.services.store.data(&namespace, &key).await).map_err(unavailable)?;
        if let Some(data) = &data {
            self.budget.fetch(data.len())?;
        }
        Ok(data.map(Vec::from))
    }

    async fn post(&mut self, message: WitPayload, options: PostOptions) -> Result<String, Error> {
        let mut ids = self
            .post_many(vec![WitPostRequest { message, options }])
            .await?;
        ids.pop()
            .ok_or_else(|| Error::Unavailable("the store answered no id".to_owned()))
    }

    async fn post_many(&mut self, jobs: Vec<WitPostRequest>) -> Result<Vec<String>, Error> {
        let job = self.job_for_call()?;
        let (namespace, parent, depth) = (job.token.namespace.clone(), job.token.id, job.depth + 1);
        if jobs.len() > MAX_POST_MANY {
            return Err(Error::LimitExceeded(format!(
                "one call may post {MAX_POST_MANY} jobs, not {}; make several calls",
                jobs.len()
            )));
        }
        let bytes = jobs.iter().map(|job| job.message.data.len()).sum();
        self.budget.post(jobs.len(), bytes)?;
        let requests = jobs
            .into_iter()
            .map(|WitPostRequest { message, options }| PostRequest {
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
                retention_s: options.retention_s,
                callback: options.callback,
                parent: Some(parent),
                depth,
                child_key: None,
            })
            .collect();
        let ids = self.services.intake.accept(&namespace, requests).await;
        let ids = ids.map_err(refused_post)?;
        Ok(ids.iter().map(ToString::to_string).collect())
    }

    async fn block_until_result(
        &mut self,
        _job: String,
        _timeout_ms: Option<u64>,
    ) -> Result<Output, Error> {
        self.no_waiting()
    }

    async fn block_until_results(
        &mut self,
        _jobs: Vec<String>,
        _timeout_ms: Option<u64>,
    ) -> Result<Vec<Result<Output, Error>>, Error> {
        self.no_waiting()
    }

    fn is_cancelled(&mut self) -> wasmtime::Result<bool> {
        Ok(self.job.as_ref().is_some_and(|job| job.cancel.is_set()))
    }
}

impl Guest {
    fn no_waiting<T>(&mut self) -> Result<T, Error> {
        self.job_for_call()?;
        Err(Error::Unavailable(
            "waiting for other jobs comes with a later version of skep; post the next step instead"
                .to_owned(),
        ))
    }
}

fn check_key(key: &str) -> Result<(), Error> {
    if key.is_empty() || key.len() > MAX_KEY_BYTES {
        return Err(Error::InvalidArgument(format!(
            "a data key has 1 to {MAX_KEY_BYTES} bytes, not {}",
            key.len()
        )));
    }
    Ok(())
}

fn refused_post(error: IntakeError) -> Error {
    match error {
        IntakeError::Store(error) => unavailable(error),
        other => Error::InvalidArgument(other.to_string()),
    }
}
