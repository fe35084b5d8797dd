//! The database file: its tables, its settings and what its errors mean.

use std::path::Path;
use std::time::Duration;

use rusqlite::config::DbConfig;
use rusqlite::{Connection, ErrorCode, OpenFlags};
use uuid::Uuid;

use crate::store::{Result, StoreError};

use super::checkpoint;

/// Marks the file as ours: "skep".
const APPLICATION_ID: i32 = 0x736b_6570;

/// The version of the tables below.
const SCHEMA_VERSION: i32 = 6;

/// The name of the database in the store's directory.
pub(super) const FILE: &str = "skep.db";

/// What the writer keeps of the file in memory, in KiB: the upper levels of all
/// tables and the pages that a few thousand jobs in flight touch. With 16 MiB it
/// took no less time.
const WRITER_CACHE_KIB: u32 = 6 * 1024;

/// What a reader keeps, in KiB. There are a handful, and the kernel caches too.
const READER_CACHE_KIB: u32 = 1024;

/// SQLite's page, in bytes.
const PAGE_BYTES: u64 = 4096;

/// `posted` is written once and `ended` once, unless a person lets the job run again; what
/// changes in between is in `open`, a small row that goes when the job ends, so that opening the store
/// reads what is open and never what is done. `claims` has a row for each batch
/// of claimed jobs; a job is held if such a row names an attempt that `open` has
/// not counted yet.
const TABLES: &str = "
CREATE TABLE namespaces (number INTEGER PRIMARY KEY, name TEXT NOT NULL UNIQUE);
CREATE TABLE posted (key INTEGER PRIMARY KEY, at INTEGER NOT NULL, head BLOB NOT NULL, data BLOB NOT NULL);
CREATE TABLE open (key INTEGER PRIMARY KEY, rank INTEGER NOT NULL, due INTEGER NOT NULL,
    attempts INTEGER NOT NULL, cancel INTEGER NOT NULL, history BLOB, log BLOB);
CREATE TABLE claims (batch INTEGER PRIMARY KEY, incarnation BLOB NOT NULL, at INTEGER NOT NULL, jobs BLOB NOT NULL);
CREATE TABLE ended (key INTEGER PRIMARY KEY, expires INTEGER, record BLOB NOT NULL, log BLOB, result BLOB);
CREATE INDEX ended_expires ON ended (expires) WHERE expires IS NOT NULL;
CREATE TABLE keys (namespace INTEGER NOT NULL, name TEXT NOT NULL, id INTEGER NOT NULL,
    PRIMARY KEY (namespace, name)) WITHOUT ROWID;
CREATE TABLE data (number INTEGER PRIMARY KEY, namespace INTEGER NOT NULL, name TEXT NOT NULL,
    expires INTEGER, content BLOB NOT NULL, UNIQUE (namespace, name));
CREATE INDEX data_expires ON data (expires) WHERE expires IS NOT NULL;
CREATE TABLE components (number INTEGER PRIMARY KEY, digest BLOB NOT NULL UNIQUE, content BLOB NOT NULL);
CREATE TABLE functions (place INTEGER PRIMARY KEY, namespace INTEGER NOT NULL, name TEXT NOT NULL,
    version INTEGER NOT NULL, bound INTEGER NOT NULL, UNIQUE (namespace, name));
CREATE TABLE deployments (number INTEGER PRIMARY KEY, namespace INTEGER NOT NULL, name TEXT NOT NULL,
    version INTEGER NOT NULL, record BLOB NOT NULL, UNIQUE (namespace, name, version));
";

/// What version 2 added. `queues` has a row for each namespace that has totals, was
/// paused or purged; its `next_id` counts where the last jobs were purged. `mover`
/// is the move that holds a job. `delivered` says which job of another store became
/// which one here, and loses no row.
const TABLES_2: &str = "
CREATE TABLE store (id BLOB NOT NULL);
INSERT INTO store VALUES (randomblob(16));
CREATE TABLE queues (namespace INTEGER PRIMARY KEY, next_id INTEGER NOT NULL, paused INTEGER NOT NULL,
    posted INTEGER NOT NULL, completed INTEGER NOT NULL, failed INTEGER NOT NULL, cancelled INTEGER NOT NULL);
ALTER TABLE open ADD COLUMN mover BLOB;
CREATE TABLE delivered (namespace INTEGER NOT NULL, store BLOB NOT NULL, origin TEXT NOT NULL,
    origin_id INTEGER NOT NULL, origin_at INTEGER NOT NULL, id INTEGER NOT NULL,
    PRIMARY KEY (namespace, store, origin, origin_id, origin_at)) WITHOUT ROWID;
";

