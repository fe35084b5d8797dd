//! Arithmetic as a service: the smallest useful handlers.

use skep_sdk::{Context, Failure};

/// Two numbers.
#[derive(serde::Deserialize, schemars::JsonSchema)]
struct Numbers {
    /// The first.
    arg1: i64,
    /// The second.
    arg2: i64,
}

/// Multiplies two numbers.
#[skep_sdk::listener]
fn multiply(msg: Numbers, ctx: &Context) -> Result<i64, Failure> {
    msg.arg1
        .checked_mul(msg.arg2)
        .ok_or_else(|| Failure::failed("the product does not fit in 64 bits"))
}

/// Divides the first number by the second, rounding toward zero.
#[skep_sdk::listener]
fn divide(msg: Numbers, ctx: &Context) -> Result<i64, Failure> {
    if msg.arg2 == 0 {
        return Err(Failure::failed("division by zero"));
    }
    msg.arg1
        .checked_div(msg.arg2)
        .ok_or_else(|| Failure::failed("the quotient does not fit in 64 bits"))
}

skep_sdk::export!(multiply, divide);
