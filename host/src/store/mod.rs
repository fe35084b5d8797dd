//! Where jobs, data, components, models and deployments live.
//!
//! [`Store`] is the only seam between the rest of skep and a database. Every
//! implementation passes the same conformance suite (`tests/conformance`). The
//! calls take and give batches, since batching decides the cost of a queue
//! (`docs/adr/0002`), and a store alone decides which completions count.
//!
//! Not here: when to run what (`worker`), and whether a message is acceptable
//! (`intake`).

mod blob;
mod callback;
mod dead;
mod deployment;
pub mod embedded;
mod error;
pub(crate) mod fair;
#[cfg(fuzzing)]
pub mod fuzzing;
mod given;
mod list;
mod metered;
mod model;
mod news;
mod parking;
mod queue;
mod recent;
mod record;
pub mod redis;
mod tokens;
mod transfer;
mod url;
mod waiters;

use std::num::NonZeroU32;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::access::{AccessTokens, StoredToken, TokenId};
use crate::job::{
    Cause, Delivery, Digest, FunctionName, JobId, JobRecord, Limits, LogLine, ModelName, Namespace,
    NewJob, Output, Usage,
};

pub use callback::{CALLBACK_TAKEN, Callback};
pub use dead::{MAX_ATTEMPTS_BEFORE_RETRY, Retriable, Retried};
pub use deployment::{Deployment, Functions, NewDeployment};
pub use error::{Result, Reused, StoreError};
pub use given::Given;
pub use list::{JobFilter, JobPage, MAX_TEXT_BYTES, SEARCHED_BYTES, SearchText};
pub use metered::Metered;
pub(crate) use model::too_many_models;
pub use model::{MAX_MODEL_VERSIONS, MAX_MODELS, MAX_MODELS_BYTES, Model, Models, NewModel};
pub use news::{News, Report, Watch};
pub use parking::{Outcome, Parked};
pub use queue::{MAX_NAMESPACES_SEEN, Overview, QueueStatus, Standing};
pub use transfer::{MAX_PARCELS_BYTES, Origin, Parcel, mover};
pub use url::StoreUrl;

/// How long a token may still count on other hosts once it was revoked: what whoever
/// revokes one waits for without thinking of it.
pub const TOKENS_FRESH: Duration = Duration::from_secs(1);

/// What [`Store::lease`] is, unless a test cannot wait.
pub const LEASE: Duration = Duration::from_secs(30);

/// How long callers leave a store alone that has just failed, before they ask again:
/// one that is started anew is soon found, and one that is away is not kept busy.
pub(crate) const STORE_PAUSE: Duration = Duration::from_millis(500);

/// A host incarnation's right to the jobs it holds: one start of a process.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Lease {
    /// Tells this incarnation from every other, past and future.
    pub incarnation: Uuid,
}

/// The right to decide one attempt of one job. A completion whose token is no
/// longer held by the lease is refused.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Token {
    /// Whose job it is.
    pub namespace: Namespace,
    /// The job.
    pub id: JobId,
    /// The attempt, from 1.
    pub attempt: u32,
}

/// A job that a host has taken.
#[derive(Clone, Debug)]
pub struct Claim {
    /// The right to decide it.
    pub token: Token,
    /// The job, as it was accepted.
    pub job: Arc<NewJob>,
    /// When it was accepted, in ms since the Unix epoch.
    pub posted_at_ms: u64,
    /// When it was taken, in ms since the Unix epoch.
    pub claimed_at_ms: u64,
    /// What its earlier attempts have stored of data, in bytes
    /// ([`Usage::new_data_bytes`]).
    pub data_bytes: u64,
}

/// How an attempt ended.
#[derive(Clone, Debug)]
pub enum Verdict {
    /// The job succeeded.
    Completed(Output),
    /// The job goes to the dead letter; or it is cancelled, if somebody wants that.
    Failed(Cause),
    /// The job is due again after `delay_ms`.
    Retry {
        /// Why this attempt did not succeed.
        cause: Cause,
        /// The pause, in ms.
        delay_ms: u64,
    },
    /// The host gives the job back unrun, to its place in the queue; the attempt
    /// does not count.
    Release {
        /// The pause before it may be taken again, in ms.
        delay_ms: u64,
    },
    /// The job stopped because somebody cancelled it.
    Cancelled,
}

