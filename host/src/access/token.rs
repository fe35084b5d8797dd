//! What is known of a token beside its secret.

use std::collections::HashMap;
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::{Label, Reach, Scopes, Secret, SecretHash, TokenId};

/// How many tokens a namespace may have, and how many there may be for all namespaces:
/// one for each of a large team's machines. Every host has all tokens in memory, at
/// some 300 bytes each.
pub const MAX_TOKENS: u32 = 1_000;

/// A token, as its admins see it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct AccessToken {
    /// Names it.
    pub id: TokenId,
    /// Where it counts.
    #[serde(rename = "namespace")]
    pub reach: Reach,
    /// What it lets its holder do.
    pub scopes: Scopes,
    /// What people call it.
    pub label: Label,
    /// When it was made, in ms since the Unix epoch.
    pub created_at_ms: u64,
    /// From when on it does not count, in ms since the Unix epoch.
    pub expires_at_ms: Option<u64>,
}

impl AccessToken {
    /// Whether it counts no more.
    pub fn has_expired(&self, now_ms: u64) -> bool {
        self.expires_at_ms.is_some_and(|at| at <= now_ms)
    }
}

/// A token, as a store keeps it. Not serialisable, so that no answer holds a hash.
#[derive(Clone, Debug)]
pub struct StoredToken {
    /// What is known of it.
    pub token: AccessToken,
    /// What tells its holder.
    pub hash: SecretHash,
}

impl StoredToken {
    /// A new token, and the secret that its holder gets.
    ///
    /// # Errors
    ///
    /// When the system has no random numbers.
    pub fn issue(
        reach: Reach,
        scopes: Scopes,
        label: Label,
        created_at_ms: u64,
        expires_in_ms: Option<u64>,
    ) -> Result<(Self, Secret), String> {
        let secret = Secret::generate()?;
        let token = AccessToken {
            id: secret.id(),
            reach,
            scopes,
            label,
            created_at_ms,
            expires_at_ms: expires_in_ms.map(|ms| created_at_ms.saturating_add(ms)),
        };
        let hash = secret.hash();
        Ok((Self { token, hash }, secret))
    }
}

/// The answer to whoever made a token: the only one with its secret.
#[derive(Serialize, ToSchema)]
pub struct Issued<'t> {
    /// What is known of it.
    #[serde(flatten)]
    about: &'t AccessToken,
    /// The secret.
    token: String,
}

impl<'t> Issued<'t> {
    /// The answer for a new token.
    pub fn new(about: &'t AccessToken, secret: &Secret) -> Self {
        let token = secret.reveal();
        Self { about, token }
    }
}

/// Why a token was not made where there are [`MAX_TOKENS`].
pub fn no_room(reach: &Reach) -> String {
    let place = match reach {
        Reach::Namespace(namespace) => format!("namespace {namespace} has"),
        Reach::All => "there are, for all namespaces,".to_owned(),
    };
    format!(
        "{place} {MAX_TOKENS} access tokens, and no more can be made; revoke some with `skep token revoke ID`"
    )
}

/// All tokens of a store.
#[derive(Clone, Debug, Default)]
pub struct AccessTokens(HashMap<TokenId, Arc<StoredToken>>);

impl AccessTokens {
    /// The token whose secret this is, also if it has expired. Whether there is a token
    /// of that id can be told by the time that it takes; ids are no secrets.
    pub fn find(&self, secret: &Secret) -> Option<&AccessToken> {
        let stored = self.0.get(&secret.id())?;
        stored.hash.is_of(secret).then_some(&stored.token)
    }

    /// The token of an id.
    pub fn get(&self, id: TokenId) -> Option<&AccessToken> {
        self.0.get(&id).map(|stored| &stored.token)
    }

    /// All tokens, the oldest first.
    pub fn list(&self) -> Vec<&AccessToken> {
        let mut all: Vec<_> = self.0.values().map(|stored| &stored.token).collect();
        all.sort_unstable_by_key(|token| (token.created_at_ms, *token.id.as_bytes()));
        all
    }
}

impl FromIterator<StoredToken> for AccessTokens {
    fn from_iter<I: IntoIterator<Item = StoredToken>>(tokens: I) -> Self {
        let tokens = tokens.into_iter();
        Self(tokens.map(|one| (one.token.id, Arc::new(one))).collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::access::Scope;

    fn issue(expires_in_ms: Option<u64>) -> (StoredToken, Secret) {
        let scopes = vec![Scope::Read].try_into().unwrap();
        let label = "ci".parse().unwrap();
        StoredToken::issue(Reach::All, scopes, label, 1_000, expires_in_ms).unwrap()
    }

    #[test]
    fn a_token_is_found_by_its_own_secret_only() {
        let ((one, secret), (two, other)) = (issue(None), issue(None));
        let id = one.token.id;
        // The id of one with the key of another.
        let (id_part, key_part) = (secret.reveal(), other.reveal());
        let mixed = format!("{}{}", &id_part[..18], &key_part[18..]);
        assert!(mixed.parse::<Secret>().is_err(), "the checksum covers both");
        let tokens: AccessTokens = [one, two].into_iter().collect();
        assert_eq!(tokens.find(&secret).map(|token| token.id), Some(id));
        assert!(tokens.find(&issue(None).1).is_none());
        assert_eq!(tokens.list().len(), 2);
    }

    #[test]
    fn a_stolen_id_is_worth_nothing() {
        let (stored, secret) = issue(None);
        let (mut another, _) = issue(None);
        another.token.id = stored.token.id;
        let tokens: AccessTokens = [another].into_iter().collect();
        assert!(tokens.get(stored.token.id).is_some());
        assert!(tokens.find(&secret).is_none());
    }

    #[test]
    fn a_token_expires_at_its_time() {
        let token = issue(Some(500)).0.token;
        assert!(!token.has_expired(1_499) && token.has_expired(1_500));
        assert!(!issue(None).0.token.has_expired(u64::MAX));
    }
}
