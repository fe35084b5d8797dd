//! Where running jobs leave what became of them, until the dispatcher takes it.

use std::sync::{Mutex, MutexGuard, PoisonError};

use tokio::sync::Notify;

use crate::store::Completion;

/// What has ended and was not taken yet.
#[derive(Default)]
pub(super) struct Outbox {
    ended: Mutex<Ended>,
    enough: Notify,
}

#[derive(Default)]
struct Ended {
    list: Vec<Completion>,
    /// How many the dispatcher waits for.
    enough: usize,
}

impl Outbox {
    pub(super) fn put(&self, completion: Completion) {
        let mut ended = self.lock();
        ended.list.push(completion);
        if ended.list.len() >= ended.enough {
            self.enough.notify_one();
        }
    }

    pub(super) fn take(&self) -> Vec<Completion> {
        std::mem::take(&mut self.lock().list)
    }

    /// Resolves when it holds so many. One waits at a time.
    pub(super) async fn holds(&self, count: usize) {
        while !self.waits_for(count) {
            self.enough.notified().await;
        }
    }

    /// Whether it holds so many; if not, it will tell.
    fn waits_for(&self, count: usize) -> bool {
        let mut ended = self.lock();
        ended.enough = count;
        ended.list.len() >= count
    }

    fn lock(&self) -> MutexGuard<'_, Ended> {
        // The list is whole between any two operations on it.
        self.ended.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use std::pin::pin;

    use futures_util::poll;

    use super::super::dispatch::released;
    use super::*;
    use crate::job::{JobId, Namespace};
    use crate::store::Token;

    fn ended(id: u64) -> Completion {
        released(Token {
            namespace: Namespace::default(),
            id: JobId(id),
            attempt: 1,
        })
    }

    #[tokio::test]
    async fn who_waits_for_some_is_told_when_they_have_ended() {
        let outbox = Outbox::default();
        outbox.put(ended(1));
        let mut three = pin!(outbox.holds(3));
        for id in [2, 3] {
            assert!(poll!(three.as_mut()).is_pending(), "told before {id} ended");
            outbox.put(ended(id));
        }
        three.await;
        // Whoever comes after the bell looks first.
        outbox.holds(3).await;
        assert_eq!(outbox.take().len(), 3);
        assert!(poll!(pin!(outbox.holds(1))).is_pending());
    }
}