/// The end of an attempt.
#[derive(Clone, Debug)]
pub struct Completion {
    /// Which attempt.
    pub token: Token,
    /// How it ended.
    pub verdict: Verdict,
    /// When the attempt began, in ms since the Unix epoch.
    pub started_at_ms: u64,
    /// When it ended, in ms since the Unix epoch.
    pub ended_at_ms: u64,
    /// What it used.
    pub usage: Usage,
    /// The limits that held, if it ran.
    pub limits: Option<Limits>,
    /// The component of each function that it ran, in order.
    pub components: Vec<Digest>,
    /// What the guest logged; replaces the log of an earlier attempt, unless the
    /// job is released and this is empty.
    pub log: Vec<LogLine>,
}

impl Completion {
    /// What the attempt counts of its namespace's share, in µs; nothing if it did not
    /// run or was given back.
    fn charged_us(&self) -> Option<u64> {
        let is_released = matches!(self.verdict, Verdict::Release { .. });
        Some(self.usage.slot_us()).filter(|us| *us > 0 && !is_released)
    }
}

/// One round trip of a host: what has ended, and how much it wants to take.
#[derive(Clone, Debug)]
pub struct Step {
    /// Counted from 1 for each lease, upward.
    pub number: u64,
    /// The ends of attempts.
    pub done: Vec<Completion>,
    /// How many jobs to take at most.
    pub want: usize,
    /// Whether as many as were wanted and not there may be [given](Store::given) to the
    /// host as they come, until its next step.
    pub stands: bool,
    /// How many were given to the lease so far that the host has.
    pub had: u64,
}

/// The answer of [`Store::cycle`].
#[derive(Clone, Debug, Default)]
pub struct Cycle {
    /// Jobs taken for this host.
    pub claimed: Vec<Claim>,
    /// Jobs [given](Store::given) to this host that it did not have when it made the step.
    pub given: Given,
    /// Completions that did not count, since the lease no longer held their job.
    pub refused: Vec<Token>,
    /// Jobs of this host that somebody wants stopped.
    pub cancelled: Vec<Token>,
}

/// What came of a wish to cancel.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cancelled {
    /// No such job.
    Unknown,
    /// It had ended before.
    HadEnded,
    /// It waited, and will not run.
    Done,
    /// It runs, and its host has been told; or a mover holds it.
    Requested,
}

/// What an attempt has logged.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct AttemptLog {
    /// The attempt, from 1; 0 if there was none.
    pub attempt: u32,
    /// Its lines.
    pub lines: Vec<LogLine>,
}

