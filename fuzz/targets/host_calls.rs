//! Host calls of a guest that calls whatever the input says (`tests/guests/adversary`),
//! through the canonical ABI: the job ends, and never for a fault of the host.
#![no_main]

use std::sync::OnceLock;
use std::sync::atomic::AtomicU64;
use std::time::Duration;

use libfuzzer_sys::fuzz_target;
use skep::deploy::Grant;
use skep::intake::PostRequest;
use skep::job::{CauseKind, FunctionName, Limits, Payload};
use skep_fuzz::{Place, place, repository, tidy};

static INPUTS: AtomicU64 = AtomicU64::new(0);

/// Longer than any job may take that has these limits.
const PATIENCE: Duration = Duration::from_secs(20);

fn limits() -> Limits {
    Limits {
        fuel: 50_000_000,
        timeout_ms: 1_000,
        memory_bytes: 16 << 20,
        posts: 4,
        host_calls: 200,
        // Nobody runs a child for longer.
        parked_ms: 5,
        ..Limits::default()
    }
}

fn prepared() -> &'static Place {
    static READY: OnceLock<&'static Place> = OnceLock::new();
    READY.get_or_init(|| {
        let place = place(1);
        let guest = std::fs::read(repository("target/guests/adversary.wasm"));
        let guest = guest.expect("the guest; `make guests` builds it");
        let deployer = &place.host.deployer;
        let deployed = deployer.deploy(
            &place.namespace,
            guest.into(),
            None,
            limits(),
            Grant::Narrower,
        );
        (place.runtime.block_on(deployed)).expect("a component that is fit");
        place
    })
}

fuzz_target!(|input: &[u8]| {
    let place = prepared();
    let store = &place.host.store;
    let message = Payload {
        content_type: "application/octet-stream".to_owned(),
        data: input.to_vec().into(),
    };
    let mut request = PostRequest::new(message, vec!["adversary".to_owned()]);
    request.max_attempts = Some(1);
    let ended = async {
        let ids = place
            .host
            .intake
            .accept(&place.namespace, vec![request])
            .await;
        let id = *ids.expect("a job").first().expect("an id");
        let ended = tokio::time::timeout(PATIENCE, store.ended(&place.namespace, id)).await;
        ended
            .expect("a job ends within its limits")
            .expect("a store that works");
        let record = store
            .job(&place.namespace, id)
            .await
            .expect("a store that works");
        let cause = record.expect("a job that was accepted is there").cause;
        assert!(
            cause
                .as_ref()
                .is_none_or(|cause| cause.kind != CauseKind::HostError),
            "{cause:?}"
        );
        // Its children are the same guest with messages of its choice.
        let adversary: FunctionName = "adversary".parse().expect("a name");
        let functions = store.functions(&place.namespace).await.expect("functions");
        assert!(functions.iter().any(|bound| bound.function == adversary));
        tidy(place, &INPUTS).await;
    };
    place.runtime.block_on(ended);
});
