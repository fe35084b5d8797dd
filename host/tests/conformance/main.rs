//! What every store must do, run against each store that there is.
//!
//! A test is a function of a [`World`](support::World) and is named as a
//! sentence. Changing what a store does means changing a test here, never a test
//! of one store alone. To add a store, teach `Backend` to open one and
//! `conformance!` to run the tests with it.
//!
//! Starts a `redis-server` and a cluster of three by itself, on loopback, for all
//! tests together; `cargo test --test conformance embedded` does without.

#![allow(
    clippy::cloned_ref_to_slice_refs,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::unwrap_used,
    reason = "a test shall be short to read, and panic when it meets what it does not expect"
)]

#[macro_use]
mod support;

mod administering;
mod ageing;
mod backend;
mod calling_back;
mod cancelling;
mod capping;
mod capping_at_random;
mod claiming;
mod completing;
mod composing;
mod contents;
mod data;
mod dead_letter;
mod deploying;
mod durability;
mod giving;
mod holding;
mod in_memory;
mod leases;
mod listing;
mod model;
mod models;
mod moving;
mod parking;
mod reading;
mod retrying;
mod sharing;
mod submitting;
mod tokens;
mod torn;
mod trees;
mod using;
mod waiting;
mod watching;
