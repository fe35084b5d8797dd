//! A guest that calls the host with whatever its message says: a fuzzer writes the
//! message (`fuzz/targets/host_calls.rs`), so that the host meets lengths that lie,
//! pointers to nowhere, tags that no type has and text that is not UTF-8.
//!
//! A message is a list of calls. Each is a byte that says which function, then its
//! arguments: five bytes for a number, of which the first says what the other four
//! mean (itself, or an offset into the message). What is missing is 0. Arguments that
//! lie in memory are the message too.

#![allow(
    unsafe_code,
    reason = "bindings would never make the calls that an attacker makes"
)]

use std::ffi::c_void;

wit_bindgen::generate!({
    path: "../../../wit",
    world: "listener",
});

use exports::skep::jobs::handler::Guest;
use skep::jobs::types::{Failure, FunctionInfo, Job, Output, Payload};

// The functions as the canonical ABI flattens them; the last argument of most is where
// the answer goes.
#[link(wasm_import_module = "skep:jobs/queue@0.1.0")]
unsafe extern "C" {
    #[link_name = "update-progress"]
    fn update_progress(percent: u32, has: u32, text: u32, length: u32, answer: *mut c_void);
    #[link_name = "store-data"]
    fn store_data(
        data: u32,
        length: u32,
        has_key: u32,
        key: u32,
        key_length: u32,
        has_expiry: u32,
        expiry: u64,
        answer: *mut c_void,
    );
    #[link_name = "fetch-data"]
    fn fetch_data(key: u32, length: u32, answer: *mut c_void);
    #[link_name = "post"]
    fn post(arguments: u32, answer: *mut c_void);
    #[link_name = "post-many"]
    fn post_many(jobs: u32, count: u32, answer: *mut c_void);
    #[link_name = "block-until-result"]
    fn wait(id: u32, length: u32, has: u32, timeout: u64, answer: *mut c_void);
    #[link_name = "block-until-results"]
    fn wait_all(ids: u32, count: u32, has: u32, timeout: u64, answer: *mut c_void);
}

#[link(wasm_import_module = "skep:jobs/log@0.1.0")]
unsafe extern "C" {
    #[link_name = "write"]
    fn log(level: u32, text: u32, length: u32);
}

#[link(wasm_import_module = "skep:jobs/inference@0.1.0")]
unsafe extern "C" {
    #[link_name = "describe"]
    fn describe(model: u32, length: u32, answer: *mut c_void);
    #[link_name = "infer"]
    fn infer(model: u32, length: u32, inputs: u32, count: u32, answer: *mut c_void);
}

/// Room for the answer of any call.
type Answer = [u64; 8];

/// Reads a message as calls.
struct Script<'m> {
    message: &'m [u8],
    rest: &'m [u8],
}

impl Script<'_> {
    fn byte(&mut self) -> u8 {
        let Some((first, rest)) = self.rest.split_first() else {
            return 0;
        };
        self.rest = rest;
        *first
    }

    fn number(&mut self) -> u32 {
        let means = self.byte();
        let value = u32::from_le_bytes([self.byte(), self.byte(), self.byte(), self.byte()]);
        match means % 4 {
            0 => value,
            // Small numbers are counts, tags and lengths.
            1 => value % 64,
            _ => {
                (self.message.as_ptr() as u32).wrapping_add(value % (self.message.len() as u32 + 8))
            }
        }
    }

    fn long(&mut self) -> u64 {
        u64::from(self.number()) << 32 | u64::from(self.number())
    }

    /// Makes the next call.
    fn call(&mut self) {
        let mut answer: Answer = [0; 8];
        let answer = answer.as_mut_ptr().cast();
        let which = self.byte() % 10;
        let mut n = || self.number();
        let (a, b, c, d, e) = (n(), n(), n(), n(), n());
        // SAFETY: none of it is safe, and all of it is the guest's own memory.
        unsafe {
            match which {
                0 => update_progress(a, b, c, d, answer),
                1 => store_data(a, b, c, d, e, self.number(), self.long(), answer),
                2 => fetch_data(a, b, answer),
                3 => post(a, answer),
                4 => post_many(a, b, answer),
                5 => wait(a, b, c, self.long(), answer),
                6 => wait_all(a, b, c, self.long(), answer),
                7 => log(a, b, c),
                8 => describe(a, b, answer),
                _ => infer(a, b, c, d, answer),
            }
        }
    }
}

struct Adversary;

impl Guest for Adversary {
    fn functions() -> Vec<FunctionInfo> {
        vec![FunctionInfo {
            name: "adversary".to_owned(),
            summary: "Calls the host as its message says.".to_owned(),
            message_schema: None,
        }]
    }

    fn handle(job: Job) -> Result<Output, Failure> {
        let message = &job.message.data;
        let mut script = Script {
            message,
            rest: message,
        };
        while !script.rest.is_empty() {
            script.call();
        }
        // SAFETY: it is not UTF-8, which is what the host must find out.
        let text = |bytes: &[u8]| unsafe { String::from_utf8_unchecked(bytes.to_vec()) };
        Ok(Output {
            short_result: Some(text(message)),
            result: Payload {
                content_type: text(message),
                data: message.clone(),
            },
        })
    }
}

export!(Adversary);
