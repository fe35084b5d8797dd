//! Callbacks: the HTTP request that a poster asked for, once its job has ended.
//!
//! The store keeps an outbox ([`Callback`]), written with the end of each job, so that
//! none is lost with a host. Each host that sends callbacks takes some of it, tries
//! them beside its other work, and notes each try on the job's record. A callback
//! arrives at least once: a host that is killed between a try and its note leaves it
//! to be tried again.
//!
//! What is sent: `GET url?success=0|1&job_id=&short_result=` ([`Target`]), with the
//! headers of Standard Webhooks ([`Secret`]). Where to: [`CallbackPolicy`].
//!
//! Not here: which ends are called back, and how the outbox is kept (`store`).
//!
//! [`Callback`]: crate::store::Callback

mod address;
mod call;
mod deliver;
#[cfg(fuzzing)]
pub mod fuzzing;
mod pace;
mod policy;
mod signature;
mod slots;
mod target;
mod trust;
mod waiting;

use std::sync::Arc;
use std::time::Duration;

use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use crate::metrics::Metrics;
use crate::store::Store;
use crate::traces::Traces;
use call::{Caller, System, Timeouts};
use deliver::Deliverer;

pub use policy::{Allowed, CallbackPolicy, Refused};
pub use signature::Secret;
pub use target::Target;

/// How long one try may take: a receiver that does its work before it answers should
/// answer first, and one that hangs has a slot for as long.
const WHOLE_TRY: Duration = Duration::from_secs(10);

/// How callbacks are sent.
#[derive(Clone, Debug)]
pub struct CallbackOptions {
    /// Where they may go.
    pub policy: CallbackPolicy,
    /// What they are signed with: nothing, a secret, or a few while one replaces
    /// another.
    pub secrets: Vec<Secret>,
    /// Whether this host sends any. Others that share its store may.
    pub send: bool,
    /// The pause after the first try.
    pub first_pause: Duration,
    /// How long one try may take.
    pub timeout: Duration,
}

impl Default for CallbackOptions {
    fn default() -> Self {
        Self {
            policy: CallbackPolicy::default(),
            secrets: Vec::new(),
            send: true,
            first_pause: pace::FIRST_PAUSE,
            timeout: WHOLE_TRY,
        }
    }
}

impl CallbackOptions {
    /// Of a host that calls nobody.
    pub fn silent() -> Self {
        Self {
            send: false,
            ..Self::default()
        }
    }
}

/// The sender of this process.
pub(crate) struct Callbacks {
    stopping: CancellationToken,
    delivering: JoinHandle<()>,
}

impl Callbacks {
    /// Starts to send, on the caller's runtime.
    pub(crate) fn start(
        store: Arc<dyn Store>,
        options: CallbackOptions,
        metrics: Arc<Metrics>,
        traces: Traces,
    ) -> Self {
        let stopping = CancellationToken::new();
        let deliverer = Deliverer {
            store,
            caller: Caller {
                policy: Arc::new(options.policy),
                secrets: options.secrets,
                resolver: Arc::new(System),
                timeouts: Timeouts {
                    whole: options.timeout,
                    connect: options.timeout / 2,
                },
                trust: trust::Trust::default(),
            },
            first_pause: options.first_pause,
            metrics,
            traces,
        };
        let run = deliver::run(Arc::new(deliverer), stopping.clone());
        Self {
            stopping,
            delivering: tokio::spawn(run),
        }
    }

    /// Begins no more, and lets those under way end within `grace`. What is cut off is
    /// tried again.
    pub(crate) async fn stop(mut self, grace: Duration) {
        self.stopping.cancel();
        let ended = tokio::time::timeout(grace, &mut self.delivering).await;
        if let Ok(Err(error)) = ended {
            tracing::error!(%error, "the sender of callbacks did not end well");
        }
    }
}

impl Drop for Callbacks {
    fn drop(&mut self) {
        self.delivering.abort();
    }
}
