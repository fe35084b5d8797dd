//! Connections for reading, and where a read is done.
//!
//! A read goes to a thread that may block: two hops of some 50 µs each. A few point
//! reads take less than that, and are done in place. A database in memory has one
//! connection, and what is read there takes its turn among the writes.

use std::path::PathBuf;
use std::sync::{Arc, Mutex, mpsc};

use rusqlite::Connection;
use tokio::sync::Semaphore;

use crate::store::{Result, StoreError};

use super::committer::{Call, look};
use super::schema::open_reader;
use super::shared::lock;
use super::stopped;

/// How many reads go on at once: each has a connection with a cache of its own,
/// and more than the cores of a small machine only wait for the same disk.
const READERS: usize = 8;

/// Who reads.
pub(super) enum Readers {
    /// Connections of their own, to a database in a directory.
    Connections(Connections),
    /// The writer, as long as it takes calls.
    Writer(Option<mpsc::Sender<Box<dyn Call>>>),
}

/// Connections for reading.
pub(super) struct Connections {
    directory: PathBuf,
    idle: Arc<Mutex<Vec<Connection>>>,
    turns: Arc<Semaphore>,
}

impl Readers {
    /// Readers of the database in a directory.
    pub(super) fn of(directory: PathBuf) -> Self {
        let turns = Arc::new(Semaphore::new(READERS));
        Self::Connections(Connections {
            directory,
            idle: Arc::default(),
            turns,
        })
    }

    /// Reads no more.
    pub(super) fn close(&mut self) {
        *self = Self::Writer(None);
    }

    /// Reads, on a thread that may block.
    pub(super) async fn read<T, F>(&self, read: F) -> Result<T>
    where
        T: Send + 'static,
        F: FnOnce(&Connection) -> Result<T> + Send + 'static,
    {
        match self {
            Self::Connections(connections) => connections.read(read).await,
            Self::Writer(calls) => {
                let (call, answer) = look(read);
                let calls = calls.as_ref().ok_or_else(stopped)?;
                calls.send(call).map_err(|_| stopped())?;
                answer.await.map_err(|_| stopped())?
            }
        }
    }

    /// Reads what takes no longer than a hop to another thread: a few rows by their
    /// keys, and little of each. Done in place if a connection is idle.
    pub(super) async fn read_briefly<T, F>(&self, read: F) -> Result<T>
    where
        T: Send + 'static,
        F: FnOnce(&Connection) -> Result<T> + Send + 'static,
    {
        match self {
            Self::Connections(connections) => connections.read_briefly(read).await,
            Self::Writer(_) => self.read(read).await,
        }
    }
}

impl Connections {
    async fn read<T, F>(&self, read: F) -> Result<T>
    where
        T: Send + 'static,
        F: FnOnce(&Connection) -> Result<T> + Send + 'static,
    {
        let closed = |_| StoreError::Unavailable("the store has been closed".into());
        let turn = self.turns.clone().acquire_owned().await.map_err(closed)?;
        let (directory, idle) = (self.directory.clone(), self.idle.clone());
        let work = move || {
            let _turn = turn;
            let connection = lock(&idle).pop();
            let connection = connection.map_or_else(|| open_reader(&directory), Ok)?;
            let answer = read(&connection);
            lock(&idle).push(connection);
            answer
        };
        let fault = |error| StoreError::Unavailable(format!("a read failed: {error}"));
        tokio::task::spawn_blocking(work).await.map_err(fault)?
    }

    async fn read_briefly<T, F>(&self, read: F) -> Result<T>
    where
        T: Send + 'static,
        F: FnOnce(&Connection) -> Result<T> + Send + 'static,
    {
        let turn = self.turns.try_acquire().ok();
        let idle = turn.is_some().then(|| lock(&self.idle).pop()).flatten();
        let Some(connection) = idle else {
            drop(turn);
            return self.read(read).await;
        };
        let answer = read(&connection);
        lock(&self.idle).push(connection);
        answer
    }
}
