//! Compiled components on disk, by digest and engine, so that a restart serves its
//! first job without compiling.
//!
//! Loading one means trusting it as much as this binary. So only this host writes here,
//! under a name that changes with the engine, and nothing that was uploaded is ever
//! taken for an artefact. Each has its seal in its name, a digest over the component and
//! the artefact: one that a disk has damaged, or that somebody has changed, exchanged or
//! put there, does not fit it and is compiled anew. The seal is no secret: whoever can
//! write here as this user can do all that this host can.

use std::ffi::OsStr;
use std::fs::{self, File, Metadata};
use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::io::Read as _;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, bail};
use rustix::process::geteuid;
use sha2::{Digest as _, Sha256};
use tempfile::{NamedTempFile, TempPath};
use tokio::io::AsyncWriteExt as _;
use wasmtime::Engine;

use super::{AdmitError, compiler};
use crate::directory::create_private;
use crate::job::Digest;

/// The largest artefact, in bytes. Code grows by three or four times when it is
/// compiled: that of the largest component has room.
const MAX_ARTEFACT_BYTES: u64 = 1 << 30;

/// How much is read at once to be checked, in bytes.
const CHUNK_BYTES: usize = 1 << 20;

/// The ending of an artefact's name.
const ENDING: &str = ".cwasm";

/// The directory of one engine's artefacts.
#[derive(Clone, Debug)]
pub(super) struct Artefacts {
    directory: PathBuf,
}

impl Artefacts {
    /// Opens the directory of `engine`'s artefacts below `root`, closed to other
    /// users.
    ///
    /// # Errors
    ///
    /// When it, or `root`, is somebody else's or open to others: whoever can write there
    /// can run code in this process.
    pub(super) fn open(root: &Path, engine: &Engine) -> anyhow::Result<Self> {
        let mut hasher = DefaultHasher::new();
        engine.precompile_compatibility_hash().hash(&mut hasher);
        compiler::CODE.hash(&mut hasher);
        let directory = root.join(format!("{:016x}", hasher.finish()));
        create_private(&directory)
            .with_context(|| format!("creating the artefact directory {}", directory.display()))?;
        check_private(root)?;
        check_private(&directory)?;
        Ok(Self { directory })
    }

    /// The artefact of a component, if it was compiled before and is as it was then.
    /// Reads all of it.
    pub(super) fn find(&self, component: Digest) -> std::io::Result<Option<PathBuf>> {
        let prefix = format!("{component}-");
        for entry in fs::read_dir(&self.directory)? {
            let path = entry?.path();
            let Some(seal) = name(&path)
                .and_then(|name| name.strip_prefix(&prefix))
                .and_then(|rest| rest.strip_suffix(ENDING))
            else {
                continue;
            };
            match fits(component, seal, &path) {
                Ok(true) => return Ok(Some(path)),
                Ok(false) => tracing::warn!(
                    path = %path.display(),
                    "an artefact was changed since it was compiled; it is compiled anew"
                ),
                Err(error) => tracing::warn!(
                    path = %path.display(), %error,
                    "an artefact cannot be read; it is compiled anew"
                ),
            }
            let _ = fs::remove_file(&path);
        }
        Ok(None)
    }

    /// Begins the artefact of a component.
    pub(super) fn begin(&self, component: Digest) -> Result<Unfinished, AdmitError> {
        let unwritten = |error| self.unwritten(&error);
        let file = NamedTempFile::new_in(&self.directory).map_err(unwritten)?;
        let (file, path) = file.into_parts();
        Ok(Unfinished {
            artefacts: self.clone(),
            component,
            file: tokio::fs::File::from_std(file),
            path,
            hasher: sealing(component),
            bytes: 0,
        })
    }

    fn unwritten(&self, error: &std::io::Error) -> AdmitError {
        let directory = self.directory.display();
        AdmitError::Host(format!("writing an artefact to {directory}: {error}"))
    }
}

/// An artefact on its way to the disk; gone when it is dropped.
#[derive(Debug)]
pub(super) struct Unfinished {
    artefacts: Artefacts,
    component: Digest,
    file: tokio::fs::File,
    path: TempPath,
    hasher: Sha256,
    bytes: u64,
}

impl Unfinished {
    /// Adds its next bytes.
    pub(super) async fn write(&mut self, part: &[u8]) -> Result<(), AdmitError> {
        self.bytes += part.len() as u64;
        if self.bytes > MAX_ARTEFACT_BYTES {
            return Err(AdmitError::TooHard(format!(
                "the component compiles to more than {MAX_ARTEFACT_BYTES} bytes; split it or make it smaller"
            )));
        }
        self.hasher.update(part);
        let written = self.file.write_all(part).await;
        written.map_err(|error| self.artefacts.unwritten(&error))
    }

    /// Keeps it under its name: a file of the right name is whole, also after a loss of
    /// power.
    pub(super) async fn keep(mut self) -> Result<PathBuf, AdmitError> {
        let seal = hex::encode(self.hasher.finalize());
        let name = format!("{}-{seal}{ENDING}", self.component);
        let target = self.artefacts.directory.join(name);
        let flushed = async {
            self.file.flush().await?;
            self.file.sync_all().await
        };
        flushed
            .await
            .and_then(|()| self.path.persist(&target).map_err(|error| error.error))
            .map_err(|error| self.artefacts.unwritten(&error))?;
        Ok(target)
    }
}

fn name(path: &Path) -> Option<&str> {
    path.file_name().and_then(OsStr::to_str)
}

