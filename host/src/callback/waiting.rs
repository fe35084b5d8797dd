//! Callbacks that this host has taken from the outbox and not begun yet.
//!
//! They come in the order in which they are due, so that a receiver that hangs may
//! have hundreds of thousands in front of everybody else's. So the room here is
//! bounded, and when it is full, some of whoever fills it are let go: they come again
//! once [`CALLBACK_TAKEN`] is over, and others come now.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

use super::slots::{Receiver, Slot, Slots};
use super::target::Target;
use crate::job::Namespace;
use crate::store::{CALLBACK_TAKEN, Callback};

/// How many wait here at most: seconds of work for a receiver that answers at once, and
/// about 6 MiB of the longest URLs and results.
const ROOM: usize = 1024;

/// How many are let go at once. With [`LOOK_ON_EVERY`] this host looks through a
/// hundred thousand that hang in under three minutes, and leaves most of a burst to a
/// receiver that is only slow.
const LET_GO: usize = 128;

/// How often some are let go while there is no room.
pub(super) const LOOK_ON_EVERY: Duration = Duration::from_millis(200);

/// A callback, and since when it is ours.
struct Taken {
    callback: Callback,
    at: Instant,
}

/// Those that wait, in a line for each tenant's way to a receiver.
pub(super) struct Waiting {
    lines: HashMap<(Namespace, Receiver), VecDeque<Taken>>,
    count: usize,
    /// How long one may wait: a try must be over before somebody else may take it.
    at_most: Duration,
}

impl Waiting {
    pub(super) fn new(try_takes: Duration) -> Self {
        Self {
            lines: HashMap::new(),
            count: 0,
            at_most: CALLBACK_TAKEN.saturating_sub(try_takes * 2),
        }
    }

    /// How many more there is room for.
    pub(super) fn room(&self) -> usize {
        ROOM.saturating_sub(self.count)
    }

    /// Adds what was taken at this moment.
    pub(super) fn add(&mut self, callbacks: Vec<Callback>, at: Instant) {
        self.count += callbacks.len();
        for callback in callbacks {
            let line = (callback.namespace.clone(), receiver(&callback));
            let line = self.lines.entry(line).or_default();
            line.push_back(Taken { callback, at });
        }
    }

    /// Takes out what there are slots for, and lets go of what has waited too long.
    pub(super) fn begin(&mut self, slots: &Arc<Slots>) -> Vec<(Callback, Slot)> {
        let mut begun = Vec::new();
        // Whose line is first differs from map to map, and changes as lines come and go.
        self.lines.retain(|(namespace, receiver), line| {
            while let Some(first) = line.front() {
                let slot = match first.at.elapsed() {
                    waited if waited > self.at_most => None,
                    _ => match slots.take(namespace, receiver) {
                        Some(slot) => Some(slot),
                        None => return true,
                    },
                };
                self.count = self.count.saturating_sub(1);
                let first = line.pop_front();
                begun.extend(first.zip(slot).map(|(first, slot)| (first.callback, slot)));
            }
            false
        });
        begun
    }

    /// Makes room: lets go of the last in the longest line.
    pub(super) fn let_go(&mut self) {
        let longest = self.lines.values_mut().max_by_key(|line| line.len());
        if let Some(line) = longest {
            let before = line.len();
            line.truncate(before.saturating_sub(LET_GO));
            self.count = self.count.saturating_sub(before - line.len());
        }
    }
}

/// Whose slots it takes. One with an odd URL is nobody's, and over at once.
fn receiver(callback: &Callback) -> Receiver {
    Target::parse(&callback.url)
        .map(|target| format!("{}:{}", target.host(), target.port()))
        .unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::job::JobId;

    fn callbacks(host: &str, ids: std::ops::Range<u64>) -> Vec<Callback> {
        ids.map(|id| Callback {
            namespace: Namespace::default(),
            id: JobId(id),
            url: format!("http://{host}/done"),
            number: 1,
            tried: 0,
            success: true,
            short_result: None,
            ended_at_ms: 0,
            trace: None,
        })
        .collect()
    }

    fn urls(begun: &[(Callback, Slot)]) -> Vec<&str> {
        begun
            .iter()
            .map(|(callback, _)| callback.url.as_str())
            .collect()
    }

    #[test]
    fn who_hangs_does_not_keep_the_others() {
        let slots = Arc::new(Slots::default());
        let mut waiting = Waiting::new(Duration::from_secs(10));
        waiting.add(callbacks("hangs.test", 0..ROOM as u64), Instant::now());
        assert_eq!(waiting.room(), 0);
        let hanging = waiting.begin(&slots);
        let room = waiting.room();
        assert_eq!((room, waiting.begin(&slots).len()), (hanging.len(), 0));

        waiting.add(callbacks("well.test", 0..room as u64), Instant::now());
        let well = waiting.begin(&slots);
        assert_eq!(urls(&well), vec!["http://well.test/done"; room]);

        let before = waiting.room();
        waiting.let_go();
        assert_eq!(waiting.room(), before + LET_GO);
        drop(hanging);
        let next = waiting.begin(&slots);
        assert_eq!(urls(&next), vec!["http://hangs.test/done"; room]);
        assert_eq!(next[0].0.id, JobId(room as u64));
    }

    #[test]
    fn tenants_do_not_stand_in_one_line() {
        let slots = Arc::new(Slots::default());
        let mut waiting = Waiting::new(Duration::from_secs(10));
        let mut mine = callbacks("a.test", 0..100);
        for (port, callback) in mine.iter_mut().enumerate() {
            callback.url = format!("http://a.test:{}/done", port / 4 + 1);
        }
        waiting.add(mine, Instant::now());
        let held = waiting.begin(&slots);
        assert!(waiting.room() < ROOM, "{}", held.len());
        let mut theirs = callbacks("a.test:99", 0..1);
        theirs[0].namespace = "other".parse().unwrap();
        waiting.add(theirs, Instant::now());
        assert_eq!(urls(&waiting.begin(&slots)), ["http://a.test:99/done"]);
    }

    #[test]
    fn what_may_be_somebody_elses_soon_is_not_begun() {
        let slots = Arc::new(Slots::default());
        let mut waiting = Waiting::new(Duration::from_secs(10));
        let long_ago = Instant::now() - (CALLBACK_TAKEN - Duration::from_secs(19));
        waiting.add(callbacks("a.test", 0..1), long_ago);
        waiting.add(callbacks("b.test", 0..1), Instant::now());
        let begun = waiting.begin(&slots);
        assert_eq!(urls(&begun), ["http://b.test/done"]);
        assert_eq!((waiting.room(), waiting.lines.len()), (ROOM, 0));
    }
}
