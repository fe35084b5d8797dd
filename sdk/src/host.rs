//! The host's functions, as the rest of the crate calls them: those that the
//! component imports, or where there is no host, those of a
//! [`TestHost`](crate::TestHost).

#[cfg(target_arch = "wasm32")]
pub(crate) use crate::bindings::skep::jobs::{inference, log, queue};
#[cfg(not(target_arch = "wasm32"))]
pub(crate) use crate::test_host::{inference, log, queue};
