//! The URL of a callback: one that is accepted stays the same however often it is read,
//! keeps its host when the outcome is added, and is a request of one line.
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|input: &str| skep::callback::fuzzing::url(input));
