//! The long job of a web application: it counts primes, piece by piece, and says how far
//! it is.
//!
//! Not here: the application, which is in `backend.py`.

mod sieve;

use skep_sdk::{Context, Failure, Output};

/// Up to where primes are counted: a minute of work, well within the fuel of a job.
const MOST: u64 = 10_000_000_000;

/// What the page sends.
#[derive(serde::Deserialize, schemars::JsonSchema)]
struct Question {
    /// Primes up to this number are counted.
    #[schemars(range(max = 10_000_000_000_u64))]
    number: u64,
}

/// Counts the primes up to a number.
#[skep_sdk::listener(name = "count-primes")]
fn count_primes(msg: Question, ctx: &Context) -> Result<Output<u64>, Failure> {
    let number = msg.number;
    if number > MOST {
        return Err(Failure::invalid(format_args!(
            "{number} is more than {MOST}"
        )));
    }
    let mut counted = 0;
    for piece in sieve::pieces(number) {
        counted += piece.primes;
        let percent = u8::try_from(piece.last * 100 / number.max(1)).unwrap_or(100);
        ctx.progress(percent.min(99), "")?;
    }
    Ok(Output::new(
        format!("{counted} primes up to {number}"),
        counted,
    ))
}

skep_sdk::export!(count_primes);

#[cfg(test)]
mod tests {
    use super::*;

    fn ask(number: u64) -> Result<u64, Failure> {
        let host = skep_sdk::TestHost::new().with::<count_primes>();
        host.run("count-primes", &serde_json::json!({ "number": number }))
    }

    #[test]
    fn the_answer_is_a_number() {
        assert_eq!(ask(100), Ok(25));
        assert_eq!(ask(0), Ok(0));
    }

    #[test]
    fn what_would_take_too_long_is_refused() {
        assert!(ask(MOST + 1).is_err());
    }
}
