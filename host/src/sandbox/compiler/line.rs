//! The line of uploads: how many may wait, and whose turn comes next.
//!
//! Each namespace has one upload in front of the compiler, so that one that sends many,
//! or slow ones, delays another by one of them.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::job::Namespace;
use crate::sandbox::AdmitError;

/// The most uploads that wait, of all namespaces. The last has then some minutes before
/// it, and its client has gone.
const MAX_WAITING: usize = 32;

/// The most of one namespace.
const MAX_WAITING_EACH: usize = 8;

/// What they may hold in memory, in bytes: four of the largest.
const MAX_WAITING_BYTES: usize = 256 << 20;

/// The uploads that are being admitted.
#[derive(Debug, Default)]
pub(in crate::sandbox) struct Line {
    waiting: Mutex<Waiting>,
}

#[derive(Debug, Default)]
struct Waiting {
    bytes: usize,
    count: usize,
    each: HashMap<Namespace, Queue>,
}

/// The uploads of one namespace.
#[derive(Debug)]
struct Queue {
    count: usize,
    front: Arc<Semaphore>,
}

/// A place in the line.
#[derive(Debug)]
pub(in crate::sandbox) struct Place<'l> {
    line: &'l Line,
    namespace: Namespace,
    bytes: usize,
    front: Arc<Semaphore>,
}

impl Line {
    /// A place for an upload of so many bytes, if there is one.
    pub(in crate::sandbox) fn join(
        &self,
        namespace: &Namespace,
        bytes: usize,
    ) -> Result<Place<'_>, AdmitError> {
        let mut waiting = self.lock();
        let mine = waiting.each.get(namespace).map_or(0, |queue| queue.count);
        let full = if mine >= MAX_WAITING_EACH {
            Some(format!("{mine} uploads of this namespace"))
        } else if waiting.count >= MAX_WAITING || waiting.bytes + bytes > MAX_WAITING_BYTES {
            Some(format!("{} uploads", waiting.count))
        } else {
            None
        };
        if let Some(full) = full {
            return Err(AdmitError::Busy(format!(
                "{full} wait to be compiled, and no more may; send it again in a moment"
            )));
        }
        waiting.count += 1;
        waiting.bytes += bytes;
        let queue = waiting.each.entry(namespace.clone());
        let queue = queue.or_insert_with(|| Queue {
            count: 0,
            front: Arc::new(Semaphore::new(1)),
        });
        queue.count += 1;
        Ok(Place {
            line: self,
            namespace: namespace.clone(),
            bytes,
            front: queue.front.clone(),
        })
    }

    fn lock(&self) -> MutexGuard<'_, Waiting> {
        // The counts fit each other between any two operations on them.
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Place<'_> {
    /// Waits until it is the first of its namespace; it stays that until what is
    /// answered is dropped.
    pub(in crate::sandbox) async fn front(&self) -> Option<OwnedSemaphorePermit> {
        // The semaphore is never closed.
        self.front.clone().acquire_owned().await.ok()
    }
}

impl Drop for Place<'_> {
    fn drop(&mut self) {
        let mut waiting = self.line.lock();
        waiting.count -= 1;
        waiting.bytes -= self.bytes;
        if let Some(queue) = waiting.each.get_mut(&self.namespace) {
            queue.count -= 1;
            if queue.count == 0 {
                waiting.each.remove(&self.namespace);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn namespace(name: &str) -> Namespace {
        name.parse().unwrap()
    }

    #[test]
    fn the_line_is_bounded_for_each_and_for_all() {
        let line = Line::default();
        let mut places = Vec::new();
        for n in 0..4 {
            let namespace = namespace(&format!("n{n}"));
            for _ in 0..MAX_WAITING_EACH {
                places.push(line.join(&namespace, 1).unwrap());
            }
            let refused = line.join(&namespace, 1).unwrap_err();
            assert!(
                refused.to_string().contains("of this namespace"),
                "{refused}"
            );
        }
        let other = namespace("other");
        assert!(matches!(line.join(&other, 1), Err(AdmitError::Busy(_))));
        places.pop();
        assert!(line.join(&other, MAX_WAITING_BYTES).is_err());
        assert!(line.join(&other, 1).is_ok());
        drop(places);
        assert!(line.join(&other, MAX_WAITING_BYTES).is_ok());
        assert!(line.lock().each.is_empty());
    }

    #[tokio::test]
    async fn a_namespace_has_one_upload_in_front() {
        let line = Line::default();
        let (one, two) = (namespace("one"), namespace("two"));
        let first = line.join(&one, 1).unwrap();
        let second = line.join(&one, 1).unwrap();
        let others = line.join(&two, 1).unwrap();
        let front = first.front().await;
        assert!(second.front.clone().try_acquire_owned().is_err());
        assert!(others.front.clone().try_acquire_owned().is_ok());
        drop(front);
        assert!(second.front.clone().try_acquire_owned().is_ok());
    }
}