/// A seal that is being made: it names the component too, or the artefact of one could be
/// put in the place of another's.
fn sealing(component: Digest) -> Sha256 {
    Sha256::new_with_prefix(component.as_bytes())
}

/// Whether an artefact is what was sealed.
fn fits(component: Digest, seal: &str, path: &Path) -> std::io::Result<bool> {
    if !fs::symlink_metadata(path)?.is_file() {
        return Ok(false);
    }
    let mut file = File::open(path)?;
    let mut hasher = sealing(component);
    let mut chunk = vec![0; CHUNK_BYTES];
    loop {
        let length = file.read(&mut chunk)?;
        match chunk.get(..length) {
            Some(part) if !part.is_empty() => hasher.update(part),
            _ => return Ok(hex::encode(hasher.finalize()) == seal),
        }
    }
}

/// Fails unless a directory is this user's alone.
pub(crate) fn check_private(directory: &Path) -> anyhow::Result<()> {
    let shown = directory.display();
    let metadata = fs::symlink_metadata(directory)
        .with_context(|| format!("looking at the artefact directory {shown}"))?;
    match wrong(&metadata) {
        None => Ok(()),
        Some((what, fix)) => bail!(
            "compiled components are kept in {shown}, and run as part of this process, but it is {what}; {fix}, or name another directory with --cache"
        ),
    }
}

/// Why a directory is not this user's alone, and what to do about it.
fn wrong(metadata: &Metadata) -> Option<(String, &'static str)> {
    let (owner, us) = (metadata.uid(), geteuid().as_raw());
    let mode = metadata.mode() & 0o7777;
    if !metadata.is_dir() {
        Some(("no directory".to_owned(), "remove it"))
    } else if owner != us {
        let what = format!("the user {owner}'s, and this is the user {us}");
        Some((what, "remove it, or `chown` it"))
    } else if mode & 0o077 != 0 {
        let what = format!("open to others (mode {mode:04o})");
        Some((
            what,
            "remove it, or `chmod 700` it if nobody else wrote there",
        ))
    } else {
        None
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::{PermissionsExt as _, symlink};

    use tempfile::TempDir;

    use super::*;
    use crate::sandbox::engine;

    fn open(root: &Path) -> anyhow::Result<Artefacts> {
        Artefacts::open(root, &engine::compiling().unwrap())
    }

    fn opened(directory: &TempDir) -> Artefacts {
        open(&directory.path().join("compiled")).unwrap()
    }

    async fn kept(artefacts: &Artefacts, component: Digest, code: &[u8]) -> PathBuf {
        let mut unfinished = artefacts.begin(component).unwrap();
        unfinished.write(code).await.unwrap();
        unfinished.keep().await.unwrap()
    }

    #[tokio::test]
    async fn an_artefact_is_found_until_it_is_changed() {
        let directory = TempDir::new().unwrap();
        let artefacts = opened(&directory);
        let (a, b) = (Digest::of(b"a"), Digest::of(b"b"));
        assert_eq!(artefacts.find(a).unwrap(), None);
        for change in [&b"code"[..3], b"c0de", b"", b"code and more"] {
            let path = kept(&artefacts, a, b"code").await;
            assert_eq!(artefacts.find(a).unwrap(), Some(path.clone()));
            fs::write(&path, change).unwrap();
            assert_eq!(artefacts.find(a).unwrap(), None, "{change:?}");
            assert!(!path.exists());
        }
        // Another's, with another's name and with its own.
        let (of_a, of_b) = (
            kept(&artefacts, a, b"code").await,
            kept(&artefacts, b, b"evil").await,
        );
        fs::copy(&of_b, &of_a).unwrap();
        assert_eq!(artefacts.find(a).unwrap(), None);
        let renamed = name(&of_b).unwrap().replace(&b.to_string(), &a.to_string());
        fs::copy(&of_b, of_b.with_file_name(renamed)).unwrap();
        assert_eq!(artefacts.find(a).unwrap(), None);
        assert_eq!(artefacts.find(b).unwrap(), Some(of_b));
    }

    #[tokio::test]
    async fn what_was_not_finished_leaves_nothing() {
        let directory = TempDir::new().unwrap();
        let artefacts = opened(&directory);
        let mut unfinished = artefacts.begin(Digest::of(b"a")).unwrap();
        unfinished.write(b"half of it").await.unwrap();
        drop(unfinished);
        assert_eq!(fs::read_dir(&artefacts.directory).unwrap().count(), 0);
        assert_eq!(artefacts.find(Digest::of(b"a")).unwrap(), None);
    }

    #[test]
    fn a_directory_that_others_may_enter_is_refused_with_the_fix() {
        let directory = TempDir::new().unwrap();
        let root = directory.path().join("compiled");
        let inner = open(&root).unwrap().directory;
        for open_one in [&root, &inner] {
            for mode in [0o701, 0o750, 0o777] {
                fs::set_permissions(open_one, fs::Permissions::from_mode(mode)).unwrap();
                let refused = open(&root).unwrap_err().to_string();
                assert!(refused.contains("chmod 700"), "{refused}");
            }
            fs::set_permissions(open_one, fs::Permissions::from_mode(0o700)).unwrap();
        }
        open(&root).unwrap();
        let link = directory.path().join("link");
        symlink(&root, &link).unwrap();
        let refused = open(&link).unwrap_err().to_string();
        assert!(refused.contains("no directory"), "{refused}");
    }
}
