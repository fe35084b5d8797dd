//! Whether bytes are JSON that a guest can read, without building any value.

use serde::de::IgnoredAny;

/// The deepest nesting of a message: what `serde_json`, the parser of most
/// guests, reads. Deeper ones would be accepted here only to fail there.
const MAX_DEPTH: usize = 127;

/// Checks a message; the error says where it stops being JSON.
pub(super) fn check(message: &[u8]) -> Result<(), String> {
    let text = std::str::from_utf8(message)
        .map_err(|error| format!("it is not UTF-8 from byte {} on", error.valid_up_to()))?;
    if text.trim_ascii().is_empty() {
        return Err("it is empty; send null if there is nothing to say".to_owned());
    }
    // This skips without recursion, so it has no depth limit of its own.
    serde_json::from_str::<IgnoredAny>(text).map_err(|error| error.to_string())?;
    if depth(message) > MAX_DEPTH {
        return Err(format!(
            "it is nested deeper than {MAX_DEPTH} levels, which parsers refuse"
        ));
    }
    Ok(())
}

/// The deepest nesting of a valid JSON text.
fn depth(text: &[u8]) -> usize {
    let (mut depth, mut deepest) = (0_usize, 0);
    let (mut in_string, mut escaped) = (false, false);
    for byte in text {
        match byte {
            _ if escaped => escaped = false,
            b'\\' => escaped = true,
            b'"' => in_string = !in_string,
            b'[' | b'{' if !in_string => {
                depth += 1;
                deepest = deepest.max(depth);
            }
            b']' | b'}' if !in_string => depth = depth.saturating_sub(1),
            _ => {}
        }
    }
    deepest
}

#[cfg(test)]
mod tests {
    use super::check;

    #[test]
    fn json_passes_whatever_its_numbers_and_strings() {
        let digits = "9".repeat(5_000);
        let brackets = format!("{:?}", "[\"{\\".repeat(500));
        for good in ["null", " 1 ", "[1, 2]", r#"{"a": "é"}"#, &digits, &brackets] {
            assert_eq!(check(good.as_bytes()), Ok(()), "{good:.40}");
        }
    }

    #[test]
    fn what_is_no_json_is_refused_with_its_place() {
        for bad in ["", " ", "{", "[1,]", "1 2", "{'a': 1}", "NaN", "\"a\nb\""] {
            assert!(check(bad.as_bytes()).is_err(), "{bad:?}");
        }
        let error = check(b"{\n \"a\": x}").unwrap_err();
        assert!(error.contains("line 2 column"), "{error}");
        assert!(check(b"\"a\xff\"").unwrap_err().contains("byte 2"));
    }

    #[test]
    fn nesting_has_the_bound_of_the_guests_parser() {
        for depth in [127, 128, 1 << 20] {
            let text = format!("{}{}", "[".repeat(depth), "]".repeat(depth));
            let guest: Result<serde_json::Value, _> = serde_json::from_str(&text);
            assert_eq!(check(text.as_bytes()).is_ok(), guest.is_ok(), "{depth}");
        }
    }
}
