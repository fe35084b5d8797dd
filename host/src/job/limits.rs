//! The bounds on a job: their names, defaults and ceilings. [`LIMITS`] lists them, and
//! whatever reads, shows, narrows or checks limits goes by that list.
//!
//! Not here: the bounds that are the same for every job of a host (`sandbox::FIXED`).

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::{MAX_DEPTH, Unit, Usage};

const KIB: u64 = 1024;
const MIB: u64 = 1024 * KIB;
const HOUR_MS: u64 = 3600 * 1000;

/// The longest note of a progress update, in bytes: a line in a terminal.
pub const MAX_NOTE_BYTES: usize = 256;

/// The longest line of a job's log, in bytes; the rest of it is cut.
pub const MAX_LOG_LINE_BYTES: usize = 4096;

/// The largest message, in bytes. Each is written to the store's journal and
/// copied into a guest's memory whole; what is larger belongs under a key of the
/// store, and the key into the message.
pub const MAX_MESSAGE_BYTES: usize = 16 << 20;

/// The most memory that an admin may grant one guest, in bytes. As much as all parked
/// guests may hold together, so that one of them can always be parked; and a bulk
/// instruction, which nothing interrupts, takes a few tenths of a second over it.
pub const MAX_MEMORY_BYTES: u64 = 1024 * MIB;

/// The bounds on a job. The defaults are meant for code that a stranger uploaded.
///
/// Of a job that names several functions, `fuel`, `timeout_ms`, `memory_bytes`,
/// `message_bytes`, `result_bytes` and `short_result_bytes` are granted to each of
/// them. The others are totals over all functions of an attempt, those of the tree over
/// the whole tree.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Limits {
    /// The CPU budget, in wasmtime's units of fuel: about one per instruction.
    pub fuel: u64,
    /// The wall-clock time of an attempt, in ms.
    pub timeout_ms: u64,
    /// The sum of all linear memories and tables, in bytes.
    pub memory_bytes: u64,
    /// The result, in bytes.
    pub result_bytes: u64,
    /// The short result, in bytes.
    pub short_result_bytes: u64,
    /// The log of an attempt, in bytes.
    pub log_bytes: u64,
    /// How many jobs an attempt may post.
    pub posts: u64,
    /// What an attempt may post and store, messages and data together, in bytes.
    pub stored_bytes: u64,
    /// What an attempt may fetch, in bytes.
    pub fetched_bytes: u64,
    /// How many times an attempt may call the host; each job that it waits for counts
    /// as a call.
    pub host_calls: u64,
    /// How long an attempt may be parked, in ms, beside the time that it runs.
    pub parked_ms: u64,
    // What was added later stands at the end, with a default for older records.
    /// The message, in bytes.
    pub message_bytes: u64,
    /// How many ancestors a job of the tree may have.
    pub tree_depth: u64,
    /// How many jobs the whole tree may have: the job that nobody posted, and all that
    /// came of it.
    pub tree_jobs: u64,
    /// How many times an attempt may call models.
    pub inferences: u64,
    /// How much time of the engines that run models an attempt may use, in ms: of a batch,
    /// the share of its rows.
    pub inference_ms: u64,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            // A minute of one core for the tightest loop, at 17 billion units a second;
            // as long as the timeout for ordinary code, at 3 to 4 billion.
            fuel: 1_000_000_000_000,
            // MLQ's reaper gave a job five minutes.
            timeout_ms: 300_000,
            // Room for a decoded 12-megapixel picture and its copy, or for a
            // Python interpreter; eight workers stay below 2 GiB.
            memory_bytes: 256 * MIB,
            // One result must fit into memory a few times over on its way from
            // the guest to the store and to a client.
            result_bytes: 64 * MIB,
            // It goes into callback URLs and list views.
            short_result_bytes: 4 * KIB,
            // A thousand lines of a guest that says what it does.
            log_bytes: 64 * KIB,
            // The lines of a large file, each a job.
            posts: 100_000,
            // What a disk writes in a second or two: a job is no copy of a data set.
            stored_bytes: 256 * MIB,
            // A job may look at more than it keeps.
            fetched_bytes: 1024 * MIB,
            // Host calls cost host CPU that fuel does not count: a million of
            // the cheapest take about a second.
            host_calls: 1_000_000,
            // A tree of jobs may take as long as people do; one that waits longer
            // waits for something that does not come.
            parked_ms: 24 * HOUR_MS,
            message_bytes: MAX_MESSAGE_BYTES as u64,
            // A handler that posts itself for ever ends here.
            tree_depth: MAX_DEPTH.into(),
            // Ten jobs for each of the largest fan-out, some 400 MiB of records. Without
            // it, two posts a job make 2^64 jobs within the depth.
            tree_jobs: 1_000_000,
            // The rows of a large file, each a call: some seconds of a small model's.
            inferences: 100_000,
            // The least time for which `fuel` is enough for the guest itself.
            inference_ms: 60_000,
        }
    }
}

/// One of the bounds.
#[derive(Debug)]
pub struct Limit {
    /// Its name, in JSON, in queries and on the record.
    pub name: &'static str,
    /// What it counts.
    pub unit: Unit,
    /// The least that makes sense.
    pub least: u64,
    /// The ceiling: the most that an admin may grant.
    pub most: u64,
    get: fn(&Limits) -> u64,
    at: fn(&mut Limits) -> &mut u64,
    used: fn(&Usage) -> Option<u64>,
}

impl Limit {
    /// Its value.
    pub fn of(&self, limits: &Limits) -> u64 {
        (self.get)(limits)
    }

