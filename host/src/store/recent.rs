//! Results that this process recorded a moment ago while somebody here waited for them:
//! who waits for a job asks for its result next, and most often runs where the job did.

use std::collections::{HashMap, VecDeque};
use std::hash::Hash;
use std::sync::{Mutex, PoisonError};

use super::Outcome;
use crate::job::Output;

/// How many results are kept: those of what a busy host ends in some ten milliseconds.
const MOST: usize = 1_024;

/// How many bytes of results.
const MOST_BYTES: usize = 4 << 20;

/// See the module. What is not here is in the store.
#[derive(Debug)]
pub(in crate::store) struct Recent<K>(Mutex<Results<K>>);

#[derive(Debug)]
struct Results<K> {
    outputs: HashMap<K, Output>,
    /// The oldest first.
    order: VecDeque<K>,
    bytes: usize,
}

impl<K> Default for Results<K> {
    fn default() -> Self {
        Self {
            outputs: HashMap::new(),
            order: VecDeque::new(),
            bytes: 0,
        }
    }
}

impl<K> Default for Recent<K> {
    fn default() -> Self {
        Self(Mutex::default())
    }
}

impl<K: Clone + Eq + Hash> Recent<K> {
    /// Keeps a result that nothing can change any more.
    pub(in crate::store) fn keep(&self, job: &K, output: &Output) {
        let size = output.result.data.len();
        if size > MOST_BYTES {
            return;
        }
        let mut results = self.lock();
        if results
            .outputs
            .insert(job.clone(), output.clone())
            .is_some()
        {
            return;
        }
        results.order.push_back(job.clone());
        results.bytes += size;
        while results.order.len() > MOST || results.bytes > MOST_BYTES {
            let Some(oldest) = results.order.pop_front() else {
                break;
            };
            if let Some(output) = results.outputs.remove(&oldest) {
                results.bytes -= output.result.data.len();
            }
        }
    }

    /// What became of jobs, if all of them are here and have results of no more than so
    /// many bytes together. `None` is no job.
    pub(in crate::store) fn outcomes(
        &self,
        jobs: impl ExactSizeIterator<Item = Option<K>>,
        max_bytes: u64,
    ) -> Option<Vec<Outcome>> {
        if jobs.len() > MOST {
            return None;
        }
        let (results, mut bytes) = (self.lock(), 0);
        let found = jobs.map(|job| {
            let output = results.outputs.get(&job?)?;
            bytes += output.result.data.len() as u64;
            (bytes <= max_bytes).then(|| Outcome::Completed(output.clone()))
        });
        found.collect()
    }

    /// Keeps nothing any more.
    pub(in crate::store) fn clear(&self) {
        *self.lock() = Results::default();
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Results<K>> {
        // The parts agree between any two operations on them.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::*;
    use crate::job::Payload;

    #[test]
    fn no_more_is_kept_than_is_stated_and_the_oldest_goes_first() {
        let recent = Recent::default();
        let output = |bytes: usize| Output {
            short_result: None,
            result: Payload::json(Bytes::from(vec![b'1'; bytes])),
        };
        for id in 0..2_000 {
            recent.keep(&id, &output(1));
        }
        let kept = |ids: &[u64], most| {
            recent
                .outcomes(ids.iter().copied().map(Some), most)
                .is_some()
        };
        assert!(kept(&[2_000 - MOST as u64, 1_999], 2) && !kept(&[975], 9));
        assert!(!kept(&[1_998, 1_999], 1) && !kept(&[1_999, 2_001], 9));
        recent.keep(&5_000, &output(MOST_BYTES));
        recent.keep(&5_001, &output(MOST_BYTES + 1));
        assert!(kept(&[5_000], u64::MAX) && !kept(&[1_999], 9) && !kept(&[5_001], u64::MAX));
        assert_eq!(recent.lock().bytes, MOST_BYTES);
        recent.clear();
        assert!(!kept(&[5_000], u64::MAX));
    }
}
