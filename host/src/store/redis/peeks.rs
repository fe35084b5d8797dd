//! Looks at jobs that somebody waits for, and notes of running jobs that wait. Those that
//! meet on their way to Redis go there together: see [`bundle`](super::bundle).

use std::sync::Arc;

use redis::Cmd;
use tokio::sync::oneshot;
use uuid::Uuid;

use crate::job::{JobId, Namespace};
use crate::store::{Result, StoreError};

use super::bundle::{Bundled, Bundles, Trip};
use super::link::{Link, same};
use super::reply::Reply;
use super::script;

/// How many jobs one call looks at: a millisecond of Redis's time, or three where those
/// that have ended lie among others.
pub(super) const LOOKED_AT: usize = 1_000;

/// A look at more jobs goes alone: a call already costs little beside them.
const SMALL: usize = 16;

/// The most looks of one call, so that it looks at [`LOOKED_AT`] jobs about.
const MOST_PEEKS: usize = 64;

/// A running job that waits for those that are looked at.
pub(super) struct Note {
    pub(super) incarnation: Uuid,
    pub(super) id: JobId,
    pub(super) attempt: u32,
    /// The number of the wait.
    pub(super) number: u64,
    /// Whether the wait begins; if not, it waits for these as well.
    pub(super) begins: bool,
}

/// A look at a few jobs of a namespace.
pub(super) struct Peek {
    pub(super) namespace: Namespace,
    pub(super) ids: Vec<u64>,
    /// Who waits for them, to be noted if it must.
    pub(super) note: Option<Note>,
    /// How many bytes of what the parked ones wait for are wanted.
    pub(super) waits_bytes: Option<usize>,
}

/// What a look at jobs has found.
pub(super) struct Peeked {
    /// Those that have ended or are unknown.
    pub(super) over: Vec<u64>,
    /// The parked ones, and what each waits for.
    pub(super) parked: Vec<(u64, String)>,
    /// Parked ones that are to be looked at again.
    pub(super) later: Vec<u64>,
}

/// A look that waits for its turn.
pub(super) struct Waiting {
    peek: Peek,
    answer: oneshot::Sender<Result<Peeked>>,
}

/// See the module.
pub(super) struct Peeks {
    link: Arc<Link>,
    waiting: Bundles<(), Waiting>,
}

impl Peeks {
    /// Nothing is under way.
    pub(super) fn new(link: Arc<Link>) -> Self {
        Self {
            link,
            waiting: Bundles::default(),
        }
    }

    /// Looks, with others if there are any, and after all that came before. The next ones wait
    /// until this one has been polled to its end, or dropped, which a guest's call always is.
    ///
    /// # Errors
    ///
    /// That the lease is lost, if the job of a note was taken from its host.
    pub(super) async fn peek(self: &Arc<Self>, peek: Peek) -> Result<Peeked> {
        if peek.ids.len() > SMALL {
            return self.peek_alone(&peek).await;
        }
        let (answer, answered) = oneshot::channel();
        if let Some(first) = self.waiting.enter(&(), Waiting { peek, answer }) {
            let _trip = Trip::new(self, &());
            return self.peek_alone(&first.peek).await;
        }
        let gone = |_| StoreError::Unavailable("skep gave up a look on its way".to_owned());
        answered.await.map_err(gone)?
    }

    /// Looks at once, for whoever may leave it unpolled, as a stream to a slow client does.
    pub(super) async fn peek_alone(&self, peek: &Peek) -> Result<Peeked> {
        let mut command = self.link.command(script::PARK);
        peek.add_to(&mut command);
        Peeked::read(self.ask(&command).await?.list()?)
    }

    async fn ask(&self, command: &Cmd) -> Result<Reply> {
        Reply::new(self.link.run(script::PARK, command).await?)
    }
}

impl Bundled for Peeks {
    type Key = ();
    type Call = Waiting;

    fn bundles(&self) -> &Bundles<(), Waiting> {
        &self.waiting
    }

    fn link(&self) -> &Link {
        &self.link
    }

    fn how_many(_calls: &[Waiting]) -> usize {
        MOST_PEEKS
    }

    async fn send(&self, (): &(), calls: Vec<Waiting>) {
        let mut command = self.link.command(script::PARK);
        for call in &calls {
            call.peek.add_to(&mut command);
        }
        let mut answers = self.ask(&command).await;
        for call in calls {
            let told = match &mut answers {
                Ok(answers) => answers.list().and_then(Peeked::read),
                Err(error) => Err(same(error)),
            };
            // Whoever does not wait any more does not want to know.
            drop(call.answer.send(told));
        }
    }
}

impl Peek {
    fn add_to(&self, command: &mut Cmd) {
        match &self.note {
            Some(note) => command
                .arg(note.incarnation.to_string())
                .arg(self.namespace.as_str())
                .arg(note.id.0)
                .arg(note.attempt)
                .arg(note.number)
                .arg(u8::from(note.begins)),
            None => command
                .arg("")
                .arg(self.namespace.as_str())
                .arg(&[""; 4][..]),
        };
        match self.waits_bytes {
            Some(bytes) => command.arg(bytes),
            None => command.arg(""),
        };
        command.arg(self.ids.len()).arg(&self.ids);
    }
}

impl Peeked {
    fn read(mut answer: Reply) -> Result<Self> {
        if answer.is_empty() {
            // It was taken from us, and we have not heard of it yet.
            return Err(StoreError::LeaseLost);
        }
        let over = numbers(answer.list()?)?;
        let mut list = answer.list()?;
        let mut parked = Vec::new();
        while !list.is_empty() {
            parked.push((list.number()?, list.text()?));
        }
        let later = numbers(answer.list()?)?;
        Ok(Self {
            over,
            parked,
            later,
        })
    }
}

fn numbers(mut list: Reply) -> Result<Vec<u64>> {
    let mut numbers = Vec::new();
    while !list.is_empty() {
        numbers.push(list.number()?);
    }
    Ok(numbers)
}
