//! What the targets share: a whole host in this process, on a store in memory.

use std::path::{Path, PathBuf};
use std::sync::OnceLock;

use axum::Router;
use axum::body::{Body, to_bytes};
use axum::http::{Request, StatusCode};
use skep::callback::CallbackOptions;
use skep::host::{Host, HostOptions};
use skep::http::{App, Audit, Door, HostNames, router};
use skep::job::Namespace;
use skep::store::StoreUrl;
use tempfile::TempDir;
use tokio::runtime::Runtime;
use tower::ServiceExt as _;

/// A host, and the runtime that it lives on.
pub struct Place {
    /// Where its tasks run.
    pub runtime: Runtime,
    /// The host.
    pub host: Host,
    /// Its HTTP door.
    pub router: Router,
    /// The tenant that everything is done for.
    pub namespace: Namespace,
    _directory: TempDir,
}

/// The host of this process, with so many workers when it is asked for first.
///
/// # Panics
///
/// When it cannot be started: there is nothing to be found then.
pub fn place(workers: usize) -> &'static Place {
    static PLACE: OnceLock<Place> = OnceLock::new();
    PLACE.get_or_init(|| {
        // There, fsync costs nothing.
        let shared_memory = Path::new("/dev/shm");
        let directory = if shared_memory.is_dir() {
            TempDir::new_in(shared_memory)
        } else {
            TempDir::new()
        };
        let directory = directory.expect("a directory for the store");
        let runtime = Runtime::new().expect("a runtime");
        let host = runtime.block_on(async {
            let store = StoreUrl::Embedded(directory.path().join("store"));
            let store = store.open().await.expect("a store");
            let options = HostOptions {
                max_parked: 8,
                callbacks: CallbackOptions::silent(),
                ..HostOptions::new(
                    repository("target/release/skep"),
                    directory.path().join("cache"),
                    workers,
                )
            };
            Host::start(store, options).expect("a host")
        });
        Place {
            router: router(
                App::new(&host, Door::new(false, Audit::default())),
                HostNames::any(),
            ),
            runtime,
            host,
            namespace: Namespace::default(),
            _directory: directory,
        }
    })
}

/// A file of this repository.
pub fn repository(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..").join(path)
}

/// Sends a request through the HTTP door; whatever is asked, the answer is never that
/// the host is at fault.
///
/// # Panics
///
/// When it is: that is what is looked for.
pub async fn ask(router: &Router, request: Request<Body>) -> (StatusCode, Vec<u8>) {
    let Ok(answer) = router.clone().oneshot(request).await;
    let status = answer.status();
    let body = to_bytes(answer.into_body(), usize::MAX).await;
    let body = body.expect("an answer comes to its end").to_vec();
    assert!(
        !status.is_server_error(),
        "{status}: {}",
        String::from_utf8_lossy(&body)
    );
    (status, body)
}

/// Deletes what waits once in a while, so that the store stays small.
///
/// # Panics
///
/// When the store fails.
pub async fn tidy(place: &Place, inputs: &std::sync::atomic::AtomicU64) {
    const EVERY: u64 = 2_000;
    let before = inputs.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
    if before % EVERY == EVERY - 1 {
        let purged = place.host.store.purge(&place.namespace).await;
        purged.expect("a store that works");
    }
}
