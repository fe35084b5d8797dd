//! Numbers, sizes and times as people write them, `1e9`, `64MiB`, `30s`, and as they
//! read them.

/// What a number counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unit {
    /// Things.
    Count,
    /// Bytes.
    Bytes,
    /// Milliseconds.
    Milliseconds,
}

/// The suffixes of each unit, and what one of them is. The first of those that a number
/// is a multiple of says it best, so the largest come first.
const BYTES: [(&str, u64); 8] = [
    ("GiB", 1 << 30),
    ("MiB", 1 << 20),
    ("KiB", 1 << 10),
    ("GB", 1_000_000_000),
    ("MB", 1_000_000),
    ("KB", 1_000),
    ("kB", 1_000),
    ("B", 1),
];
const TIMES: [(&str, u64); 5] = [
    ("d", 86_400_000),
    ("h", 3_600_000),
    ("m", 60_000),
    ("s", 1_000),
    ("ms", 1),
];

impl Unit {
    fn suffixes(self) -> &'static [(&'static str, u64)] {
        match self {
            Self::Count => &[],
            Self::Bytes => &BYTES,
            Self::Milliseconds => &TIMES,
        }
    }

    /// How one writes a quantity of this unit.
    pub fn example(self) -> &'static str {
        match self {
            Self::Count => "1000 or 1e9",
            Self::Bytes => "1000000, 64MiB or 1.5GB",
            Self::Milliseconds => "500ms, 30s, 10m, 2h or 7d",
        }
    }

    /// Reads a quantity. `None` if it is none, is no whole number of the unit, or is too
    /// large. A bare number of milliseconds is one only if `bare` says so, since it means
    /// seconds to one reader and milliseconds to the next.
    pub fn parse(self, text: &str, bare: bool) -> Option<u64> {
        let found = self.suffixes().iter().find_map(|(suffix, factor)| {
            let number = text.strip_suffix(suffix)?;
            // `5ms` ends in `s` too.
            (number.ends_with(|c: char| c.is_ascii_digit())).then_some((number, *factor))
        });
        match found {
            Some((number, factor)) => decimal(number.trim_end(), factor),
            None if self == Self::Milliseconds && !bare => None,
            None => decimal(text, 1),
        }
    }

    /// The quantity for people, short, and exact where it can be.
    pub fn show(self, value: u64) -> String {
        let (suffixes, names): (&[(&str, u64)], &[&str]) = match self {
            Self::Count => return grouped(value),
            Self::Bytes => (BYTES.get(..3).unwrap_or_default(), &["GiB", "MiB", "KiB"]),
            Self::Milliseconds => (TIMES.get(..4).unwrap_or_default(), &["d", "h", "min", "s"]),
        };
        let units = suffixes.iter().zip(names);
        for ((_, factor), name) in units {
            if value >= *factor {
                let whole = value / factor;
                return match value % factor * 10 / factor {
                    0 => format!("{} {name}", grouped(whole)),
                    tenth => format!("{}.{tenth} {name}", grouped(whole)),
                };
            }
        }
        let smallest = if self == Self::Bytes { "B" } else { "ms" };
        format!("{value} {smallest}")
    }
}

/// A decimal number, perhaps with a fraction and an exponent, times `factor`; exactly,
/// or not at all.
fn decimal(text: &str, factor: u64) -> Option<u64> {
    let (mantissa, exponent) = match text.split_once(['e', 'E']) {
        Some((mantissa, exponent)) => (mantissa, digits(exponent)?),
        None => (text, 0),
    };
    let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, "0"));
    let places = u32::try_from(fraction.len()).ok()?;
    let scale = 10_u128.checked_pow(places)?;
    let number = u128::from(digits(whole)?).checked_mul(scale)?;
    let number = number.checked_add(digits(fraction)?.into())?;
    let number = number.checked_mul(factor.into())?;
    let number = number.checked_mul(10_u128.checked_pow(u32::try_from(exponent).ok()?)?)?;
    (number % scale == 0).then(|| u64::try_from(number / scale).ok())?
}

fn digits(text: &str) -> Option<u64> {
    let plain = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    plain.then(|| text.parse().ok())?
}

/// A number with a comma after each three digits.
fn grouped(value: u64) -> String {
    let digits = value.to_string();
    let mut text = String::with_capacity(digits.len() * 4 / 3);
    for (nth, digit) in digits.chars().enumerate() {
        if nth > 0 && (digits.len() - nth).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_people_write_is_read_exactly() {
        let (count, bytes, time) = (Unit::Count, Unit::Bytes, Unit::Milliseconds);
        for (unit, text, value) in [
            (count, "0", 0),
            (count, "200e9", 200_000_000_000),
            (count, "1.5e3", 1_500),
            (count, "18446744073709551615", u64::MAX),
            (bytes, "1000", 1_000),
            (bytes, "64MiB", 64 << 20),
            (bytes, "1.5GiB", 3 << 29),
            (bytes, "10MB", 10_000_000),
            (bytes, "7B", 7),
            (time, "500ms", 500),
            (time, "1.5s", 1_500),
            (time, "2h", 7_200_000),
        ] {
            assert_eq!(unit.parse(text, false), Some(value), "{text}");
        }
        assert_eq!(time.parse("5000", true), Some(5_000));
    }

    #[test]
    fn what_is_none_or_ambiguous_is_refused() {
        for unit in [Unit::Count, Unit::Bytes, Unit::Milliseconds] {
            for text in [
                "",
                "-1",
                "+1",
                "x",
                ".5",
                "1.",
                "1e",
                "1e-3",
                "0x10",
                "1 000",
                "1_000",
                "1e99",
                "MiB",
                "1e5e5",
                "1.0001",
                "18446744073709551616",
                "5MiBs",
            ] {
                assert_eq!(unit.parse(text, true), None, "{unit:?} {text:?}");
            }
        }
        assert_eq!(Unit::Milliseconds.parse("5000", false), None);
        assert_eq!(Unit::Count.parse("5s", true), None);
        assert_eq!(Unit::Bytes.parse("99999999999GiB", true), None);
        assert_eq!(Unit::Bytes.parse("0.5B", true), None);
    }

    #[test]
    fn quantities_are_shown_short() {
        for (unit, value, text) in [
            (Unit::Count, 999, "999"),
            (Unit::Count, 200_000_000_000, "200,000,000,000"),
            (Unit::Bytes, 1023, "1023 B"),
            (Unit::Bytes, 131_584, "128.5 KiB"),
            (Unit::Bytes, 256 << 20, "256 MiB"),
            (Unit::Milliseconds, 999, "999 ms"),
            (Unit::Milliseconds, 300_000, "5 min"),
            (Unit::Milliseconds, 86_400_000, "1 d"),
            (Unit::Milliseconds, 1_250, "1.2 s"),
        ] {
            assert_eq!(unit.show(value), text);
        }
    }
}
