//! This machine: the cache of compiled components, files, memory.

use std::path::absolute;

use rustix::process::{Resource, getrlimit};

use super::Check;
use super::store::nearest;
use crate::cli::hosting::{Places, default_workers};
use crate::host::MAX_PARKED;
use crate::http::MAX_CONNECTIONS;
use crate::sandbox::{check_pool, check_private};

/// Whether compiled components can be kept, out of the reach of others.
pub(super) fn cache(places: &Places) -> Check {
    const NAME: &str = "cache";
    let directory = match places.cache_dir() {
        // Where `Host` keeps them.
        Ok(directory) => absolute(&directory).unwrap_or(directory).join("compiled"),
        Err(failure) => return Check::failure(NAME, failure),
    };
    let shown = directory.display();
    let there = directory.exists();
    if there && let Err(error) = check_private(&directory) {
        return Check::failure(NAME, error.into());
    }
    if let Err(error) = tempfile::tempfile_in(nearest(&directory)) {
        let mend =
            "give this user the right to write there, or name another directory with --cache";
        return Check::fail(NAME, format!("{shown} cannot be written: {error}"), mend);
    }
    Check::ok(
        NAME,
        match there {
            true => format!("{shown} is this user's alone"),
            false => format!("{shown} is not there yet: `skep serve` makes it"),
        },
    )
}

/// What the system allows a server.
pub(super) fn limits() -> Vec<Check> {
    vec![files(), memory()]
}

fn files() -> Check {
    const NAME: &str = "files";
    // Every verb takes as many as it may have.
    let Some(files) = getrlimit(Resource::Nofile).current else {
        return Check::ok(NAME, "a process may have as many open as it likes");
    };
    match files < u64::from(MAX_CONNECTIONS) {
        true => Check::warn(
            NAME,
            format!(
                "a process may have {files} open: too few for the {MAX_CONNECTIONS} connections of a server"
            ),
            "raise the hard limit (ulimit -Hn, LimitNOFILE=), or lower --max-connections",
        ),
        false => Check::ok(NAME, format!("a process may have {files} open")),
    }
}

/// Whether there is room for the sandboxes of a server with the usual options.
fn memory() -> Check {
    const NAME: &str = "memory";
    let sandboxes = default_workers() + usize::from(MAX_PARKED);
    match check_pool(sandboxes) {
        Ok(()) => Check::ok(
            NAME,
            format!("there are addresses for {sandboxes} sandboxes at once"),
        ),
        Err(error) => Check::warn(
            NAME,
            format!(
                "there are no addresses for {sandboxes} sandboxes at once, so that jobs begin more slowly: {error:#}"
            ),
            "lower --max-parked, or lift the limit of the address space (ulimit -v unlimited, sysctl vm.overcommit_memory=0)",
        ),
    }
}
