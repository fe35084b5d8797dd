//! How namespaces share the slots of all hosts: by what their jobs use, not by how many
//! they are (`docs/adr/0009`).
//!
//! Each namespace has a virtual time: how long its jobs have run, in µs, and for those
//! that hosts hold now how long they probably will. The next claim is of the namespace
//! whose virtual time is the smallest. One that was away begins where the first of those
//! that wait stands, so that idleness saves nothing; and since only use that has been
//! measured is carried over, a wrong guess harms nobody once its jobs have ended.
//!
//! The built-in store counts with this; the Redis scripts (`scripts/cycle.lua`) do the
//! same on the fields of a namespace's `meta`; lanes of inference count batches with it. Not
//! here: concurrency caps.

/// What a job is taken to use before any of its namespace has ended, in µs: what a host
/// takes ahead, so that a newcomer's jobs are tried a few at a time.
pub(crate) const UNKNOWN_JOB_US: u64 = 10_000;

/// How many runs the average of a namespace remembers, the older half of them less with
/// each doubling: enough that one odd job does not throw it about, few enough that it
/// follows a change within a second of work.
pub(crate) const REMEMBERED_RUNS: u64 = 32;

/// What a namespace has had of the slots.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Share {
    /// How long its jobs have run, in µs, and what it was put forward when it came back.
    used: u64,
    /// How many of its jobs hosts hold.
    held: u64,
    /// The runs that its average is over, and how long they took together, in µs.
    runs: u64,
    run_us: u64,
}

impl Share {
    /// Use that has been measured; where others begin that come while this one is first.
    pub(crate) fn used(&self) -> u64 {
        self.used
    }

    /// What decides who is next: the smallest.
    pub(crate) fn virtual_time(&self) -> u64 {
        self.used
            .saturating_add(self.held.saturating_mul(self.cost()))
    }

    /// What a job of it probably uses, in µs.
    fn cost(&self) -> u64 {
        match self.run_us.checked_div(self.runs) {
            None => UNKNOWN_JOB_US,
            Some(average) => average.max(1),
        }
    }

    /// It has jobs to take again, and `first` is the use of the one that is next.
    pub(crate) fn come_back(&mut self, first: u64) {
        self.used = self.used.max(first);
    }

    /// A host has taken a job.
    pub(crate) fn took(&mut self) {
        self.held += 1;
    }

    /// A host holds a job no longer.
    pub(crate) fn left(&mut self) {
        self.held = self.held.saturating_sub(1);
    }

    /// An attempt has run for so long. One that did not run says nothing of the next.
    pub(crate) fn ran(&mut self, run_us: u64) {
        if run_us == 0 {
            return;
        }
        self.used = self.used.saturating_add(run_us);
        self.runs += 1;
        self.run_us = self.run_us.saturating_add(run_us);
        while self.runs >= REMEMBERED_RUNS {
            self.runs /= 2;
            self.run_us /= 2;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_guess_is_replaced_by_what_was_used() {
        let mut share = Share::default();
        share.took();
        share.took();
        assert_eq!(share.virtual_time(), 2 * UNKNOWN_JOB_US);
        share.left();
        share.ran(700);
        // The other one is now taken to use as much.
        assert_eq!(share.virtual_time(), 1400);
        share.left();
        assert_eq!((share.virtual_time(), share.used()), (700, 700));
    }

    #[test]
    fn the_average_follows_a_change_of_load() {
        let mut share = Share::default();
        (0..1000).for_each(|_| share.ran(10));
        assert_eq!(share.cost(), 10);
        (0..100).for_each(|_| share.ran(1000));
        assert!(share.cost() > 900, "{}", share.cost());
    }

    #[test]
    fn who_comes_back_has_saved_nothing_and_owes_nothing() {
        let mut share = Share::default();
        share.ran(10);
        share.come_back(500);
        assert_eq!(share.used(), 500);
        share.come_back(400);
        assert_eq!(share.used(), 500);
    }

    #[test]
    fn absurd_numbers_do_no_harm() {
        let mut share = Share::default();
        share.left();
        (0..3).for_each(|_| share.ran(u64::MAX));
        share.took();
        assert_eq!(share.virtual_time(), u64::MAX);
        assert_eq!(Share::default().cost(), UNKNOWN_JOB_US);
        share.ran(0);
        assert_eq!(share.runs, 3);
    }
}
