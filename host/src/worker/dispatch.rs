//! The dispatcher: one task that moves jobs between the store and the sandbox in
//! batches. Each round trip records what has ended and takes what comes next; between
//! them it is given what the store could not find for it before.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep, sleep_until, timeout_at};
use tokio_util::sync::CancellationToken;

use super::outbox::Outbox;
use super::{Phase, Tools, job};
use crate::store::{
    Claim, Completion, Cycle, Given, Lease, STORE_PAUSE, Step, StoreError, Token, Verdict,
};

/// How much work may wait in this process, beyond what runs. Short jobs are taken
/// in batches, since a batch costs hardly more than a job; a job that takes longer
/// than this is only taken when there is a slot for it, so that another host may
/// have it sooner.
const TAKE_AHEAD: Duration = Duration::from_millis(10);

/// The most jobs taken ahead: what a lost host would throw back.
const MAX_TAKEN_AHEAD: usize = 1024;

/// Round trips are this far apart, unless the jobs at hand run out: each costs an fsync, and
/// as long as more jobs are at hand than there are slots, these have enough to do.
const GATHER: Duration = Duration::from_millis(2);

/// How long to wait for running jobs that were told to end.
const ABORT_GRACE: Duration = Duration::from_secs(5);

/// How long to try to record outcomes and give jobs back while stopping: what is not
/// told the store runs again a lease from now, and its attempt counts.
const HAND_BACK: Duration = Duration::from_secs(5);

struct Dispatcher {
    tools: Tools,
    lease: watch::Sender<Option<Lease>>,
    outbox: Arc<Outbox>,
    tasks: JoinSet<()>,
    /// What this host holds, parked jobs included.
    held: HashMap<Token, CancellationToken>,
    /// What has ended since the last step.
    ended: Vec<Completion>,
    /// How many steps this lease has made.
    steps: u64,
    /// A step that the store has not answered: it is repeated until it has.
    pending: Option<Arc<Step>>,
    /// How many jobs this lease was given between its steps.
    had: u64,
    /// The last step that was answered lets more be given.
    stands: bool,
    /// When the last step was made, or jobs were given to slots that had nothing to do.
    last_cycle: Instant,
    /// A moving geometric mean of the time a slot spends on a job, in µs; at least 1.
    job_us: f64,
}

/// Works until `phase` says to drain, and then until that is done.
pub(super) async fn run(
    tools: Tools,
    mut phase: watch::Receiver<Phase>,
    lease: watch::Sender<Option<Lease>>,
) {
    let mut dispatcher = Dispatcher {
        tools,
        lease,
        outbox: Arc::default(),
        tasks: JoinSet::new(),
        held: HashMap::new(),
        ended: Vec::new(),
        steps: 0,
        pending: None,
        had: 0,
        stands: false,
        last_cycle: Instant::now(),
        job_us: TAKE_AHEAD.as_micros() as f64,
    };
    loop {
        let now = *phase.borrow_and_update();
        if let Phase::Draining(grace) = now {
            return dispatcher.drain(grace).await;
        }
        dispatcher.turn(&mut phase).await;
    }
}

impl Dispatcher {
    /// One round trip, and the wait for a reason to make the next one. Only the wait
    /// is cut short by a change of `phase`: a claim must never be lost on its way.
    async fn turn(&mut self, phase: &mut watch::Receiver<Phase>) {
        self.collect();
        self.gather().await;
        let want = self.wanted().min(self.at_once());
        let resume = match self.cycle(want, true).await {
            Ok(()) => None,
            Err(StoreError::LeaseLost) => return self.abandon().await,
            Err(error) => {
                tracing::error!(%error, "the store does not answer; jobs go on, outcomes are kept");
                Some(Instant::now() + STORE_PAUSE)
            }
        };
        loop {
            let given = tokio::select! {
                _ = phase.changed() => return,
                () = self.reason(self.wanted(), resume) => return,
                given = self.given() => given,
            };
            self.receive(given);
        }
    }

    /// Lets the slots end what waits for them before the next round trip.
    async fn gather(&mut self) {
        loop {
            let spare = self.running().saturating_sub(self.tools.slots);
            if spare == 0 {
                return;
            }
            let given = tokio::select! {
                // Whichever comes first; late is not an error.
                _ = timeout_at(self.last_cycle + GATHER, self.outbox.holds(spare)) => break,
                given = self.given() => given,
            };
            self.receive(given);
        }
        self.collect();
    }

