//! The one wasmtime configuration: the process that compiles and the process that
//! runs must agree on it, or every artefact would be compiled twice.

use wasmtime::error::Context as _;
use wasmtime::{
    Config, Engine, InstanceAllocationStrategy, OptLevel, PoolingAllocationConfig,
    WasmBacktraceDetails,
};

use crate::job::MAX_MEMORY_BYTES;

/// A guest gives its thread back after this much fuel, at most a millisecond of
/// work, so that timers fire and other guests run beside one that spins.
pub(super) const YIELD_EVERY_FUEL: u64 = 3_000_000;

/// A guest gives its thread back once so many ticks of the clock have passed, whatever
/// fuel it took: see [`ticker`](super::ticker).
pub(super) const YIELD_EVERY_TICKS: u64 = 1;

/// What one host call may make the host allocate for the guest's arguments, in
/// bytes: a result or a message of the largest size, and its names.
pub(super) const HOSTCALL_BYTES: usize = 80 << 20;

/// The largest single linear memory, in bytes: the ceiling of `Limits::memory_bytes`,
/// which bounds them all together. It costs nothing: a slot reserves 4 GiB of addresses
/// anyway, which saves the guest its bounds checks.
const MEMORY_BYTES: usize = MAX_MEMORY_BYTES as usize;

/// The stack of a guest's own code, in bytes: wasmtime's default, several thousand
/// frames. It is the engine's, not a deployment's. The stack that the SDK lays into the
/// guest's memory is smaller, and counts as memory.
pub(super) const STACK_BYTES: usize = 512 << 10;

/// How much of a memory stays mapped between two guests, in bytes. The memory of
/// an SDK guest fits whole, so that a fresh instance costs a small memset and no
/// page fault: 31 µs a job fall to 7 (`shared/notes/guests.md`).
const MEMORY_KEEP_RESIDENT: usize = 256 << 10;

/// As for memories: the function table of an ordinary guest.
const TABLE_KEEP_RESIDENT: usize = 64 << 10;

/// A Python guest is made of some fifteen linked modules; room for twice that.
pub(super) const CORE_INSTANCES: u32 = 32;

/// Composed components have a memory for each part; most have one.
pub(super) const MEMORIES: u32 = 4;

/// As many as core instances that have one.
pub(super) const TABLES: u32 = 16;

/// The function table of a large interpreter, a few times over.
pub(super) const TABLE_ELEMENTS: usize = 100_000;

/// What the records of an instance may take, in bytes: thousands of functions.
const INSTANCE_BYTES: usize = 4 << 20;

/// What compiled code depends on.
pub(crate) fn code_config() -> Config {
    let mut config = Config::new();
    config
        .consume_fuel(true)
        .max_wasm_stack(STACK_BYTES)
        .epoch_interruption(true)
        .cranelift_opt_level(OptLevel::Speed)
        // Names are enough for a backtrace; the debug information of a stranger's
        // component is not parsed in this process.
        .wasm_backtrace_details(WasmBacktraceDetails::Disable)
        // Less to attack: none of these is needed by a guest that waits in host
        // calls.
        .wasm_memory64(false)
        .wasm_custom_page_sizes(false)
        .wasm_stack_switching(false)
        .wasm_wide_arithmetic(false)
        .memory_init_cow(true);
    config
}

/// An engine that compiles and never runs.
pub(super) fn compiling() -> wasmtime::Result<Engine> {
    Engine::new(&code_config()).context("setting up the compiler")
}

/// An engine with a pool for `slots` guests.
///
/// A pool reserves address space (not memory) by the gigabyte; where that cannot
/// be had, instances are allocated one by one, which is slower and as safe.
pub(super) fn pooled(slots: usize) -> wasmtime::Result<Engine> {
    with_pool(slots).or_else(|error| {
        tracing::warn!(
            error = %error,
            "no address space for a pool of {slots} sandboxes; jobs will start more slowly"
        );
        Engine::new(&code_config()).context("setting up the engine")
    })
}

/// An engine with a pool, or why there is no room for that.
fn with_pool(slots: usize) -> wasmtime::Result<Engine> {
    let slots = u32::try_from(slots).unwrap_or(u32::MAX);
    let mut pool = PoolingAllocationConfig::new();
    pool.total_component_instances(slots)
        .total_stacks(slots)
        .total_core_instances(slots.saturating_mul(CORE_INSTANCES))
        .total_memories(slots.saturating_mul(MEMORIES))
        .total_tables(slots.saturating_mul(TABLES))
        .max_core_instances_per_component(CORE_INSTANCES)
        .max_memories_per_component(MEMORIES)
        .max_tables_per_component(TABLES)
        .max_memories_per_module(MEMORIES)
        .max_tables_per_module(TABLES)
        .max_component_instance_size(INSTANCE_BYTES)
        .max_core_instance_size(INSTANCE_BYTES)
        .table_elements(TABLE_ELEMENTS)
        .max_memory_size(MEMORY_BYTES)
        .linear_memory_keep_resident(MEMORY_KEEP_RESIDENT)
        .table_keep_resident(TABLE_KEEP_RESIDENT);
    let mut config = code_config();
    config.allocation_strategy(InstanceAllocationStrategy::Pooling(pool));
    Engine::new(&config)
}

/// Whether there is room for a pool of so many guests, as [`pooled`] makes it.
///
/// # Errors
///
/// Why there is not.
pub(crate) fn check_pool(slots: usize) -> anyhow::Result<()> {
    with_pool(slots)?;
    Ok(())
}
