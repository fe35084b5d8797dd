//! The bound on a guest's memory: one total over all its memories and tables.
//! (A bound on each alone is none, since a guest may have many.) And how many of them,
//! and of instances, there may be; the pool has no more, but where there is none nothing
//! else would bound them.

use wasmtime::ResourceLimiter;

use super::engine::{CORE_INSTANCES, MEMORIES, TABLES};

/// What the host keeps for one element of a table, in bytes.
const TABLE_ELEMENT_BYTES: usize = size_of::<usize>();

/// Counts what a guest holds and refuses what goes beyond its bound.
#[derive(Debug)]
pub(super) struct MemoryLimiter {
    limit: usize,
    held: usize,
    peak: usize,
    /// The last growth that was granted, to be taken back if it then fails.
    granted: usize,
    denied: Option<usize>,
}

impl MemoryLimiter {
    pub(super) fn new(limit: u64) -> Self {
        Self {
            limit: usize::try_from(limit).unwrap_or(usize::MAX),
            held: 0,
            peak: 0,
            granted: 0,
            denied: None,
        }
    }

    /// The most that was held at once, in bytes.
    pub(super) fn peak(&self) -> u64 {
        self.peak as u64
    }

    /// What is held now, in bytes.
    pub(super) fn held(&self) -> usize {
        self.held
    }

    /// What the guest wanted to hold, in bytes, when it was last refused.
    pub(super) fn denied(&self) -> Option<usize> {
        self.denied
    }

    fn grow(&mut self, bytes: usize) -> bool {
        let wanted = self.held.saturating_add(bytes);
        if wanted > self.limit {
            self.denied = Some(wanted);
            return false;
        }
        self.held = wanted;
        self.granted = bytes;
        self.peak = self.peak.max(wanted);
        true
    }

    fn take_back(&mut self) {
        self.denied = Some(self.held);
        self.held = self.held.saturating_sub(self.granted);
        self.granted = 0;
    }
}

impl ResourceLimiter for MemoryLimiter {
    fn memory_growing(
        &mut self,
        current: usize,
        desired: usize,
        _maximum: Option<usize>,
    ) -> wasmtime::Result<bool> {
        Ok(self.grow(desired.saturating_sub(current)))
    }

    fn memory_grow_failed(&mut self, _error: wasmtime::Error) -> wasmtime::Result<()> {
        self.take_back();
        Ok(())
    }

    fn table_growing(
        &mut self,
        current: usize,
        desired: usize,
        _maximum: Option<usize>,
    ) -> wasmtime::Result<bool> {
        let elements = desired.saturating_sub(current);
        Ok(self.grow(elements.saturating_mul(TABLE_ELEMENT_BYTES)))
    }

    fn table_grow_failed(&mut self, _error: wasmtime::Error) -> wasmtime::Result<()> {
        self.take_back();
        Ok(())
    }

    // As in the pool, so that a host without one is no more generous.
    fn instances(&self) -> usize {
        CORE_INSTANCES as usize
    }

    fn memories(&self) -> usize {
        MEMORIES as usize
    }

    fn tables(&self) -> usize {
        TABLES as usize
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_bound_is_one_total_over_memories_and_tables() {
        let mut limiter = MemoryLimiter::new(100_000);
        assert!(limiter.memory_growing(0, 60_000, None).unwrap());
        assert!(!limiter.memory_growing(0, 60_000, None).unwrap());
        assert!(limiter.table_growing(0, 5_000, None).unwrap());
        assert!(!limiter.table_growing(5_000, 5_001, None).unwrap());
        assert_eq!(limiter.peak(), 100_000);
    }

    #[test]
    fn a_growth_that_failed_is_not_held() {
        let mut limiter = MemoryLimiter::new(100);
        assert!(limiter.memory_growing(0, 80, None).unwrap());
        (limiter.memory_grow_failed(wasmtime::format_err!("no room"))).unwrap();
        assert!(limiter.memory_growing(0, 90, None).unwrap());
    }
}
