//! Which lines were sent and are still to be answered, so that a run that is cut off knows
//! where to go on.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

/// Shared by who reads lines and who reads answers.
#[derive(Default)]
pub(super) struct Track {
    /// Lines that are to be answered, in order, as runs: the first, and how many. The
    /// server holds as many of them as it has answers that nobody has read.
    sent: Mutex<VecDeque<(u64, u64)>>,
    /// The last line that was read.
    read: AtomicU64,
    bad: AtomicU64,
}

impl Track {
    /// A line is to be sent, after all that were before.
    pub(super) fn sends(&self, number: u64) {
        let mut sent = self.sent();
        match sent.back_mut() {
            Some((first, count)) if *first + *count == number => *count += 1,
            _ => sent.push_back((number, 1)),
        }
    }

    /// The next line was answered.
    pub(super) fn answered(&self) {
        let mut sent = self.sent();
        if let Some((first, count)) = sent.front_mut() {
            *first += 1;
            *count -= 1;
            if *count == 0 {
                sent.pop_front();
            }
        }
    }

    /// All lines up to this one were read.
    pub(super) fn read_to(&self, number: u64) {
        self.read.store(number, Ordering::Relaxed);
    }

    /// A line holds no message.
    pub(super) fn found_bad(&self) {
        self.bad.fetch_add(1, Ordering::Relaxed);
    }

    /// How many lines hold no message.
    pub(super) fn bad(&self) -> u64 {
        self.bad.load(Ordering::Relaxed)
    }

    /// The first line that was not answered, and is none that holds no message.
    pub(super) fn next(&self) -> u64 {
        // The reader notes a line as sent before it notes it as read.
        let read = self.read.load(Ordering::Relaxed);
        let first = self.sent().front().map(|(first, _)| *first);
        first.unwrap_or(read + 1)
    }

    fn sent(&self) -> MutexGuard<'_, VecDeque<(u64, u64)>> {
        // The list is whole between any two operations on it.
        self.sent.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_next_line_is_the_first_without_an_answer() {
        let track = Track::default();
        assert_eq!(track.next(), 1);
        for number in [1, 2, 4, 5] {
            track.sends(number);
            track.read_to(number);
        }
        let mut next = Vec::new();
        for _ in 0..5 {
            next.push(track.next());
            track.answered();
        }
        assert_eq!(next, [1, 2, 4, 5, 6]);
        // Blank ones after the last.
        track.read_to(9);
        assert_eq!(track.next(), 10);
        assert!(track.sent().is_empty());
    }

    #[test]
    fn lines_that_follow_each_other_take_no_room() {
        let track = Track::default();
        (1..=1_000_000).for_each(|number| track.sends(number));
        assert_eq!(track.sent().len(), 1);
    }
}
