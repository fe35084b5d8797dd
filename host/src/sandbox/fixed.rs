//! The bounds that are the same for every job of a host: they are built into the engine
//! or the host functions, and no policy moves them. Shown beside those that it does
//! (`GET /functions/{name}`).

use super::{engine, host};
use crate::job::{MAX_LOG_LINE_BYTES, MAX_NOTE_BYTES, Unit, Unit::Bytes, Unit::Count};

/// A bound that is the same for every job.
#[derive(Debug)]
pub struct FixedLimit {
    /// Its name, in JSON.
    pub name: &'static str,
    /// What it counts.
    pub unit: Unit,
    /// The bound.
    pub value: u64,
}

const fn fixed(name: &'static str, unit: Unit, value: usize) -> FixedLimit {
    let value = value as u64;
    FixedLimit { name, unit, value }
}

/// The bounds that are the same for every job. The reason of each number stands where it
/// is defined.
pub static FIXED: [FixedLimit; 13] = [
    fixed("stack_bytes", Bytes, engine::STACK_BYTES),
    fixed("core_instances", Count, engine::CORE_INSTANCES as usize),
    fixed("memories", Count, engine::MEMORIES as usize),
    fixed("tables", Count, engine::TABLES as usize),
    fixed("table_elements", Count, engine::TABLE_ELEMENTS),
    fixed("resources", Count, host::MAX_RESOURCES),
    fixed("host_call_bytes", Bytes, engine::HOSTCALL_BYTES),
    fixed("random_bytes", Bytes, host::MAX_RANDOM_BYTES as usize),
    fixed("posts_of_a_call", Count, host::MAX_POST_MANY),
    fixed("waits_of_a_call", Count, host::MAX_WAIT_MANY),
    fixed(
        "results_of_a_wait_bytes",
        Bytes,
        host::MAX_RESULTS_BYTES as usize,
    ),
    fixed("log_line_bytes", Bytes, MAX_LOG_LINE_BYTES),
    // How many updates: each is a host call, and only the newest is kept and reported, at
    // most every 50 ms.
    fixed("progress_note_bytes", Bytes, MAX_NOTE_BYTES),
];
