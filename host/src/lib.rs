//! skep: a serverless function host for jobs.
//!
//! Users write *listener functions* as WASM components against `wit/`; others post
//! jobs; a host leases jobs from a [`store`] and runs each in a fresh [`sandbox`].
//! Dependencies point one way: `http` and `cli` → `worker` → `sandbox` → `store` →
//! [`job`].

pub mod cli;
pub mod deploy;
pub mod host;
pub mod http;
pub mod intake;
pub mod job;
pub mod schema;
pub mod store;
