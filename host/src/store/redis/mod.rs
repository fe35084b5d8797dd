//! The store in a Redis that any number of hosts share (`docs/adr/0004`).
//!
//! Every call that changes something is one script, so that it happens whole or not
//! at all, and may be sent again when its answer was lost: Redis is the only place
//! where the queue is kept, and its clock the only one that counts. The scripts, the
//! keys and what they hold are described in `scripts/prelude.lua`. Beside them, a
//! process holds two connections that block: one for the token that wakes a sleeping
//! host ([`wake`]), one for the events that all hosts want to know ([`events`]).

mod address;
mod administer;
mod again;
mod alarm;
mod blobs;
mod bundle;
mod claims;
mod ends;
mod events;
mod functions;
#[cfg(fuzzing)]
pub(in crate::store) mod fuzzing;
mod gather;
mod giving;
mod greeting;
mod known;
mod link;
mod listing;
mod look;
mod models;
mod outbox;
mod parking;
mod peeks;
mod posted;
mod reader;
mod reaper;
mod reply;
mod script;
mod shared;
mod step;
mod store;
mod submit;
mod tokens;
mod transfer;
mod wake;
mod watching;

use std::sync::Arc;
use std::time::Duration;

use tokio::task::JoinHandle;

use crate::store::{CALLBACK_TAKEN, LEASE, Result};

pub use address::{Address, AddressError};
use gather::Gatherer;
use link::Link;
pub use look::{Look, look};
use peeks::Peeks;
use shared::Shared;

/// What all keys begin with, unless several stores share a database.
const PREFIX: &str = "skep";

/// How to open a [`RedisStore`].
#[derive(Clone, Debug)]
pub struct Options {
    lease: Duration,
    callback_taken: Duration,
    prefix: String,
}

impl Options {
    /// How long a host may be silent before its jobs are given to others:
    /// [`LEASE`], unless a test cannot wait.
    #[must_use]
    pub fn lease(mut self, lease: Duration) -> Self {
        self.lease = lease;
        self
    }

    /// How long a host has a callback that it took for itself: [`CALLBACK_TAKEN`],
    /// unless a test cannot wait.
    #[must_use]
    pub fn callback_taken(mut self, taken: Duration) -> Self {
        self.callback_taken = taken;
        self
    }

    /// What all keys begin with, in braces: `skep`, unless several stores share a
    /// database.
    #[must_use]
    pub fn prefix(mut self, prefix: &str) -> Self {
        prefix.clone_into(&mut self.prefix);
        self
    }

    /// Opens the store. That Redis is away is no error: it is looked for until it is
    /// there, and until then every call answers `Unavailable`.
    ///
    /// # Errors
    ///
    /// `Refused` if the password is wrong or Redis is too old; `Unreadable` if a
    /// newer skep has written there.
    pub async fn open(self, address: &Address) -> Result<RedisStore> {
        let shared = Arc::new(Shared::default());
        let link = Arc::new(Link::new(address, &self.prefix, shared.clock.clone())?);
        link.first_connection().await?;
        let tasks = [
            tokio::spawn(wake::run(link.clone(), shared.clone(), self.lease / 2)),
            tokio::spawn(events::run(link.clone(), shared.clone())),
            tokio::spawn(parking::run(link.clone(), shared.clone())),
            tokio::spawn(watching::run(link.clone(), shared.clone())),
        ];
        Ok(RedisStore {
            gatherer: Arc::new(Gatherer::new(link.clone(), shared.clone())),
            peeks: Arc::new(Peeks::new(link.clone())),
            link,
            shared,
            lease: self.lease,
            callback_taken: self.callback_taken,
            tasks,
        })
    }
}

/// A store in Redis, for any number of processes.
pub struct RedisStore {
    link: Arc<Link>,
    gatherer: Arc<Gatherer>,
    peeks: Arc<Peeks>,
    shared: Arc<Shared>,
    lease: Duration,
    callback_taken: Duration,
    tasks: [JoinHandle<()>; 4],
}

impl RedisStore {
    /// How to open a store in another way than the default.
    pub fn options() -> Options {
        Options {
            lease: LEASE,
            callback_taken: CALLBACK_TAKEN,
            prefix: PREFIX.to_owned(),
        }
    }
}

impl std::fmt::Debug for RedisStore {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("RedisStore").finish_non_exhaustive()
    }
}

impl Drop for RedisStore {
    fn drop(&mut self) {
        for task in &self.tasks {
            task.abort();
        }
    }
}
