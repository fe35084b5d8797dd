//! Compiled components on disk, by digest and engine, so that a restart serves its
//! first job without compiling.
//!
//! Loading one means trusting it as much as this binary. So only this host
//! writes here, under a name that changes with the engine, and nothing that was
//! uploaded is ever taken for an artefact.

use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::path::{Path, PathBuf};

use anyhow::Context as _;
use wasmtime::Engine;

use crate::directory::create_private;
use crate::job::Digest;

/// The directory of one engine's artefacts.
#[derive(Debug)]
pub(super) struct Artefacts {
    directory: PathBuf,
}

impl Artefacts {
    /// Opens the directory of `engine`'s artefacts below `root`, closed to other
    /// users.
    pub(super) fn open(root: &Path, engine: &Engine) -> anyhow::Result<Self> {
        let mut hasher = DefaultHasher::new();
        engine.precompile_compatibility_hash().hash(&mut hasher);
        let directory = root.join(format!("{:016x}", hasher.finish()));
        create_private(&directory)
            .with_context(|| format!("creating the artefact directory {}", directory.display()))?;
        Ok(Self { directory })
    }

    /// Where the artefact of a component belongs.
    pub(super) fn path(&self, component: Digest) -> PathBuf {
        self.directory.join(format!("{component}.cwasm"))
    }

    /// The artefact of a component, if it was compiled before.
    pub(super) fn find(&self, component: Digest) -> Option<PathBuf> {
        Some(self.path(component)).filter(|path| path.is_file())
    }
}
