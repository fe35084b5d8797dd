//! The names that outsiders choose, parsed once at the edge so that nothing
//! inside ever meets a name with a `/`, a NUL or a thousand letters in it.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use serde::de::Error as _;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use sha2::{Digest as _, Sha256};

/// The longest function name, model name or namespace, in bytes: it is part of every key.
const MAX_NAME_BYTES: usize = 64;

/// Why a name, id or digest was not accepted.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NameError {
    /// A function name, model name or namespace breaks the rule.
    #[error(
        "{what} {given:?} is not valid: use 1 to {MAX_NAME_BYTES} of a-z A-Z 0-9 _ - . and begin with a letter or digit"
    )]
    Name {
        /// `function name`, `model name` or `namespace`.
        what: &'static str,
        /// What was given, cut to a readable length.
        given: String,
    },
    /// A job id that is no number.
    #[error("{0:?} is not a job id: ids are decimal numbers such as 53")]
    JobId(String),
    /// A digest that is none.
    #[error("{0:?} is not a digest: expected 64 hexadecimal digits")]
    Digest(String),
}

/// What was given, short enough to be repeated in an error.
fn excerpt(given: &str) -> String {
    given.chars().take(MAX_NAME_BYTES + 8).collect()
}

fn check_name(what: &'static str, given: &str) -> Result<Arc<str>, NameError> {
    let tail = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | '.');
    let valid = given.len() <= MAX_NAME_BYTES
        && given.starts_with(|c: char| c.is_ascii_alphanumeric())
        && given.chars().all(tail);
    if !valid {
        return Err(NameError::Name {
            what,
            given: excerpt(given),
        });
    }
    Ok(given.into())
}

macro_rules! name {
    ($(#[$doc:meta])* $type:ident, $what:literal) => {
        $(#[$doc])*
        #[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(try_from = "String", into = "String")]
        pub struct $type(Arc<str>);

        impl $type {
            /// The name as text.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl FromStr for $type {
            type Err = NameError;

            fn from_str(given: &str) -> Result<Self, NameError> {
                check_name($what, given).map(Self)
            }
        }

        impl TryFrom<String> for $type {
            type Error = NameError;

            fn try_from(given: String) -> Result<Self, NameError> {
                given.parse()
            }
        }

        impl From<$type> for String {
            fn from(name: $type) -> String {
                name.0.as_ref().to_owned()
            }
        }

        impl fmt::Display for $type {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }
    };
}

name! {
    /// A listener function's name within its namespace.
    FunctionName, "function name"
}

name! {
    /// A model's name within its namespace.
    ModelName, "model name"
}

name! {
    /// A tenant: its jobs, functions and data never meet another's.
    Namespace, "namespace"
}

impl Default for Namespace {
    fn default() -> Self {
        Self("default".into())
    }
}

/// A job's id within its namespace: 1, 2, 3, as MLQ's were. In JSON it is a string,
/// as in WIT: clients need not know that it is a number.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct JobId(pub u64);

impl Serialize for JobId {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match serializer.is_human_readable() {
            true => serializer.collect_str(self),
            false => serializer.serialize_u64(self.0),
        }
    }
}

impl<'de> Deserialize<'de> for JobId {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        match deserializer.is_human_readable() {
            true => String::deserialize(deserializer)?
                .parse()
                .map_err(D::Error::custom),
            false => u64::deserialize(deserializer).map(Self),
        }
    }
}

impl FromStr for JobId {
    type Err = NameError;

    fn from_str(given: &str) -> Result<Self, NameError> {
        // `u64::from_str` would also take "+5", and "05" would be another name of "5".
        let digits = given.bytes().all(|b| b.is_ascii_digit());
        let digits = digits && (given == "0" || !given.starts_with('0'));
        given
            .parse()
            .ok()
            .filter(|_| digits)
            .map(Self)
            .ok_or_else(|| NameError::JobId(excerpt(given)))
    }
}

impl fmt::Display for JobId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// The SHA-256 of a component's bytes: its name everywhere.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Digest([u8; 32]);

impl Digest {
    /// The digest of `bytes`.
    pub fn of(bytes: &[u8]) -> Self {
        Self(Sha256::digest(bytes).into())
    }

    /// The digest that these bytes are.
    pub fn from_bytes(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }

    /// The digest's own bytes.
    pub fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }
}

impl FromStr for Digest {
    type Err = NameError;

    fn from_str(given: &str) -> Result<Self, NameError> {
        let mut bytes = [0; 32];
        hex::decode_to_slice(given, &mut bytes).map_err(|_| NameError::Digest(excerpt(given)))?;
        Ok(Self(bytes))
    }
}

impl TryFrom<String> for Digest {
    type Error = NameError;

    fn try_from(given: String) -> Result<Self, NameError> {
        given.parse()
    }
}

impl From<Digest> for String {
    fn from(digest: Digest) -> String {
        digest.to_string()
    }
}

impl fmt::Display for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&hex::encode(self.0))
    }
}

impl fmt::Debug for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_short_plain_and_begins_with_a_letter_or_digit() {
        for good in ["a", "resize", "v1.2_x-y", "9lives", &"x".repeat(64)] {
            assert!(good.parse::<FunctionName>().is_ok(), "{good}");
        }
        for bad in [
            "",
            ".",
            "..",
            "../x",
            "a/b",
            "a b",
            "-x",
            "é",
            "a\0",
            "a\n",
            &"x".repeat(65),
        ] {
            assert!(bad.parse::<FunctionName>().is_err(), "{bad:?}");
        }
    }

    #[test]
    fn a_job_id_is_digits_only() {
        assert_eq!("53".parse(), Ok(JobId(53)));
        for bad in [
            "",
            "+5",
            "-1",
            "05",
            "00",
            "5a",
            " 5",
            "0x10",
            "99999999999999999999999",
        ] {
            assert!(bad.parse::<JobId>().is_err(), "{bad:?}");
        }
    }

    #[test]
    fn a_digest_survives_its_text() {
        let digest = Digest::of(b"skep");
        assert_eq!(digest.to_string().parse(), Ok(digest));
        assert!("abc".parse::<Digest>().is_err());
    }
}
