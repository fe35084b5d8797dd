//! A component that lists one function twice, which the SDK would not let
//! through: a host must refuse it. Written against `wit/` alone.

#![allow(unsafe_code, reason = "what wit-bindgen generates for exports")]

wit_bindgen::generate!({
    path: "../../../wit",
    world: "listener",
});

use exports::skep::jobs::handler::Guest;
use skep::jobs::types::{Failure, FunctionInfo, Job, Output};

struct Twice;

impl Guest for Twice {
    fn functions() -> Vec<FunctionInfo> {
        let function = FunctionInfo {
            name: "twice".to_owned(),
            summary: "Is listed twice.".to_owned(),
            message_schema: None,
        };
        vec![function.clone(), function]
    }

    fn handle(_job: Job) -> Result<Output, Failure> {
        Err(Failure::Failed("no host should have taken this".to_owned()))
    }
}

export!(Twice);