/// What version 3 added. `children` says which job became of a post of another one,
/// and `broods` which jobs a job has posted: runs of consecutive ids, with how many
/// came before. `callbacks` has a row for each job that has ended and is to be called
/// back for; `due` is when it is next tried, and nothing once it is done.
const TABLES_3: &str = "
CREATE TABLE children (parent INTEGER NOT NULL, key BLOB NOT NULL, child INTEGER NOT NULL,
    PRIMARY KEY (parent, key)) WITHOUT ROWID;
CREATE TABLE broods (parent INTEGER NOT NULL, first INTEGER NOT NULL, count INTEGER NOT NULL,
    before INTEGER NOT NULL, PRIMARY KEY (parent, first)) WITHOUT ROWID;
CREATE TABLE callbacks (key INTEGER PRIMARY KEY, due INTEGER, number INTEGER NOT NULL, deliveries BLOB);
CREATE INDEX callbacks_due ON callbacks (due) WHERE due IS NOT NULL;
";

/// What version 4 added: how many jobs a tree has had, by its root (a tree of before is
/// counted from then on), how many jobs of a namespace may run at once, and access tokens,
/// whose `reach` is a namespace, or `*` for all.
const TABLES_4: &str = "
CREATE TABLE trees (root INTEGER PRIMARY KEY, jobs INTEGER NOT NULL);
ALTER TABLE queues ADD COLUMN concurrency INTEGER;
CREATE TABLE tokens (id BLOB PRIMARY KEY, reach TEXT NOT NULL, expires INTEGER, record BLOB NOT NULL) WITHOUT ROWID;
";

/// What version 5 added: which jobs are in the dead letter. In the record of an end, what
/// became of the job is the text behind the version and the length of the array.
const TABLES_5: &str = "
CREATE TABLE dead (key INTEGER PRIMARY KEY);
INSERT INTO dead SELECT key FROM ended WHERE substr(record, 3, 7) = x'a64661696c6564';
";

/// What version 6 added: models. `blobs` were the components alone before, each in one row;
/// what follows the first chunk of larger content is in `chunks`, and it can be read once it
/// is `whole`. What nothing names `expires`. A name that was removed stays in `models`, for
/// its versions to go on.
const TABLES_6: &str = "
ALTER TABLE components RENAME TO blobs;
ALTER TABLE blobs ADD COLUMN expires INTEGER;
ALTER TABLE blobs ADD COLUMN whole INTEGER NOT NULL DEFAULT 1;
CREATE INDEX blobs_expires ON blobs (expires) WHERE expires IS NOT NULL;
CREATE TABLE chunks (number INTEGER PRIMARY KEY, digest BLOB NOT NULL, place INTEGER NOT NULL,
    content BLOB NOT NULL, UNIQUE (digest, place));
CREATE TABLE models (namespace INTEGER NOT NULL, name TEXT NOT NULL, version INTEGER NOT NULL,
    bound INTEGER NOT NULL, PRIMARY KEY (namespace, name)) WITHOUT ROWID;
CREATE TABLE model_versions (number INTEGER PRIMARY KEY, namespace INTEGER NOT NULL, name TEXT NOT NULL,
    version INTEGER NOT NULL, digest BLOB NOT NULL, bytes INTEGER NOT NULL, record BLOB NOT NULL,
    UNIQUE (namespace, name, version));
CREATE INDEX model_versions_digest ON model_versions (digest);
";

/// What each version added, in order.
const ALL_TABLES: [&str; 6] = [TABLES, TABLES_2, TABLES_3, TABLES_4, TABLES_5, TABLES_6];

/// Opens the database for writing, and creates it if it is not there.
pub(super) fn open_writer(directory: &Path, max_bytes: Option<u64>) -> Result<Connection> {
    let path = directory.join(FILE);
    let at_path = |error| at_path(&path, error);
    let db = Connection::open_with_flags(
        &path,
        OpenFlags::SQLITE_OPEN_READ_WRITE
            | OpenFlags::SQLITE_OPEN_CREATE
            | OpenFlags::SQLITE_OPEN_NO_MUTEX,
    )
    .map_err(at_path)?;
    prepare(db, &path, max_bytes)
}

/// Makes a database in memory, which only its connection can read.
pub(super) fn open_in_memory() -> Result<Connection> {
    prepare(Connection::open_in_memory()?, Path::new("memory"), None)
}

