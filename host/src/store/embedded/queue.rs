//! One namespace's queue: what waits by priority, what movers hold, and what is
//! kept of it beside its jobs.

use std::collections::BTreeMap;
use std::num::NonZeroU32;
use std::sync::Arc;

use uuid::Uuid;

use crate::job::{JobId, NewJob, Priority};
use crate::store::fair::Share;
use crate::store::{CLAIMS_PER_YIELD, Functions};

use super::gates::Gates;
use super::ids::Ids;
use super::shared::NamespaceInfo;

/// Where a job stands among those that wait: its priority, and whether it names
/// no function and so waits for one to be deployed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Rank {
    priority: Priority,
    runs_all: bool,
}

impl Rank {
    const RUNS_ALL: u8 = 1 << 7;

    /// The rank of a job.
    pub(super) fn of(job: &NewJob) -> Self {
        Self {
            priority: job.priority,
            runs_all: job.functions.is_empty(),
        }
    }

    /// The priority.
    pub(super) fn priority(self) -> Priority {
        self.priority
    }

    /// As it is stored.
    pub(super) fn to_byte(self) -> u8 {
        u8::from(self.priority) | if self.runs_all { Self::RUNS_ALL } else { 0 }
    }

    /// From what is stored.
    pub(super) fn from_byte(byte: u8) -> Option<Self> {
        let priority = Priority::new(byte & !Self::RUNS_ALL)?;
        Some(Self {
            priority,
            runs_all: byte & Self::RUNS_ALL != 0,
        })
    }
}

/// The jobs of one priority that are due, by id: the order of their acceptance,
/// also for those that come back.
#[derive(Default)]
struct Lane {
    named: Ids,
    unnamed: Ids,
}

impl Lane {
    fn set(&mut self, rank: Rank) -> &mut Ids {
        if rank.runs_all {
            &mut self.unnamed
        } else {
            &mut self.named
        }
    }

    /// Takes the first job that can run.
    fn pop(&mut self, has_functions: bool) -> Option<JobId> {
        let unnamed = if has_functions {
            self.unnamed.first()
        } else {
            None
        };
        match (self.named.first(), unnamed) {
            (Some(named), Some(unnamed)) if unnamed < named => self.unnamed.pop_first(),
            (None, Some(_)) => self.unnamed.pop_first(),
            _ => self.named.pop_first(),
        }
    }
}

/// What the database keeps of a namespace beside its jobs; see the table `queues`.
#[derive(Clone, Copy, Default)]
pub(super) struct Saved {
    /// The id of the next job.
    pub(super) next_id: u64,
    pub(super) paused: bool,
    /// How many jobs may run at once.
    pub(super) concurrency: Option<NonZeroU32>,
    pub(super) posted: u64,
    pub(super) completed: u64,
    pub(super) failed: u64,
    pub(super) cancelled: u64,
}

impl Saved {
    /// Starts the totals again.
    pub(super) fn rezero(&mut self) {
        *self = Self {
            next_id: self.next_id,
            paused: self.paused,
            concurrency: self.concurrency,
            ..Self::default()
        };
    }
}

/// A namespace's waiting jobs.
pub(super) struct Queue {
    /// What others may know of the namespace.
    pub(super) info: Arc<NamespaceInfo>,
    pub(super) saved: Saved,
    /// `saved` is not what is on disk.
    pub(super) unsaved: bool,
    /// The jobs that movers hold.
    pub(super) held: BTreeMap<JobId, Uuid>,
    /// How many jobs wait for their time.
    pub(super) scheduled: u64,
    /// How many jobs are in the dead letter.
    pub(super) dead: u64,
    pub(super) has_functions: bool,
    /// What it has had of the slots.
    pub(super) share: Share,
    /// Its virtual time among those that have something to take, if it is one.
    pub(super) in_turn: Option<u64>,
    gates: Gates,
    lanes: [Lane; Priority::COUNT],
    claims: u64,
}

