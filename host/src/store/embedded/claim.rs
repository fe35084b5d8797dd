//! Gives waiting jobs to hosts.

use std::sync::Arc;

use rusqlite::params;

use crate::job::{NewJob, State};
use crate::store::{Claim, Cycle, Lease, Result, Step, StoreError, Token};

use super::bodies::Posted;
use super::committer::Action;
use super::key::Key;
use super::shared::Running;
use super::writer::{Writer, to_sql};
use crate::store::record::{Attempt, granted};

/// The most jobs that a claim leaves at shut gates: some milliseconds of the writer's
/// time, since each is read. The next claim goes on with the rest.
const MOST_SHUT_OUT: usize = 500;

/// See [`crate::store::Store::cycle`].
pub(super) struct RunCycle {
    pub(super) lease: Lease,
    pub(super) step: Arc<Step>,
}

impl Action for RunCycle {
    type Answer = Cycle;

    /// Outcomes must survive a loss of power. A claim need not: without it, the
    /// job waits, as it should.
    fn is_durable(&self) -> bool {
        !self.step.done.is_empty()
    }

    fn apply(&self, writer: &mut Writer) -> Result<Cycle> {
        let incarnation = self.lease.incarnation;
        let host = (writer.hosts.get(&incarnation)).ok_or(StoreError::LeaseLost)?;
        let Step {
            number,
            done,
            want,
            stands,
            had,
        } = &*self.step;
        let (last, answer) = &host.last_step;
        if number <= last {
            return Ok(if number == last {
                answer.clone()
            } else {
                Cycle::default()
            });
        }
        let mut refused = Vec::new();
        for done in done {
            if !writer.complete(self.lease, done)? {
                refused.push(done.token.clone());
            }
        }
        let (under_way, given) = {
            let mut hosts = writer.shared.hosts();
            let told = hosts.get_mut(&incarnation).ok_or(StoreError::LeaseLost)?;
            (told.gifts.beyond(*had), told.gifts.since(*had))
        };
        let want = want.saturating_sub(under_way);
        let claimed = writer.claim(self.lease, want)?;
        let standing = if *stands { want - claimed.len() } else { 0 };
        let cycle = Cycle {
            claimed,
            given,
            refused,
            cancelled: writer.tell_cancels(self.lease),
        };
        if let Some(host) = writer.hosts.get_mut(&incarnation) {
            host.standing = standing;
            let made = (*number, cycle.clone());
            let before = std::mem::replace(&mut host.last_step, made);
            writer.effects.steps.push((incarnation, before));
        }
        Ok(cycle)
    }
}

impl Writer {
    /// Gives what waits to hosts that would have taken more than there was. It is durable
    /// with the transaction that let it wait, and takes none of its own.
    pub(super) fn give(&mut self) -> Result<()> {
        let orders = (self.hosts.iter()).map(|(incarnation, host)| (*incarnation, host.standing));
        let orders: Vec<_> = orders.filter(|(_, want)| *want > 0).collect();
        for (incarnation, want) in orders {
            if !self.index.may_pop() {
                break;
            }
            let given = self.claim(Lease { incarnation }, want)?;
            if !given.is_empty() {
                self.effects.given.push((incarnation, given));
            }
        }
        Ok(())
    }

    fn claim(&mut self, lease: Lease, want: usize) -> Result<Vec<Claim>> {
        self.index.promote(self.now_ms);
        self.count_capped();
        let mut shut_out = 0;
        let mut skipped = Vec::new();
        let batch = self.next_batch;
        let mut claimed = Vec::new();
        let mut jobs = Vec::new();
        while claimed.len() < want {
            let Some(key) = self.index.pop() else { break };
            let posted = match self.posted(key) {
                Ok(posted) => posted,
                Err(StoreError::Unreadable(error)) => {
                    // It stays on disk as it is, and does not stop the others.
                    tracing::error!(%error, "a job is set aside, since it cannot be read");
                    continue;
                }
                Err(error) => return Err(error),
            };
            if !self.passes(key, &posted) {
                shut_out += 1;
                if shut_out >= MOST_SHUT_OUT {
                    self.index.skip_turns(key.namespace());
                    skipped.push(key.namespace());
                }
                continue;
            }
            self.index.took(key.namespace());
            let attempt = self.index.attempts(key) + 1;
            let (job, data_bytes) = self.with_past(key, posted.job)?;
            pack(&mut jobs, key, attempt);
            let running = Running {
                attempt,
                incarnation: lease.incarnation,
                batch,
                claimed_at_ms: self.now_ms,
                job: job.clone(),
                progress: None,
                log: Arc::default(),
                awaits: None,
                cancel_requested: false,
                over: false,
            };
            self.shared.running().insert(key, running);
            self.effects.states.push((key, attempt, State::Running));
            claimed.push(Claim {
                token: Token {
                    namespace: self.name_of(key)?,
                    id: key.id(),
                    attempt,
                },
                job,
                posted_at_ms: posted.at_ms,
                claimed_at_ms: self.now_ms,
                data_bytes,
            });
        }
        for namespace in skipped {
            self.index.go_on(namespace);
        }
        if !claimed.is_empty() {
            self.next_batch += 1;
            self.batches.insert(batch, claimed.len());
            self.statement(
                "INSERT INTO claims (batch, incarnation, at, jobs) VALUES (?, ?, ?, ?)",
            )?
            .execute(params![
                batch,
                lease.incarnation.as_bytes(),
                to_sql(self.now_ms),
                jobs
            ])?;
        }
        Ok(claimed)
    }

