//! The zoo: components that strangers might send to harm a host, each on both stores.
//! Whatever one does, its record says what ended it, the bound held, and meanwhile the
//! jobs of another namespace (the canary) take hardly longer than usual.
//!
//! `tests/hostile/README.md` lists them. Needs the guests at `target/guests`
//! (`make guests`).

#![allow(
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::unwrap_used,
    reason = "a test fails by panicking"
)]

#[allow(dead_code, unused_imports, reason = "shared with the end-to-end tests")]
#[path = "../e2e/place.rs"]
mod place;

#[allow(dead_code, unused_imports, reason = "shared with the end-to-end tests")]
#[path = "../e2e/process.rs"]
mod process;

#[allow(dead_code, unused_imports, reason = "shared with the end-to-end tests")]
#[path = "../e2e/server.rs"]
mod server;

mod abi;
mod artefacts;
mod canary;
mod compiling;
mod flooding;
mod guest;
mod holding;
mod inferring;
mod neighbours;
mod showing;
mod spinning;
mod structure;
mod wasi;
mod zoo;
