//! Directories that only this user may enter: jobs, results and compiled code are
//! nobody else's business.

use std::fs::DirBuilder;
use std::os::unix::fs::DirBuilderExt as _;
use std::path::Path;

/// Makes a directory, and those above it, closed to other users. One that is there
/// stays as it is.
pub fn create_private(directory: &Path) -> std::io::Result<()> {
    DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(directory)
}
