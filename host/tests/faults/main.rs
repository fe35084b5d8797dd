//! A whole host on a store that fails: now and then a call is refused, takes long,
//! or does its work and loses the answer. Whatever a client was told, and whatever a
//! host was told, each job must end exactly once and as it should. Also here: a Redis
//! that shows a certificate ([`tls`]), and one that is cut off ([`parted`]).
//!
//! The seed is printed; `SKEP_SEED=…` repeats its faults, as far as the threads let
//! it. Needs the guests at `target/guests` (`make guests`).

#![allow(
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::unwrap_used,
    reason = "a test fails by panicking"
)]

mod client;
mod jobs;
mod parted;
mod stopping;
mod store;
mod tls;
mod waiting;
mod whole;

use std::path::Path;
use std::sync::Arc;

use bytes::Bytes;
use skep::host::{Host, HostOptions};
use skep::store::Store;

/// A seed from the environment, or a new one; printed either way.
fn seed() -> u64 {
    let seed = std::env::var("SKEP_SEED").map_or_else(
        |_| fastrand::u64(0..1_000_000),
        |seed| seed.parse().expect("SKEP_SEED is a number"),
    );
    println!("SKEP_SEED={seed}");
    seed
}

/// A host on a store, with a directory for what it compiles.
fn host(store: Arc<dyn Store>, directory: &Path, workers: usize) -> Host {
    let options = HostOptions::new(
        env!("CARGO_BIN_EXE_skep").into(),
        directory.to_owned(),
        workers,
    );
    Host::start(store, options).expect("the host starts")
}

/// A component that scripts/build-guests has built.
fn guest(name: &str) -> Bytes {
    let path = format!(
        "{}/../target/guests/{name}.wasm",
        env!("CARGO_MANIFEST_DIR")
    );
    let bytes = std::fs::read(&path);
    bytes
        .unwrap_or_else(|error| panic!("{path}: {error}; build it with `make guests`"))
        .into()
}
