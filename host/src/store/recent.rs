//! Results that this process recorded a moment ago, of jobs that somebody here waited for or
//! that a job posted: who waits for a job asks for its result next, and most often runs where
//! the job did.

use std::collections::{HashMap, VecDeque};
use std::hash::Hash;
use std::sync::{Mutex, PoisonError};

use super::Outcome;
use crate::job::Output;

/// How many results are kept: as many as one wait is for. With [`MOST_BYTES`], it bounds what
/// all this may hold to some 8 MiB.
const MOST: usize = 10_000;

/// How many bytes of results.
const MOST_BYTES: usize = 4 << 20;

/// See the module. What is not here is in the store.
#[derive(Debug)]
pub(in crate::store) struct Recent<K>(Mutex<Results<K>>);

#[derive(Debug)]
struct Results<K> {
    /// With which of all that were ever kept each is.
    outputs: HashMap<K, (u64, Output)>,
    /// How many were ever kept.
    kept: u64,
    /// The oldest first.
    order: VecDeque<K>,
    bytes: usize,
}

impl<K> Default for Results<K> {
    fn default() -> Self {
        Self {
            outputs: HashMap::new(),
            kept: 0,
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
        let size = size_of(output);
        if size > MOST_BYTES {
            return;
        }
        let mut results = self.lock();
        results.kept += 1;
        let kept = (results.kept, output.clone());
        match results.outputs.insert(job.clone(), kept) {
            Some((_, before)) => results.bytes -= size_of(&before),
            None => results.order.push_back(job.clone()),
        }
        results.bytes += size;
        while results.order.len() > MOST || results.bytes > MOST_BYTES {
            let Some(oldest) = results.order.pop_front() else {
                break;
            };
            results.remove(&oldest);
        }
    }

    /// Takes the results of jobs to their places, where there is none yet; answers the jobs
    /// that are not here, in order. A result is asked for once, most often.
    pub(in crate::store) fn take<J: Copy>(
        &self,
        jobs: &[J],
        key: impl Fn(J) -> Option<K>,
        places: &mut [Option<Output>],
    ) -> Vec<J> {
        let mut results = self.lock();
        let mut others = Vec::new();
        for (job, place) in jobs.iter().zip(places) {
            if place.is_none() {
                *place = key(*job).and_then(|key| results.remove(&key));
            }
            if place.is_none() {
                others.push(*job);
            }
        }
        others
    }

    /// Those of some jobs that are not here, in order.
    pub(in crate::store) fn others<J: Copy>(&self, jobs: &[J], key: impl Fn(J) -> K) -> Vec<J> {
        let results = self.lock();
        let jobs = jobs.iter().copied();
        jobs.filter(|job| !results.outputs.contains_key(&key(*job)))
            .collect()
    }

    /// How many results were kept so far.
    pub(in crate::store) fn kept(&self) -> u64 {
        self.lock().kept
    }

    /// Forgets jobs that were kept when there were only so many: a store says that their ids
    /// are new.
    pub(in crate::store) fn forget(&self, jobs: impl Iterator<Item = K>, kept: u64) {
        let mut results = self.lock();
        if results.outputs.is_empty() {
            return;
        }
        for job in jobs {
            let of = results.outputs.get(&job);
            if of.is_some_and(|(number, _)| *number <= kept) {
                results.remove(&job);
            }
        }
    }

    /// Keeps nothing any more.
    pub(in crate::store) fn clear(&self) {
        let mut results = self.lock();
        *results = Results {
            kept: results.kept,
            ..Results::default()
        };
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Results<K>> {
        // The parts agree between any two operations on them.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<K: Eq + Hash> Results<K> {
    fn remove(&mut self, job: &K) -> Option<Output> {
        let (_, output) = self.outputs.remove(job)?;
        self.bytes -= size_of(&output);
        Some(output)
    }
}

/// What became of jobs, in their order, as far as that is known and within so many bytes of
/// results, but at least of the first: of those whose results were here, and of the others as
/// a store has read it.
pub(in crate::store) fn merge(
    here: Vec<Option<Output>>,
    read: Vec<Outcome>,
    max_bytes: u64,
) -> Vec<Outcome> {
    let (mut read, mut bytes) = (read.into_iter(), 0);
    let mut outcomes = Vec::with_capacity(here.len());
    for here in here {
        let Some(outcome) = here.map(Outcome::Completed).or_else(|| read.next()) else {
            break;
        };
        if let Outcome::Completed(output) = &outcome {
            bytes += output.result.data.len() as u64;
        }
        if bytes > max_bytes && !outcomes.is_empty() {
            break;
        }
        outcomes.push(outcome);
    }
    outcomes
}

fn size_of(output: &Output) -> usize {
    let short = output.short_result.as_ref().map_or(0, String::len);
    output.result.data.len() + output.result.content_type.len() + short
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::*;
    use crate::job::Payload;

    fn output(bytes: usize) -> Output {
        Output {
            short_result: None,
            result: Payload {
                content_type: String::new(),
                data: Bytes::from(vec![b'1'; bytes]),
            },
        }
    }

    /// Which of these are there.
    fn kept(recent: &Recent<usize>, ids: &[usize]) -> Vec<usize> {
        let others = recent.others(ids, |id| id);
        let ids = ids.iter().copied();
        ids.filter(|id| !others.contains(id)).collect()
    }

    #[test]
    fn no_more_is_kept_than_is_stated_and_the_oldest_goes_first() {
        let recent = Recent::default();
        for id in 0..MOST + 10 {
            recent.keep(&id, &output(1));
        }
        assert_eq!(kept(&recent, &[9, 10, MOST + 9]), [10, MOST + 9]);
        recent.keep(&50_000, &output(MOST_BYTES));
        recent.keep(&50_001, &output(MOST_BYTES + 1));
        assert_eq!(kept(&recent, &[MOST + 9, 50_000, 50_001]), [50_000]);
        recent.keep(&50_000, &output(3));
        assert_eq!(recent.lock().bytes, 3);
        recent.clear();
        assert!(kept(&recent, &[50_000]).is_empty());
    }

    #[test]
    fn a_result_is_taken_once() {
        let recent = Recent::default();
        for id in [1, 2, 3] {
            recent.keep(&id, &output(id));
        }
        let mut places = vec![None, None, Some(output(7))];
        let key = |id: usize| (id != 2).then_some(id);
        assert_eq!(recent.take(&[1, 2, 3], key, &mut places), [2]);
        assert_eq!(places, [Some(output(1)), None, Some(output(7))]);
        assert_eq!(kept(&recent, &[1, 2, 3]), [2, 3]);
        assert_eq!(recent.lock().bytes, 5);
    }

    #[test]
    fn what_was_kept_before_its_id_was_new_is_forgotten() {
        let recent = Recent::default();
        recent.keep(&1, &output(1));
        recent.keep(&2, &output(1));
        let before = recent.kept();
        recent.keep(&2, &output(2));
        recent.keep(&3, &output(2));
        recent.forget([1, 2, 3, 4].into_iter(), before);
        assert_eq!(kept(&recent, &[1, 2, 3]), [2, 3]);
    }

    #[test]
    fn outcomes_stand_in_their_order_as_far_as_there_is_room() {
        let completed = |bytes| Outcome::Completed(output(bytes));
        let merged = |most| {
            let here = vec![None, Some(output(2)), None, Some(output(1)), None];
            merge(here, vec![completed(1), Outcome::Cancelled], most)
        };
        let all = [completed(1), completed(2), Outcome::Cancelled, completed(1)];
        assert_eq!(merged(4), all);
        assert_eq!(merged(3), all[..3]);
        assert_eq!(merged(0), all[..1]);
        assert!(merge(vec![None, Some(output(1))], Vec::new(), 9).is_empty());
    }
}
