//! What skep's tests need around skep: real Redis servers that never outlive the
//! tests ([`RedisServer`], [`RedisCluster`], [`RedisSentinel`]), and a network that
//! can be made to fail ([`Proxy`]).
//!
//! Every call blocks until it is done, and panics with a text when it cannot be:
//! a test has no use for an error. A test whose own tasks must go on meanwhile
//! calls [`RedisServer::restart`] and the like on a thread of its own.
//!
//! `SKEP_REDIS_SERVER` names another server than the `redis-server` in the path,
//! such as a newer Redis or Valkey.

#![allow(
    clippy::expect_used,
    clippy::panic,
    clippy::unwrap_used,
    reason = "a test fails by panicking"
)]

mod cluster;
mod guarded;
mod proxy;
mod redis_options;
mod redis_server;
mod sentinel;
mod tls;

pub use cluster::RedisCluster;
pub use proxy::Proxy;
pub use redis_options::{Fsync, RedisOptions};
pub use redis_server::RedisServer;
pub use sentinel::RedisSentinel;

use std::net::{Ipv4Addr, TcpListener};

/// A port of the loopback interface that nobody listens on, and that no outgoing
/// connection will be given meanwhile: a server that is restarted finds it free.
/// Somebody else may be quicker, so that the caller must be ready to try another.
fn free_port() -> u16 {
    loop {
        // Below the ports that Linux gives to outgoing connections.
        let port = fastrand::u16(16_384..32_768);
        if TcpListener::bind((Ipv4Addr::LOCALHOST, port)).is_ok() {
            return port;
        }
    }
}
