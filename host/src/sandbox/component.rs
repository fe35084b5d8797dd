//! Components that are compiled and linked, ready to be instantiated.

use std::collections::HashMap;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::OnceCell;
use wasmtime::Engine;
use wasmtime::component::{Component, Linker};

use super::AdmitError;
use super::bindings::ListenerPre;
use super::host::Guest;
use crate::job::Digest;

/// How many components stay loaded. Each is a mapped file, so that the kernel
/// drops what is not used; the bound is on address space and file handles.
const MAX_LOADED: usize = 1024;

/// A component whose imports are resolved.
pub struct Prepared {
    pub(super) pre: ListenerPre<Guest>,
}

impl Prepared {
    /// Loads an artefact that this host compiled.
    #[allow(unsafe_code)]
    pub(super) fn load(
        engine: &Engine,
        linker: &Linker<Guest>,
        artefact: &Path,
    ) -> Result<Arc<Self>, AdmitError> {
        // SAFETY: the file is machine code that will run as part of this process.
        // Our own compiler process made it; it lies in a directory that only this user
        // can write, and fits the digest in its name (`artefacts`). No upload is ever
        // stored there.
        let component = unsafe { Component::deserialize_file(engine, artefact) }
            .map_err(|error| unloaded(artefact, &error))?;
        linker
            .instantiate_pre(&component)
            .and_then(ListenerPre::new)
            .map(|pre| Arc::new(Self { pre }))
            .map_err(|error| {
                AdmitError::Refused(format!(
                    "the component does not fit the world `skep:jobs/listener@0.1.0`: {error:#}"
                ))
            })
    }
}

/// Why an artefact that fits its seal was not loaded.
fn unloaded(artefact: &Path, error: &wasmtime::Error) -> AdmitError {
    let system = |cause: &(dyn std::error::Error + 'static)| {
        cause.is::<std::io::Error>() || cause.is::<rustix::io::Errno>()
    };
    match error.chain().any(system) {
        true => AdmitError::Host(format!("loading {}: {error:#}", artefact.display())),
        // It was compiled for this engine, so that only the pool can say no.
        false => AdmitError::Refused(format!(
            "the component does not fit a sandbox of this host: {error:#}"
        )),
    }
}

type Slot = Arc<OnceCell<Arc<Prepared>>>;

/// The loaded components; each is loaded once, however many ask at once.
#[derive(Default)]
pub(super) struct Cache {
    slots: Mutex<HashMap<Digest, Slot>>,
}

impl Cache {
    pub(super) async fn get_or_prepare(
        &self,
        digest: Digest,
        prepare: impl AsyncFnOnce() -> Result<Arc<Prepared>, AdmitError>,
    ) -> Result<Arc<Prepared>, AdmitError> {
        let slot = self.slot(digest);
        slot.get_or_try_init(|| prepare()).await.cloned()
    }

    fn slot(&self, digest: Digest) -> Slot {
        // The map is whole between any two operations on it.
        let mut slots = self.slots.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(slot) = slots.get(&digest) {
            return slot.clone();
        }
        if slots.len() >= MAX_LOADED {
            // Whatever is in use lives on through its own handle; the rest is
            // loaded again from its artefact in a millisecond.
            slots.clear();
        }
        slots.entry(digest).or_default().clone()
    }
}