    /// Jobs that come between steps.
    async fn given(&self) -> Given {
        let Some(lease) = *self.lease.borrow() else {
            return std::future::pending().await;
        };
        match self.tools.store.given(lease, self.had).await {
            Ok(given) => given,
            // The next step is told as well.
            Err(StoreError::LeaseLost) => std::future::pending().await,
            Err(error) => {
                tracing::debug!(%error, "waiting for jobs was cut short");
                sleep(STORE_PAUSE).await;
                Given::default()
            }
        }
    }

    /// Starts jobs that came between steps.
    fn receive(&mut self, given: Given) {
        let Some(lease) = *self.lease.borrow() else {
            return;
        };
        if self.running() == 0 {
            self.last_cycle = Instant::now();
        }
        for claim in given.beyond(self.had) {
            self.had += 1;
            self.start(lease, claim);
        }
    }

    /// Records what has ended, takes up to `want` jobs and starts them. What is in
    /// `ended` is recorded with the next step, if an earlier one is still to be
    /// answered. Whether it `stands`, see [`Step::stands`].
    async fn cycle(&mut self, want: usize, stands: bool) -> Result<(), StoreError> {
        let lease = self.lease().await?;
        let (steps, ended, had) = (&mut self.steps, &mut self.ended, self.had);
        let step = self.pending.get_or_insert_with(|| {
            *steps += 1;
            Arc::new(Step {
                number: *steps,
                done: std::mem::take(ended),
                want,
                stands,
                had,
            })
        });
        let (step, stands) = (step.clone(), step.stands);
        self.last_cycle = Instant::now();
        let store = self.tools.store.clone();
        let mut answer = store.cycle(lease, step);
        let Cycle {
            claimed,
            given,
            refused,
            cancelled,
        } = loop {
            let given = tokio::select! {
                biased;
                answer = &mut answer => break answer?,
                given = self.given() => given,
            };
            self.receive(given);
        };
        self.pending = None;
        self.stands = stands;
        for token in refused {
            tracing::warn!(
                namespace = %token.namespace, job = %token.id, attempt = token.attempt,
                incarnation = %lease.incarnation,
                "this outcome came too late: the job was given to another host"
            );
        }
        self.receive(given);
        for claim in claimed {
            self.start(lease, claim);
        }
        for token in cancelled {
            if let Some(stop) = self.held.get(&token) {
                stop.cancel();
            }
        }
        Ok(())
    }

    /// Moves what has ended from the outbox to what must be recorded.
    fn collect(&mut self) {
        while self.tasks.try_join_next().is_some() {}
        let ended = self.outbox.take();
        if ended.is_empty() {
            return;
        }
        for completion in &ended {
            self.held.remove(&completion.token);
            let run_us = completion.usage.slot_us() as f64;
            if matches!(completion.verdict, Verdict::Release { .. }) {
                // Whatever was expected, nothing is to be taken ahead of what runs now.
                self.job_us = self.job_us.max(TAKE_AHEAD.as_micros() as f64);
            } else {
                // Over some twenty jobs it follows a change of load quickly; the mean of the
                // logarithms is not thrown about by one odd job, such as the parent of
                // thousands of short ones.
                self.job_us *= (run_us.max(1.0) / self.job_us).powf(1.0 / 20.0);
            }
        }
        self.ended.extend(ended);
    }

    /// How many jobs run here, or will as soon as there is a slot.
    fn running(&self) -> usize {
        let sandbox = &self.tools.sandbox;
        let away = sandbox.parked() + sandbox.lent();
        self.held.len().saturating_sub(away)
    }

    /// How many more jobs this host wants.
    fn wanted(&self) -> usize {
        self.capacity().saturating_sub(self.running())
    }

    /// How many jobs may run here: what its slots run, and what they will need next
    /// while a round trip is under way.
    fn capacity(&self) -> usize {
        let slots = self.tools.slots;
        let ahead = slots as f64 * TAKE_AHEAD.as_micros() as f64 / self.job_us;
        slots + (ahead as usize).saturating_sub(slots).min(MAX_TAKEN_AHEAD)
    }

    /// How many jobs one step takes at most: half of those that may be here, so that the
    /// others run while it is under way. If it took all, the slots and the store would take
    /// turns; so a Redis is drained by a fifteenth faster on two cores.
    fn at_once(&self) -> usize {
        self.capacity().div_ceil(2).max(self.tools.slots)
    }

