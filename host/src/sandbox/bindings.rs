//! The Rust side of `wit/`, generated. Nothing outside `sandbox` sees these types.
#![allow(missing_docs, unreachable_pub)]

wasmtime::component::bindgen!({
    path: "../wit",
    world: "listener",
    imports: {
        "skep:jobs/log": trappable,
        "skep:jobs/queue.is-cancelled": trappable,
        default: async,
    },
    exports: { default: async },
});

pub(super) use self::skep::jobs::{inference, log, queue, types};
