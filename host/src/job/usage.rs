//! What an attempt used.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// What an attempt used, of all its functions together.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(default)]
pub struct Usage {
    /// Units of fuel.
    pub fuel: u64,
    /// The most memory held at once, all memories and tables together, in bytes.
    pub peak_memory_bytes: u64,
    /// Wall-clock time in the sandbox, in µs.
    pub run_us: u64,
    /// The result, in bytes.
    pub result_bytes: u64,
    /// The short result, in bytes.
    pub short_result_bytes: u64,
    /// The log, in bytes, with what each line costs beside its text.
    pub log_bytes: u64,
    /// Jobs posted, those included that an earlier attempt had posted.
    pub posts: u64,
    /// Messages posted and data stored, in bytes.
    pub stored_bytes: u64,
    /// Data and results fetched, in bytes.
    pub fetched_bytes: u64,
    /// Calls of the host.
    pub host_calls: u64,
    /// How long it was parked, in ms.
    pub parked_ms: u64,
    /// Of the data stored, what was not there before, in bytes; in a first attempt all
    /// of it.
    pub new_data_bytes: u64,
    /// Calls of models.
    pub inferences: u64,
    /// Time of the engines that run models, in µs: of a batch, the share of its rows.
    pub inference_us: u64,
    /// How long it waited for models without a worker, in µs; a part of `run_us`.
    pub inference_wait_us: u64,
}

impl Usage {
    /// How long it has had a worker, in µs.
    pub fn slot_us(&self) -> u64 {
        // What ran at all has had one for a moment.
        let least = self.run_us.min(1);
        self.run_us
            .saturating_sub(self.inference_wait_us)
            .max(least)
    }

    /// The use of two functions of one attempt, one after the other.
    pub fn and(self, next: Self) -> Self {
        let add = u64::saturating_add;
        Self {
            fuel: add(self.fuel, next.fuel),
            peak_memory_bytes: self.peak_memory_bytes.max(next.peak_memory_bytes),
            run_us: add(self.run_us, next.run_us),
            // The output of the last function is that of the job.
            result_bytes: next.result_bytes,
            short_result_bytes: next.short_result_bytes,
            log_bytes: add(self.log_bytes, next.log_bytes),
            posts: add(self.posts, next.posts),
            stored_bytes: add(self.stored_bytes, next.stored_bytes),
            fetched_bytes: add(self.fetched_bytes, next.fetched_bytes),
            host_calls: add(self.host_calls, next.host_calls),
            parked_ms: add(self.parked_ms, next.parked_ms),
            new_data_bytes: add(self.new_data_bytes, next.new_data_bytes),
            inferences: add(self.inferences, next.inferences),
            inference_us: add(self.inference_us, next.inference_us),
            inference_wait_us: add(self.inference_wait_us, next.inference_wait_us),
        }
    }
}
