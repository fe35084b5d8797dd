//! How an attempt lies in a store: when it ran, how it ended, what it used and what it
//! might have used.

use std::borrow::Cow;

use serde::{Deserialize, Serialize};
use serde_bytes::ByteArray;

use super::some_limits;
use crate::job::{AttemptRecord, Cause, Digest, Limits, SomeLimits, Usage};
use crate::store::Completion;

/// An attempt that ended.
#[derive(Clone, Serialize, Deserialize)]
pub(in crate::store) struct Attempt {
    pub(in crate::store) number: u32,
    pub(in crate::store) started_at_ms: u64,
    pub(in crate::store) ended_at_ms: u64,
    pub(in crate::store) cause: Option<Cause>,
    fuel: u64,
    peak_memory_bytes: u64,
    run_us: u64,
    components: Vec<ByteArray<32>>,
    /// Of an attempt that made no host call, under the default limits, it takes no byte.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    more: Option<Box<MoreOfAttempt>>,
    /// Of an attempt that called no model it takes no byte. One that did has called the
    /// host, so that `more` is there: only the last fields of a record can be left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    inference: Option<Box<Inference>>,
}

/// What an attempt used of models.
#[derive(Clone, Default, PartialEq, Serialize, Deserialize)]
struct Inference {
    calls: u64,
    engine_us: u64,
    wait_us: u64,
}

impl Inference {
    fn of(usage: &Usage) -> Option<Box<Self>> {
        let used = Self {
            calls: usage.inferences,
            engine_us: usage.inference_us,
            wait_us: usage.inference_wait_us,
        };
        (used != Self::default()).then(|| Box::new(used))
    }
}

/// What an attempt used beside CPU, memory and time, and the limits that held where they
/// were not the defaults. (Whoever changes a default changes what older records say.)
#[derive(Clone, Default, PartialEq, Serialize, Deserialize)]
struct MoreOfAttempt {
    log_bytes: u64,
    posts: u64,
    stored_bytes: u64,
    fetched_bytes: u64,
    host_calls: u64,
    parked_ms: u64,
    new_data_bytes: u64,
    limits: Vec<(Cow<'static, str>, u64)>,
    /// A person let the job run again after this attempt, which was its last.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    was_last: bool,
}

impl MoreOfAttempt {
    fn of(usage: &Usage, limits: Option<&Limits>) -> Option<Box<Self>> {
        let apart = limits.map(SomeLimits::apart_from_default);
        let apart = apart.iter().flat_map(SomeLimits::iter);
        let more = Self {
            log_bytes: usage.log_bytes,
            posts: usage.posts,
            stored_bytes: usage.stored_bytes,
            fetched_bytes: usage.fetched_bytes,
            host_calls: usage.host_calls,
            parked_ms: usage.parked_ms,
            new_data_bytes: usage.new_data_bytes,
            limits: apart.map(|(limit, n)| (limit.name.into(), n)).collect(),
            was_last: false,
        };
        let is_any = more != Self::default() || Inference::of(usage).is_some();
        is_any.then(|| Box::new(more))
    }
}

/// How many attempts a job has been granted beside those that its poster gave it: the ones
/// it had when a person let it run again.
pub(in crate::store) fn granted(attempts: &[Attempt]) -> u32 {
    let retried = |attempt: &&Attempt| attempt.more.as_ref().is_some_and(|more| more.was_last);
    let last = attempts.iter().rev().find(retried);
    last.map_or(0, |attempt| attempt.number)
}

impl Attempt {
    /// The attempt that a completion ends.
    pub(in crate::store) fn of(done: &Completion, cause: Option<Cause>) -> Self {
        Self {
            number: done.token.attempt,
            started_at_ms: done.started_at_ms,
            ended_at_ms: done.ended_at_ms,
            cause,
            fuel: done.usage.fuel,
            peak_memory_bytes: done.usage.peak_memory_bytes,
            run_us: done.usage.run_us,
            components: done
                .components
                .iter()
                .map(|c| ByteArray::new(*c.as_bytes()))
                .collect(),
            more: MoreOfAttempt::of(&done.usage, done.limits.as_ref()),
            inference: Inference::of(&done.usage),
        }
    }

    /// How many bytes of data it stored that had not been there.
    pub(in crate::store) fn new_data_bytes(&self) -> u64 {
        self.more.as_ref().map_or(0, |more| more.new_data_bytes)
    }

    /// Notes that a person let the job run again after this attempt.
    pub(in crate::store) fn was_last(&mut self) {
        self.more.get_or_insert_default().was_last = true;
    }

    /// An attempt that nobody could report on.
    pub(in crate::store) fn unreported(
        number: u32,
        started_at_ms: u64,
        now_ms: u64,
        cause: Cause,
    ) -> Self {
        Self {
            number,
            started_at_ms,
            ended_at_ms: now_ms,
            cause: Some(cause),
            fuel: 0,
            peak_memory_bytes: 0,
            run_us: 0,
            components: Vec::new(),
            more: None,
            inference: None,
        }
    }

    /// An attempt that was made in another store.
    pub(in crate::store) fn from_record(record: &AttemptRecord) -> Self {
        let digests = record.components.iter();
        Self {
            number: record.number,
            started_at_ms: record.started_at_ms,
            ended_at_ms: record.ended_at_ms.unwrap_or(record.started_at_ms),
            cause: record.cause.clone(),
            fuel: record.usage.fuel,
            peak_memory_bytes: record.usage.peak_memory_bytes,
            run_us: record.usage.run_us,
            components: digests.map(|c| ByteArray::new(*c.as_bytes())).collect(),
            more: MoreOfAttempt::of(&record.usage, record.limits.as_ref()),
            inference: Inference::of(&record.usage),
        }
    }

