//! Leases: which hosts are alive, and what becomes of the jobs of those that are
//! not.

use std::collections::HashSet;
use std::time::Instant;

use uuid::Uuid;

use crate::store::{Cycle, Lease, Result, StoreError};

use super::committer::Action;
use super::shared::Told;
use super::writer::{Host, Writer};

/// See [`crate::store::Store::register`]. Leases are not on disk: when the
/// process ends, all of them have ended.
pub(super) struct Register(pub(super) Uuid);

impl Action for Register {
    type Answer = Lease;

    fn is_durable(&self) -> bool {
        false
    }

    fn apply(&self, writer: &mut Writer) -> Result<Lease> {
        let expires = Instant::now() + writer.lease;
        writer.hosts.insert(
            self.0,
            Host {
                expires,
                cancels: Vec::new(),
                last_step: (0, Cycle::default()),
                standing: 0,
            },
        );
        writer.shared.hosts().insert(self.0, Told::default());
        Ok(Lease {
            incarnation: self.0,
        })
    }
}

/// See [`crate::store::Store::renew`].
pub(super) struct Renew(pub(super) Lease);

impl Action for Renew {
    type Answer = ();

    fn is_durable(&self) -> bool {
        false
    }

    fn apply(&self, writer: &mut Writer) -> Result<()> {
        let expires = Instant::now() + writer.lease;
        let host = writer
            .hosts
            .get_mut(&self.0.incarnation)
            .ok_or(StoreError::LeaseLost)?;
        host.expires = expires;
        Ok(())
    }
}

/// See [`crate::store::Store::reap`].
pub(super) struct Reap;

impl Action for Reap {
    type Answer = usize;

    fn apply(&self, writer: &mut Writer) -> Result<usize> {
        let now = Instant::now();
        let expired = writer.hosts.extract_if(|_, host| host.expires <= now);
        let expired: HashSet<Uuid> = expired.map(|(incarnation, _)| incarnation).collect();
        if expired.is_empty() {
            return Ok(0);
        }
        writer
            .shared
            .hosts()
            .retain(|incarnation, _| !expired.contains(incarnation));
        let mut lost = Vec::new();
        for (key, running) in writer.shared.running().iter_mut() {
            if expired.contains(&running.incarnation) && !running.over {
                running.over = true;
                lost.push((*key, running.clone()));
            }
        }
        // In the order of their acceptance, whatever order the map has.
        lost.sort_unstable_by_key(|(key, _)| *key);
        for (key, running) in &lost {
            writer.effects.over.push(*key);
            writer.index.left(key.namespace(), None);
            writer.leave_batch(running.batch)?;
            writer.lose(
                *key,
                running.attempt,
                running.claimed_at_ms,
                running.cancel_requested,
            )?;
        }
        writer.effects.ring = true;
        Ok(lost.len())
    }
}
