//! Signatures of callbacks, by the scheme of Standard Webhooks: HMAC-SHA256 of
//! `id.timestamp.payload`.
//!
//! A callback has no body, and all that it says is in its URL. So the payload is the
//! URL, as a JSON string: libraries for receivers read the payload as JSON once they
//! have verified it. The URL is whole, since a poster can have any URL called: what
//! was signed for one receiver means nothing at another.

use std::fmt;
use std::str::FromStr;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use ring::hmac;

use crate::store::Callback;

/// The sizes of a secret that Standard Webhooks allows, in bytes.
const SECRET_BYTES: std::ops::RangeInclusive<usize> = 24..=64;

/// A secret that callbacks are signed with.
#[derive(Clone)]
pub struct Secret(hmac::Key);

impl FromStr for Secret {
    type Err = String;

    /// Reads `whsec_` and base64. The error does not show the text.
    fn from_str(text: &str) -> Result<Self, String> {
        let bytes = text
            .trim()
            .strip_prefix("whsec_")
            .map(|t| STANDARD.decode(t));
        match bytes {
            Some(Ok(bytes)) if SECRET_BYTES.contains(&bytes.len()) => {
                Ok(Self(hmac::Key::new(hmac::HMAC_SHA256, &bytes)))
            }
            _ => Err(
                "a callback secret is whsec_ and 24 to 64 random bytes in base64; make one with: echo whsec_$(openssl rand -base64 32)"
                    .to_owned(),
            ),
        }
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(..)")
    }
}

/// What a receiver tells repeated deliveries by: the same for all tries of one
/// callback, and another when a job that was run again ends again. The namespace is
/// in it, since job ids mean nothing without; its dots are not, since they separate
/// what is signed.
pub(super) fn message_id(callback: &Callback) -> String {
    let namespace = callback.namespace.as_str().replace('.', "~");
    format!("{namespace}/{}/{}", callback.id, callback.ended_at_ms)
}

/// The value of `webhook-signature`, with one signature for each secret, so that
/// secrets can be replaced one after the other.
pub(super) fn sign(secrets: &[Secret], id: &str, timestamp_s: u64, url: &str) -> String {
    // Nothing in a URL needs an escape in JSON: quotes and backslashes are encoded.
    let content = format!("{id}.{timestamp_s}.\"{url}\"");
    let signatures = secrets.iter().map(|Secret(key)| {
        let tag = hmac::sign(key, content.as_bytes());
        format!("v1,{}", STANDARD.encode(tag))
    });
    signatures.collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_signature_is_that_of_the_scheme() {
        // Made with Python: hmac.digest(bytes(range(32)), b'default/53/7.1674087231."http://a.test/?success=1"', 'sha256')
        let secret = format!("whsec_{}", STANDARD.encode((0..32).collect::<Vec<u8>>()));
        let secret: Secret = secret.parse().unwrap();
        let url = "http://a.test/?success=1";
        let signature = sign(
            std::slice::from_ref(&secret),
            "default/53/7",
            1_674_087_231,
            url,
        );
        assert_eq!(signature, "v1,hPLMCc85jWiYp1N7oAe0uRTXFx80FiyTOEvny5EFhP8=");
        let both = sign(
            &[secret.clone(), secret],
            "default/53/7",
            1_674_087_231,
            url,
        );
        assert_eq!(both, format!("{signature} {signature}"));
    }

    #[test]
    fn a_secret_has_its_form_and_is_never_shown() {
        let long = format!("whsec_{}", STANDARD.encode([7; 65]));
        for bad in ["", "whsec_", "whsec_c2hvcnQ=", "whsec_???", &long] {
            let error = bad.parse::<Secret>().unwrap_err();
            assert!(error.contains("openssl"), "{error}");
            assert!(bad.len() < 7 || !error.contains(bad), "{error}");
        }
        let good: Secret = format!("whsec_{}", STANDARD.encode([7; 24]))
            .parse()
            .unwrap();
        assert_eq!(format!("{good:?}"), "Secret(..)");
    }
}
