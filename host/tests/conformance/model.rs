//! Random calls against the store and against a model that is simple enough to
//! be right. The seed is printed; `SKEP_SEED=…` repeats a run.

use std::collections::BTreeMap;
use std::sync::Arc;

use skep::job::{Cause, CauseKind, JobId, NewJob, Payload, State};
use skep::store::{
    CLAIMS_PER_YIELD, Cancelled, Claim, Completion, JobFilter, Lease, QueueStatus, Retriable,
    Retried, StoreError, Verdict,
};

use crate::support::{World, completed, done, job, ns, retry, trap};

conformance!(random_calls_do_what_the_model_does);

const RUNS: u64 = 12;
const STEPS: usize = 250;

/// Marsaglia's xorshift: enough to choose among calls.
struct Random(u64);

impl Random {
    fn below(&mut self, bound: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        usize::try_from(self.0 % bound as u64).unwrap()
    }

    fn chance(&mut self, percent: usize) -> bool {
        self.below(100) < percent
    }
}

#[derive(Clone, Debug)]
struct ModelJob {
    priority: usize,
    /// How many attempts its poster gave it, and how many it may take.
    own_attempts: u32,
    max_attempts: u32,
    state: State,
    attempt: u32,
    cancel: bool,
}

impl ModelJob {
    /// An attempt ended and another one may be made.
    fn again(&mut self) {
        self.state = match (self.cancel, self.attempt < self.max_attempts) {
            (true, _) => State::Cancelled,
            (false, true) => State::Queued,
            (false, false) => State::Failed,
        };
    }
}

#[derive(Default)]
struct Model {
    jobs: BTreeMap<u64, ModelJob>,
    posted: u64,
    /// Failed ones that were deleted.
    forgotten: u64,
    keys: BTreeMap<String, (u64, Payload)>,
    claims: u64,
    paused: bool,
    /// The wishes to cancel that the host has not been told of.
    told: Vec<u64>,
}

impl Model {
    /// The places of posts that are of another job than their keys are.
    fn refused(&self, jobs: &[NewJob]) -> Vec<usize> {
        let mut new = BTreeMap::new();
        let mut refused = Vec::new();
        for (place, job) in jobs.iter().enumerate() {
            let Some(key) = &job.idempotency_key else {
                continue;
            };
            let first = match self.keys.get(key) {
                Some((_, first)) => first,
                None => *new.entry(key).or_insert(&job.message),
            };
            if *first != job.message {
                refused.push(place);
            }
        }
        refused
    }

    fn submit(&mut self, job: &NewJob) -> u64 {
        let next = self.posted + 1;
        if let Some(key) = &job.idempotency_key {
            let new = || (next, job.message.clone());
            let (id, _) = self.keys.entry(key.clone()).or_insert_with(new);
            if *id != next {
                return *id;
            }
        }
        let model = ModelJob {
            priority: job.priority.index(),
            own_attempts: job.max_attempts,
            max_attempts: job.max_attempts,
            state: State::Queued,
            attempt: 0,
            cancel: false,
        };
        self.jobs.insert(next, model);
        self.posted = next;
        next
    }

    fn claim(&mut self) -> Option<(u64, u32)> {
        if self.paused {
            return None;
        }
        let waiting = self
            .jobs
            .iter_mut()
            .filter(|(_, job)| job.state == State::Queued);
        let lowest_first = (self.claims + 1).is_multiple_of(CLAIMS_PER_YIELD);
        let rank = |job: &ModelJob| {
            if lowest_first {
                3 - job.priority
            } else {
                job.priority
            }
        };
        let (id, job) = waiting.min_by_key(|(id, job)| (rank(job), **id))?;
        self.claims += 1;
        job.state = State::Running;
        job.attempt += 1;
        Some((*id, job.attempt))
    }

    fn cancel(&mut self, id: u64) -> Cancelled {
        let Some(job) = self.jobs.get_mut(&id) else {
            return Cancelled::Unknown;
        };
        match job.state {
            State::Queued => {
                job.state = State::Cancelled;
                Cancelled::Done
            }
            State::Running => {
                if !std::mem::replace(&mut job.cancel, true) {
                    self.told.push(id);
                }
                Cancelled::Requested
            }
            _ => Cancelled::HadEnded,
        }
    }

    fn retry(&mut self, id: u64) -> Retried {
        match self.jobs.get_mut(&id) {
            None => Retried::Unknown,
            Some(job) if !job.state.has_ended() => Retried::NotEnded,
            Some(job) if job.state == State::Completed => Retried::Completed,
            Some(job) => {
                job.state = State::Queued;
                job.cancel = false;
                job.max_attempts = job.attempt + job.own_attempts;
                self.told.retain(|told| *told != id);
                Retried::Done
            }
        }
    }

    fn forget(&mut self, id: u64) -> usize {
        let job = self.jobs.get(&id);
        if job.is_none_or(|job| job.state != State::Failed) {
            return 0;
        }
        self.jobs.remove(&id);
        self.keys.retain(|_, (of, _)| *of != id);
        self.forgotten += 1;
        1
    }

