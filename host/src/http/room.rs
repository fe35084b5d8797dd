//! How much memory strangers' bytes may take in a server at once. Each body has a bound
//! of its own, and each connection; a thousand of the largest together would still be
//! more than any machine has.

use std::sync::Arc;

use bytes::Bytes;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::code::Code;
use super::problem::Problem;

/// For the bodies of requests: four of the largest components, or sixteen of the largest
/// messages. On its way into the store a body is held three times at most (as it came,
/// as the message in it, as the record), so that they take less than 1 GiB.
const REQUESTS_BYTES: usize = 256 << 20;

/// For models on their way in: as many as come, but of the largest only one. It grows by
/// doubling, so that its buffer may be twice as large for a moment. While it is probed and
/// stored it is held once, and in chunks.
const MODELS_BYTES: usize = 1 << 30;

/// For results on their way to clients: sixteen of the largest.
const RESULTS_BYTES: usize = 1 << 30;

/// What is counted: a semaphore of bytes would be too large for its type elsewhere.
const UNIT_BYTES: usize = 1 << 10;

/// Room for bytes.
#[derive(Clone)]
pub(super) struct Room {
    free: Arc<Semaphore>,
    what: &'static str,
}

/// A part of a [`Room`], given back when it is dropped.
pub(super) struct Share {
    room: Room,
    held: Option<OwnedSemaphorePermit>,
}

impl Room {
    /// For the bodies of requests.
    pub(super) fn for_requests() -> Self {
        Self::of(REQUESTS_BYTES, "requests")
    }

    /// For models on their way in.
    pub(super) fn for_models() -> Self {
        Self::of(MODELS_BYTES, "models")
    }

    /// For results on their way out.
    pub(super) fn for_results() -> Self {
        Self::of(RESULTS_BYTES, "results")
    }

    fn of(bytes: usize, what: &'static str) -> Self {
        Self {
            free: Arc::new(Semaphore::new(bytes / UNIT_BYTES)),
            what,
        }
    }

    /// A share of nothing yet.
    pub(super) fn share(&self) -> Share {
        Share {
            room: self.clone(),
            held: None,
        }
    }

    /// These bytes, which have a share for as long as anybody holds a part of them.
    pub(super) fn hold(&self, bytes: Bytes) -> Result<Bytes, Problem> {
        let mut share = self.share();
        share.fit(bytes.len())?;
        Ok(Bytes::from_owner(Held {
            bytes,
            _share: share,
        }))
    }
}

impl Share {
    /// Makes the share as large as this.
    pub(super) fn fit(&mut self, bytes: usize) -> Result<(), Problem> {
        let wanted = bytes.div_ceil(UNIT_BYTES);
        let have = (self.held.as_ref()).map_or(0, OwnedSemaphorePermit::num_permits);
        if let Some(more) = wanted.checked_sub(have + 1) {
            let more = u32::try_from(more + 1).map_err(|_| self.full())?;
            let more = self.room.free.clone().try_acquire_many_owned(more);
            let more = more.map_err(|_| self.full())?;
            match &mut self.held {
                Some(held) => held.merge(more),
                None => self.held = Some(more),
            }
        } else if let Some(held) = &mut self.held {
            drop(held.split(have - wanted));
        }
        Ok(())
    }

    fn full(&self) -> Problem {
        Problem::new(
            Code::Busy,
            format!(
                "this host has as many bytes of {} in its memory as it may; try again in a moment, or ask another host",
                self.room.what
            ),
        )
    }
}

struct Held {
    bytes: Bytes,
    _share: Share,
}

impl AsRef<[u8]> for Held {
    fn as_ref(&self) -> &[u8] {
        &self.bytes
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_share_grows_and_shrinks_and_is_given_back() {
        let room = Room::of(10 * UNIT_BYTES, "tests");
        let mut share = room.share();
        for (bytes, free) in [
            (0, 10),
            (1, 9),
            (UNIT_BYTES, 9),
            (5 * UNIT_BYTES + 1, 4),
            (2 * UNIT_BYTES, 8),
            (0, 10),
            (10 * UNIT_BYTES, 0),
        ] {
            share.fit(bytes).unwrap();
            assert_eq!(room.free.available_permits(), free, "{bytes}");
        }
        assert!(room.share().fit(1).is_err());
        assert!(room.share().fit(0).is_ok());
        assert!(share.fit(usize::MAX).is_err());
        drop(share);
        assert_eq!(room.free.available_permits(), 10);
    }

    #[test]
    fn bytes_have_their_share_until_the_last_part_is_gone() {
        let room = Room::of(2 * UNIT_BYTES, "tests");
        let mut held = room.hold(vec![7; 2 * UNIT_BYTES].into()).unwrap();
        let part = held.split_to(1);
        assert!(room.hold(Bytes::from_static(b"x")).is_err());
        drop(held);
        assert_eq!(room.free.available_permits(), 0);
        drop(part);
        assert!(room.hold(Bytes::from_static(b"x")).is_ok());
    }
}
