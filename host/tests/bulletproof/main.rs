//! The faults of other queues, each as a test that fails if we have it too. The comment
//! at each test says whose fault it was; read in their source, or in their issues
//! (`#…`). Most run on the built-in store and on a Redis; what is of Redis alone runs
//! there. `conformance` says what a store must do, `chaos` that it does so whatever
//! breaks; this file is for what is known to go wrong.
//!
//! Left out, since we have nothing that could have the fault:
//!
//! - MLQ: that a wait needs two workers, and callbacks in the worker's loop: `e2e` has
//!   chains on one slot, and receivers that hang. Dead jobs cannot be tried again: ours
//!   can (`conformance`). Uploaded pickles are code of the server's own: ours are WASM
//!   components.
//! - BullMQ: one lock key per job, and O(in flight) renewals: a lease is of a host.
//!   Eviction: the host warns at its start (`e2e`).
//! - Faktory: a list of keys with empty ones in front: a host waits on one key.
//! - RQ: unsafe as soon as it listens to more than one queue: as before.
//! - ChasquiMQ: a consumer's pending entries: there are no streams of jobs.
//! - asynq: EVALSHA in a pipeline: there are no pipelines of scripts.
//! - python-task-queue: `green=True` hides errors behind a NameError; heavy
//!   dependencies of clients; scans of directories: of its language and its layout.
//! - daskqueue: a message without `ready` kills the thread that collects: what a store
//!   answers with an error is met by `faults`. `join` counts queues: waiting is for a
//!   job. Early acknowledgement: there is only the late one.
//! - Durability of Redis itself (Jepsen): Redis's, as README says.

#![allow(
    clippy::cloned_ref_to_slice_refs,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::unwrap_used,
    reason = "a test fails by panicking"
)]

#[macro_use]
#[allow(dead_code, reason = "shared with the conformance tests")]
#[path = "../conformance/support.rs"]
mod support;

#[allow(dead_code, reason = "shared with the conformance tests")]
#[path = "../conformance/backend.rs"]
mod backend;

/// Runs each test on the built-in store and on a Redis.
macro_rules! on_both {
    ($lease:expr; $($test:ident),+ $(,)?) => {
        conformance!(@embedded, $lease; $($test),+);
        conformance!(@redis, $lease; $($test),+);
    };
}

mod brokers;
mod bullmq;
mod daskqueue;
mod guests;
mod mlq;
mod python_task_queue;
mod redis_clients;
