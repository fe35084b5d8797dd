//! The bytes of a component: looked at, and validated as the compiler does before it
//! compiles.
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|input: &[u8]| skep::sandbox::fuzzing::upload(input));
