//! `skep:jobs/queue`: the queue, seen from inside a job.

use bytes::Bytes;

use super::{Guest, unavailable};
use crate::job::{MAX_NOTE_BYTES, Namespace, Progress};
use crate::sandbox::bindings::queue::{Host, PostOptions, PostRequest};
use crate::sandbox::bindings::types::{Error, Output, Payload};
use crate::store::Store;
use crate::time::now_ms;

/// The longest key of stored data, in bytes; it is part of a key of the store.
const MAX_KEY_BYTES: usize = 512;

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
        let job = self.job_for_call()?;
        let (namespace, attempt) = (job.token.namespace.clone(), job.token.attempt);
        let generated = key.is_none();
        let key = key.unwrap_or_else(|| job.data_key(&data));
        check_key(&key)?;
        let bytes = key.len() + data.len();
        let new = match attempt {
            1 => bytes,
            _ => {
                let store = self.services.store.clone();
                bytes.saturating_sub(stored_before(&*store, &namespace, &key).await?)
            }
        };
        self.budget.store(bytes, new)?;
        let expires_at_ms = expiry_seconds.map(|s| now_ms().saturating_add(s.saturating_mul(1000)));
        self.services
            .store
            .put_data(&namespace, &key, Bytes::from(data), expires_at_ms)
            .await
            .map_err(unavailable)?;
        if generated {
            self.job()?.ordinals.keys += 1;
        }
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

    async fn post(&mut self, message: Payload, options: PostOptions) -> Result<String, Error> {
        let mut ids = self
            .post_all(vec![PostRequest { message, options }])
            .await?;
        ids.pop()
            .ok_or_else(|| Error::Unavailable("the store answered no id".to_owned()))
    }

    async fn post_many(&mut self, jobs: Vec<PostRequest>) -> Result<Vec<String>, Error> {
        self.post_all(jobs).await
    }

    async fn block_until_result(
        &mut self,
        job: String,
        timeout_ms: Option<u64>,
    ) -> Result<Output, Error> {
        let mut outcomes = self.wait_for_all(vec![job], timeout_ms).await?;
        outcomes
            .pop()
            .unwrap_or_else(|| Err(Error::Unavailable("the store answered nothing".to_owned())))
    }

    async fn block_until_results(
        &mut self,
        jobs: Vec<String>,
        timeout_ms: Option<u64>,
    ) -> Result<Vec<Result<Output, Error>>, Error> {
        self.wait_for_all(jobs, timeout_ms).await
    }

    fn is_cancelled(&mut self) -> wasmtime::Result<bool> {
        Ok(self
            .job
            .as_ref()
            .is_some_and(|job| job.cancel.is_cancelled()))
    }
}

/// How many bytes there are under a key, with it. An earlier attempt most likely stored
/// them: that this one writes them again shall not count against the job.
async fn stored_before(
    store: &dyn Store,
    namespace: &Namespace,
    key: &str,
) -> Result<usize, Error> {
    let data = store.data(namespace, key).await.map_err(unavailable)?;
    Ok(data.map_or(0, |data| key.len() + data.len()))
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
