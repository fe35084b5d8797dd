//! The number that stands for a job in every table.

use crate::job::JobId;

/// Bits of a job's id; the bits above number its namespace. A namespace may have
/// a million million jobs, and a store eight million namespaces.
const ID_BITS: u32 = 40;

/// How many namespaces fit above the id in a positive 64-bit row id.
pub(super) const MAX_NAMESPACES: u32 = 1 << 23;

/// A job of a namespace, as SQLite's row id: jobs of one namespace lie side by
/// side, in the order of their ids.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct Key(i64);

impl Key {
    /// The key of a job; `None` if no job can have such an id.
    pub(super) fn new(namespace: u32, id: JobId) -> Option<Self> {
        let fits = namespace < MAX_NAMESPACES && id.0 < 1 << ID_BITS;
        let raw = (u64::from(namespace) << ID_BITS) | id.0;
        i64::try_from(raw).ok().filter(|_| fits).map(Self)
    }

    /// The key of a row id.
    pub(super) fn from_row(row: i64) -> Self {
        Self(row)
    }

    /// The row id.
    pub(super) fn row(self) -> i64 {
        self.0
    }

    /// The number of the namespace.
    pub(super) fn namespace(self) -> u32 {
        u32::try_from(self.0 >> ID_BITS).unwrap_or(u32::MAX)
    }

    /// The id within the namespace.
    pub(super) fn id(self) -> JobId {
        JobId(self.0.unsigned_abs() & ((1 << ID_BITS) - 1))
    }

    /// The row ids between which a namespace's jobs lie, both included.
    pub(super) fn rows_of(namespace: u32) -> (i64, i64) {
        let first = i64::from(namespace) << ID_BITS;
        (first, first | ((1 << ID_BITS) - 1))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_holds_its_namespace_and_id() {
        for (namespace, id) in [(0, 1), (1, 53), (MAX_NAMESPACES - 1, (1 << ID_BITS) - 1)] {
            let key = Key::new(namespace, JobId(id)).expect("in range");
            assert_eq!((key.namespace(), key.id()), (namespace, JobId(id)));
            let (first, last) = Key::rows_of(namespace);
            assert!((first..=last).contains(&key.row()));
        }
        assert_eq!(Key::new(0, JobId(1 << ID_BITS)), None);
        assert_eq!(Key::new(MAX_NAMESPACES, JobId(1)), None);
    }
}
