//! The header `Idempotency-Key` (draft-ietf-httpapi-idempotency-key-header): another way
//! to give the option `idempotency_key` of a job.
//!
//! Not here: what comes of a key that is taken; that is for the store to say, and a post of
//! another job under it is answered 422, as the draft has it.

use axum::http::{HeaderMap, HeaderName};

use super::problem::Problem;

const HEADER: HeaderName = HeaderName::from_static("idempotency-key");

/// The key of a job, from the header and from its options.
pub(super) fn key(headers: &HeaderMap, option: Option<String>) -> Result<Option<String>, Problem> {
    let mut given = headers.get_all(HEADER).iter();
    let Some(value) = given.next() else {
        return Ok(option);
    };
    if given.next().is_some() {
        return Err(Problem::bad_request(
            "there are several headers Idempotency-Key; send one",
        ));
    }
    let text = value
        .to_str()
        .ok()
        .map(str::trim)
        .filter(|text| !text.is_empty());
    let Some(key) = text.and_then(unquoted) else {
        return Err(Problem::bad_request(
            "the header Idempotency-Key is no key: send printable ASCII characters, as they are or as \"a string in quotes\"",
        ));
    };
    match option {
        Some(option) if option != key => Err(Problem::bad_request(
            "the header Idempotency-Key and the option idempotency_key differ; leave one of them out",
        )),
        _ => Ok(Some(key)),
    }
}

/// Where a key could mean none of the jobs in particular.
pub(super) fn refuse(headers: &HeaderMap) -> Result<(), Problem> {
    match headers.contains_key(HEADER) {
        true => Err(Problem::bad_request(
            "a header Idempotency-Key cannot be that of many jobs; give each line its own \"idempotency_key\"",
        )),
        false => Ok(()),
    }
}

/// A key as the draft writes it, a string of RFC 8941 in quotes, or as many clients do,
/// without.
fn unquoted(text: &str) -> Option<String> {
    let Some(quoted) = text.strip_prefix('"') else {
        return Some(text.to_owned());
    };
    let mut key = String::new();
    let mut rest = quoted.strip_suffix('"')?.chars();
    while let Some(next) = rest.next() {
        match next {
            '"' => return None,
            '\\' => key.push(rest.next().filter(|c| matches!(c, '"' | '\\'))?),
            other => key.push(other),
        }
    }
    Some(key)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(values: &[&str], option: Option<&str>) -> Result<Option<String>, ()> {
        let headers = values.iter().map(|value| (HEADER, value.parse().unwrap()));
        key(&HeaderMap::from_iter(headers), option.map(str::to_owned)).map_err(drop)
    }

    #[test]
    fn a_key_comes_with_quotes_or_without() {
        for (value, expected) in [
            ("order-7", "order-7"),
            ("\"order-7\"", "order-7"),
            (r#""a \"b\" \\ c""#, r#"a "b" \ c"#),
            (" k ", "k"),
            ("a\"b", "a\"b"),
        ] {
            assert_eq!(
                read(&[value], None),
                Ok(Some(expected.to_owned())),
                "{value}"
            );
            assert!(read(&[value], Some(expected)).is_ok(), "{value}");
            assert!(read(&[value], Some("other")).is_err(), "{value}");
        }
        assert_eq!(read(&[], Some("k")), Ok(Some("k".to_owned())));
        assert_eq!(read(&[], None), Ok(None));
    }

    #[test]
    fn what_is_no_key_is_refused() {
        for bad in [
            "",
            "\"",
            "\"a",
            "\"a\"b\"",
            "\"a\\x\"",
            "\"a\\",
            "schl\u{fc}ssel",
        ] {
            assert!(read(&[bad], None).is_err(), "{bad:?}");
        }
        assert!(read(&["a", "a"], None).is_err());
    }
}
