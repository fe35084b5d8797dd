//! How access tokens lie in a store.

use serde::{Deserialize, Serialize};
use serde_bytes::ByteArray;

use super::Result;
use super::StoreError;
use super::record::{decode, encode};
use crate::access::{AccessToken, Scope, SecretHash, StoredToken, TokenId};

/// A token. See [`super::record`] for how it may change.
#[derive(Serialize, Deserialize)]
struct TokenRecord {
    reach: String,
    scopes: Vec<String>,
    label: String,
    created_at_ms: u64,
    expires_at_ms: Option<u64>,
    hash: ByteArray<32>,
}

/// Encodes a token.
pub(in crate::store) fn encode_token(stored: &StoredToken) -> Result<Vec<u8>> {
    let StoredToken { token, hash } = stored;
    encode(&TokenRecord {
        reach: token.reach.to_string(),
        scopes: token.scopes.iter().map(|s| s.as_str().to_owned()).collect(),
        label: token.label.as_str().to_owned(),
        created_at_ms: token.created_at_ms,
        expires_at_ms: token.expires_at_ms,
        hash: ByteArray::new(*hash.as_bytes()),
    })
}

/// Decodes a token. One that cannot be read does not count, and keeps no other from it.
pub(in crate::store) fn decode_token(id: TokenId, bytes: &[u8]) -> Option<StoredToken> {
    let read = || {
        let what = format!("access token {id}");
        let record: TokenRecord = decode(&what, bytes)?;
        let odd = |error: String| StoreError::Unreadable(format!("{what}: {error}"));
        let scopes = record.scopes.iter().map(|name| name.parse());
        let scopes = scopes
            .collect::<Result<Vec<Scope>, String>>()
            .map_err(odd)?;
        let token = AccessToken {
            id,
            reach: (record.reach.parse())
                .map_err(|error: crate::job::NameError| odd(error.to_string()))?,
            scopes: scopes.try_into().map_err(odd)?,
            label: record.label.parse().map_err(odd)?,
            created_at_ms: record.created_at_ms,
            expires_at_ms: record.expires_at_ms,
        };
        let hash = SecretHash::from_bytes(*record.hash);
        Ok(StoredToken { token, hash })
    };
    let told = |error: StoreError| tracing::error!(%error, "a token does not count");
    read().map_err(told).ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::access::Reach;

    #[test]
    fn a_token_survives_its_record_and_a_bad_record_is_none() {
        let scopes = vec![Scope::Post, Scope::Admin].try_into().unwrap();
        let label = "größe".parse().unwrap();
        let reach = Reach::Namespace("acme".parse().unwrap());
        let (stored, secret) = StoredToken::issue(reach, scopes, label, 7, Some(5)).unwrap();
        let id = stored.token.id;
        let bytes = encode_token(&stored).unwrap();
        let read = decode_token(id, &bytes).unwrap();
        assert_eq!(read.token, stored.token);
        assert!(read.hash.is_of(&secret));
        for cut in 0..bytes.len() {
            assert!(decode_token(id, &bytes[..cut]).is_none(), "{cut}");
        }
        let newer = [&[9], &bytes[1..]].concat();
        assert!(decode_token(id, &newer).is_none());
    }
}