/// Where jobs, data, components, models and deployments live.
///
/// # Invariants
///
/// 1. What a call has accepted survives `kill -9` of any process, and what
///    [`submit`](Store::submit), [`cycle`](Store::cycle) (completions),
///    [`cancel`](Store::cancel), [`put_data`](Store::put_data),
///    [`put_blob`](Store::put_blob), the calls that deploy functions or models, and those
///    that administer a queue, move jobs or change access tokens have accepted also
///    survives a loss of power.
/// 2. A job has exactly one outcome: a completion counts only while its lease
///    holds its token.
/// 3. Within a namespace, jobs are taken by priority, then in the order of their
///    acceptance; every [`CLAIMS_PER_YIELD`]th claim takes the lowest waiting
///    priority first, so that none starves. Between namespaces the next claim is of
///    the one that has used the least of the slots since it came (`docs/adr/0009`).
/// 4. An attempt counts when the job is taken.
/// 5. A job that names no function is not taken while its namespace has none; no
///    job is taken while its namespace is paused, or while a mover holds it.
/// 6. No claim exceeds a cap: of a namespace ([`set_concurrency`](Store::set_concurrency))
///    on its jobs that run, or of a function (its newest deployment) on the jobs that
///    run and name it, or name none. Parked jobs do not count, so that one that goes on
///    may exceed a cap until another ends. What a cap holds up waits in its order, and
///    what is behind it goes on.
/// 7. Every call may be dropped before it is done; the store stays whole.
#[async_trait]
pub trait Store: Send + Sync + 'static {
    /// How long a host may be silent before its jobs are given to others.
    fn lease(&self) -> Duration {
        LEASE
    }

    /// Accepts jobs, in order, all or none, and answers their ids. A job whose
    /// idempotency key is taken answers the id that has it and adds nothing; so does a
    /// child whose parent has posted one with its key before.
    ///
    /// An idempotency key is one of a job: of its functions and its message, whatever its
    /// other options. A post under the key of another job is refused, and with it the call
    /// ([`KeyReused`](StoreError::KeyReused)), unless nothing of that job can be read.
    ///
    /// The jobs of one call have the same parent, or none. If that has ended, is to
    /// stop or is unknown, the answer is [`ParentOver`](StoreError::ParentOver):
    /// whoever stops a job and then its children has missed none. A job that had the
    /// idempotency key of a child before is no child.
    ///
    /// They are of the same tree, too, if of any ([`NewJob::root`]), whose jobs are counted:
    /// its root is one, and so is each that was ever added, also if it was deleted since.
    /// If they were to become more than [`NewJob::tree_jobs`], the answer is
    /// [`TreeFull`](StoreError::TreeFull). What is not added is not counted.
    async fn submit(&self, namespace: &Namespace, jobs: Vec<NewJob>) -> Result<Vec<JobId>>;

    /// Begins a host incarnation.
    async fn register(&self) -> Result<Lease>;

    /// Renews the lease on all jobs that the host holds.
    async fn renew(&self, lease: Lease) -> Result<()>;

    /// Records the ends of attempts and takes waiting jobs, at once.
    ///
    /// A host that got no answer repeats the step, unchanged, until it gets one: a
    /// step that was carried out is not carried out again, but answered as it was,
    /// so that no claim is lost with an answer. A step older than the last one does
    /// nothing.
    async fn cycle(&self, lease: Lease, step: Arc<Step>) -> Result<Cycle>;

    /// Resolves when a [`cycle`](Store::cycle) that wants `want` jobs may find
    /// something: a waiting job, unless `want` is 0, or a wish to cancel. It may
    /// resolve for nothing; it never misses anything that happened since the last
    /// cycle.
    async fn wake(&self, lease: Lease, want: usize) -> Result<()>;

    /// Resolves with jobs that were given to the host since its last step: it takes them as
    /// if a step had claimed them. A store need not give all that it could: what it does not
    /// give waits for a step.
    ///
    /// `had` is how many were given to the lease before, and reached the host. The others
    /// come again, here and with every step, so that none is lost with an answer.
    async fn given(&self, lease: Lease, had: u64) -> Result<Given>;

    /// Gives the jobs of hosts whose lease has run out to others; answers how
    /// many.
    async fn reap(&self) -> Result<usize>;

    /// Notes what running jobs say; what the lease no longer holds is ignored. Not
    /// durable: a lost host's jobs start again anyway.
    async fn report(&self, lease: Lease, reports: Vec<(Token, Report)>) -> Result<()>;

    /// Notes that a running job waits for others, unless they have all ended or the
    /// wait could not end. Not durable: a lost host's jobs start again anyway. May be
    /// called again; the last call counts. An attempt that the lease no longer holds
    /// may wait, and is not parked.
    async fn park(&self, lease: Lease, token: &Token, awaited: &[JobId]) -> Result<Parked>;

    /// Notes that a parked job goes on, which its record and the search for cycles may
    /// show a moment later if all that it waited for has ended.
    async fn unpark(&self, lease: Lease, token: &Token) -> Result<()>;

    /// Stops a job. For one that a mover holds the wish is kept until it is
    /// released, since it may be in the other store already.
    async fn cancel(&self, namespace: &Namespace, id: JobId) -> Result<Cancelled>;

    /// A job's record.
    async fn job(&self, namespace: &Namespace, id: JobId) -> Result<Option<JobRecord>>;

    /// What became of jobs, in the order asked: of as many as have results of
    /// `max_bytes` together (short ones do not count), but at least of the first.
    async fn outcomes(
        &self,
        namespace: &Namespace,
        ids: &[JobId],
        max_bytes: u64,
    ) -> Result<Vec<Outcome>>;

    /// What became of one job.
    async fn outcome(&self, namespace: &Namespace, id: JobId) -> Result<Outcome> {
        let outcomes = self.outcomes(namespace, &[id], u64::MAX).await?;
        Ok(outcomes.into_iter().next().unwrap_or(Outcome::Unknown))
    }

    /// The jobs that a job has posted, after an id, in the order of their ids, up to
    /// `want`.
    async fn children(
        &self,
        namespace: &Namespace,
        id: JobId,
        after: JobId,
        want: usize,
    ) -> Result<Vec<JobId>>;

    /// Jobs that fit a filter, from the newest to the oldest by id, of those below an id if
    /// one is given: up to `want`, and fewer where a page would cost the store more than
    /// some milliseconds, so that it may be empty and still have a `next`.
    ///
    /// A page is of one instant. Who goes on from `next` until there is none is given no
    /// job twice, and misses none that fits all the while. A job that cannot be read is
    /// left out.
    async fn list(
        &self,
        namespace: &Namespace,
        filter: &Arc<JobFilter>,
        before: Option<JobId>,
        want: usize,
    ) -> Result<JobPage>;

    /// Lets jobs run again that ended without success, each by itself; answers what came of
    /// each, in the order asked. Such a job waits at its place in the queue. It keeps the
    /// attempts that it has behind it and goes on counting them, so that no token comes
    /// twice, and may take as many more as its poster gave it. It leaves the total of those
    /// that failed or were cancelled, and its callback is called anew at its new end.
    async fn retry(
        &self,
        namespace: &Namespace,
        ids: &[JobId],
        which: Retriable,
    ) -> Result<Vec<Retried>>;

    /// Deletes jobs of the dead letter, with all that is kept of them and their idempotency
    /// keys; answers how many. Others are left as they are, and so is a child of a job that
    /// goes on, since that may ask what became of it. The totals are of what happened, and
    /// stay. No id is given again.
    async fn forget(&self, namespace: &Namespace, ids: &[JobId]) -> Result<usize>;

    /// What a job has logged: in the attempt that runs, as far as it was reported; else
    /// in the last one that ended.
    async fn log(&self, namespace: &Namespace, id: JobId) -> Result<AttemptLog>;

    /// Begins to watch a job. What happens from now on is told within 100 ms.
    async fn watch(&self, namespace: &Namespace, id: JobId) -> Result<Watch>;

    /// Resolves once the job has ended; at once if it has, or is unknown. It may do so early
    /// for a job that was let run again a moment ago: the news of its last end may be late.
    async fn ended(&self, namespace: &Namespace, id: JobId) -> Result<()>;

    /// Takes callbacks of jobs that have ended and that are due, up to `want`: for
    /// [`CALLBACK_TAKEN`], nobody else gets them.
    async fn take_callbacks(&self, want: usize) -> Result<Vec<Callback>>;

    /// Notes one try of a callback on the job's record, and when to try again, in ms
    /// from now, or never. A try of a callback that somebody else has taken meanwhile
    /// (`number` is not the newest) is not noted.
    async fn called_back(
        &self,
        callback: &Callback,
        delivery: Delivery,
        again_in_ms: Option<u64>,
    ) -> Result<()>;

    /// Resolves when [`take_callbacks`](Store::take_callbacks) may find something. It
    /// may resolve for nothing.
    async fn callback_due(&self) -> Result<()>;

    /// Stores data under a key, over what was there; `expires_at_ms` is in ms
    /// since the Unix epoch.
    async fn put_data(
        &self,
        namespace: &Namespace,
        key: &str,
        data: Bytes,
        expires_at_ms: Option<u64>,
    ) -> Result<()>;

    /// The data under a key.
    async fn data(&self, namespace: &Namespace, key: &str) -> Result<Option<Bytes>>;

    /// Stores content under its digest: a component, or a model. Storing it twice is storing
    /// it once, and mends what was damaged. It is there all at once, at the end. Unless a
    /// function or model names it within the hour it is dropped.
    ///
    /// Large content is written in parts, between which the store does other work. What is
    /// left of a call that was cut off is used by the next, or dropped.
    async fn put_blob(&self, digest: Digest, bytes: Bytes) -> Result<()>;

    /// The content under a digest, which it is checked against:
    /// [`Unreadable`](StoreError::Unreadable) if it is damaged.
    async fn blob(&self, digest: Digest) -> Result<Option<Bytes>>;

    /// Makes a model the newest version of its name, at once for all who look: they find
    /// this version or the one before. Of older versions [`MAX_MODEL_VERSIONS`] are kept,
    /// with the new one.
    ///
    /// Its content has to be there ([`NoBlob`](StoreError::NoBlob)), and the namespace must
    /// have room ([`TooManyModels`](StoreError::TooManyModels)).
    async fn put_model(&self, namespace: &Namespace, model: NewModel) -> Result<Arc<Model>>;

    /// Removes a model with all its versions, and their content after an hour unless another
    /// model names it; answers whether it was there. A model of that name that comes later
    /// goes on with the versions.
    async fn remove_model(&self, namespace: &Namespace, name: &ModelName) -> Result<bool>;

    /// The models of a namespace. What another host has just changed may take up to a
    /// second to show. Asked for with each inference, so that it must cost nothing most of
    /// the time.
    async fn models(&self, namespace: &Namespace) -> Result<Arc<Models>>;

    /// The models of a namespace at this moment, whatever it costs to look.
    async fn models_now(&self, namespace: &Namespace) -> Result<Arc<Models>> {
        self.models(namespace).await
    }

    /// The versions of a model that are kept, from the newest to the oldest.
    async fn model_versions(
        &self,
        namespace: &Namespace,
        name: &ModelName,
    ) -> Result<Vec<Arc<Model>>>;

    /// Binds functions to components, all or none; each becomes the newest
    /// version of its name.
    async fn deploy(
        &self,
        namespace: &Namespace,
        functions: Vec<NewDeployment>,
    ) -> Result<Vec<Arc<Deployment>>>;

    /// Unbinds functions, all or none; answers how many were bound.
    async fn undeploy(&self, namespace: &Namespace, functions: &[FunctionName]) -> Result<usize>;

    /// The functions of a namespace. What another host has just changed may take a
    /// moment to show; what a claimed job needs is there.
    async fn functions(&self, namespace: &Namespace) -> Result<Arc<Functions>>;

    /// The functions of a namespace at this moment, whatever it costs to look.
    async fn functions_now(&self, namespace: &Namespace) -> Result<Arc<Functions>> {
        self.functions(namespace).await
    }

    /// The versions of a function before one, or all, from the newest to the oldest, up to
    /// `want`; those of a function that is bound no more, too.
    async fn versions(
        &self,
        namespace: &Namespace,
        function: &FunctionName,
        before: Option<u32>,
        want: usize,
    ) -> Result<Vec<Arc<Deployment>>>;

    /// How the namespace's queue stands: numbers of one instant.
    async fn status(&self, namespace: &Namespace) -> Result<QueueStatus>;

    /// How all queues stand, for whoever watches over the store: a bounded amount of
    /// work, and not of one instant.
    async fn overview(&self) -> Result<Overview>;

    /// Pauses a namespace or resumes it. While it is paused its jobs are accepted
    /// and wait; those that run go on. To resume wakes sleeping hosts.
    async fn pause(&self, namespace: &Namespace, paused: bool) -> Result<()>;

    /// Lets at most so many jobs of a namespace run at once, on all hosts together, or
    /// as many as like. Jobs that run go on. To widen it wakes sleeping hosts.
    async fn set_concurrency(&self, namespace: &Namespace, limit: Option<NonZeroU32>)
    -> Result<()>;

    /// Takes all running jobs from their hosts, to their places in the queue, and
    /// the jobs that movers hold; answers how many. For hosts and moves that a
    /// person knows to be gone: the job of a host that still runs it will run
    /// twice, and one that was delivered will run here too.
    ///
    /// The attempts of running jobs count and have a cause of the kind `released`.
    /// Where they were the last, one more is granted. A job that somebody wants
    /// stopped ends as cancelled.
    async fn release(&self, namespace: &Namespace) -> Result<usize>;

    /// Starts the totals again at 0.
    async fn rezero(&self, namespace: &Namespace) -> Result<()>;

    /// Deletes all jobs that wait when it is called, with their records and
    /// idempotency keys, and starts the totals again at 0; answers how many. Those
    /// that run, are being moved or have ended stay. No id is given again, and a parent
    /// that posts a deleted child once more gets its id: it stays deleted. If it
    /// is cut off, some are gone and the rest waits.
    async fn purge(&self, namespace: &Namespace) -> Result<usize>;

    /// Tells this store from every other; made with it, and the same for ever.
    async fn store_id(&self) -> Result<Uuid>;

    /// Holds waiting jobs for a move: first those that `mover` holds from before,
    /// then others that no mover holds, each by their ids, up to `want` in all and
    /// [`MAX_PARCELS_BYTES`], but at least one if there is any; answers them in
    /// the order of their ids. What is held has no lease and does not end with the
    /// process: it is not taken until it is let go or released, and its record
    /// says `scheduled` with no time.
    async fn hold(&self, namespace: &Namespace, mover: Uuid, want: usize) -> Result<Vec<Parcel>>;

    /// Ends jobs that `mover` holds, as cancelled with a cause of the kind `moved`
    /// and this text; answers how many. Others are left as they are.
    async fn let_go(
        &self,
        namespace: &Namespace,
        mover: Uuid,
        moved: Vec<(JobId, String)>,
    ) -> Result<usize>;

    /// Waiting jobs after an id, in the order of their ids, up to `want` and
    /// [`MAX_PARCELS_BYTES`], but at least one if there is any. What a mover holds
    /// is left out.
    async fn peek(&self, namespace: &Namespace, after: JobId, want: usize) -> Result<Vec<Parcel>>;

    /// Accepts jobs of another store, in order, all or none, and answers their ids
    /// here. One whose origin was delivered to this namespace before, also if it
    /// has ended or was purged since, answers the id that it got, and adds
    /// nothing; so does one whose idempotency key is taken. Past attempts count.
    async fn deliver(&self, namespace: &Namespace, parcels: Vec<Parcel>) -> Result<Vec<JobId>>;

    /// Keeps an access token, over one of the same id; answers whether there was room:
    /// [`MAX_TOKENS`](crate::access::MAX_TOKENS) count where it counts. Those that have
    /// expired make room.
    async fn put_token(&self, token: &StoredToken) -> Result<bool>;

    /// Forgets an access token; answers whether it was there.
    async fn revoke_token(&self, id: TokenId) -> Result<bool>;

    /// All access tokens, as they were at most [`TOKENS_FRESH`] ago; as they are now if
    /// only this process changes them. Asked for with each request, so that it must
    /// cost nothing most of the time.
    async fn tokens(&self) -> Result<Arc<AccessTokens>>;

    /// All access tokens as they are now. Strangers can have it asked as often as they
    /// like, so that a store which must look far is asked a bounded number of times a
    /// second.
    async fn tokens_now(&self) -> Result<Arc<AccessTokens>> {
        self.tokens().await
    }

    /// Drops what has expired, a bounded amount; answers how much. A caller
    /// repeats it until it answers 0.
    async fn sweep(&self) -> Result<usize>;
}

/// See invariant 3 of [`Store`]. One in eight keeps the delay of urgent jobs
/// small and still drains the rest.
pub const CLAIMS_PER_YIELD: u64 = 8;
