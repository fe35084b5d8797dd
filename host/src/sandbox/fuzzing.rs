//! The gate for uploads, for the fuzz target `uploads`.

use wasmparser::{Validator, WasmFeatures};

use super::look;

/// Looks at a component, and validates one that passes, as the compiler does first.
pub fn upload(bytes: &[u8]) {
    if look::look(bytes).is_ok() {
        let _ = Validator::new_with_features(WasmFeatures::all()).validate_all(bytes);
    }
}
