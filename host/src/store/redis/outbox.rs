//! Callbacks that wait to be sent.
//!
//! The process that recorded an end looks at once; the others hear when something is due,
//! and look a moment later, each at another one, in case that one is gone.

use std::sync::Arc;
use std::time::Duration;

use crate::job::{Delivery, JobId};
use crate::store::record::{Fate, Head, Try, decode, encode};
use crate::store::{Callback, Result};

use super::RedisStore;
use super::claims::parse_field;
use super::link::Link;
use super::posted::{decode_end, decode_head};
use super::reply::{self, Reply};
use super::script;
use super::shared::{NEVER, Shared};

/// How many callbacks one call takes: a millisecond of Redis's time.
const TAKEN: usize = 256;

/// How long other hosts leave a callback to the one that recorded the end, at least.
const LEFT_TO_OTHERS: Duration = Duration::from_millis(500);

impl RedisStore {
    /// See [`crate::store::Store::take_callbacks`].
    pub(super) async fn take_due(&self, want: usize) -> Result<Vec<Callback>> {
        if want == 0 {
            return Ok(Vec::new());
        }
        let mut command = self.link.command(script::OUTBOX);
        command
            .arg(want.min(TAKEN))
            .arg(u64::try_from(self.callback_taken.as_millis()).unwrap_or(u64::MAX));
        let changes = self.shared.callbacks.changes();
        let mut answer = Reply::new(self.link.run(script::OUTBOX, &command).await?)?;
        let due_ms = answer.maybe_number()?.unwrap_or(NEVER);
        self.shared.callbacks.looked(due_ms, changes);
        let mut callbacks = Vec::new();
        while !answer.is_empty() {
            let (field, number, tried) = (answer.text()?, answer.number()?, answer.number()?);
            let (front, end) = (answer.bytes()?, answer.bytes()?);
            match read(&field, number, tried, &front, &end) {
                Ok(Some(callback)) => callbacks.push(callback),
                Ok(None) => {}
                Err(error) => {
                    tracing::error!(%error, "a callback is not sent, since it cannot be read");
                }
            }
        }
        Ok(callbacks)
    }

    /// See [`crate::store::Store::called_back`].
    pub(super) async fn note_delivery(
        &self,
        callback: &Callback,
        delivery: &Delivery,
        again_in_ms: Option<u64>,
    ) -> Result<()> {
        let mut command = self.link.command(script::CALLED);
        command
            .arg(format!("{}/{}", callback.namespace, callback.id))
            .arg(callback.number)
            .arg(encode(&Try::of(delivery))?)
            .arg(again_in_ms.map_or_else(String::new, |ms| ms.to_string()));
        let noted = reply::number(self.link.run(script::CALLED, &command).await?)?;
        if let (1, Some(ms)) = (noted, again_in_ms) {
            let due_ms = self.shared.clock.now_ms().saturating_add(ms);
            self.shared.callbacks.ring_at(due_ms);
        }
        Ok(())
    }
}

fn read(
    field: &str,
    number: u64,
    tried: u64,
    front: &[u8],
    end: &[u8],
) -> Result<Option<Callback>> {
    let (namespace, id): (_, JobId) = parse_field(field)?;
    let head: Head<'_> = decode(format_args!("job {id}"), decode_head(id, front)?)?;
    let (ended, _) = decode_end(id, end)?;
    Ok(head.callback().map(|url| Callback {
        namespace,
        id,
        url: url.to_owned(),
        number: u32::try_from(number).unwrap_or(u32::MAX),
        tried: u32::try_from(tried).unwrap_or(u32::MAX),
        success: ended.fate == Fate::Completed,
        short_result: ended.short_result,
        ended_at_ms: ended.ended_at_ms,
        trace: head.trace(),
    }))
}

/// Notes when the next callback is due.
pub(super) async fn look_around(link: &Arc<Link>, shared: &Shared) -> Result<()> {
    let mut command = redis::cmd("ZRANGE");
    command.arg(link.key("out")).arg(0).arg(0).arg("WITHSCORES");
    let mut first = Reply::new(link.send(&command).await?)?;
    if !first.is_empty() {
        first.bytes()?;
        shared.callbacks.ring_at(first.number()?);
    }
    Ok(())
}

/// Notes that somebody's callback is due at a time.
pub(super) fn heard(shared: &Shared, due_ms: u64) {
    let later = LEFT_TO_OTHERS.mul_f64(1.0 + fastrand::f64());
    let later = u64::try_from(later.as_millis()).unwrap_or_default();
    shared.callbacks.ring_at(due_ms.saturating_add(later));
}