    /// As the API shows it.
    pub(in crate::store) fn into_record(self) -> AttemptRecord {
        let more = self.more.map(|more| *more).unwrap_or_default();
        let inference = self.inference.map(|used| *used).unwrap_or_default();
        let said = more.limits.iter().map(|(name, value)| (&**name, *value));
        // A limit that only a newer skep knows is none that this one could show.
        let limits = some_limits(said).map(|limits| limits.and_default());
        AttemptRecord {
            number: self.number,
            started_at_ms: self.started_at_ms,
            ended_at_ms: Some(self.ended_at_ms),
            cause: self.cause,
            usage: Usage {
                fuel: self.fuel,
                peak_memory_bytes: self.peak_memory_bytes,
                run_us: self.run_us,
                log_bytes: more.log_bytes,
                posts: more.posts,
                stored_bytes: more.stored_bytes,
                fetched_bytes: more.fetched_bytes,
                host_calls: more.host_calls,
                parked_ms: more.parked_ms,
                new_data_bytes: more.new_data_bytes,
                inferences: inference.calls,
                inference_us: inference.engine_us,
                inference_wait_us: inference.wait_us,
                ..Usage::default()
            },
            // Nothing held an attempt that did not run, or that nobody reported on.
            limits: limits.ok().filter(|_| self.run_us > 0),
            components: self
                .components
                .iter()
                .map(|c| Digest::from_bytes(**c))
                .collect(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::record::{decode, encode};
    use crate::store::{Token, Verdict};

    fn done(usage: Usage, limits: Limits) -> Completion {
        Completion {
            token: Token {
                namespace: Default::default(),
                id: crate::job::JobId(1),
                attempt: 1,
            },
            verdict: Verdict::Release { delay_ms: 0 },
            started_at_ms: 1_700_000_000_000,
            ended_at_ms: 1_700_000_000_005,
            usage,
            limits: Some(limits),
            components: vec![Digest::of(b"component")],
            log: Vec::new(),
        }
    }

    const PLAIN: Usage = Usage {
        fuel: 3_437,
        peak_memory_bytes: 131_584,
        run_us: 7,
        result_bytes: 2,
        short_result_bytes: 2,
        log_bytes: 0,
        posts: 0,
        stored_bytes: 0,
        fetched_bytes: 0,
        host_calls: 0,
        parked_ms: 0,
        new_data_bytes: 0,
        inferences: 0,
        inference_us: 0,
        inference_wait_us: 0,
    };

    #[test]
    fn a_plain_attempt_takes_as_many_bytes_as_before_more_was_known() {
        let attempt = Attempt::of(&done(PLAIN, Limits::default()), None);
        let older = encode(&(
            1_u32,
            1_700_000_000_000_u64,
            1_700_000_000_005_u64,
            None::<Cause>,
            3_437_u64,
            131_584_u64,
            7_u64,
            [ByteArray::new(*Digest::of(b"component").as_bytes())],
        ));
        let older = older.unwrap();
        assert_eq!(encode(&attempt).unwrap(), older);
        let read: Attempt = decode("attempt", &older).unwrap();
        let record = read.into_record();
        assert_eq!((record.usage.fuel, record.usage.posts), (3_437, 0));
        assert_eq!(record.limits, Some(Limits::default()));
    }

    #[test]
    fn what_was_used_and_what_held_survive_their_record() {
        let usage = Usage {
            log_bytes: 1,
            posts: 2,
            stored_bytes: 3,
            fetched_bytes: 4,
            host_calls: 5,
            parked_ms: 6,
            new_data_bytes: 7,
            // These are of the job's end.
            result_bytes: 0,
            short_result_bytes: 0,
            ..PLAIN
        };
        let limits = Limits {
            fuel: 1_000_000,
            tree_jobs: 9,
            ..Limits::default()
        };
        let attempt = Attempt::of(&done(usage, limits), None);
        let bytes = encode(&attempt).unwrap();
        let plain = encode(&Attempt::of(&done(PLAIN, Limits::default()), None)).unwrap();
        assert_eq!(
            bytes.len() - plain.len(),
            32,
            "two limits by name, and 7 numbers"
        );
        let read: Attempt = decode("attempt", &bytes).unwrap();
        assert_eq!(read.new_data_bytes(), 7);
        let record = read.into_record();
        assert_eq!((record.usage, record.limits), (usage, Some(limits)));
        let again = Attempt::from_record(&record).into_record();
        assert_eq!(again, record);
    }

    #[test]
    fn what_was_used_of_models_survives_by_itself_and_beside_the_rest() {
        for host_calls in [0, 9] {
            let usage = Usage {
                host_calls,
                inferences: 9,
                inference_us: 10,
                inference_wait_us: 11,
                result_bytes: 0,
                short_result_bytes: 0,
                ..PLAIN
            };
            let attempt = Attempt::of(&done(usage, Limits::default()), None);
            let mut read: Attempt = decode("attempt", &encode(&attempt).unwrap()).unwrap();
            assert_eq!(read.clone().into_record().usage, usage);
            read.was_last();
            let read: Attempt = decode("attempt", &encode(&read).unwrap()).unwrap();
            assert_eq!(read.into_record().usage, usage);
        }
    }

    #[test]
    fn nothing_held_what_did_not_run() {
        let usage = Usage::default();
        let attempt = Attempt::of(&done(usage, Limits::default()), None);
        assert_eq!(attempt.into_record().limits, None);
    }
}
