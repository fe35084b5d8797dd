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
pub(super) struct Taken {
    pub(super) callback: Callback,
    receiver: Receiver,
    at: Instant,
}

/// Those that wait, first come, first served.
pub(super) struct Waiting {
    queue: VecDeque<Taken>,
    /// How long a try may take.
    try_takes: Duration,
}

impl Waiting {
    pub(super) fn new(try_takes: Duration) -> Self {
        Self {
            queue: VecDeque::new(),
            try_takes,
        }
    }

    /// How many more there is room for.
    pub(super) fn room(&self) -> usize {
        ROOM.saturating_sub(self.queue.len())
    }

    /// Adds what was taken at this moment.
    pub(super) fn add(&mut self, callbacks: Vec<Callback>, at: Instant) {
        self.queue
            .extend(callbacks.into_iter().map(|callback| Taken {
                receiver: receiver(&callback),
                callback,
                at,
            }));
    }

    /// Takes out what there are slots for. What has waited so long that somebody else
    /// may take it before a try is over, is let go.
    pub(super) fn begin(&mut self, slots: &Arc<Slots>) -> Vec<(Taken, Slot)> {
        let longest = CALLBACK_TAKEN.saturating_sub(self.try_takes * 2);
        let mut begun = Vec::new();
        let queue = std::mem::take(&mut self.queue);
        for taken in queue {
            if taken.at.elapsed() > longest {
                continue;
            }
            match slots.take(&taken.callback.namespace, &taken.receiver) {
                Some(slot) => begun.push((taken, slot)),
                None => self.queue.push_back(taken),
            }
        }
        begun
    }

    /// Makes room: lets go of the last of whoever has the most.
    pub(super) fn let_go(&mut self) {
        let mut counts: HashMap<&Receiver, usize> = HashMap::new();
        for taken in &self.queue {
            *counts.entry(&taken.receiver).or_default() += 1;
        }
        let most = counts.into_iter().max_by_key(|(_, count)| *count);
        let Some((receiver, count)) = most.map(|(receiver, count)| (receiver.clone(), count))
        else {
            return;
        };
        let kept = count.saturating_sub(LET_GO);
        let mut seen = 0;
        self.queue.retain(|taken| {
            let is_theirs = taken.receiver == receiver;
            seen += usize::from(is_theirs);
            !is_theirs || seen <= kept
        });
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
    use crate::job::{JobId, Namespace};

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
        })
        .collect()
    }

    fn hosts(begun: &[(Taken, Slot)]) -> Vec<&str> {
        begun
            .iter()
            .map(|(taken, _)| taken.receiver.as_str())
            .collect()
    }

    #[test]
    fn who_hangs_does_not_keep_the_others() {
        let slots = Arc::new(Slots::default());
        let mut waiting = Waiting::new(Duration::from_secs(10));
        waiting.add(callbacks("hangs.test", 0..ROOM as u64), Instant::now());
        assert_eq!(waiting.room(), 0);
        let hanging = waiting.begin(&slots);
        assert!(hosts(&hanging).iter().all(|host| *host == "hangs.test:80"));
        let room = waiting.room();
        assert_eq!(room, hanging.len());

        waiting.add(callbacks("well.test", 0..room as u64), Instant::now());
        let well = waiting.begin(&slots);
        assert!(!well.is_empty() && hosts(&well).iter().all(|host| *host == "well.test:80"));

        let before = waiting.room();
        waiting.let_go();
        assert_eq!(waiting.room(), before + LET_GO);
        let left = waiting.queue.iter();
        let of_well = left.filter(|taken| taken.receiver == "well.test:80");
        assert_eq!(of_well.count(), room - well.len());
        let first = waiting.queue.front().unwrap().callback.id;
        assert_eq!(first, JobId(hanging.len() as u64));
    }

    #[test]
    fn what_may_be_somebody_elses_soon_is_not_begun() {
        let slots = Arc::new(Slots::default());
        let mut waiting = Waiting::new(Duration::from_secs(10));
        let long_ago = Instant::now() - (CALLBACK_TAKEN - Duration::from_secs(19));
        waiting.add(callbacks("a.test", 0..1), long_ago);
        waiting.add(callbacks("b.test", 0..1), Instant::now());
        assert_eq!(hosts(&waiting.begin(&slots)), ["b.test:80"]);
        assert_eq!(waiting.room(), ROOM);
    }
}
