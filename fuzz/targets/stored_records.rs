//! What lies in a store, read back: a record that is torn, of another version or by
//! somebody else's hand is refused, and never a panic or a gigabyte.
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|input: &[u8]| skep::store::fuzzing::records(input));
