//! When a failed attempt is followed by another one: DESIGN section 5, point 3.

use super::Cause;

/// The first pause before a retry, in ms; each further one is twice as long.
const FIRST_BACKOFF_MS: u64 = 1_000;

/// The longest pause before a retry, in ms. Five minutes is short enough for a
/// person who waits, and long enough for most outages to pass.
const MAX_BACKOFF_MS: u64 = 300_000;

/// The longest pause that a guest may ask for, in ms: a day.
const MAX_ASKED_MS: u64 = 24 * 3600 * 1000;

/// How long a job pauses after the failed `attempt` (from 1), or `None` when it
/// goes to the dead letter.
///
/// `asked_ms` is what the guest asked for with `retry`; it replaces the back-off,
/// but for 0, which leaves the pause to it: an outage must not use up all attempts
/// in one second.
/// `jitter` in `0.0..1.0` spreads the retries of jobs that failed together over
/// the second half of the pause.
pub fn retry_delay_ms(
    cause: &Cause,
    attempt: u32,
    max_attempts: u32,
    asked_ms: Option<u64>,
    jitter: f64,
) -> Option<u64> {
    if !cause.kind.may_pass() || attempt >= max_attempts {
        return None;
    }
    if let Some(asked) = asked_ms.filter(|&asked| asked > 0) {
        return Some(asked.min(MAX_ASKED_MS));
    }
    let doublings = attempt.saturating_sub(1).min(16);
    let backoff = (FIRST_BACKOFF_MS << doublings).min(MAX_BACKOFF_MS);
    let spread = (backoff as f64 / 2.0) * jitter.clamp(0.0, 1.0);
    Some(backoff / 2 + spread as u64)
}

#[cfg(test)]
mod tests {
    use super::super::CauseKind;
    use super::*;

    #[test]
    fn what_would_only_happen_again_is_not_retried() {
        for kind in [
            CauseKind::Invalid,
            CauseKind::Failed,
            CauseKind::Trap,
            CauseKind::FuelExhausted,
        ] {
            assert_eq!(retry_delay_ms(&Cause::new(kind, ""), 1, 5, None, 0.5), None);
        }
    }

    #[test]
    fn the_pause_doubles_up_to_a_bound_and_ends_with_the_attempts() {
        let cause = Cause::new(CauseKind::TimedOut, "");
        let delay = |attempt| retry_delay_ms(&cause, attempt, 50, None, 1.0);
        assert_eq!(delay(1), Some(1_000));
        assert_eq!(delay(2), Some(2_000));
        assert_eq!(delay(49), Some(MAX_BACKOFF_MS));
        assert_eq!(delay(50), None);
    }

    #[test]
    fn the_guest_may_choose_the_pause_within_a_day() {
        let cause = Cause::new(CauseKind::Retry, "");
        assert_eq!(retry_delay_ms(&cause, 1, 5, Some(7), 0.0), Some(7));
        assert_eq!(
            retry_delay_ms(&cause, 1, 5, Some(0), 1.0),
            Some(FIRST_BACKOFF_MS)
        );
        assert_eq!(
            retry_delay_ms(&cause, 1, 5, Some(u64::MAX), 0.0),
            Some(MAX_ASKED_MS)
        );
    }
}
