//! Folding the write-ahead log into the tables while the writer goes on.
//!
//! SQLite's way is that the writer does it when the log is long, and answers nobody
//! meanwhile. But all that keeps the log from growing is that it is folded to its end when
//! the next row is written; so a thread with a connection of its own folds most of it, and
//! the writer the little that was written in the meantime.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, sync_channel};
use std::thread::JoinHandle;

use rusqlite::Connection;
use rusqlite::hooks::Wal;

use crate::store::{Result, StoreError};

use super::schema;

/// Pages in the log before it is folded: SQLite's default. With 4,000, fewer are written
/// twice, but the drain was no faster, and the writer's fsync, which waits for that of the
/// tables, took 2 to 5 ms instead of 1 to 2.
pub(super) const PAGES: u32 = 1000;

/// How often the thread folds before the writer does the rest: less is written while it
/// folds than what it folds, and so least of all is left after the second time.
const ROUNDS: usize = 2;

/// Starts the thread, which ends when the writer's connection is closed.
pub(super) fn start(writer: &mut Connection, directory: &Path) -> Result<JoinHandle<()>> {
    let db = schema::open_checkpointer(directory)?;
    let (ask, asked) = sync_channel(1);
    let folded = Arc::new(AtomicBool::new(false));
    let thread = std::thread::Builder::new()
        .name("skep-checkpoint".into())
        .spawn({
            let folded = folded.clone();
            move || run(&db, &asked, &folded)
        })
        .map_err(|error| StoreError::Unavailable(format!("cannot start a thread: {error}")))?;
    let mut under_way = false;
    let after_commit = move |log: &mut Wal, pages| {
        if folded.swap(false, Ordering::AcqRel) {
            under_way = false;
            warn(log.checkpoint());
        } else if !under_way && u32::try_from(pages).is_ok_and(|pages| pages >= PAGES) {
            under_way = ask.try_send(()).is_ok();
        }
        // An error here would be the transaction's, which is committed.
        Ok(())
    };
    writer.wal_hook(Some(after_commit))?;
    Ok(thread)
}

fn run(db: &Connection, asked: &Receiver<()>, folded: &AtomicBool) {
    while asked.recv().is_ok() {
        for _ in 0..ROUNDS {
            warn(db.query_row("PRAGMA wal_checkpoint(PASSIVE)", [], |_| Ok(())));
        }
        folded.store(true, Ordering::Release);
    }
}

/// Nothing is lost: the log stays as it is, and is folded another time.
fn warn(folded: rusqlite::Result<()>) {
    if let Err(error) = folded {
        tracing::warn!(%error, "the write-ahead log cannot be folded into the tables, and grows");
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::job::{Namespace, NewJob, Payload};
    use crate::store::Store as _;
    use crate::store::embedded::EmbeddedStore;

    /// The log of a store in which so many MiB of jobs were posted, in bytes.
    async fn log_of(store: &EmbeddedStore, directory: &Path, mib: usize) -> u64 {
        let job = NewJob::new(Payload::json(format!("\"{:65534}\"", "")), Vec::new());
        for _ in 0..mib {
            let jobs = vec![job.clone(); 16];
            store.submit(&Namespace::default(), jobs).await.unwrap();
        }
        let log = directory.join(format!("{}-wal", schema::FILE));
        log.metadata().unwrap().len()
    }

    #[tokio::test]
    async fn the_log_does_not_grow_with_what_is_written() {
        let directory = tempfile::tempdir().unwrap();
        let store = EmbeddedStore::open(directory.path()).unwrap();
        let early = log_of(&store, directory.path(), 32).await;
        let late = log_of(&store, directory.path(), 128).await;
        assert!(late < early + (32 << 20), "{early} and then {late} bytes");
    }
}
