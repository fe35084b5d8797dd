//! How many files this process may have open, and what that leaves for connections.

use rustix::process::{Resource, getrlimit, setrlimit};

/// What a host needs beside the connections of its clients, with room to spare: its
/// store, its workers, the compiler's pipes, callbacks on their way.
const OTHERS: u64 = 256;

/// Allows as many as the user may have. Systems begin with 1,024 for the sake of old
/// programs, and each client of a server is one.
pub(super) fn allow_many() {
    let mut limit = getrlimit(Resource::Nofile);
    limit.current = limit.maximum;
    if let Err(error) = setrlimit(Resource::Nofile, limit) {
        tracing::debug!(%error, "the limit of open files stays as it is");
    }
}

/// How many connections there can be, of those that are wanted: each is an open file.
pub(super) fn connections(wanted: u32) -> u32 {
    let files = getrlimit(Resource::Nofile).current.unwrap_or(u64::MAX);
    let possible = possible(files);
    if possible < wanted {
        tracing::warn!(
            "at most {possible} connections at once, not {wanted}: this process may have {files} files open; raise its hard limit (ulimit -Hn, LimitNOFILE=)"
        );
    }
    possible.min(wanted)
}

/// With a limit so low that nothing would be left, half of it.
fn possible(files: u64) -> u32 {
    let possible = files.saturating_sub(OTHERS).max(files / 2).max(1);
    possible.try_into().unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_rest_of_a_host_keeps_its_files() {
        for (files, connections) in [
            (0, 1),
            (100, 50),
            (512, 256),
            (1_024, 768),
            (20_000, 19_744),
            (u64::MAX, u32::MAX),
        ] {
            assert_eq!(possible(files), connections, "{files}");
        }
    }
}
