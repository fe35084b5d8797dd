//! What is known of a job.

use bytes::Bytes;
use redis::Value;

use crate::job::{JobId, JobRecord, LogLine, Namespace, State};
use crate::store::record::{
    Head, decode, decode_log, fill_attempts, fill_ended, fill_running, record_of,
};
use crate::store::{Result, Stored};

use super::RedisStore;
use super::claims::parse_value;
use super::posted::{decode_end, decode_output, decode_past};
use super::reply::{self, Reply};
use super::script;

impl RedisStore {
    /// See [`crate::store::Store::job`].
    pub(super) async fn read_job(
        &self,
        namespace: &Namespace,
        id: JobId,
    ) -> Result<Option<JobRecord>> {
        let mut command = self.link.command(script::JOB);
        command.arg(namespace.as_str()).arg(id.0);
        let mut answer = Reply::new(self.link.run(script::JOB, &command).await?)?;
        if answer.is_empty() {
            return Ok(None);
        }
        let what = format!("job {id}");
        let posted_at_ms = answer.number()?;
        let _rank = answer.text()?;
        let head: Head<'static> = decode(&what, &answer.bytes()?)?;
        let message_bytes = answer.number()?;
        let job = head.into_job(&what, Bytes::new())?;
        let mut record = record_of(id, namespace.clone(), posted_at_ms, job, message_bytes);
        let (place, detail) = (answer.text()?, answer.bytes()?);
        let (past, progress) = (answer.bytes()?, answer.bytes()?);
        if place == "ended" {
            let (ended, _) = decode_end(id, &detail)?;
            fill_ended(&mut record, ended);
            return Ok(Some(record));
        }
        record.cancel_requested = answer.truth()?;
        if !past.is_empty() {
            fill_attempts(&mut record, decode_past(id, &past)?);
        }
        let detail = String::from_utf8_lossy(&detail);
        if place == "held" {
            record.state = State::Scheduled;
        } else if place == "scheduled" {
            let due = reply::number(Value::SimpleString(detail.into_owned()))?;
            if due > self.shared.clock.now_ms() {
                record.state = State::Scheduled;
                record.due_at_ms = Some(due);
            }
        } else if let Some((attempt, claimed_at_ms, _)) = parse_value(&detail) {
            fill_running(&mut record, attempt, claimed_at_ms);
            if !progress.is_empty() {
                record.progress = Some(decode(format_args!("the progress of {what}"), &progress)?);
            }
        }
        Ok(Some(record))
    }

    /// See [`crate::store::Store::output`].
    pub(super) async fn read_output(
        &self,
        namespace: &Namespace,
        id: JobId,
    ) -> Result<Option<Stored>> {
        match self.get(&format!("e:{namespace}/{id}")).await? {
            Some(bytes) => decode_output(id, bytes, self.shared.clock.now_ms()),
            None => Ok(None),
        }
    }

    /// See [`crate::store::Store::log`].
    pub(super) async fn read_log(&self, namespace: &Namespace, id: JobId) -> Result<Vec<LogLine>> {
        match self.get(&format!("l:{namespace}/{id}")).await? {
            Some(bytes) => decode_log(format_args!("the log of job {id}"), &bytes),
            None => Ok(Vec::new()),
        }
    }

    /// Whether a job waits or runs.
    pub(super) async fn is_open(&self, namespace: &Namespace, id: JobId) -> Result<bool> {
        for (kind, open) in [("e", false), ("j", true)] {
            let mut command = redis::cmd("EXISTS");
            command.arg(self.link.key(&format!("{kind}:{namespace}/{id}")));
            if reply::number(self.link.send(&command).await?)? == 1 {
                return Ok(open);
            }
        }
        Ok(false)
    }

    /// The value under a key.
    pub(super) async fn get(&self, key: &str) -> Result<Option<Vec<u8>>> {
        let mut command = redis::cmd("GET");
        command.arg(self.link.key(key));
        match self.link.send(&command).await? {
            Value::Nil => Ok(None),
            value => reply::bytes(value).map(Some),
        }
    }
}
