//! The store that a server on this machine would use.

use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use rustix::fs::statvfs;

use super::Check;
use super::server::skew;
use crate::job::Unit;
use crate::store::embedded::EmbeddedStore;
use crate::store::{StoreError, StoreUrl, redis};

const NAME: &str = "store";

/// Below this much free space a warning is due: some dozens of large results.
const LITTLE_BYTES: u64 = 2 << 30;

/// Below this, hardly one result of the largest size can be kept.
const TOO_LITTLE_BYTES: u64 = 128 << 20;

/// Looks at the store.
pub(super) async fn look(url: &StoreUrl) -> Vec<Check> {
    match url {
        StoreUrl::Embedded(directory) => vec![embedded(url, directory).await, disk(directory)],
        StoreUrl::Redis(address) => match redis::look(address).await {
            Ok(seen) => of_redis(url, seen),
            Err(error) => vec![Check::failure(NAME, error.into())],
        },
    }
}

async fn embedded(url: &StoreUrl, directory: &Path) -> Check {
    if !EmbeddedStore::is_in(directory) {
        return Check::ok(
            NAME,
            format!("{url}, which is not there yet: `skep serve` makes it"),
        );
    }
    match url.open_existing().await {
        Ok(_) => Check::ok(NAME, url.to_string()),
        Err(StoreError::InUse(_)) => Check::ok(NAME, format!("{url}, in use by a server")),
        Err(error) => Check::failure(NAME, error.into()),
    }
}

/// Whether files can be written there, and how many.
fn disk(directory: &Path) -> Check {
    const NAME: &str = "disk";
    let place = nearest(directory);
    let shown = place.display();
    if let Err(error) = tempfile::tempfile_in(&place) {
        let mend =
            "give this user the right to write there, or name another directory with --store";
        return Check::fail(NAME, format!("{shown} cannot be written: {error}"), mend);
    }
    let free = match statvfs(&place) {
        Ok(disk) => disk.f_bavail.saturating_mul(disk.f_frsize),
        Err(error) => {
            let said = format!("{shown} does not say how much is free: {error}");
            return Check::warn(NAME, said, "look with `df`");
        }
    };
    let said = format!(
        "{shown} can be written, and has {} free",
        Unit::Bytes.show(free)
    );
    let mend = "make room, or let results expire (--retention)";
    if free < TOO_LITTLE_BYTES {
        Check::fail(NAME, said, mend)
    } else if free < LITTLE_BYTES {
        Check::warn(NAME, said, mend)
    } else {
        Check::ok(NAME, said)
    }
}

/// A directory, or the nearest one above it that is there.
pub(super) fn nearest(directory: &Path) -> PathBuf {
    let whole = std::path::absolute(directory).unwrap_or_else(|_| directory.to_owned());
    let found = whole.ancestors().find(|path| path.is_dir());
    found.unwrap_or(Path::new("/")).to_owned()
}

fn of_redis(url: &StoreUrl, seen: redis::Look) -> Vec<Check> {
    let version = seen.version.as_deref().unwrap_or("of an unknown version");
    let mut checks = vec![Check::ok(NAME, format!("{url}, Redis {version}"))];
    for warning in seen.warnings {
        // Each ends with what mends it.
        let (said, mend) = warning.rsplit_once("; ").unwrap_or((&warning, ""));
        checks.push(Check::warn(NAME, format!("it {said}"), mend));
    }
    let theirs = SystemTime::UNIX_EPOCH + Duration::from_millis(seen.now_ms);
    checks.push(skew("Redis", theirs));
    checks
}
