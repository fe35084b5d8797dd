//! What one attempt may use, and what it did use.

use serde::{Deserialize, Serialize};

const KIB: u64 = 1024;
const MIB: u64 = 1024 * KIB;

/// The longest note of a progress update, in bytes: a line in a terminal.
pub const MAX_NOTE_BYTES: usize = 256;

/// The longest line of a job's log, in bytes; the rest of it is cut.
pub const MAX_LOG_LINE_BYTES: usize = 4096;

/// The bounds on one attempt of one function. The defaults are meant for code
/// that a stranger uploaded.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
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
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            // About a minute of one core at the 3 to 4 billion units a second
            // that ordinary code burns.
            fuel: 200_000_000_000,
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
            log_bytes: 64 * KIB,
            posts: 100_000,
            stored_bytes: 256 * MIB,
            fetched_bytes: 1024 * MIB,
            // Host calls cost host CPU that fuel does not count: a million of
            // the cheapest take about a second.
            host_calls: 1_000_000,
            // A tree of jobs may take as long as people do; one that waits longer
            // waits for something that does not come.
            parked_ms: 24 * 3600 * 1000,
        }
    }
}

/// What an attempt used.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Usage {
    /// Units of fuel.
    pub fuel: u64,
    /// The most memory held at once, all memories and tables together, in bytes.
    pub peak_memory_bytes: u64,
    /// Wall-clock time in the sandbox, in µs.
    pub run_us: u64,
}

impl Usage {
    /// The use of two functions of one job, one after the other.
    pub fn and(self, next: Self) -> Self {
        Self {
            fuel: self.fuel.saturating_add(next.fuel),
            peak_memory_bytes: self.peak_memory_bytes.max(next.peak_memory_bytes),
            run_us: self.run_us.saturating_add(next.run_us),
        }
    }
}
