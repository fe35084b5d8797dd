//! When a callback that did not arrive is tried again.

use std::time::Duration;

/// How often a callback is tried in all.
const TRIES: u32 = 4;

/// Each pause is so many times the one before: with the default of [`FIRST_PAUSE`],
/// tries come after 5 s, 30 s and 3 min, which outlasts a restart of the receiver.
const STEP: u32 = 6;

/// The first pause, unless a test cannot wait.
pub(super) const FIRST_PAUSE: Duration = Duration::from_secs(5);

/// The pause after try `number` (from 1), in ms, or `None` after the last one.
/// `jitter` in `0.0..1.0` spreads callbacks that failed together over the second half
/// of the pause.
pub(super) fn pause_ms(number: u32, first: Duration, jitter: f64) -> Option<u64> {
    if number >= TRIES {
        return None;
    }
    let steps = number.saturating_sub(1);
    let pause = first.saturating_mul(STEP.saturating_pow(steps));
    let spread = 0.5 + jitter.clamp(0.0, 1.0) / 2.0;
    Some(pause.mul_f64(spread).as_millis() as u64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn there_are_three_more_tries_further_and_further_apart() {
        let pauses = |jitter| (1..6).map(move |number| pause_ms(number, FIRST_PAUSE, jitter));
        let longest = [Some(5_000), Some(30_000), Some(180_000), None, None];
        assert!(pauses(1.0).eq(longest));
        assert!(pauses(0.0).eq(longest.map(|pause| pause.map(|ms| ms / 2))));
    }
}
