//! skep: a serverless function host for jobs.
//!
//! Users write *listener functions* as WASM components against `wit/`; others post
//! jobs; a host leases jobs from a [`store`] and runs each in a fresh [`sandbox`].
//!
//! Dependencies point one way: [`http`] and [`cli`] → [`host`] → [`scrape`] → [`worker`] →
//! [`sandbox`] → [`inference`], [`intake`] → [`callback`] → [`traces`] → [`store`] → [`access`] → [`metrics`] →
//! [`model`], [`job`].

pub mod access;
pub mod bench;
pub mod callback;
pub mod child;
pub mod cli;
pub mod deploy;
pub mod directory;
pub mod following;
pub mod host;
pub mod http;
pub mod inference;
pub mod intake;
pub mod job;
pub mod metrics;
pub mod model;
pub mod models;
pub mod moving;
pub mod sandbox;
pub mod schema;
pub mod scrape;
pub mod store;
pub mod time;
pub mod traces;
pub mod tree;
pub mod worker;
