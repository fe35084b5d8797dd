//! Durations as people write them: `500ms`, `5s`, `10m`, `2h`, `7d`.

use std::time::Duration;

const SECOND_MS: u64 = 1_000;
const MINUTE_MS: u64 = 60 * SECOND_MS;
const HOUR_MS: u64 = 60 * MINUTE_MS;
const DAY_MS: u64 = 24 * HOUR_MS;

/// Reads a duration. The unit must be there: a bare number means seconds to one
/// reader and milliseconds to the next.
pub(super) fn parse(text: &str) -> Result<Duration, String> {
    let digits = text.bytes().take_while(u8::is_ascii_digit).count();
    let (number, unit) = text.split_at(digits);
    let unit_ms = match unit {
        "ms" => 1,
        "s" => SECOND_MS,
        "m" => MINUTE_MS,
        "h" => HOUR_MS,
        "d" => DAY_MS,
        _ => return Err("write a number and a unit: 500ms, 5s, 10m, 2h or 7d".to_owned()),
    };
    let number: u64 = number
        .parse()
        .map_err(|_| "write a whole number before the unit, such as 5s".to_owned())?;
    let ms = number.checked_mul(unit_ms).ok_or("that is too long")?;
    Ok(Duration::from_millis(ms))
}

/// A duration in whole milliseconds, as the API takes it.
pub(super) fn ms(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

/// A stretch of time in its largest unit, in which it is at least two.
pub(super) fn span(ms: u64) -> String {
    let unit = [("d", DAY_MS), ("h", HOUR_MS), ("m", MINUTE_MS)]
        .into_iter()
        .find(|(_, unit_ms)| ms >= 2 * unit_ms);
    let (name, unit_ms) = unit.unwrap_or(("s", SECOND_MS));
    format!("{}{name}", ms / unit_ms)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_have_a_unit() {
        assert_eq!(parse("500ms"), Ok(Duration::from_millis(500)));
        assert_eq!(parse("5s"), Ok(Duration::from_secs(5)));
        assert_eq!(parse("2h"), Ok(Duration::from_secs(7_200)));
        for bad in [
            "",
            "5",
            "s",
            "-5s",
            "1.5s",
            "5 s",
            "5S",
            "99999999999999999999d",
        ] {
            assert!(parse(bad).is_err(), "{bad:?}");
        }
    }
}
