//! End to end: a real `skep serve` process, real components, real HTTP.
//!
//! Needs the guests at `target/guests` (`make guests`).

#![allow(
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::unwrap_used,
    reason = "a test fails by panicking"
)]

mod audit;
mod authorisation;
mod away;
mod bad_jobs;
mod bad_names;
mod bad_uploads;
mod browser;
mod bulk;
mod callbacks;
mod cli;
mod collector;
mod composing;
mod config;
mod crash;
mod cut_off;
mod dead;
mod doctor;
mod door;
mod exposition;
mod following;
mod host_calls;
mod inference;
mod inference_bad;
mod inference_many;
mod inference_tensors;
mod inference_waiting;
mod limits;
mod lists;
mod local;
mod logging;
mod main_job;
mod manual;
mod many_hosts;
mod metrics;
mod mlq;
mod mlq_callbacks;
mod models;
mod moving;
mod moving_to_redis;
mod new;
mod options;
mod pages;
mod place;
mod policy;
mod process;
mod ptq;
mod queue;
mod raw;
mod receiver;
mod redis_kinds;
mod refused_uploads;
mod restart;
mod routes;
mod secrets;
mod semantics;
mod server;
mod sharing;
mod slow;
mod stream;
mod terminal;
mod tls;
mod tokens;
mod traces;
mod trees;
mod verbs;
mod versions;
mod watching_queue;