    /// Resolves when a round trip is worth while, and not before it is time to `resume`.
    async fn reason(&self, want: usize, resume: Option<Instant>) {
        if let Some(resume) = resume {
            return sleep_until(resume).await;
        }
        let lease = *self.lease.borrow();
        let woken = async {
            match lease {
                Some(lease) => self.tools.store.wake(lease, want).await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            () = self.outbox.holds(1) => {}
            // A host that wants jobs is woken when there are any.
            () = self.tools.sandbox.parked_changed(), if want == 0 => {}
            () = self.lent_more(), if want == 0 => {}
            woken = woken => {
                if let Err(error) = woken {
                    tracing::debug!(%error, "waiting for work was cut short");
                    sleep(STORE_PAUSE).await;
                }
            }
        }
    }

    /// Resolves when slots were lent, which is worth a round trip if the host wanted no jobs
    /// before: guests lend theirs with each inference, thousands of times a second perhaps.
    async fn lent_more(&self) {
        self.tools.sandbox.lent_more().await;
        sleep_until(self.last_cycle + GATHER).await;
    }

    async fn lease(&self) -> Result<Lease, StoreError> {
        let held = *self.lease.borrow();
        if let Some(lease) = held {
            return Ok(lease);
        }
        let lease = self.tools.store.register().await?;
        tracing::info!(incarnation = %lease.incarnation, "registered");
        self.lease.send_replace(Some(lease));
        Ok(lease)
    }

    fn start(&mut self, lease: Lease, claim: Claim) {
        let cancel = CancellationToken::new();
        self.held.insert(claim.token.clone(), cancel.clone());
        let (tools, outbox) = (self.tools.clone(), self.outbox.clone());
        self.tasks.spawn(async move {
            // Boxed, since tokio moves a task's future several times, and this is a large one.
            let completion = Box::pin(job::run(&tools, lease, claim, cancel)).await;
            outbox.put(completion);
        });
    }

    /// Our jobs were given to others: whatever we still do for them is void.
    async fn abandon(&mut self) {
        tracing::warn!(
            jobs = self.held.len(),
            "this host was silent for too long; its jobs were given to others"
        );
        self.tasks.shutdown().await;
        self.outbox.take();
        self.held.clear();
        self.ended.clear();
        self.steps = 0;
        self.pending = None;
        self.had = 0;
        self.stands = false;
        self.lease.send_replace(None);
    }

    /// Lets running jobs end, gives the others back, and records everything.
    async fn drain(&mut self, grace: Duration) {
        let deadline = Instant::now() + grace;
        loop {
            self.collect();
            if let Err(error) = self.cycle(0, false).await {
                tracing::warn!(%error, "could not record outcomes while stopping");
            }
            // What is parked waits for jobs that this host would have to take first.
            if self.running() == 0 {
                break;
            }
            let changed = async {
                tokio::select! {
                    () = self.outbox.holds(1) => {}
                    () = self.tools.sandbox.parked_changed() => {}
                }
            };
            if timeout_at(deadline, changed).await.is_err() {
                break;
            }
        }
        self.tasks.abort_all();
        let all_ended = async { while self.tasks.join_next().await.is_some() {} };
        if timeout_at(Instant::now() + ABORT_GRACE, all_ended)
            .await
            .is_err()
        {
            tracing::warn!("some jobs could not be stopped in time");
        }
        self.collect();
        let deadline = Instant::now() + HAND_BACK;
        loop {
            // A step that was not answered before may bring more of them.
            let held = self.held.drain();
            self.ended.extend(held.map(|(token, _)| released(token)));
            if self.pending.is_none() && self.ended.is_empty() && !self.stands {
                break;
            }
            let Err(error) = self.cycle(0, false).await else {
                continue;
            };
            if matches!(error, StoreError::LeaseLost) || Instant::now() > deadline {
                tracing::warn!(%error, "could not give jobs back while stopping; others take them back a lease from now");
                break;
            }
            sleep(STORE_PAUSE).await;
        }
    }
}

pub(super) fn released(token: Token) -> Completion {
    let now = crate::time::now_ms();
    Completion {
        token,
        verdict: Verdict::Release { delay_ms: 0 },
        started_at_ms: now,
        ended_at_ms: now,
        usage: Default::default(),
        limits: None,
        components: Vec::new(),
        log: Vec::new(),
    }
}