    fn list(&self, states: &[State]) -> Vec<(u64, State)> {
        let fits = |state| states.is_empty() || states.contains(&state);
        let jobs = self.jobs.iter().rev();
        let jobs = jobs.map(|(id, job)| (*id, job.state));
        jobs.filter(|(_, state)| fits(*state)).collect()
    }

    /// Whether the completion counts.
    fn complete(&mut self, completion: &Completion) -> bool {
        let token = &completion.token;
        let held =
            |job: &&mut ModelJob| job.state == State::Running && job.attempt == token.attempt;
        let Some(job) = self.jobs.get_mut(&token.id.0).filter(held) else {
            return false;
        };
        match &completion.verdict {
            Verdict::Completed(_) => job.state = State::Completed,
            Verdict::Failed(_) if job.cancel => job.state = State::Cancelled,
            Verdict::Failed(_) => job.state = State::Failed,
            Verdict::Cancelled => job.state = State::Cancelled,
            Verdict::Retry { .. } => job.again(),
            Verdict::Release { .. } => {
                job.attempt -= 1;
                job.state = if job.cancel {
                    State::Cancelled
                } else {
                    State::Queued
                };
            }
        }
        true
    }

    /// Takes all running jobs from their hosts.
    fn release(&mut self) -> usize {
        let mut released = 0;
        for job in self.jobs.values_mut() {
            if job.state == State::Running {
                released += 1;
                job.state = if job.cancel {
                    State::Cancelled
                } else {
                    State::Queued
                };
            }
        }
        released
    }

    fn status(&self) -> QueueStatus {
        let count = |state| self.jobs.values().filter(|job| job.state == state).count() as u64;
        QueueStatus {
            queued: count(State::Queued),
            scheduled: 0,
            running: count(State::Running),
            parked: 0,
            moving: 0,
            posted: self.posted,
            completed: count(State::Completed),
            failed: count(State::Failed) + self.forgotten,
            cancelled: count(State::Cancelled),
            paused: self.paused,
            concurrency: None,
            oldest_queued_at_ms: None,
        }
    }

    fn crash(&mut self) {
        let running = self
            .jobs
            .values_mut()
            .filter(|job| job.state == State::Running);
        running.for_each(ModelJob::again);
        self.told.clear();
    }
}

fn random_job(random: &mut Random) -> NewJob {
    let key = random.chance(20).then(|| random.below(9));
    // Most posts under a key are of the job that has it.
    let message = match key {
        Some(key) if random.chance(80) => key,
        _ => random.below(40),
    };
    NewJob {
        priority: u8::try_from(random.below(4)).unwrap().try_into().unwrap(),
        max_attempts: 1 + u32::try_from(random.below(3)).unwrap(),
        idempotency_key: key.map(|key| key.to_string()),
        ..job(&"9".repeat(1 + message))
    }
}

fn random_end(random: &mut Random, claim: &Claim) -> Completion {
    let verdict = match random.below(6) {
        0 => Verdict::Failed(trap()),
        1 => Verdict::Release { delay_ms: 0 },
        2 => retry(0),
        3 => Verdict::Retry {
            cause: Cause::new(CauseKind::TimedOut, ""),
            delay_ms: 0,
        },
        _ => completed(&claim.token.id.to_string()),
    };
    done(claim, verdict)
}

async fn check(world: &World, model: &Model) {
    for (id, expected) in &model.jobs {
        let record = world.job(*id).await;
        let found = (record.state, record.attempts.len(), record.cancel_requested);
        let released = expected.state == State::Cancelled && record.cancel_requested;
        let attempts = usize::try_from(expected.attempt).unwrap();
        assert_eq!(
            (found.0, found.1),
            (expected.state, attempts),
            "job {id}: {expected:?}"
        );
        assert!(
            released || found.2 == expected.cancel,
            "job {id}: {expected:?}"
        );
    }
    let status = QueueStatus {
        // The model has no clock.
        oldest_queued_at_ms: None,
        ..world.store().status(&ns()).await.unwrap()
    };
    assert_eq!(status, model.status());
    let unknown = JobId(model.posted + 1);
    assert_eq!(world.store().job(&ns(), unknown).await.unwrap(), None);
}

/// A list of a few states, a few at a time.
async fn list(world: &World, model: &Model, random: &mut Random) {
    let states = [
        State::Queued,
        State::Running,
        State::Completed,
        State::Failed,
        State::Cancelled,
    ];
    let states: Vec<State> = states.into_iter().filter(|_| random.chance(30)).collect();
    let filter = Arc::new(JobFilter {
        states: states.clone(),
        ..JobFilter::default()
    });
    let (mut listed, mut before) = (Vec::new(), None);
    loop {
        let want = 1 + random.below(30);
        let page = world.store().list(&ns(), &filter, before, want).await;
        let page = page.unwrap();
        listed.extend(page.jobs.iter().map(|job| (job.id.0, job.state)));
        before = page.next;
        if before.is_none() {
            break;
        }
    }
    assert_eq!(listed, model.list(&states), "{states:?}");
}

