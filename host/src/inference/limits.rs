//! What one call of a model may bring and take away.

/// The most inputs: models in practice have up to a handful.
pub const MAX_INPUTS: usize = 16;

/// The most bytes of a tensor: a batch of twenty pictures as models take them.
pub const MAX_TENSOR_BYTES: usize = 16 << 20;

/// The most bytes of all inputs of a call. They are held while it waits, and so is what
/// hundreds of others have brought.
pub const MAX_CALL_BYTES: usize = 2 * MAX_TENSOR_BYTES;

/// The most bytes of all outputs of a call: they are copied into the guest's memory.
pub const MAX_OUTPUT_BYTES: u64 = MAX_CALL_BYTES as u64;
