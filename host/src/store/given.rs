//! What is given to a host between its steps, until it has it.

use std::collections::VecDeque;

use super::Claim;
#[cfg(doc)]
use super::Store;

/// Jobs [given](Store::given) to a host, in the order in which they were.
#[derive(Clone, Debug, Default)]
pub struct Given {
    /// How many were given to its lease before these.
    pub after: u64,
    /// The jobs.
    pub jobs: Vec<Claim>,
}

impl Given {
    /// Those beyond the first `had` of the lease.
    pub fn beyond(self, had: u64) -> impl Iterator<Item = Claim> {
        let known = usize::try_from(had.saturating_sub(self.after)).unwrap_or(usize::MAX);
        self.jobs.into_iter().skip(known)
    }
}

/// Where a store keeps them.
#[derive(Default)]
pub(super) struct Gifts {
    /// Those that are not known to have reached the host.
    jobs: VecDeque<Claim>,
    /// How many have.
    had: u64,
}

impl Gifts {
    /// Gives more.
    pub(super) fn extend(&mut self, jobs: impl IntoIterator<Item = Claim>) {
        self.jobs.extend(jobs);
    }

    /// How many were given beyond the first `had`.
    pub(super) fn beyond(&self, had: u64) -> usize {
        let given = self.had + self.jobs.len() as u64;
        usize::try_from(given.saturating_sub(had)).unwrap_or(usize::MAX)
    }

    /// All for a host that has the first `had`, and may since have more.
    pub(super) fn since(&mut self, had: u64) -> Given {
        while self.had < had && self.jobs.pop_front().is_some() {
            self.had += 1;
        }
        Given {
            after: self.had,
            jobs: self.jobs.iter().cloned().collect(),
        }
    }
}
