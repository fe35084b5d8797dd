//! The thread that writes: it takes all calls that wait, applies them as one
//! transaction, commits, and only then answers.
//!
//! While one group is being written to disk the next one gathers, so that the
//! price of an fsync is shared by as many calls as come in meanwhile, without a
//! timer and without a delay for a call that comes alone.

use std::sync::Arc;
use std::sync::mpsc::{Receiver, TryRecvError};
use std::time::{Duration, Instant};

use rusqlite::Connection;
use tokio::sync::oneshot;

use crate::store::{Result, StoreError};

use super::shared::Shared;
use super::writer::Writer;

/// The most calls in one transaction. A group that fails is tried again call by
/// call, and a group's first call waits for its last.
const MAX_GROUP: usize = 512;

/// How long to look for the next call before sleeping. The calls of one job come one
/// after the other, and to be woken for each takes longer than they do.
const LOOKS_FOR: Duration = Duration::from_micros(50);

/// A call that writes.
pub(super) trait Action: Send + 'static {
    /// What the caller gets.
    type Answer: Send + 'static;

    /// Whether what it accepts must survive a loss of power, not only of the
    /// process.
    fn is_durable(&self) -> bool {
        true
    }

    /// Does it, within the writer's transaction. May be called again after the
    /// transaction was rolled back.
    fn apply(&self, writer: &mut Writer) -> Result<Self::Answer>;
}

/// An action on its way, whatever its answer.
pub(super) trait Call: Send {
    /// See [`Action::is_durable`].
    fn is_durable(&self) -> bool;
    /// Applies the action and keeps its answer; an error if the transaction must
    /// be rolled back.
    fn apply(&mut self, writer: &mut Writer) -> Result<()>;
    /// Looks at what was committed, and keeps that as its answer.
    fn look(&mut self, _db: &Connection) {}
    /// Answers the caller.
    fn answer(self: Box<Self>, error: Option<StoreError>);
}

struct Pending<A: Action> {
    action: A,
    kept: Option<Result<A::Answer>>,
    caller: oneshot::Sender<Result<A::Answer>>,
}

impl<A: Action> Call for Pending<A> {
    fn is_durable(&self) -> bool {
        self.action.is_durable()
    }

    fn apply(&mut self, writer: &mut Writer) -> Result<()> {
        match self.action.apply(writer) {
            // It is refused before anything was changed.
            Err(
                error @ (StoreError::LeaseLost
                | StoreError::ParentOver(_)
                | StoreError::TreeFull { .. }
                | StoreError::KeyReused(_)
                | StoreError::TooManyModels(_)
                | StoreError::NoBlob(_)),
            ) => {
                self.kept = Some(Err(error));
            }
            Ok(answer) => self.kept = Some(Ok(answer)),
            Err(error) => return Err(error),
        }
        Ok(())
    }

    fn answer(self: Box<Self>, error: Option<StoreError>) {
        answer(self.caller, self.kept, error);
    }
}

/// An action and where its answer will come.
pub(super) fn call<A: Action>(action: A) -> (Box<dyn Call>, oneshot::Receiver<Result<A::Answer>>) {
    let (caller, answer) = oneshot::channel();
    (
        Box::new(Pending {
            action,
            kept: None,
            caller,
        }),
        answer,
    )
}

/// A look at the database between two transactions, for a store that nobody else can read.
struct Look<T, F> {
    look: Option<F>,
    kept: Option<Result<T>>,
    caller: oneshot::Sender<Result<T>>,
}

impl<T: Send, F: FnOnce(&Connection) -> Result<T> + Send> Call for Look<T, F> {
    fn is_durable(&self) -> bool {
        false
    }

    fn apply(&mut self, _writer: &mut Writer) -> Result<()> {
        Ok(())
    }

    fn look(&mut self, db: &Connection) {
        if let Some(look) = self.look.take() {
            self.kept = Some(look(db));
        }
    }

    fn answer(self: Box<Self>, error: Option<StoreError>) {
        answer(self.caller, self.kept, error);
    }
}

/// A look at the database on its way, and where its answer will come.
pub(super) fn look<T: Send + 'static>(
    look: impl FnOnce(&Connection) -> Result<T> + Send + 'static,
) -> (Box<dyn Call>, oneshot::Receiver<Result<T>>) {
    let (caller, answer) = oneshot::channel();
    let look = Look {
        look: Some(look),
        kept: None,
        caller,
    };
    (Box::new(look), answer)
}

fn answer<T>(
    caller: oneshot::Sender<Result<T>>,
    kept: Option<Result<T>>,
    error: Option<StoreError>,
) {
    let never = || {
        Err(StoreError::Unavailable(
            "the call was not carried out".into(),
        ))
    };
    let answer = error.map(Err).or(kept).unwrap_or_else(never);
    // A caller that has gone away does not want to know.
    let _ = caller.send(answer);
}

/// Runs until all senders are gone.
pub(super) fn run(mut writer: Writer, calls: &Receiver<Box<dyn Call>>, shared: Arc<Shared>) {
    // Also when this thread panics, nobody shall wait for ever.
    let _close = CloseOnDrop(shared);
    let mut group = Vec::new();
    while let Some(first) = next(calls) {
        group.push(first);
        group.extend(calls.try_iter().take(MAX_GROUP - 1));
        commit(&mut writer, std::mem::take(&mut group));
    }
}

/// The next call; none when all senders are gone.
fn next(calls: &Receiver<Box<dyn Call>>) -> Option<Box<dyn Call>> {
    let sleep_at = Instant::now() + LOOKS_FOR;
    loop {
        match calls.try_recv() {
            Ok(call) => return Some(call),
            Err(TryRecvError::Disconnected) => return None,
            Err(TryRecvError::Empty) if Instant::now() < sleep_at => std::hint::spin_loop(),
            Err(TryRecvError::Empty) => return calls.recv().ok(),
        }
    }
}

fn commit(writer: &mut Writer, mut group: Vec<Box<dyn Call>>) {
    let Err(error) = writer.transact(&mut group) else {
        group.iter_mut().for_each(|call| call.look(&writer.db));
        return group.into_iter().for_each(|call| call.answer(None));
    };
    writer.restore();
    if group.len() > 1 {
        // One call's fault shall not be its neighbours'.
        return group
            .into_iter()
            .for_each(|call| commit(writer, vec![call]));
    }
    tracing::warn!(%error, "the store could not carry out a call");
    // Nobody shall see what was undone. If this fails, the next call tries again.
    if let Err(error) = writer.transact(&mut []) {
        writer.restore();
        tracing::error!(%error, "the store cannot be read back");
    }
    let mut error = Some(error);
    group.into_iter().for_each(|call| call.answer(error.take()));
}

struct CloseOnDrop(Arc<Shared>);

impl Drop for CloseOnDrop {
    fn drop(&mut self) {
        self.0.close();
    }
}