    /// A job with as many attempts as it may take, and what the earlier ones have stored of
    /// data.
    pub(super) fn with_past(&self, key: Key, job: Arc<NewJob>) -> Result<(Arc<NewJob>, u64)> {
        match self.past(key) {
            Ok(past) => {
                let bytes = past.attempts.iter().map(Attempt::new_data_bytes).sum();
                let mut job = job;
                let granted = granted(&past.attempts);
                if granted > 0 {
                    let most = &mut Arc::make_mut(&mut job).max_attempts;
                    *most = most.saturating_add(granted);
                }
                Ok((job, bytes))
            }
            // Whoever ends the job says so.
            Err(StoreError::Unreadable(_)) => Ok((job, 0)),
            Err(error) => Err(error),
        }
    }

    /// Counts what runs where a cap bounds it.
    fn count_capped(&mut self) {
        if self.shared.take_parked_below_caps() {
            self.index.outdate_counts();
        }
        if self.index.is_capped() {
            let running = self.shared.running();
            let running = running.iter();
            let running = running.filter(|(_, entry)| !entry.over && entry.awaits.is_none());
            self.index
                .count(running.map(|(key, entry)| (*key, &*entry.job)));
        }
    }

    /// Whether no cap holds up a job that was popped; else it waits at a gate.
    fn passes(&mut self, key: Key, posted: &Posted) -> bool {
        let Some(queue) = self.index.queue(key.namespace()) else {
            return true;
        };
        if !queue.is_capped() || queue.gates().pass(key.id(), &posted.job) {
            return true;
        }
        self.bodies.offer(key, &posted.job, posted.at_ms);
        false
    }

    /// Notes that a batch no longer holds a job.
    pub(super) fn leave_batch(&mut self, batch: i64) -> Result<()> {
        if let Some(open) = self.batches.get_mut(&batch) {
            *open -= 1;
            if *open == 0 {
                self.batches.remove(&batch);
                self.statement("DELETE FROM claims WHERE batch = ?")?
                    .execute([batch])?;
            }
        }
        Ok(())
    }

    /// Takes a job that was not run out of its batch, so that nobody thinks it
    /// was.
    pub(super) fn strike_from_batch(&mut self, batch: i64, key: Key) -> Result<()> {
        if !self.batches.contains_key(&batch) {
            return Ok(());
        }
        let jobs: Vec<u8> = self
            .statement("SELECT jobs FROM claims WHERE batch = ?")?
            .query_row([batch], |row| row.get(0))?;
        let mut kept = Vec::with_capacity(jobs.len());
        for (other, attempt) in unpack(&jobs)? {
            if other != key {
                pack(&mut kept, other, attempt);
            }
        }
        self.statement("UPDATE claims SET jobs = ? WHERE batch = ?")?
            .execute(params![kept, batch])?;
        Ok(())
    }

    fn tell_cancels(&mut self, lease: Lease) -> Vec<Token> {
        let Some(host) = self.hosts.get_mut(&lease.incarnation) else {
            return Vec::new();
        };
        if host.cancels.is_empty() {
            return Vec::new();
        }
        let wanted = std::mem::take(&mut host.cancels);
        self.effects.told.push((lease.incarnation, wanted.clone()));
        let holds = |token: &Token| {
            let key = self
                .index
                .number(&token.namespace)
                .and_then(|n| Key::new(n, token.id));
            let running = self.shared.running();
            let running = key.and_then(|key| running.get(&key));
            running.is_some_and(|r| r.attempt == token.attempt && !r.over)
        };
        wanted.into_iter().filter(holds).collect()
    }
}

/// A claimed job is its key and attempt, 12 bytes.
fn pack(jobs: &mut Vec<u8>, key: Key, attempt: u32) {
    jobs.extend_from_slice(&key.row().to_le_bytes());
    jobs.extend_from_slice(&attempt.to_le_bytes());
}

/// The jobs of a row of `claims`.
pub(super) fn unpack(jobs: &[u8]) -> Result<Vec<(Key, u32)>> {
    let (entries, rest) = jobs.as_chunks::<12>();
    if !rest.is_empty() {
        return Err(StoreError::Unreadable(
            "a row of claims is cut short".into(),
        ));
    }
    let entry = |&[a, b, c, d, e, f, g, h, i, j, k, l]: &[u8; 12]| {
        let key = Key::from_row(i64::from_le_bytes([a, b, c, d, e, f, g, h]));
        (key, u32::from_le_bytes([i, j, k, l]))
    };
    Ok(entries.iter().map(entry).collect())
}
