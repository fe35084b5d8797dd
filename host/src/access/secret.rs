//! The secret of a token: shown once, and kept as a hash.

use std::fmt;
use std::str::FromStr;

use ring::rand::{SecureRandom as _, SystemRandom};
use sha2::{Digest as _, Sha256};
use subtle::ConstantTimeEq as _;

use super::TokenId;

/// What every token begins with, so that those who search code and logs for leaked
/// secrets recognise one.
const PREFIX: &str = "skep_";

/// 256 bits: beyond any guessing.
const KEY_BYTES: usize = 32;

/// What tells a token from one that was cut off or misspelt, without a look at the
/// store; it also spares those who search for leaked secrets false alarms.
const CHECK_BYTES: usize = 4;

/// What a client shows: `skep_`, the token's id, `_`, and 36 bytes in hex, of which the
/// last four are a checksum.
#[derive(Clone)]
pub struct Secret {
    id: TokenId,
    key: [u8; KEY_BYTES],
}

impl Secret {
    /// A new one.
    ///
    /// # Errors
    ///
    /// When the system has no random numbers.
    pub fn generate() -> Result<Self, String> {
        let (mut id, mut key) = ([0; TokenId::BYTES], [0; KEY_BYTES]);
        let random = SystemRandom::new();
        (random.fill(&mut id))
            .and_then(|()| random.fill(&mut key))
            .map_err(|_| "the system gives no random numbers".to_owned())?;
        let id = TokenId::from_bytes(id);
        Ok(Self { id, key })
    }

    /// The token that it is of, which is no secret.
    pub fn id(&self) -> TokenId {
        self.id
    }

    /// The secret as text, for its holder alone.
    pub fn reveal(&self) -> String {
        let begin = begin(self.id, &self.key);
        let check = hex::encode(check(&begin));
        begin + &check
    }

    /// What is kept of it.
    ///
    /// A fast hash suffices: slow ones protect passwords, of which there are few enough
    /// to try. To find 256 random bits by trying is hopeless at any speed.
    pub fn hash(&self) -> SecretHash {
        SecretHash(Sha256::digest(self.key).into())
    }
}

/// All of a token's text but the checksum.
fn begin(id: TokenId, key: &[u8; KEY_BYTES]) -> String {
    format!("{PREFIX}{id}_{}", hex::encode(key))
}

fn check(begin: &str) -> [u8; CHECK_BYTES] {
    let [a, b, c, d, ..]: [u8; 32] = Sha256::digest(begin).into();
    [a, b, c, d]
}

impl FromStr for Secret {
    type Err = &'static str;

    /// The error never repeats what was given.
    fn from_str(given: &str) -> Result<Self, Self::Err> {
        let read = || {
            let (id, rest) = given.strip_prefix(PREFIX)?.split_once('_')?;
            let id = id.parse().ok()?;
            let (key, sum) = rest.split_at_checked(2 * KEY_BYTES)?;
            let mut bytes = [0; KEY_BYTES];
            hex::decode_to_slice(key, &mut bytes).ok()?;
            let whole = begin(id, &bytes);
            (sum == hex::encode(check(&whole))).then_some(Self { id, key: bytes })
        };
        read().ok_or(
            "this is no access token of skep, or a part of one: it is skep_ and 85 more characters, copy all of them",
        )
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Secret({}, ***)", self.id)
    }
}

/// The SHA-256 of a secret's random bytes.
#[derive(Clone, Copy)]
pub struct SecretHash([u8; 32]);

impl SecretHash {
    /// Whether it is that of this secret; takes as long whether it is or not.
    pub fn is_of(&self, secret: &Secret) -> bool {
        self.0.ct_eq(&secret.hash().0).into()
    }

    /// The hash that these bytes are.
    pub fn from_bytes(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }

    /// The hash's own bytes.
    pub fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }
}

impl fmt::Debug for SecretHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SecretHash(***)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_survives_its_text_and_is_like_no_other() {
        let (one, other) = (Secret::generate().unwrap(), Secret::generate().unwrap());
        let text = one.reveal();
        assert!(text.starts_with("skep_") && text.len() == 90, "{text}");
        let again: Secret = text.parse().unwrap();
        assert!(one.hash().is_of(&again) && again.id() == one.id());
        assert!(!one.hash().is_of(&other) && other.id() != one.id());
    }

    #[test]
    fn what_was_cut_or_changed_is_no_secret() {
        let text = Secret::generate().unwrap().reveal();
        let (last, rest) = (&text[89..], &text[..89]);
        let other = if last == "0" { "1" } else { "0" };
        for bad in [
            "",
            "skep_",
            rest,
            &format!("{text}0"),
            &format!("{rest}{other}"),
            &text.replace("skep_", "ghp_"),
            &text.to_uppercase(),
            &format!(" {text}"),
            &"é".repeat(45),
            &format!("skep_aaaaaaaaaaaa_{}", "é".repeat(36)),
        ] {
            let error = bad.parse::<Secret>().unwrap_err();
            assert!(bad.len() < 6 || !error.contains(bad), "{bad}");
        }
    }

    #[test]
    fn neither_a_secret_nor_its_hash_is_shown_by_accident() {
        let secret = Secret::generate().unwrap();
        let key = hex::encode(secret.key);
        let shown = format!("{secret:?} {:?}", secret.hash());
        assert!(!shown.contains(&key), "{shown}");
        assert!(!shown.contains(&hex::encode(secret.hash().as_bytes())));
    }
}
