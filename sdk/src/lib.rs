//! Write job handlers for [skep](https://github.com/skep-dev/skep) in Rust.
//!
//! A handler is a function. Its message is any [`serde::Deserialize`] type, or
//! bytes; what it returns is any [`serde::Serialize`] value, or bytes with their
//! media type; `?` turns any error into a [`Failure`].
//!
//! ```
//! use skep_sdk::{Context, Failure};
//!
//! #[derive(serde::Deserialize, schemars::JsonSchema)]
//! struct Multiply { arg1: i64, arg2: i64 }
//!
//! #[skep_sdk::listener]
//! /// Multiplies two numbers.
//! fn multiply(msg: Multiply, ctx: &Context) -> Result<i64, Failure> {
//!     Ok(msg.arg1 * msg.arg2)
//! }
//!
//! skep_sdk::export!(multiply);
//! # fn main() {}
//! ```
//!
//! The crate type is `cdylib`, the target `wasm32-unknown-unknown`;
//! `scripts/build-guests` and `examples/.cargo/config.toml` hold the linker and
//! its arguments. The result is a component that imports what `wit/` defines and
//! nothing else.
//!
//! - [`Context`]: the job, progress, stored data, child jobs, models.
//! - [`TestHost`]: all of that in a native test.
//! - [`Payload`] and [`Output`]: bytes with a media type, a short and a long
//!   result.
//! - [`info!`] and its like: the job's log, where panics land too.
//!
//! # What a sandbox lacks
//! There is no clock, file, socket, environment or thread; reading the clock or
//! starting a thread traps. `HashMap` has the same seed in every instance, so
//! prefer `BTreeMap` for keys that strangers choose.
//!
//! # Memory
//! An instance lives for one attempt of one job. The feature `allocator` (on by
//! default) installs an allocator that serves small jobs from the memory an
//! instance starts with. A handler that brings its own switches it off.
//!
//! The stack has 64 KiB. A crate that needs more says so in its `build.rs`:
//! `println!("cargo::rustc-link-arg-cdylib=-zstack-size=98304");`
#![deny(missing_docs)]

#[cfg(all(feature = "allocator", any(target_arch = "wasm32", test)))]
mod allocator;
#[expect(missing_docs, reason = "generated")]
pub mod bindings;
mod context;
mod error;
mod failure;
mod host;
mod inference;
mod job_id;
mod listener;
pub mod log;
mod output;
mod payload;
mod post;
mod stored;
#[cfg(not(target_arch = "wasm32"))]
mod test_host;
mod wait;

pub use bindings::skep::jobs::types::Job;
pub use context::Context;
pub use error::Error;
pub use failure::Failure;
pub use inference::{
    DataType, Element, Infer, ModelInfo, NamedTensor, Outputs, Tensor, TensorSpec, ToTensor, Values,
};
pub use job_id::JobId;
pub use listener::Listener;
pub use output::{FromOutput, IntoOutput, Output};
pub use payload::{FromPayload, Payload, ToPayload};
pub use post::Post;
pub use skep_sdk_macros::{export, listener};
pub use stored::Store;
#[cfg(not(target_arch = "wasm32"))]
pub use test_host::TestHost;

/// Builds the examples of the README.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
mod readme {}

/// What the macros expand to. No part of the API.
#[doc(hidden)]
pub mod __private {
    pub use crate::bindings;
    pub use crate::listener::{
        Entry, Listener, SchemaOf, WithSchema, WithoutSchema, distinct, functions, handle, message,
        output,
    };
}

/// Whole milliseconds, as the WIT interfaces count them.
fn millis(duration: std::time::Duration) -> u64 {
    duration.as_millis().try_into().unwrap_or(u64::MAX)
}

/// Whole seconds, rounded up: nothing ends sooner than asked.
fn seconds(duration: std::time::Duration) -> u64 {
    (duration.as_secs()).saturating_add(u64::from(duration.subsec_nanos() > 0))
}
