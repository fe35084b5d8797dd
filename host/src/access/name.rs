//! What tokens are called, and where they count: parsed once, at the edge.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::job::{NameError, Namespace};

/// The longest label, in characters: a line of a table.
pub const MAX_LABEL_CHARS: usize = 64;

/// Names a token in lists and logs, and to revoke it. No secret.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct TokenId([u8; Self::BYTES]);

impl TokenId {
    /// 48 bits: among ten thousand tokens two have the same id once in five million.
    pub const BYTES: usize = 6;

    /// The id that these bytes are.
    pub fn from_bytes(bytes: [u8; Self::BYTES]) -> Self {
        Self(bytes)
    }

    /// The id's own bytes.
    pub fn as_bytes(&self) -> &[u8; Self::BYTES] {
        &self.0
    }
}

impl FromStr for TokenId {
    type Err = String;

    fn from_str(given: &str) -> Result<Self, String> {
        let mut bytes = [0; Self::BYTES];
        match hex::decode_to_slice(given, &mut bytes) {
            Ok(()) => Ok(Self(bytes)),
            Err(_) => Err(format!(
                "{given:.40?} is not the id of a token: ids have {} hexadecimal digits, see `skep token list`",
                2 * Self::BYTES
            )),
        }
    }
}

impl TryFrom<String> for TokenId {
    type Error = String;

    fn try_from(given: String) -> Result<Self, String> {
        given.parse()
    }
}

impl From<TokenId> for String {
    fn from(id: TokenId) -> Self {
        id.to_string()
    }
}

impl fmt::Display for TokenId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&hex::encode(self.0))
    }
}

impl fmt::Debug for TokenId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// Where a token counts.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub enum Reach {
    /// In one namespace.
    Namespace(Namespace),
    /// In all, also those that come later.
    All,
}

/// What [`Reach::All`] is written as; no namespace has that name.
const ALL: &str = "*";

impl FromStr for Reach {
    type Err = NameError;

    fn from_str(given: &str) -> Result<Self, NameError> {
        match given {
            ALL => Ok(Self::All),
            name => name.parse().map(Self::Namespace),
        }
    }
}

impl TryFrom<String> for Reach {
    type Error = NameError;

    fn try_from(given: String) -> Result<Self, NameError> {
        given.parse()
    }
}

impl From<Reach> for String {
    fn from(reach: Reach) -> Self {
        reach.to_string()
    }
}

impl fmt::Display for Reach {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Namespace(namespace) => namespace.fmt(f),
            Self::All => f.write_str(ALL),
        }
    }
}

/// What people call a token.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Label(String);

impl Label {
    /// The label as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for Label {
    type Err = String;

    fn from_str(given: &str) -> Result<Self, String> {
        if given.chars().count() > MAX_LABEL_CHARS || given.chars().any(char::is_control) {
            return Err(format!(
                "a token's label is a line of at most {MAX_LABEL_CHARS} characters"
            ));
        }
        Ok(Self(given.to_owned()))
    }
}

impl TryFrom<String> for Label {
    type Error = String;

    fn try_from(given: String) -> Result<Self, String> {
        given.parse()
    }
}

impl From<Label> for String {
    fn from(label: Label) -> Self {
        label.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_ids_and_labels_are_checked() {
        assert_eq!("*".parse(), Ok(Reach::All));
        for bad in ["", "**", "a*", "../x", "a\n"] {
            assert!(bad.parse::<Reach>().is_err(), "{bad:?}");
        }
        for bad in ["", "0", "zzzzzzzzzzzz", "0123456789abcd"] {
            assert!(bad.parse::<TokenId>().is_err(), "{bad:?}");
        }
        let long = "x".repeat(MAX_LABEL_CHARS + 1);
        for bad in ["a\nb", "a\x1b[2J", "a\0", &long] {
            assert!(bad.parse::<Label>().is_err(), "{bad:?}");
        }
        assert!("größe 7".parse::<Label>().is_ok());
    }
}
