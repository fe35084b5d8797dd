//! How many files this process may have open.

use rustix::process::{Resource, getrlimit, setrlimit};

/// Allows as many as the user may have. Systems begin with 1,024 for the sake of old
/// programs, and each client of a server is one.
pub(super) fn allow_many() {
    let mut limit = getrlimit(Resource::Nofile);
    limit.current = limit.maximum;
    if let Err(error) = setrlimit(Resource::Nofile, limit) {
        tracing::debug!(%error, "the limit of open files stays as it is");
    }
}
