//! The bytes of a model: looked at as before any engine meets them.
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|input: &[u8]| skep::inference::fuzzing::model(input));
