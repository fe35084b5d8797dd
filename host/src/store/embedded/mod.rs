//! The built-in store: a directory with an SQLite database, and one thread that
//! writes (`docs/adr/0001`).
//!
//! A call that writes goes to the [`committer`], which applies all calls that
//! wait as one transaction and answers once it is committed. A call that reads
//! goes to the database directly, and to [`shared`] for what is running. What
//! waits is in the [`index`]: a few bytes per job, in the order of the queue.

mod administer;
mod again;
mod blobs;
mod bodies;
mod callbacks;
mod cancel;
mod checkpoint;
mod children;
mod claim;
mod committer;
mod complete;
mod data;
mod deploy;
mod discard;
mod ending;
mod gates;
mod ids;
mod index;
mod key;
mod keys;
mod lease;
mod list;
mod load;
mod models;
mod outcomes;
mod parking;
mod queue;
mod read;
mod readers;
mod report;
mod schema;
mod shared;
mod store;
mod submit;
mod tokens;
mod transfer;
mod trees;
mod writer;

use std::fs::{File, TryLockError};
use std::path::Path;
use std::sync::{Arc, mpsc};
use std::thread::JoinHandle;
use std::time::Duration;

use rusqlite::Connection;
use uuid::Uuid;

use crate::directory::create_private;
use crate::store::{CALLBACK_TAKEN, LEASE, Result, StoreError};

use committer::{Action, Call};
use readers::Readers;
use shared::Shared;
use writer::Writer;

/// How to open an [`EmbeddedStore`].
#[derive(Clone, Copy, Debug)]
pub struct Options {
    lease: Duration,
    callback_taken: Duration,
    max_bytes: Option<u64>,
}

impl Options {
    /// How long a host may be silent before its jobs are given to others:
    /// [`LEASE`], unless a test cannot wait.
    #[must_use]
    pub fn lease(mut self, lease: Duration) -> Self {
        self.lease = lease;
        self
    }

    /// How long a host has a callback that it took for itself: [`CALLBACK_TAKEN`],
    /// unless a test cannot wait.
    #[must_use]
    pub fn callback_taken(mut self, taken: Duration) -> Self {
        self.callback_taken = taken;
        self
    }

    /// How large the database may grow, in bytes, before the store is full; as
    /// large as the disk, unless said otherwise.
    #[must_use]
    pub fn max_bytes(mut self, bytes: u64) -> Self {
        self.max_bytes = Some(bytes);
        self
    }

    /// Opens the store in a directory, which is made if it is not there. Blocks
    /// until the jobs of an earlier process are given back.
    ///
    /// # Errors
    ///
    /// `InUse` if another process has it open, `Unreadable` if it is damaged or
    /// from a newer skep (it is left as it is), else `Unavailable` or `Full`.
    pub fn open(self, directory: &Path) -> Result<EmbeddedStore> {
        let unavailable = |doing: &str, error: std::io::Error| {
            let directory = directory.display();
            StoreError::Unavailable(format!("cannot {doing} the directory {directory}: {error}"))
        };
        create_private(directory).map_err(|error| unavailable("create", error))?;
        let lock =
            File::create(directory.join("lock")).map_err(|error| unavailable("write to", error))?;
        match lock.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                return Err(StoreError::InUse(directory.display().to_string()));
            }
            Err(TryLockError::Error(error)) => return Err(unavailable("lock", error)),
        }
        let mut db = schema::open_writer(directory, self.max_bytes)?;
        let checkpointer = checkpoint::start(&mut db, directory)?;
        let mut store = self.start(db)?;
        store.checkpointer = Some(checkpointer);
        store.readers = Readers::of(directory.to_owned());
        store._lock = Some(lock);
        Ok(store)
    }

    /// Makes a store in memory, which is gone with the process.
    ///
    /// # Errors
    ///
    /// `Unavailable` if there is no thread or memory to be had.
    pub fn in_memory(self) -> Result<EmbeddedStore> {
        self.start(schema::open_in_memory()?)
    }

    /// A store on a database, which only its writer reads.
    fn start(self, db: Connection) -> Result<EmbeddedStore> {
        let shared = Arc::new(Shared::default());
        let id = schema::store_id(&db)?;
        let writer = Writer::new(db, shared.clone(), self.lease, self.callback_taken)?;
        let (calls, queue) = mpsc::channel();
        let committer = std::thread::Builder::new()
            .name("skep-store".into())
            .spawn({
                let shared = shared.clone();
                move || committer::run(writer, &queue, shared)
            })
            .map_err(|error| StoreError::Unavailable(format!("cannot start a thread: {error}")))?;
        Ok(EmbeddedStore {
            id,
            lease: self.lease,
            readers: Readers::Writer(Some(calls.clone())),
            calls: Some(calls),
            committer: Some(committer),
            checkpointer: None,
            shared,
            _lock: None,
        })
    }
}

/// A store in a directory of this machine, or in its memory, for one process.
pub struct EmbeddedStore {
    id: Uuid,
    lease: Duration,
    calls: Option<mpsc::Sender<Box<dyn Call>>>,
    committer: Option<JoinHandle<()>>,
    checkpointer: Option<JoinHandle<()>>,
    readers: Readers,
    shared: Arc<Shared>,
    /// Held as long as the store is open; the kernel lets go of it when the
    /// process dies.
    _lock: Option<File>,
}

impl EmbeddedStore {
    /// Opens the store in a directory with the default options.
    ///
    /// # Errors
    ///
    /// See [`Options::open`].
    pub fn open(directory: &Path) -> Result<Self> {
        Self::options().open(directory)
    }

    /// Whether a directory has a store.
    pub fn is_in(directory: &Path) -> bool {
        directory.join(schema::FILE).is_file()
    }

    /// How to open a store in another way than the default.
    pub fn options() -> Options {
        Options {
            lease: LEASE,
            callback_taken: CALLBACK_TAKEN,
            max_bytes: None,
        }
    }

    async fn write<A: Action>(&self, action: A) -> Result<A::Answer> {
        let (call, answer) = committer::call(action);
        let calls = self.calls.as_ref().ok_or_else(stopped)?;
        calls.send(call).map_err(|_| stopped())?;
        answer.await.map_err(|_| stopped())?
    }
}

/// No call is carried out any more.
fn stopped() -> StoreError {
    StoreError::Unavailable("the store's writer has stopped".into())
}

impl std::fmt::Debug for EmbeddedStore {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("EmbeddedStore").finish_non_exhaustive()
    }
}

impl Drop for EmbeddedStore {
    /// Waits until what was asked for has been written and the file is closed,
    /// so that the directory can be opened again at once.
    fn drop(&mut self) {
        self.calls = None;
        self.readers.close();
        for thread in [self.committer.take(), self.checkpointer.take()] {
            let _ = thread.map(JoinHandle::join);
        }
    }
}
