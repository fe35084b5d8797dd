//! Components that were tried in vain: whoever sends one again is answered at once, and
//! nobody else waits for its compilation.
//!
//! In memory only: a host that was started anew tries each once more, which also gives
//! the machine's memory or a newer skep its chance.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use super::AdmitError;
use crate::job::Digest;

/// How many are remembered. With texts of 4 KiB, the most that a complaint has, they
/// take 4 MiB.
const MAX_REMEMBERED: usize = 1024;

/// How long one is remembered that another time may go better: one that was too hard for
/// a machine that had much to do.
const TOO_HARD_FOR: Duration = Duration::from_secs(600);

/// What became of components, by their digest.
#[derive(Debug, Default)]
pub(super) struct Failures {
    known: Mutex<HashMap<Digest, Failed>>,
}

#[derive(Debug)]
struct Failed {
    error: AdmitError,
    at: Instant,
}

impl Failures {
    /// Why the component was refused before, if it still would be.
    pub(super) fn of(&self, component: Digest) -> Option<AdmitError> {
        let known = self.lock();
        let failed = known.get(&component)?;
        failed.holds().then(|| failed.error.clone())
    }

    /// Remembers a failure that is the component's.
    pub(super) fn remember(&self, component: Digest, error: &AdmitError) {
        if !matches!(error, AdmitError::Refused(_) | AdmitError::TooHard(_)) {
            return;
        }
        let mut known = self.lock();
        if known.len() >= MAX_REMEMBERED {
            known.retain(|_, failed| failed.holds());
        }
        if known.len() >= MAX_REMEMBERED {
            let oldest = known.iter().min_by_key(|(_, failed)| failed.at);
            if let Some(oldest) = oldest.map(|(digest, _)| *digest) {
                known.remove(&oldest);
            }
        }
        let (error, at) = (error.clone(), Instant::now());
        known.insert(component, Failed { error, at });
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<Digest, Failed>> {
        // The map is whole between any two operations on it.
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Failed {
    fn holds(&self) -> bool {
        match self.error {
            AdmitError::TooHard(_) => self.at.elapsed() < TOO_HARD_FOR,
            _ => true,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(text: &str) -> AdmitError {
        AdmitError::Refused(text.to_owned())
    }

    #[test]
    fn only_what_the_component_is_to_blame_for_is_remembered() {
        let failures = Failures::default();
        let digest = Digest::of(b"a");
        failures.remember(digest, &AdmitError::Host("the disk is full".to_owned()));
        failures.remember(digest, &AdmitError::Busy("later".to_owned()));
        assert!(failures.of(digest).is_none());
        failures.remember(digest, &refused("it is bad"));
        assert_eq!(failures.of(digest).unwrap().to_string(), "it is bad");
        assert!(failures.of(Digest::of(b"b")).is_none());
    }

    #[test]
    fn the_oldest_make_room() {
        let failures = Failures::default();
        let digest = |n: usize| Digest::of(&n.to_le_bytes());
        for n in 0..=MAX_REMEMBERED {
            failures.remember(digest(n), &refused("bad"));
        }
        assert!(failures.of(digest(0)).is_none());
        assert!(failures.of(digest(1)).is_some());
        assert!(failures.of(digest(MAX_REMEMBERED)).is_some());
        assert_eq!(failures.lock().len(), MAX_REMEMBERED);
    }
}