    /// Sets its value.
    pub fn set(&self, limits: &mut Limits, value: u64) {
        *(self.at)(limits) = value;
    }

    /// How much of it was used, if that is a matter of one attempt.
    pub fn used(&self, usage: &Usage) -> Option<u64> {
        (self.used)(usage)
    }

    /// The name without its unit, as people say it.
    pub fn short_name(&self) -> &'static str {
        let name = self.name.strip_suffix("_bytes");
        name.or_else(|| self.name.strip_suffix("_ms"))
            .unwrap_or(self.name)
    }
}

macro_rules! limit {
    ($field:ident, $unit:ident, $least:expr, $most:expr, $used:expr) => {
        Limit {
            name: stringify!($field),
            unit: Unit::$unit,
            least: $least,
            most: $most,
            get: |limits| limits.$field,
            at: |limits| &mut limits.$field,
            used: $used,
        }
    };
}

/// The most time that an admin may grant, in ms: a week, beyond which a unit is more
/// likely wrong than meant.
const WEEK_MS: u64 = 7 * 24 * HOUR_MS;

/// All bounds, in the order in which they are shown, each with its least value and its
/// ceiling.
pub static LIMITS: [Limit; 16] = [
    // A week of one core.
    limit!(fuel, Count, 1, 2_500_000_000_000_000, |u| Some(u.fuel)),
    limit!(timeout_ms, Milliseconds, 1, WEEK_MS, |u| Some(
        u.run_us / 1000
    )),
    limit!(memory_bytes, Bytes, 1, MAX_MEMORY_BYTES, |u| Some(
        u.peak_memory_bytes
    )),
    // `intake` reads no larger ones.
    limit!(message_bytes, Bytes, 0, MAX_MESSAGE_BYTES as u64, |_| None),
    // What a host call may make the host allocate goes with it.
    limit!(result_bytes, Bytes, 0, 64 * MIB, |u| Some(u.result_bytes)),
    // A URL of a callback holds no more.
    limit!(short_result_bytes, Bytes, 0, 4 * KIB, |u| Some(
        u.short_result_bytes
    )),
    // A log is written whole when its attempt ends.
    limit!(log_bytes, Bytes, 0, 4 * MIB, |u| Some(u.log_bytes)),
    // A tenth of the largest tree.
    limit!(posts, Count, 0, 10_000_000, |u| Some(u.posts)),
    // Beyond that a store of its own is the better place for data.
    limit!(stored_bytes, Bytes, 0, 16 * 1024 * MIB, |u| Some(
        u.stored_bytes
    )),
    // What a disk reads in half an hour.
    limit!(fetched_bytes, Bytes, 0, 1024 * 1024 * MIB, |u| Some(
        u.fetched_bytes
    )),
    // About the week of the timeout, at the price of the cheapest.
    limit!(host_calls, Count, 0, 500_000_000_000, |u| Some(
        u.host_calls
    )),
    // A tree that waits for people waits for those on leave, too.
    limit!(parked_ms, Milliseconds, 0, 8 * WEEK_MS, |u| Some(
        u.parked_ms
    )),
    // A parent that waits holds an instance, and so does each of its ancestors.
    limit!(tree_depth, Count, 0, MAX_DEPTH as u64, |_| None),
    // Some 40 GiB of records.
    limit!(tree_jobs, Count, 1, 100_000_000, |_| None),
    // A day of the smallest models, one call after the other.
    limit!(inferences, Count, 0, 1_000_000_000, |u| Some(u.inferences)),
    // A day: who needs more of one device needs a place of its own.
    limit!(inference_ms, Milliseconds, 0, 24 * HOUR_MS, |u| Some(
        u.inference_us / 1000
    )),
];

impl Limits {
    /// The bounds on two functions of one attempt together: what is granted to each adds
    /// up, of the rest the wider counts.
    pub fn and(self, next: Self) -> Self {
        let mut both = self;
        for limit in &LIMITS {
            limit.set(&mut both, limit.of(&self).max(limit.of(&next)));
        }
        Self {
            fuel: self.fuel.saturating_add(next.fuel),
            timeout_ms: self.timeout_ms.saturating_add(next.timeout_ms),
            ..both
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn every_limit_is_listed_and_its_default_is_within_its_bounds() {
        let default = Limits::default();
        let fields = serde_json::to_value(default).unwrap();
        let fields = fields.as_object().unwrap();
        let listed: BTreeSet<_> = LIMITS.iter().map(|limit| limit.name).collect();
        assert_eq!(listed, fields.keys().map(String::as_str).collect());
        for limit in &LIMITS {
            let value = limit.of(&default);
            assert_eq!(fields[limit.name], value, "{}", limit.name);
            assert!((limit.least..=limit.most).contains(&value), "{limit:?}");
            let mut other = default;
            limit.set(&mut other, 77);
            let one = LIMITS.iter().filter(|l| l.of(&other) != l.of(&default));
            assert_eq!(one.map(|l| l.name).collect::<Vec<_>>(), [limit.name]);
        }
        let short: BTreeSet<_> = LIMITS.iter().map(Limit::short_name).collect();
        assert_eq!(short.len(), LIMITS.len(), "short names tell them apart");
    }

    #[test]
    fn what_each_function_is_granted_adds_up() {
        let limits = Limits {
            posts: 3,
            ..Limits::default()
        };
        let both = limits.and(Limits::default());
        assert_eq!(both.fuel, 2 * limits.fuel);
        assert_eq!(both.timeout_ms, 2 * limits.timeout_ms);
        assert_eq!((both.posts, both.memory_bytes), (100_000, 256 * MIB));
    }
}