impl Queue {
    /// A queue in which nothing waits.
    pub(super) fn new(info: Arc<NamespaceInfo>, saved: Saved) -> Self {
        Self {
            has_functions: !info.functions().is_empty(),
            gates: Gates::of(&info.functions()),
            info,
            saved,
            unsaved: false,
            held: BTreeMap::new(),
            scheduled: 0,
            dead: 0,
            share: Share::default(),
            in_turn: None,
            lanes: Default::default(),
            claims: 0,
        }
    }

    /// How many jobs wait and are due.
    pub(super) fn queued(&self) -> u64 {
        let lane = |l: &Lane| (l.named.len() + l.unnamed.len()) as u64;
        self.lanes.iter().map(lane).sum::<u64>() + self.gates.waiting()
    }

    /// The first jobs of each priority that wait and are due, up to `n` of each.
    pub(super) fn first(&self, n: usize) -> Vec<JobId> {
        let lane = |l: &Lane| {
            let unnamed = l.unnamed.iter().take(n);
            l.named.iter().take(n).chain(unnamed).collect::<Vec<_>>()
        };
        let mut first: Vec<_> = self.lanes.iter().flat_map(lane).collect();
        first.extend(self.gates.first(n));
        first
    }

    /// Adds a job that is due.
    pub(super) fn add(&mut self, rank: Rank, id: JobId) {
        if let Some(lane) = self.lanes.get_mut(rank.priority.index()) {
            lane.set(rank).insert(id);
        }
    }

    /// Takes a job out that is due.
    pub(super) fn remove(&mut self, rank: Rank, id: JobId) {
        if self.gates.remove(id) {
            return;
        }
        if let Some(lane) = self.lanes.get_mut(rank.priority.index()) {
            lane.set(rank).remove(id);
        }
    }

    /// Whether a job waits and is due.
    pub(super) fn is_ready(&self, id: JobId) -> bool {
        let waits = |l: &Lane| l.named.contains(id) || l.unnamed.contains(id);
        self.lanes.iter().any(waits) || self.gates.has(id)
    }

    /// Puts the caps of these functions in the place of the old ones.
    pub(super) fn set_functions(&mut self, functions: &Functions) {
        self.has_functions = !functions.is_empty();
        let mut before = std::mem::replace(&mut self.gates, Gates::of(functions));
        for (rank, id) in before.take_all() {
            self.add(rank, id);
        }
    }

    /// Whether a cap bounds how many jobs run.
    pub(super) fn is_capped(&self) -> bool {
        self.saved.concurrency.is_some() || !self.gates.is_empty()
    }

    /// The caps on what runs.
    pub(super) fn gates(&mut self) -> &mut Gates {
        &mut self.gates
    }

    /// Lets what waits at open gates stand in the queue again; answers whether anything
    /// does and may be taken.
    pub(super) fn open_gates(&mut self) -> bool {
        let opened = self.gates.open();
        let any = !opened.is_empty();
        for (rank, id) in opened {
            self.add(rank, id);
        }
        any && !self.saved.paused && self.has_room()
    }

    fn has_room(&self) -> bool {
        let limit = self.saved.concurrency.map(NonZeroU32::get);
        limit.is_none_or(|limit| {
            self.gates
                .has_room(usize::try_from(limit).unwrap_or(usize::MAX))
        })
    }

    /// Takes the next job.
    pub(super) fn pop(&mut self) -> Option<JobId> {
        if self.saved.paused || !self.has_room() {
            return None;
        }
        let has_functions = self.has_functions;
        let lowest_first = (self.claims + 1).is_multiple_of(CLAIMS_PER_YIELD);
        if lowest_first {
            self.lanes
                .iter_mut()
                .rev()
                .find_map(|lane| lane.pop(has_functions))
        } else {
            self.lanes
                .iter_mut()
                .find_map(|lane| lane.pop(has_functions))
        }
    }

    /// Counts a claim.
    pub(super) fn took(&mut self) {
        self.claims += 1;
        self.share.took();
    }

    /// Whether [`Queue::pop`] finds something.
    pub(super) fn may_pop(&self) -> bool {
        let lane = |l: &Lane| !l.named.is_empty() || (self.has_functions && !l.unnamed.is_empty());
        !self.saved.paused
            && self.has_room()
            && (self.lanes.iter().any(lane) || self.gates.may_open())
    }
}