fn prepare(mut db: Connection, path: &Path, max_bytes: Option<u64>) -> Result<Connection> {
    let at_path = |error| at_path(path, error);
    let version = check_version(&db, path)?;
    // A reader that happens to recover the log may hold the lock for a moment.
    db.busy_timeout(Duration::from_secs(10)).map_err(at_path)?;
    db.execute_batch(&format!(
        "PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL;
         PRAGMA cache_size = -{WRITER_CACHE_KIB}; PRAGMA temp_store = MEMORY;
         PRAGMA journal_size_limit = {};",
        u64::from(checkpoint::PAGES) * PAGE_BYTES * 2,
    ))
    .map_err(at_path)?;
    if version < SCHEMA_VERSION {
        let upgrade = db.transaction().map_err(at_path)?;
        let known = usize::try_from(version).unwrap_or_default();
        for tables in ALL_TABLES.into_iter().skip(known) {
            upgrade.execute_batch(tables).map_err(at_path)?;
        }
        upgrade
            .pragma_update(None, "application_id", APPLICATION_ID)
            .map_err(at_path)?;
        upgrade
            .pragma_update(None, "user_version", SCHEMA_VERSION)
            .map_err(at_path)?;
        upgrade.commit().map_err(at_path)?;
    }
    if let Some(bytes) = max_bytes {
        let pages = i64::try_from(bytes / PAGE_BYTES).unwrap_or(i64::MAX);
        db.pragma_update(None, "max_page_count", pages)
            .map_err(at_path)?;
    }
    // Room for every statement of the hot path, so that none is parsed twice.
    db.set_prepared_statement_cache_capacity(64);
    plan_once(&db).map_err(at_path)?;
    Ok(db)
}

/// Opens the database to fold its log, once it was opened for writing.
pub(super) fn open_checkpointer(directory: &Path) -> Result<Connection> {
    let path = directory.join(FILE);
    let at_path = |error| at_path(&path, error);
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let db = Connection::open_with_flags(&path, flags).map_err(at_path)?;
    // What was folded must be on the disk before the log begins anew.
    db.execute_batch("PRAGMA synchronous = FULL;")
        .map_err(at_path)?;
    Ok(db)
}

/// Opens the database for reading.
pub(super) fn open_reader(directory: &Path) -> Result<Connection> {
    let path = directory.join(FILE);
    let at_path = |error| at_path(&path, error);
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let db = Connection::open_with_flags(&path, flags).map_err(at_path)?;
    db.busy_timeout(Duration::from_secs(10)).map_err(at_path)?;
    db.execute_batch(&format!("PRAGMA cache_size = -{READER_CACHE_KIB};"))
        .map_err(at_path)?;
    plan_once(&db).map_err(at_path)?;
    Ok(db)
}

/// Plans a statement for whatever is bound to it. Else SQLite looks at what is, and parses
/// some statements anew each time that this changes: 60 µs where one reads a few rows.
fn plan_once(db: &Connection) -> rusqlite::Result<bool> {
    db.set_db_config(DbConfig::SQLITE_DBCONFIG_ENABLE_QPSG, true)
}

/// What tells the store from every other.
pub(super) fn store_id(db: &Connection) -> Result<Uuid> {
    let id: [u8; 16] = db.query_row("SELECT id FROM store", [], |row| row.get(0))?;
    Ok(uuid::Builder::from_random_bytes(id).into_uuid())
}

/// The version of the file, 0 if it is new; an error if it is not ours, or newer
/// than we are.
fn check_version(db: &Connection, path: &Path) -> Result<i32> {
    let number = |pragma| {
        db.query_row(&format!("PRAGMA {pragma}"), [], |row| row.get::<_, i32>(0))
            .map_err(|error| at_path(path, error))
    };
    // A process that was killed while it made the file may have left one with a mode
    // and no table yet.
    let tables = "SELECT count(*) FROM sqlite_master";
    let tables: i32 = db
        .query_row(tables, [], |row| row.get(0))
        .map_err(|error| at_path(path, error))?;
    match (number("application_id")?, number("user_version")?, tables) {
        (APPLICATION_ID, version @ 1..=SCHEMA_VERSION, _) => Ok(version),
        (0, 0, 0) => Ok(0),
        (APPLICATION_ID, version, _) => Err(StoreError::Unreadable(format!(
            "{} has version {version}, and this skep reads {SCHEMA_VERSION}",
            path.display()
        ))),
        _ => Err(StoreError::Unreadable(format!(
            "{} is a database, but not one of skep",
            path.display()
        ))),
    }
}

fn at_path(path: &Path, error: rusqlite::Error) -> StoreError {
    match StoreError::from(error) {
        StoreError::Unavailable(text) => {
            StoreError::Unavailable(format!("{}: {text}", path.display()))
        }
        StoreError::Unreadable(text) => {
            StoreError::Unreadable(format!("{}: {text}", path.display()))
        }
        other => other,
    }
}

impl From<rusqlite::Error> for StoreError {
    fn from(error: rusqlite::Error) -> Self {
        match &error {
            rusqlite::Error::SqliteFailure(failure, _) => match failure.code {
                ErrorCode::DiskFull => Self::Full(error.to_string()),
                ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase => {
                    Self::Unreadable(error.to_string())
                }
                _ => Self::Unavailable(error.to_string()),
            },
            rusqlite::Error::InvalidColumnType(..)
            | rusqlite::Error::IntegralValueOutOfRange(..)
            | rusqlite::Error::FromSqlConversionFailure(..) => Self::Unreadable(error.to_string()),
            _ => Self::Unavailable(error.to_string()),
        }
    }
}
