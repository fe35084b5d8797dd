//! How many jobs of a namespace may run at once: all together, and of each function.
//!
//! What runs is counted anew at the beginning of each claim, so that no count can drift;
//! only namespaces with a cap are counted. A job that finds the gate of a function shut
//! waits there, and stands in the queue again when a claim finds the gate open.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use crate::job::{FunctionName, JobId, NewJob, Priority};
use crate::store::Functions;

use super::queue::Rank;

/// The gates of a namespace.
#[derive(Default)]
pub(super) struct Gates {
    /// How many jobs run, parked ones left out.
    running: usize,
    gates: BTreeMap<FunctionName, Gate>,
    /// The jobs that wait at a gate.
    waiting: HashMap<JobId, (FunctionName, Rank)>,
    /// Something has left since it was last counted, so that any gate may be open.
    is_outdated: bool,
}

struct Gate {
    cap: usize,
    busy: usize,
    lanes: [BTreeSet<JobId>; Priority::COUNT],
}

impl Gate {
    fn has_waiting(&self) -> bool {
        self.lanes.iter().any(|lane| !lane.is_empty())
    }
}

impl Gates {
    /// The gates of the functions that have a cap.
    pub(super) fn of(functions: &Functions) -> Self {
        let capped = functions.iter().filter_map(|function| {
            let gate = Gate {
                cap: usize::try_from(function.concurrency?.get()).unwrap_or(usize::MAX),
                busy: 0,
                lanes: Default::default(),
            };
            Some((function.function.clone(), gate))
        });
        Self {
            gates: capped.collect(),
            is_outdated: true,
            ..Self::default()
        }
    }

    /// Whether no function has a cap.
    pub(super) fn is_empty(&self) -> bool {
        self.gates.is_empty()
    }

    /// How many jobs wait at a gate.
    pub(super) fn waiting(&self) -> u64 {
        self.waiting.len() as u64
    }

    /// The first jobs of each priority at each gate, up to `n` of each.
    pub(super) fn first(&self, n: usize) -> impl Iterator<Item = JobId> {
        let lanes = self.gates.values().flat_map(|gate| &gate.lanes);
        lanes.flat_map(move |lane| lane.iter().take(n).copied())
    }

    /// Whether a job waits at a gate.
    pub(super) fn has(&self, id: JobId) -> bool {
        self.waiting.contains_key(&id)
    }

    /// Whether fewer than `limit` jobs run, as far as is known.
    pub(super) fn has_room(&self, limit: usize) -> bool {
        self.is_outdated || self.running < limit
    }

    /// Whether a job waits at a gate that is open, as far as is known.
    pub(super) fn may_open(&self) -> bool {
        let is_open = |gate: &Gate| self.is_outdated || gate.busy < gate.cap;
        !self.waiting.is_empty()
            && (self.gates.values()).any(|gate| is_open(gate) && gate.has_waiting())
    }

    /// Notes that a job has ended or was parked.
    pub(super) fn outdate(&mut self) {
        self.is_outdated = true;
    }

    /// Begins to count what runs.
    pub(super) fn begin_count(&mut self) {
        self.running = 0;
        self.gates.values_mut().for_each(|gate| gate.busy = 0);
        self.is_outdated = false;
    }

    /// Counts a job that runs.
    pub(super) fn count(&mut self, job: &NewJob) {
        self.running += 1;
        for (_, gate) in self.named_by(job) {
            gate.busy += 1;
        }
    }

    /// Lets a job pass, or leaves it at the first gate that is shut; answers whether it
    /// passed.
    pub(super) fn pass(&mut self, id: JobId, job: &NewJob) -> bool {
        let rank = Rank::of(job);
        let shut = self.named_by(job).find(|(_, gate)| gate.busy >= gate.cap);
        let Some((name, gate)) = shut else {
            self.count(job);
            return true;
        };
        if let Some(lane) = gate.lanes.get_mut(rank.priority().index()) {
            lane.insert(id);
        }
        let name = name.clone();
        self.waiting.insert(id, (name, rank));
        false
    }

    /// The gates of the functions that a job names, or all.
    fn named_by<'a>(
        &'a mut self,
        job: &'a NewJob,
    ) -> impl Iterator<Item = (&'a FunctionName, &'a mut Gate)> {
        let gates = self.gates.iter_mut();
        gates.filter(|(name, _)| job.functions.is_empty() || job.functions.contains(name))
    }

    /// Takes a job from its gate; answers whether it waited there.
    pub(super) fn remove(&mut self, id: JobId) -> bool {
        let Some((name, rank)) = self.waiting.remove(&id) else {
            return false;
        };
        if let Some(gate) = self.gates.get_mut(&name)
            && let Some(lane) = gate.lanes.get_mut(rank.priority().index())
        {
            lane.remove(&id);
        }
        true
    }

    /// Takes out what waits at open gates: as many as may pass, and the first of the
    /// lowest priority, in case it is its turn.
    pub(super) fn open(&mut self) -> Vec<(Rank, JobId)> {
        if self.waiting.is_empty() {
            return Vec::new();
        }
        let mut opened = BTreeSet::new();
        for gate in self.gates.values().filter(|gate| gate.busy < gate.cap) {
            let in_order = gate.lanes.iter().flatten();
            opened.extend(in_order.copied().take(gate.cap - gate.busy));
            let last = gate.lanes.iter().rev().find_map(|lane| lane.first());
            opened.extend(last.copied());
        }
        self.take_out(opened)
    }

    /// Takes out all that wait.
    pub(super) fn take_all(&mut self) -> Vec<(Rank, JobId)> {
        let all = self.waiting.keys().copied().collect();
        self.take_out(all)
    }

    fn take_out(&mut self, ids: BTreeSet<JobId>) -> Vec<(Rank, JobId)> {
        let mut taken = Vec::with_capacity(ids.len());
        for id in ids {
            let rank = self.waiting.get(&id).map(|(_, rank)| *rank);
            if self.remove(id)
                && let Some(rank) = rank
            {
                taken.push((rank, id));
            }
        }
        taken
    }
}
