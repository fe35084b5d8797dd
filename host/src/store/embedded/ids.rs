//! A set of job ids that takes little when they follow each other, as those of jobs that
//! wait do: five million of a file of messages are one range.

use rangemap::RangeSet;

use crate::job::JobId;

/// Job ids.
#[derive(Default)]
pub(super) struct Ids {
    ranges: RangeSet<u64>,
    count: usize,
}

impl Ids {
    /// Adds an id; one that is there already is there once.
    pub(super) fn insert(&mut self, id: JobId) {
        if !self.contains(id) {
            self.ranges.insert(id.0..id.0.saturating_add(1));
            self.count += 1;
        }
    }

    /// Takes an id out, if it is there.
    pub(super) fn remove(&mut self, id: JobId) {
        if self.contains(id) {
            self.ranges.remove(id.0..id.0.saturating_add(1));
            self.count -= 1;
        }
    }

    /// Whether an id is there.
    pub(super) fn contains(&self, id: JobId) -> bool {
        self.ranges.contains(&id.0)
    }

    /// The smallest id.
    pub(super) fn first(&self) -> Option<JobId> {
        self.ranges.first().map(|range| JobId(range.start))
    }

    /// All of them, the smallest first.
    pub(super) fn iter(&self) -> impl Iterator<Item = JobId> {
        self.ranges.iter().flat_map(Clone::clone).map(JobId)
    }

    /// Takes the smallest id out.
    pub(super) fn pop_first(&mut self) -> Option<JobId> {
        let first = self.first()?;
        self.remove(first);
        Some(first)
    }

    /// How many there are.
    pub(super) fn len(&self) -> usize {
        self.count
    }

    /// Whether there are none.
    pub(super) fn is_empty(&self) -> bool {
        self.count == 0
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn it_holds_what_an_ordinary_set_would() {
        let (mut ids, mut model) = (Ids::default(), BTreeSet::new());
        let mut random = fastrand::Rng::with_seed(7);
        for step in 0..20_000 {
            let id = JobId(random.u64(1..300));
            match random.u8(0..4) {
                0 | 1 => {
                    ids.insert(id);
                    model.insert(id);
                }
                2 => {
                    ids.remove(id);
                    model.remove(&id);
                }
                _ => assert_eq!(ids.pop_first(), model.pop_first(), "step {step}"),
            }
            assert_eq!(ids.contains(id), model.contains(&id), "step {step}");
            assert_eq!(ids.first(), model.first().copied(), "step {step}");
            assert_eq!((ids.len(), ids.is_empty()), (model.len(), model.is_empty()));
        }
    }

    #[test]
    fn a_million_in_a_row_are_one_range() {
        let mut ids = Ids::default();
        (1..=1_000_000).map(JobId).for_each(|id| ids.insert(id));
        assert_eq!((ids.len(), ids.ranges.iter().count()), (1_000_000, 1));
        ids.remove(JobId(500_000));
        assert_eq!((ids.len(), ids.ranges.iter().count()), (999_999, 2));
    }
}
