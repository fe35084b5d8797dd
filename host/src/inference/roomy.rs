//! Work of libraries that go as deep as a model does.

use super::engine::EngineError;

/// The stack of a load, in bytes. Readers and optimisers descend along a model's chains; the
/// deepest that validation lets through take less than half of it.
const STACK_BYTES: usize = 64 << 20;

/// Does it on a thread with a large stack; a panic there is the model's fault.
pub(super) fn roomy<T: Send>(work: impl FnOnce() -> T + Send) -> Result<T, EngineError> {
    std::thread::scope(|scope| {
        let thread = std::thread::Builder::new()
            .name("model-load".to_owned())
            .stack_size(STACK_BYTES)
            .spawn_scoped(scope, work)
            .map_err(|error| EngineError::OutOfMemory(format!("starting a thread: {error}")))?;
        thread.join().map_err(|_| {
            EngineError::Model("the engine panicked while it loaded the model".to_owned())
        })
    })
}