/// One cycle in both, with a few ends of attempts and a few that do not count.
async fn cycle(
    world: &World,
    model: &mut Model,
    random: &mut Random,
    lease: Lease,
    held: &mut Vec<Claim>,
    past: &mut Vec<Claim>,
) {
    let mut ends = Vec::new();
    for _ in 0..random.below(4).min(held.len()) {
        let claim = held.swap_remove(random.below(held.len()));
        ends.push(random_end(random, &claim));
        past.push(claim);
    }
    if random.chance(20) && !past.is_empty() {
        let claim = &past[random.below(past.len())];
        // A job that was given back unrun has the same token when it is held anew.
        if held.iter().all(|other| other.token != claim.token) {
            ends.push(random_end(random, claim));
        }
    }
    let refused: Vec<_> = ends
        .iter()
        .filter(|end| !model.complete(end))
        .map(|end| end.token.clone())
        .collect();
    let want = random.below(5);
    let claimed: Vec<_> = (0..want).map_while(|_| model.claim()).collect();
    let cycle = world.cycle(lease, ends, want).await;
    assert_eq!(cycle.refused, refused);
    let of = |claim: &Claim| (claim.token.id.0, claim.token.attempt);
    assert_eq!(cycle.claimed.iter().map(of).collect::<Vec<_>>(), claimed);
    let mut told: Vec<u64> = cycle.cancelled.iter().map(|token| token.id.0).collect();
    let mut expected = std::mem::take(&mut model.told);
    let runs = |job: &ModelJob| job.state == State::Running;
    expected.retain(|id| model.jobs.get(id).is_some_and(runs));
    told.sort_unstable();
    expected.sort_unstable();
    assert_eq!(told, expected);
    held.extend(cycle.claimed);
}

async fn random_calls_do_what_the_model_does(mut world: World) {
    let seed = std::env::var("SKEP_SEED")
        .map_or_else(|_| crate::support::now_ms(), |seed| seed.parse().unwrap());
    for run in 0..RUNS {
        println!("SKEP_SEED={seed}, run {run}");
        let mut random = Random((seed ^ (run << 40)) | 1);
        let mut model = Model::default();
        let (mut held, mut past) = (Vec::new(), Vec::new());
        let mut lease = world.host().await;
        for _ in 0..STEPS {
            let some = usize::try_from(model.posted).unwrap();
            match random.below(23) {
                0..6 => {
                    let jobs: Vec<_> = (0..random.below(4))
                        .map(|_| random_job(&mut random))
                        .collect();
                    let refused = model.refused(&jobs);
                    if refused.is_empty() {
                        let ids = jobs.iter().map(|job| model.submit(job));
                        let ids: Vec<_> = ids.collect();
                        assert_eq!(world.submit(jobs).await, ids);
                    } else {
                        let answer = world.store().submit(&ns(), jobs).await;
                        let Err(StoreError::KeyReused(reused)) = answer else {
                            panic!("{answer:?}, and not {refused:?}");
                        };
                        let places: Vec<_> = reused.iter().map(|one| one.place).collect();
                        assert_eq!(places, refused);
                    }
                }
                6..9 => {
                    let id = 1 + random.below(some + 2) as u64;
                    let answer = world.store().cancel(&ns(), JobId(id)).await.unwrap();
                    assert_eq!(answer, model.cancel(id), "cancel {id}");
                }
                9 if random.chance(30) => {
                    world.crash().await;
                    model.crash();
                    if world.counts_claims_anew() {
                        model.claims = 0;
                    }
                    held.clear();
                    lease = world.host().await;
                }
                10 => check(&world, &model).await,
                11 if random.chance(20) => {
                    let released = world.store().release(&ns()).await.unwrap();
                    assert_eq!(released, model.release());
                    past.append(&mut held);
                }
                12 if random.chance(20) => {
                    model.paused = !model.paused;
                    world.store().pause(&ns(), model.paused).await.unwrap();
                }
                13 => {
                    let id = 1 + random.below(some + 2) as u64;
                    let ids = [JobId(id)];
                    let which = Retriable::FailedOrCancelled;
                    let answer = world.store().retry(&ns(), &ids, which).await.unwrap();
                    assert_eq!(answer, [model.retry(id)], "retry {id}");
                }
                14 => {
                    let id = 1 + random.below(some + 2) as u64;
                    let answer = world.store().forget(&ns(), &[JobId(id)]).await.unwrap();
                    assert_eq!(answer, model.forget(id), "forget {id}");
                }
                15 => list(&world, &model, &mut random).await,
                _ => cycle(&world, &mut model, &mut random, lease, &mut held, &mut past).await,
            }
        }
        check(&world, &model).await;
        world = world.fresh().await;
    }
}
